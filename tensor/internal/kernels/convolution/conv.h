// Convolutions without a second-order gradient; tensor/conv.go documents them.
#ifndef ENGRAM_KERNELS_CONV_H
#define ENGRAM_KERNELS_CONV_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// b may be NULL.

// Float32, by tiles: whether eg_tile_conv takes these operands and is faster for them than the direct convolution.
int eg_tile_conv_fits(void *x, void *w, void *b, int64_t padding);
void *eg_tile_conv(void *x, void *w, void *b, int64_t padding);

// bfloat16 x with float32 w and b: whether eg_half_conv takes these operands on this processor.
int eg_half_conv_fits(void *x, void *w, void *b, int64_t padding);
void *eg_half_conv(void *x, void *w, void *b, int64_t padding);

#ifdef __cplusplus
}
#endif
#endif
