package tensor

// #include "tileconv.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// TileConv2d is [Conv2d] with stride 1 and one group, of x [batch, in, height, width] with w [out, in, kernel, kernel] and b
// [out], which may be nil, in a fraction of the multiplications where kernels and images are large enough: the output is cut
// into tiles, and the convolution of a tile is a product of transforms. Kernels of three go by the minimal filtering of Winograd
// (Lavin and Gray 2016, section 4.1: F(4×4, 3×3), a quarter of the multiplications), larger ones by the discrete Fourier
// transform (Mathieu et al. 2014, in tiles: 7×7 in a tenth). The size of the tiles follows from the sizes of the operands alone.
//
// Of the largest value of the result, rounding takes some 6 parts in 10⁶ by Winograd's way, 4 in 10⁷ by Fourier's, and 1 or 2 in
// 10⁶ in Conv2d.
//
// It is Conv2d where that is no slower: for few channels or numbers of channels that are no multiple of 16, small images, other
// types than float32 and other devices than the CPU. Where it is not it has no second-order gradient, and is fastest where x is
// [Tensor.ChannelsLast]; its result is.
func TileConv2d(x, w, b *Tensor, padding int64) *Tensor {
	const op = "TileConv2d"
	in, kernel, bias := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(w.ptr(op)), unsafe.Pointer(b.optional(op))
	if C.eg_tile_conv_fits(in, kernel, bias, C.int64_t(padding)) == 0 {
		return Conv2d(x, w, b, 1, padding, 1)
	}
	return result(op, libtch.Ctensor(C.eg_tile_conv(in, kernel, bias, C.int64_t(padding))), x, w, b)
}
