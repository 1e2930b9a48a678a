// What follows a matrix product in a layer; documented in tensor/layers.go.
#ifndef ENGRAM_KERNELS_EPILOGUE_H
#define ENGRAM_KERNELS_EPILOGUE_H
#ifdef __cplusplus
extern "C" {
#endif

// Each returns null on failure. bias may be null.
void *eg_linear_gelu(void *x, void *weight, void *bias);
void *eg_add_layer_norm(void *x, void *y, void *bias, void *gain, void *shift, double eps);

#ifdef __cplusplus
}
#endif
#endif
