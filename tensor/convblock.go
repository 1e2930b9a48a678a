package tensor

// #include "internal/kernels/convolution/convblock.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// NormReLUPool is [BatchNorm], [Tensor.ReLU] and [MaxPool2d] of x [batch, channels, height, width] in one operation:
// the block after a convolution in Conv-4 (Vinyals et al. 2016, section 4.1). The window is 1 (no pooling) or 2; an
// incomplete window at the edge is dropped but counts in the statistics. As in BatchNorm, gain and bias [channels]
// may be nil, and with batchStats also the running mean and variance.
//
// If x is BFloat16, so are the result and the gradient of x; everything else is float32 and computed in float32.
//
// On the CPU it passes over memory three times forward and twice backward, where the composition takes about ten
// passes, and saves only x. It is fastest if x is [Tensor.ChannelsLast], as its result is. For other devices and
// types it is [NormReLUPoolPlain]. It has no second-order gradient; use the plain form for that, whose values are the
// same up to rounding.
func NormReLUPool(x, gain, bias, mean, variance *Tensor, batchStats bool, momentum, eps float64, window int64) *Tensor {
	const op = "NormReLUPool"
	in, g, b := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(gain.optional(op)), unsafe.Pointer(bias.optional(op))
	m, v, batch := unsafe.Pointer(mean.optional(op)), unsafe.Pointer(variance.optional(op)), C.int(truth(batchStats))
	if C.eg_norm_relu_pool_fits(in, g, b, m, v, batch, C.int64_t(window)) == 0 {
		return NormReLUPoolPlain(x, gain, bias, mean, variance, batchStats, momentum, eps, window)
	}
	out := C.eg_norm_relu_pool(in, g, b, m, v, batch, C.double(momentum), C.double(eps), C.int64_t(window))
	return result(op, libtch.Ctensor(out), x, gain, bias)
}

// NormReLUPoolPlain is [NormReLUPool] by separate operations, for any device and type, and differentiable twice.
func NormReLUPoolPlain(x, gain, bias, mean, variance *Tensor, batchStats bool, momentum, eps float64, window int64) *Tensor {
	y := x
	if x.DType() == BFloat16 {
		y = x.To(Float32)
	}
	y = BatchNorm(y, gain, bias, mean, variance, batchStats, momentum, eps).ReLU()
	if window > 1 {
		y = MaxPool2d(y, window)
	}
	return y.To(x.DType())
}

// ConvNormReLUPool is a block of Conv-4: a 3×3 convolution of x [batch, in, height, width] with w [out, in, 3, 3] and
// b [out], which may be nil, padded to keep the size, then [NormReLUPool].
//
// If x is BFloat16, the convolution rounds the float32 w and b to BFloat16, and the rest is as in NormReLUPool.
//
// If x is an image of at most four channels without gradient, on the CPU, the convolution is fused too and its
// weights are not rounded: its output, the network's largest tensor, stays in registers and is never stored. There is
// then no second-order gradient; the plain form is [ConvNormReLUPoolPlain]. Otherwise the convolution is
// [Conv2dFirstOrder].
func ConvNormReLUPool(x, w, b, gain, bias, mean, variance *Tensor, batchStats bool, momentum, eps float64, window int64) *Tensor {
	const op = "ConvNormReLUPool"
	in, cw, cb := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(w.ptr(op)), unsafe.Pointer(b.optional(op))
	ng, nb := unsafe.Pointer(gain.optional(op)), unsafe.Pointer(bias.optional(op))
	m, v, batch := unsafe.Pointer(mean.optional(op)), unsafe.Pointer(variance.optional(op)), C.int(truth(batchStats))
	if C.eg_image_conv_block_fits(in, cw, cb, ng, nb, m, v, batch, C.int64_t(window)) == 0 {
		if x.Rank() == 4 {
			x = x.ChannelsLast()
		}
		return NormReLUPool(Conv2dFirstOrder(x, w, b, 1), gain, bias, mean, variance, batchStats, momentum, eps, window)
	}
	out := C.eg_image_conv_block(in, cw, cb, ng, nb, m, v, batch, C.double(momentum), C.double(eps), C.int64_t(window))
	return result(op, libtch.Ctensor(out), x, w, b, gain, bias)
}

// ConvNormReLUPoolPlain is [ConvNormReLUPool] by separate operations.
func ConvNormReLUPoolPlain(x, w, b, gain, bias, mean, variance *Tensor, batchStats bool, momentum, eps float64, window int64) *Tensor {
	if b != nil {
		b = b.To(x.DType())
	}
	return NormReLUPoolPlain(Conv2d(x, w.To(x.DType()), b, 1, 1, 1), gain, bias, mean, variance, batchStats, momentum, eps, window)
}
