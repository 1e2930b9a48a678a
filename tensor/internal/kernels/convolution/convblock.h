// Convolution blocks in fewer passes over memory; tensor/convblock.go documents them.
#ifndef ENGRAM_KERNELS_CONVBLOCK_H
#define ENGRAM_KERNELS_CONVBLOCK_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Operands that may be absent are NULL. x and shortcut are float or bfloat16, all others float.

// The operands of a batch norm beside x.
typedef struct {
  void *gain, *bias, *mean, *variance;
  int batch_stats;
  double momentum, eps;
} eg_norm;

// Whether eg_norm_relu_pool takes these operands. A norm that is NULL leaves its operand as it is.
int eg_norm_relu_pool_fits(void *x, const eg_norm *norm, void *shortcut, const eg_norm *shortcut_norm, int64_t window);
void *eg_norm_relu_pool(void *x, const eg_norm *norm, void *shortcut, const eg_norm *shortcut_norm, double slope,
                        int64_t window);

// Whether eg_image_conv_block takes these operands.
int eg_image_conv_block_fits(void *x, void *w, void *b, const eg_norm *norm, int64_t window);
void *eg_image_conv_block(void *x, void *w, void *b, const eg_norm *norm, int64_t window);

#ifdef __cplusplus
}
#endif
#endif
