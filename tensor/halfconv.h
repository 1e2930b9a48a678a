// Convolutions in bfloat16 whose weights are float32; conv.go documents them.
#ifndef ENGRAM_TENSOR_HALFCONV_H
#define ENGRAM_TENSOR_HALFCONV_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

// Whether eg_half_conv takes these operands on this processor: x of bfloat16, w and b, which may be NULL, of float.
int eg_half_conv_fits(void *x, void *w, void *b, int64_t padding);
void *eg_half_conv(void *x, void *w, void *b, int64_t padding);

#ifdef __cplusplus
}
#endif
#endif
