package tensor

// #include "internal/kernels/convolution/conv.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Conv2dFirstOrder is [Conv2d] with stride 1 and one group, of x [batch, in, height, width] with w [out, in, kernel,
// kernel] and b [out], which may be nil, both rounded to the type of x, by faster algorithms without a second-order
// gradient. On the CPU:
//
// In float32, for large enough kernels and images, it computes tiles of the output as products of transforms, with a
// fraction of the multiplications. Kernels of size three use Winograd's minimal filtering (Lavin and Gray 2016,
// section 4.1: F(4×4, 3×3), a quarter of the multiplications), larger ones the discrete Fourier transform (Mathieu et
// al. 2014, in tiles: 7×7 in a tenth). The size of the tiles depends only on the sizes of the operands. Relative to
// the largest value of the result, rounding errors are about 6·10⁻⁶ with Winograd, 4·10⁻⁷ with Fourier, and 1 to
// 2·10⁻⁶ in Conv2d.
//
// In bfloat16 with float32 w and b, on processors with matrix units for it (AMX): the gradients of w and b are summed
// in float32 and not rounded, whereas Conv2d rounds them to bfloat16.
//
// Otherwise it is Conv2d: for few channels or numbers of channels that are not multiples of 16 (in bfloat16 of 32),
// small images, other types and other devices. It is fastest if x is [Tensor.ChannelsLast]; so is its result.
func Conv2dFirstOrder(x, w, b *Tensor, padding int64) *Tensor {
	const op = "Conv2dFirstOrder"
	at := func(t *Tensor) unsafe.Pointer { return unsafe.Pointer(t.optional(op)) }
	x.ptr(op)
	w.ptr(op)
	if C.eg_half_conv_fits(at(x), at(w), at(b), C.int64_t(padding)) != 0 {
		return result(op, libtch.Ctensor(C.eg_half_conv(at(x), at(w), at(b), C.int64_t(padding))), x, w, b)
	}
	w = w.To(x.DType())
	if b != nil {
		b = b.To(x.DType())
	}
	if C.eg_tile_conv_fits(at(x), at(w), at(b), C.int64_t(padding)) != 0 {
		return result(op, libtch.Ctensor(C.eg_tile_conv(at(x), at(w), at(b), C.int64_t(padding))), x, w, b)
	}
	return Conv2d(x, w, b, 1, padding, 1)
}
