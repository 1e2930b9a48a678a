// Norms of rows and short causal convolutions of sequences; documented in tensor/sequence.go.
#ifndef ENGRAM_KERNELS_SEQUENCE_H
#define ENGRAM_KERNELS_SEQUENCE_H
#ifdef __cplusplus
extern "C" {
#endif

// Each returns null on failure. gain may be null.
void *eg_norm_rows(void *x, void *gain, int mean, double eps);
void *eg_causal_convolution(void *x, void *kernel, int silu);

#ifdef __cplusplus
}
#endif
#endif
