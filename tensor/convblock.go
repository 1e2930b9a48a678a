package tensor

// #include "internal/kernels/convolution/convblock.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// NormReLUPool is [BatchNorm], [Tensor.ReLU] and [MaxPool2d] of x [batch, channels, height, width] in one operation: the block
// that follows a convolution in Conv-4 (Vinyals et al. 2016, section 4.1). The window is 1 (no pooling) or 2; an
// incomplete window at the edge is left out, though it counts in the statistics. As in BatchNorm, gain and bias
// [channels] may be nil, and so may the running mean and variance where batchStats is set.
//
// Where x is BFloat16, so are the result and the gradient of x; everything else is float32 and computed in float32.
//
// On the CPU it passes over memory three times forward and twice backward, where the composition takes about ten passes, and
// saves only x. It is fastest where x is [Tensor.ChannelsLast], as its result is. Elsewhere, and for other types, it is
// [NormReLUPoolPlain]. It has no second-order gradient: where gradients are differentiated again, as in MAML, use the plain form,
// whose values are the same up to rounding.
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

// NormReLUPoolPlain is [NormReLUPool] operation by operation, on any device, of any type and differentiable twice.
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
// b [out], which may be nil, padded to keep the size, and then [NormReLUPool].
//
// Where x is BFloat16, the convolution rounds w and b, which are float32, to BFloat16, and the rest is as in NormReLUPool.
//
// Where x is an image of at most four channels that needs no gradient, on the CPU, the convolution is part of the pass, and its
// weights are not rounded: its output, the network's largest tensor, is computed in registers and never stored. It then has no
// second-order gradient either; the plain form is [ConvNormReLUPoolPlain]. Elsewhere the convolution is [Conv2dOnce].
func ConvNormReLUPool(x, w, b, gain, bias, mean, variance *Tensor, batchStats bool, momentum, eps float64, window int64) *Tensor {
	const op = "ConvNormReLUPool"
	in, cw, cb := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(w.ptr(op)), unsafe.Pointer(b.optional(op))
	ng, nb := unsafe.Pointer(gain.optional(op)), unsafe.Pointer(bias.optional(op))
	m, v, batch := unsafe.Pointer(mean.optional(op)), unsafe.Pointer(variance.optional(op)), C.int(truth(batchStats))
	if C.eg_image_conv_block_fits(in, cw, cb, ng, nb, m, v, batch, C.int64_t(window)) == 0 {
		if x.Rank() == 4 {
			x = x.ChannelsLast()
		}
		return NormReLUPool(Conv2dOnce(x, w, b, 1), gain, bias, mean, variance, batchStats, momentum, eps, window)
	}
	out := C.eg_image_conv_block(in, cw, cb, ng, nb, m, v, batch, C.double(momentum), C.double(eps), C.int64_t(window))
	return result(op, libtch.Ctensor(out), x, w, b, gain, bias)
}

// ConvNormReLUPoolPlain is [ConvNormReLUPool] operation by operation.
func ConvNormReLUPoolPlain(x, w, b, gain, bias, mean, variance *Tensor, batchStats bool, momentum, eps float64, window int64) *Tensor {
	if b != nil {
		b = b.To(x.DType())
	}
	return NormReLUPoolPlain(Conv2d(x, w.To(x.DType()), b, 1, 1, 1), gain, bias, mean, variance, batchStats, momentum, eps, window)
}
