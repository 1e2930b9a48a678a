package tensor

// #include "internal/kernels/convolution/convblock.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// normed is x in float32, if it was BFloat16, after a norm; x itself where there is nothing to do.
func normed(x *Tensor, n *Norm) *Tensor {
	wide := x
	if x.DType() == BFloat16 {
		wide = x.To(Float32)
	}
	if n == nil {
		return wide
	}
	y := BatchNorm(wide, *n)
	if wide != x {
		wide.Free()
	}
	return y
}

// pointers returns n for C, nil for nil.
func (n *Norm) pointers(op string) *C.eg_norm {
	if n == nil {
		return nil
	}
	at := func(t *Tensor) unsafe.Pointer { return unsafe.Pointer(t.optional(op)) }
	return &C.eg_norm{gain: at(n.Gain), bias: at(n.Bias), mean: at(n.Mean), variance: at(n.Variance),
		batch_stats: C.int(truth(n.BatchStats)), momentum: C.double(n.Momentum), eps: C.double(n.Eps)}
}

// operands returns the tensors of n that gradients flow to.
func (n *Norm) operands() []*Tensor {
	if n == nil {
		return nil
	}
	return []*Tensor{n.Gain, n.Bias}
}

// Activation is what follows a convolution and its norm in a block of a convolutional network.
type Activation struct {
	// Shortcut [batch, channels, height, width], if not nil, is added before the ReLU, after a norm of its own if ShortcutNorm is not
	// nil: the end of a residual block.
	Shortcut     *Tensor
	ShortcutNorm *Norm
	Slope        float64 // of the ReLU below zero, at least 0
	Window       int64   // of the max pooling: 2, or 0 or 1 for none
}

// NormReLUPool is [BatchNorm], [Tensor.ReLU] and [MaxPool2d] of x [batch, channels, height, width] in one operation: the block
// after a convolution in Conv-4 (Vinyals et al. 2016, section 4.1). With a shortcut it is the end of a residual block (He et al.
// 2016, section 3.2). An incomplete window at the edge is dropped but counts in the statistics. A norm that is nil leaves its
// operand as it is.
//
// If x and the shortcut are BFloat16, so are the result and their gradients; everything else is float32 and computed in float32.
//
// On the CPU it passes over memory three times forward and twice backward, where the composition takes about ten
// passes, and saves only x and the shortcut. It is fastest if these are [Tensor.ChannelsLast], as its result is. For other devices
// and types it is [NormReLUPoolPlain]. It has no second-order gradient; use the plain form for that, whose values are the
// same up to rounding.
func NormReLUPool(x *Tensor, n *Norm, a Activation) *Tensor {
	const op = "NormReLUPool"
	window := C.int64_t(max(a.Window, 1))
	in, short := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(a.Shortcut.optional(op))
	norm, shortNorm := n.pointers(op), a.ShortcutNorm.pointers(op)
	if C.eg_norm_relu_pool_fits(in, norm, short, shortNorm, window) == 0 {
		return NormReLUPoolPlain(x, n, a)
	}
	out := C.eg_norm_relu_pool(in, norm, short, shortNorm, C.double(a.Slope), window)
	return result(op, libtch.Ctensor(out), append(append(n.operands(), a.ShortcutNorm.operands()...), x, a.Shortcut)...)
}

// NormReLUPoolPlain is [NormReLUPool] by separate operations, for any device and type, and differentiable twice.
func NormReLUPoolPlain(x *Tensor, n *Norm, a Activation) *Tensor {
	y := x
	then := func(z *Tensor) { // frees the previous value; autograd keeps what a gradient needs
		if y != x && y != z {
			y.Free()
		}
		y = z
	}
	then(normed(x, n))
	if a.Shortcut != nil {
		short := normed(a.Shortcut, a.ShortcutNorm)
		then(y.Add(short))
		if short != a.Shortcut {
			short.Free()
		}
	}
	if a.Slope == 0 {
		then(y.ReLU())
	} else {
		then(y.LeakyReLU(a.Slope))
	}
	if a.Window > 1 {
		then(MaxPool2d(y, a.Window))
	}
	then(y.To(x.DType()))
	return y
}

// ConvNormReLUPool is a block of Conv-4: a 3×3 convolution of x [batch, in, height, width] with w [out, in, 3, 3] and
// b [out], which may be nil, padded to keep the size, then [NormReLUPool] with a pooling by window.
//
// If x is BFloat16, the convolution rounds the float32 w and b to BFloat16, and the rest is as in NormReLUPool.
//
// If x is an image of at most four channels without gradient, on the CPU, the convolution is fused too and its
// weights are not rounded: its output, the network's largest tensor, stays in registers and is never stored. There is
// then no second-order gradient; the plain form is [ConvNormReLUPoolPlain]. Otherwise the convolution is
// [Conv2dFirstOrder].
func ConvNormReLUPool(x, w, b *Tensor, n Norm, window int64) *Tensor {
	const op = "ConvNormReLUPool"
	in, cw, cb := unsafe.Pointer(x.ptr(op)), unsafe.Pointer(w.ptr(op)), unsafe.Pointer(b.optional(op))
	norm := n.pointers(op)
	if C.eg_image_conv_block_fits(in, cw, cb, norm, C.int64_t(window)) == 0 {
		if x.Rank() == 4 {
			x = x.ChannelsLast()
		}
		return NormReLUPool(Conv2dFirstOrder(x, w, b, 1), &n, Activation{Window: window})
	}
	out := C.eg_image_conv_block(in, cw, cb, norm, C.int64_t(window))
	return result(op, libtch.Ctensor(out), append(n.operands(), x, w, b)...)
}

// ConvNormReLUPoolPlain is [ConvNormReLUPool] by separate operations.
func ConvNormReLUPoolPlain(x, w, b *Tensor, n Norm, window int64) *Tensor {
	if b != nil {
		b = b.To(x.DType())
	}
	return NormReLUPoolPlain(Conv2d(x, w.To(x.DType()), b, 1, 1, 1), &n, Activation{Window: window})
}
