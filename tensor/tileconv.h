// Convolutions by tiles; conv.go documents them.
#ifndef ENGRAM_TENSOR_TILECONV_H
#define ENGRAM_TENSOR_TILECONV_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Whether eg_tile_conv takes these operands and is the faster way for them. b may be NULL.
int eg_tile_conv_fits(void *x, void *w, void *b, int64_t padding);
void *eg_tile_conv(void *x, void *w, void *b, int64_t padding);

#ifdef __cplusplus
}
#endif
#endif
