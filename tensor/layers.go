package tensor

// #include "internal/kernels/arithmetic/adam.h"
// #include "internal/kernels/arithmetic/epilogue.h"
// #include "internal/kernels/arithmetic/sgd.h"
// #include "engram.h"
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Linear returns x·wᵀ + b for x [..., in], w [out, in] and b [out], which may be nil.
func Linear(x, w, b *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgLinear(&out, x.ptr("Linear"), w.ptr("Linear"), b.optional("Linear"))
	return result("Linear", out, x, w, b)
}

// Conv2d convolves x [batch, in, height, width] with w [out, in/groups, kernel, kernel] and adds b [out], which may
// be nil.
func Conv2d(x, w, b *Tensor, stride, padding int64, groups int64) *Tensor {
	var out libtch.Ctensor
	s, p, d := []int64{stride, stride}, []int64{padding, padding}, []int64{1, 1}
	libtch.AtgConv2d(&out, x.ptr("Conv2d"), w.ptr("Conv2d"), b.optional("Conv2d"), s, 2, p, 2, d, 2, groups)
	return result("Conv2d", out, x, w, b)
}

// MaxPool2d returns the largest value of each window of x [batch, channels, height, width]. Windows do not overlap;
// an incomplete one at the edge is dropped.
func MaxPool2d(x *Tensor, window int64) *Tensor {
	var out libtch.Ctensor
	w, p, d := []int64{window, window}, []int64{0, 0}, []int64{1, 1}
	libtch.AtgMaxPool2d(&out, x.ptr("MaxPool2d"), w, 2, w, 2, p, 2, d, 2, 0)
	return result("MaxPool2d", out, x)
}

// MaxPool2dWhole is [MaxPool2d] that keeps incomplete windows at the right and lower edge: PyTorch's ceil_mode.
func MaxPool2dWhole(x *Tensor, window int64) *Tensor {
	var out libtch.Ctensor
	w, p, d := []int64{window, window}, []int64{0, 0}, []int64{1, 1}
	libtch.AtgMaxPool2d(&out, x.ptr("MaxPool2dWhole"), w, 2, w, 2, p, 2, d, 2, 1)
	return result("MaxPool2dWhole", out, x)
}

// MaxPool2dPadded takes the largest value of each window of x [batch, channels, height, width], at steps of stride, with padding
// around the edges that is never the largest. An incomplete window at the edge is left out. ResNets pool so after the first
// convolution, by windows of 3 with a stride of 2 and a padding of 1.
func MaxPool2dPadded(x *Tensor, window, stride, padding int64) *Tensor {
	var out libtch.Ctensor
	w, s, p, d := []int64{window, window}, []int64{stride, stride}, []int64{padding, padding}, []int64{1, 1}
	libtch.AtgMaxPool2d(&out, x.ptr("MaxPool2dPadded"), w, 2, s, 2, p, 2, d, 2, 0)
	return result("MaxPool2dPadded", out, x)
}

// Norm is a batch norm: Ioffe and Szegedy 2015, algorithm 1.
type Norm struct {
	Gain, Bias     *Tensor // [channels], or nil
	Mean, Variance *Tensor // [channels], running; nil only with BatchStats
	// BatchStats uses the mean and variance of the batch and, if running ones are given, moves these towards the batch's by Momentum,
	// in place (with the unbiased variance, as PyTorch does). Otherwise the running ones are used.
	BatchStats    bool
	Momentum, Eps float64
}

// BatchNorm normalises x [batch, channels, ...] per channel and applies gain and bias.
func BatchNorm(x *Tensor, n Norm) *Tensor {
	const op = "BatchNorm"
	var out libtch.Ctensor
	libtch.AtgBatchNorm(&out, x.ptr(op), n.Gain.optional(op), n.Bias.optional(op), n.Mean.optional(op), n.Variance.optional(op),
		truth(n.BatchStats), n.Momentum, n.Eps, 1)
	return result(op, out, x, n.Gain, n.Bias)
}

// LayerNorm normalises the last dimension of x [..., width] by its mean and biased variance, and applies gain and bias [width]: Ba
// et al. 2016, section 3.
func LayerNorm(x, gain, bias *Tensor, eps float64) *Tensor {
	const op = "LayerNorm"
	var out libtch.Ctensor
	width := gain.Shape()
	libtch.AtgLayerNorm(&out, x.ptr(op), width, len(width), gain.ptr(op), bias.ptr(op), eps, 1)
	return result(op, out, x, gain, bias)
}

// LinearGELU is [Linear] followed by [Tensor.GELU]. Without gradients, on the CPU in float32 and float64, bias and GELU are one pass
// over the product, in place; in float32 they then differ from LibTorch's by at most 2e-7 times the input.
func LinearGELU(x, w, b *Tensor) *Tensor {
	const op = "LinearGELU"
	out := C.eg_linear_gelu(unsafe.Pointer(x.ptr(op)), unsafe.Pointer(w.ptr(op)), unsafe.Pointer(b.optional(op)))
	return result(op, libtch.Ctensor(out), x, w, b)
}

// AddLayerNorm is [LayerNorm] of x + y + b for x and y [..., width] and b [width], which may be nil: what follows a linear map
// without its bias and a residual connection. Without gradients, on the CPU in float32 and float64, it is one pass.
func AddLayerNorm(x, y, b, gain, bias *Tensor, eps float64) *Tensor {
	const op = "AddLayerNorm"
	out := C.eg_add_layer_norm(unsafe.Pointer(x.ptr(op)), unsafe.Pointer(y.ptr(op)), unsafe.Pointer(b.optional(op)),
		unsafe.Pointer(gain.ptr(op)), unsafe.Pointer(bias.ptr(op)), C.double(eps))
	return result(op, libtch.Ctensor(out), x, y, b, gain, bias)
}

// LSTM runs a stack of LSTM layers over x [time, batch, in] from the states h and c [layers·directions, batch, size].
// There are four weights per layer and direction: input-hidden [4·size, in], hidden-hidden [4·size, size] and their
// biases [4·size], with the gates in PyTorch's order (input, forget, cell, output). It returns the outputs [time,
// batch, directions·size] and the last states.
//
// The widths are checked here because some versions of LibTorch read beyond weights that are too small.
func LSTM(x, h, c *Tensor, weights []*Tensor, layers int64, bidirectional bool) (y, hn, cn *Tensor) {
	const op = "LSTM"
	if err := lstmFits(x, h, c, weights, layers, bidirectional); err != "" {
		failWith(op, err, append([]*Tensor{x, h, c}, weights...)...)
	}
	ws := make([]libtch.Ctensor, len(weights))
	for i, w := range weights {
		ws[i] = w.ptr(op)
	}
	var out [3]libtch.Ctensor
	libtch.AtgLstm(&out[0], x.ptr(op), []libtch.Ctensor{h.ptr(op), c.ptr(op)}, 2, ws, len(ws), 1, layers, 0, 0,
		truth(bidirectional), 0)
	return result(op, out[0], x, h, c), result(op, out[1]), result(op, out[2])
}

// FlattenLSTM moves the weights of [LSTM] into one block of memory, where cuDNN wants them: it would copy them there at every call.
// It does nothing on devices without cuDNN. The weights keep their values; call it before anything else shares their memory.
func FlattenLSTM(weights []*Tensor, layers int64, bidirectional bool) {
	const op = "FlattenLSTM"
	ws := pointers(op, weights)
	if C.eg_flatten_lstm(&ws[0], C.int(len(ws)), C.int64_t(layers), C.bool(bidirectional)) != 0 {
		fail(op, weights...)
	}
}

// lstmFits returns a description of the mismatch of the operands of [LSTM], or "".
func lstmFits(x, h, c *Tensor, weights []*Tensor, layers int64, bidirectional bool) string {
	directions := 1 + int64(truth(bidirectional))
	if int64(len(weights)) != 4*layers*directions || layers < 1 {
		return "want four weights per layer and direction"
	}
	if x.Rank() != 3 {
		return "want x [time, batch, in]"
	}
	if weights[1].Rank() != 2 {
		return "want hidden-hidden weights [4·size, size]"
	}
	batch, in, size := x.Dim(1), x.Dim(2), weights[1].Dim(1)
	is := func(t *Tensor, shape ...int64) bool { return slices.Equal(t.Shape(), shape) }
	if state := layers * directions; !is(h, state, batch, size) || !is(c, state, batch, size) {
		return "want states [layers·directions, batch, size]"
	}
	for i := 0; i < len(weights); i += 4 {
		if int64(i) >= 4*directions { // the layer below outputs both directions
			in = size * directions
		}
		w := weights[i : i+4]
		if !is(w[0], 4*size, in) || !is(w[1], 4*size, size) || !is(w[2], 4*size) || !is(w[3], 4*size) {
			return fmt.Sprintf("layer %d takes inputs of width %d: want weights [4·size, %d] and [4·size, size], and biases [4·size]", int64(i)/4/directions, in, in)
		}
	}
	return ""
}

// NLL returns the mean of -logp[i][label[i]] for logp [n, classes] and labels [n] (int64).
func NLL(logp, labels *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgNllLoss(&out, logp.ptr("NLL"), labels.ptr("NLL"), nil, reduceMean, -100)
	return result("NLL", out, logp, labels)
}

// BCEWithLogits returns the sum of the binary cross-entropy, in nats, of sigmoid(logits) against targets in [0,1].
func BCEWithLogits(logits, targets *Tensor) *Tensor {
	var out libtch.Ctensor
	libtch.AtgBinaryCrossEntropyWithLogits(&out, logits.ptr("BCEWithLogits"), targets.ptr("BCEWithLogits"), nil, nil, reduceSum)
	return result("BCEWithLogits", out, logits, targets)
}

// LibTorch's codes of loss reductions.
const (
	reduceMean = 1
	reduceSum  = 2
)

// Adam updates parameters by one step of Adam in place, with the moments m and v, also in place, and step counted
// from one: Kingma and Ba 2015, algorithm 1. A parameter with a nil gradient does not change. The decay is added to
// the gradient, or subtracted from the parameter if decoupled is set (Loshchilov and Hutter 2019).
func Adam(params, grads, m, v []*Tensor, lr, beta1, beta2, eps, decay float64, decoupled bool, step int64) {
	n := len(params)
	if n == 0 {
		return
	}
	raw := make([]unsafe.Pointer, 4*n)
	for i := range params {
		raw[i] = unsafe.Pointer(params[i].ptr("Adam"))
		raw[n+i] = unsafe.Pointer(grads[i].optional("Adam"))
		raw[2*n+i] = unsafe.Pointer(m[i].ptr("Adam"))
		raw[3*n+i] = unsafe.Pointer(v[i].ptr("Adam"))
	}
	if C.eg_adam(&raw[0], &raw[n], &raw[2*n], &raw[3*n], C.int(n), C.double(lr), C.double(beta1), C.double(beta2),
		C.double(eps), C.double(decay), C.int(truth(decoupled)), C.int64_t(step)) != 0 {
		fail("Adam", params...)
	}
}

// SGD updates parameters and velocities v by one step of gradient descent with momentum, in place: v ← μ·v + g + decay·p, then
// p ← p - lr·v, or with Nesterov's momentum p ← p - lr·(g + decay·p + μ·v), as in PyTorch. A parameter with a nil gradient does not
// change.
func SGD(params, grads, v []*Tensor, lr, momentum, decay float64, nesterov bool) {
	n := len(params)
	if n == 0 {
		return
	}
	raw := make([]unsafe.Pointer, 3*n)
	for i := range params {
		raw[i] = unsafe.Pointer(params[i].ptr("SGD"))
		raw[n+i] = unsafe.Pointer(grads[i].optional("SGD"))
		raw[2*n+i] = unsafe.Pointer(v[i].ptr("SGD"))
	}
	if C.eg_sgd(&raw[0], &raw[n], &raw[2*n], C.int(n), C.double(lr), C.double(momentum), C.double(decay), C.int(truth(nesterov))) != 0 {
		fail("SGD", params...)
	}
}

// MoveTowards moves each value towards its target by a weight, in place: v ← v + weight·(target - v).
func MoveTowards(values, targets []*Tensor, weight float64) {
	n := len(values)
	if n == 0 {
		return
	}
	const op = "MoveTowards"
	if C.eg_lerp(&pointers(op, values)[0], &pointers(op, targets)[0], C.int(n), C.double(weight)) != 0 {
		fail(op, values...)
	}
}
