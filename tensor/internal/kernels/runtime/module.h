// TorchScript modules. Plain C for cgo.
#ifndef ENGRAM_KERNELS_MODULE_H
#define ENGRAM_KERNELS_MODULE_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Loads a module onto a device; NULL if the file is not a module.
void *eg_module_load(const char *path, int device);
void eg_module_free(void *module);

// Its parameters and buffers, in the order of PyTorch's state dict. A tensor with several names has the first.
int eg_module_count(void *module);
const char *eg_module_name(void *module, int i);
// Removes tensor i from the module; each call must then provide it.
void *eg_module_take(void *module, int i, int *parameter);

// Calls forward with the given tensors. training enables training-only behaviour of layers, batch_stats normalisation
// by the batch's statistics; both update running statistics in place. seed seeds the noise.
void *eg_module_forward(void *module, void *input, void **tensors, int training, int batch_stats, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
