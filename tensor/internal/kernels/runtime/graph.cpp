#include "../torch.h"

#include "graph.h"
#include "../guard.h"

#ifdef ENGRAM_CUDA_GRAPHS

#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <memory>

namespace {

// Streams and events go through c10's interface for all devices, so that nothing here names a symbol of CUDA's runtime.
c10::impl::VirtualGuardImpl cuda() { return c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA); }

// Later LibTorches let the caller choose which calls are errors during a capture. Those of other threads are none: only
// this thread, and autograd's, which works for it, compute on the stream.
template <class Graph>
auto begin(Graph &graph, at::cuda::MempoolId_t pool, int)
    -> decltype(graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal)) {
  return graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
}
template <class Graph> void begin(Graph &graph, at::cuda::MempoolId_t pool, long) { graph.capture_begin(pool); }

struct Graphs {
  c10::Device device;
  c10::Stream stream, before;
  at::cuda::MempoolId_t pool;
  std::unique_ptr<at::cuda::CUDAGraph> capturing;
};

Graphs &G(void *graphs) { return *static_cast<Graphs *>(graphs); }

// Has one stream wait for the work of another.
void follow(const c10::Stream &stream, const c10::Stream &earlier) {
  c10::Event event(c10::DeviceType::CUDA);
  event.record(earlier);
  event.block(stream);
}

} // namespace

using engram::guarded;

extern "C" {

int eg_graphs_built(void) { return 1; }

void *eg_graphs_new(int device) {
  return guarded<void *>(nullptr, [&] {
    const c10::Device on(c10::DeviceType::CUDA, c10::DeviceIndex(device));
    const c10::DeviceGuard guard(on);
    const c10::Stream stream = cuda().getStreamFromGlobalPool(on);
    return new Graphs{on, stream, stream, at::cuda::graph_pool_handle(), nullptr};
  });
}

void eg_graphs_free(void *graphs) { delete static_cast<Graphs *>(graphs); }

int eg_graphs_enter(void *graphs) {
  return guarded(-1, [&] {
    Graphs &g = G(graphs);
    const c10::DeviceGuard guard(g.device);
    g.before = cuda().getStream(g.device);
    follow(g.stream, g.before);
    cuda().exchangeStream(g.stream);
    return 0;
  });
}

int eg_graphs_leave(void *graphs) {
  return guarded(-1, [&] {
    Graphs &g = G(graphs);
    const c10::DeviceGuard guard(g.device);
    cuda().exchangeStream(g.before);
    follow(g.before, g.stream);
    return 0;
  });
}

int eg_graph_begin(void *graphs) {
  return guarded(-1, [&] {
    Graphs &g = G(graphs);
    const c10::DeviceGuard guard(g.device);
    g.stream.synchronize(); // an error of earlier work would be reported as one of the capture
    g.capturing = std::make_unique<at::cuda::CUDAGraph>();
    begin(*g.capturing, g.pool, 0);
    return 0;
  });
}

void *eg_graph_end(void *graphs) {
  return guarded<void *>(nullptr, [&] {
    Graphs &g = G(graphs);
    const c10::DeviceGuard guard(g.device);
    g.capturing->capture_end();
    return static_cast<void *>(g.capturing.release());
  });
}

void eg_graph_drop(void *graphs) {
  guarded(-1, [&] {
    Graphs &g = G(graphs);
    const c10::DeviceGuard guard(g.device);
    const auto graph = std::move(g.capturing);
    if (graph)
      graph->capture_end();
    return 0;
  });
}

int eg_graph_replay(void *graph) {
  return guarded(-1, [&] {
    static_cast<at::cuda::CUDAGraph *>(graph)->replay();
    return 0;
  });
}

void eg_graph_free(void *graph) { delete static_cast<at::cuda::CUDAGraph *>(graph); }

} // extern "C"

#else

namespace {

template <class R> R left_out(R failed) {
  engram::set_error("this build has no CUDA graphs: LibTorch is one for the CPU, or CUDA's headers were not found; see "
                    "docs/libtorch.md");
  return failed;
}

} // namespace

extern "C" {

int eg_graphs_built(void) { return 0; }
void *eg_graphs_new(int) { return left_out<void *>(nullptr); }
void eg_graphs_free(void *) {}
int eg_graphs_enter(void *) { return left_out(-1); }
int eg_graphs_leave(void *) { return left_out(-1); }
int eg_graph_begin(void *) { return left_out(-1); }
void *eg_graph_end(void *) { return left_out<void *>(nullptr); }
void eg_graph_drop(void *) {}
int eg_graph_replay(void *) { return left_out(-1); }
void eg_graph_free(void *) {}

} // extern "C"

#endif
