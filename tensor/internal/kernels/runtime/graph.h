// CUDA graphs: LibTorch's at::cuda::CUDAGraph. Plain C for cgo.
#ifndef ENGRAM_KERNELS_GRAPH_H
#define ENGRAM_KERNELS_GRAPH_H
#ifdef __cplusplus
extern "C" {
#endif

// Whether this build has CUDA graphs: LibTorch is one for CUDA, and CUDA's headers were there (libtorch/env.sh).
int eg_graphs_built(void);

// A stream of a CUDA device, and the memory pool that its graphs share; NULL on failure.
void *eg_graphs_new(int device);
void eg_graphs_free(void *graphs);

// Makes the stream the current one of this thread, after all work of the current one. eg_graphs_leave makes the earlier
// one current again, after all work of the stream. Operations between them run on the stream.
int eg_graphs_enter(void *graphs);
int eg_graphs_leave(void *graphs);

// Between eg_graphs_enter and eg_graphs_leave: operations between begin and end are captured instead of run. end
// returns the graph; NULL on failure. drop ends a capture that failed.
int eg_graph_begin(void *graphs);
void *eg_graph_end(void *graphs);
void eg_graph_drop(void *graphs);

// Runs a captured graph on the current stream, without waiting for it.
int eg_graph_replay(void *graph);
void eg_graph_free(void *graph);

#ifdef __cplusplus
}
#endif
#endif
