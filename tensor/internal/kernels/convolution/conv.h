// Convolutions whose gradients have none themselves; conv.go documents them.
#ifndef ENGRAM_TENSOR_CONV_H
#define ENGRAM_TENSOR_CONV_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// b may be NULL.

// By tiles, of float: whether eg_tile_conv takes these operands and is the faster way for them.
int eg_tile_conv_fits(void *x, void *w, void *b, int64_t padding);
void *eg_tile_conv(void *x, void *w, void *b, int64_t padding);

// Of x of bfloat16 with w and b of float: whether eg_half_conv takes these operands on this processor.
int eg_half_conv_fits(void *x, void *w, void *b, int64_t padding);
void *eg_half_conv(void *x, void *w, void *b, int64_t padding);

#ifdef __cplusplus
}
#endif
#endif
