// TorchScript modules. Plain C, so that cgo reads it.
#ifndef ENGRAM_KERNELS_MODULE_H
#define ENGRAM_KERNELS_MODULE_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Reads a module onto a device; NULL where the file is none.
void *eg_module_load(const char *path, int device);
void eg_module_free(void *module);

// Its parameters and buffers, in the order of PyTorch's state dict. A tensor that goes by several names has the first.
int eg_module_count(void *module);
const char *eg_module_name(void *module, int i);
// Takes tensor i out of the module: from then on each call brings its own.
void *eg_module_take(void *module, int i, int *parameter);

// Calls forward with the tensors in their places. training turns on what its layers do in training only, batch_stats
// normalisation by the batch's statistics; both move running statistics, in place. Noise is drawn from seed.
void *eg_module_forward(void *module, void *input, void **tensors, int training, int batch_stats, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
