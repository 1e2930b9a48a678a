// A linear map that every step of a recurrent network applies; documented in tensor/recurrent.go.
#ifndef ENGRAM_KERNELS_RECURRENT_LINEAR_H
#define ENGRAM_KERNELS_RECURRENT_LINEAR_H
#ifdef __cplusplus
extern "C" {
#endif

// Makes a map from a weight [out, in]; eg_recurrent_linear_free frees it.
void *eg_recurrent_linear(void *weight);
// Returns base [rows, out] plus the map of x [rows, in]; base may be NULL for zero.
void *eg_recurrent_linear_apply(void *map, void *x, void *base);
void eg_recurrent_linear_free(void *map);

#ifdef __cplusplus
}
#endif
#endif
