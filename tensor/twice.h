// A convolution block that can be differentiated twice; twice.go documents it.
#ifndef ENGRAM_TENSOR_TWICE_H
#define ENGRAM_TENSOR_TWICE_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Whether eg_conv3x3 takes these operands.
int eg_conv3x3_fits(void *x, void *w);
void *eg_conv3x3(void *x, void *w, int64_t stride);

// Whether eg_norm_relu takes these operands.
int eg_norm_relu_fits(void *x, void *gain, void *bias);
void *eg_norm_relu(void *x, void *gain, void *bias, double eps);

#ifdef __cplusplus
}
#endif
#endif
