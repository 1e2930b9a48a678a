// Functions that gotch lacks. Plain C for cgo.
#ifndef ENGRAM_KERNELS_H
#define ENGRAM_KERNELS_H
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// A number for the calling thread, reused once the thread has ended; -1 if too many threads exist at once.
int eg_slot(void);
// The same, after applying LibTorch's thread count to this thread, because OpenMP keeps it per thread.
int eg_enter(void);

// The last error on this thread, or NULL; the caller frees it.
char *eg_error(void);

void eg_free(void **tensors, int n);

// Sets gradient recording for this thread and returns the previous mode.
int eg_grad_mode(int on);

// Gradients of n outputs with respect to m inputs. grad_outputs may hold NULL (ones); result holds NULL for an unused
// input.
int eg_grad(void **outputs, void **grad_outputs, int n, void **inputs, int m, void **result, int retain, int create);

// Configures CUDA devices: TensorFloat-32 instead of float32, and deterministic algorithms only.
int eg_cuda_math(bool tf32, bool deterministic);

void eg_set_threads(int n);
int eg_get_threads(void);
void eg_keep_memory(void);

const char *eg_version(void);
// Whether C++'s strings are those from before C++11, as LibTorch's are.
int eg_old_abi(void);
// The path of the library that defines the symbol, or NULL; the caller frees it.
char *eg_library(const char *symbol);

int eg_copy_from(void *tensor, const void *data, int64_t bytes);
int eg_copy_to(void *tensor, void *data, int64_t bytes);
// A tensor on a CUDA device from data, copied to pinned memory first and from there asynchronously.
void *eg_upload(const void *data, const int64_t *shape, int rank, int dtype, int device);
void *eg_empty(const int64_t *shape, int rank, int dtype, int device);
void *eg_channels_last(void *tensor);
void *eg_gelu(void *tensor);                     // gotch's function leaks a string at every call
void *eg_leaky_relu(void *tensor, double slope); // gotch's function has no slope
// Views of n equal parts along a dimension.
int eg_split(void *tensor, int64_t dim, int n, void **parts);
int eg_assign(void *to, void *from);
// moves the weights of an LSTM into one block of memory, on devices where it runs by cuDNN
int eg_flatten_lstm(void **weights, int n, int64_t layers, bool bidirectional);

#ifdef __cplusplus
}
#endif
#endif
