// Convolution blocks in fewer passes over memory; tensor/convblock.go documents them.
#ifndef ENGRAM_KERNELS_CONVBLOCK_H
#define ENGRAM_KERNELS_CONVBLOCK_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Operands that may be absent are NULL. x is float or bfloat16, all others float.

// Whether eg_norm_relu_pool takes these operands.
int eg_norm_relu_pool_fits(void *x, void *gain, void *bias, void *mean, void *variance, int batch_stats,
                           int64_t window);
void *eg_norm_relu_pool(void *x, void *gain, void *bias, void *mean, void *variance, int batch_stats, double momentum,
                        double eps, int64_t window);

// Whether eg_image_conv_block takes these operands.
int eg_image_conv_block_fits(void *x, void *w, void *b, void *gain, void *bias, void *mean, void *variance,
                             int batch_stats, int64_t window);
void *eg_image_conv_block(void *x, void *w, void *b, void *gain, void *bias, void *mean, void *variance,
                          int batch_stats, double momentum, double eps, int64_t window);

#ifdef __cplusplus
}
#endif
#endif
