// What gotch has no function for. Plain C, so that cgo reads it.
#ifndef ENGRAM_KERNELS_H
#define ENGRAM_KERNELS_H
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// A number for the calling thread, reused once the thread has ended; -1 when too many threads live at once.
int eg_slot(void);
// The same, after making LibTorch's thread count hold for this thread too (OpenMP keeps it per thread).
int eg_enter(void);

// The last failure on this thread, or NULL; the caller frees it.
char *eg_error(void);

void eg_free(void **tensors, int n);

// Sets gradient recording for this thread and returns what it was.
int eg_grad_mode(int on);

// Gradients of n outputs for m inputs. grad_outputs may hold NULL (ones); result holds NULL where an input is unused.
int eg_grad(void **outputs, void **grad_outputs, int n, void **inputs, int m, void **result, int retain, int create);

// For CUDA devices: TensorFloat-32 instead of float32, and deterministic algorithms alone.
int eg_cuda_math(bool tf32, bool deterministic);

void eg_set_threads(int n);
int eg_get_threads(void);
void eg_keep_memory(void);

const char *eg_version(void);
// The file that the symbol was loaded from, or NULL; the caller frees it.
char *eg_library(const char *symbol);

int eg_copy_from(void *tensor, const void *data, int64_t bytes);
int eg_copy_to(void *tensor, void *data, int64_t bytes);
// A tensor on a CUDA device, of data that is copied to pinned memory first and from there while the caller goes on.
void *eg_upload(const void *data, const int64_t *shape, int rank, int dtype, int device);
void *eg_empty(const int64_t *shape, int rank, int dtype, int device);
void *eg_channels_last(void *tensor);
// Views of n equal parts along a dimension.
int eg_split(void *tensor, int64_t dim, int n, void **parts);
int eg_assign(void *to, void *from);

#ifdef __cplusplus
}
#endif
#endif
