package tensor

// #include "internal/kernels/classifier/convnet.h"
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// ConvNet is an image classifier whose gradients and gradient descent are computed without an autograd graph and
// without the overhead of operations: blocks of 3×3 convolution with padding 1 and without bias, batch norm with
// batch statistics, ReLU and max pooling, then a linear layer on the last feature maps or on their mean over
// positions. Its loss is the mean negative log-likelihood of the labels. It holds no parameters; methods take their
// values as weight [out, in, 3, 3], gain and bias [out] of each block, and weight [way, features] and bias [way] of
// the linear layer. Results have no graph.
//
// The reference implementation is the network composed of operations, differentiated by [GradWith].
type ConvNet struct {
	Stride, Window []int64 // of each block's convolution and pooling
	Mean           bool    // the linear layer's features are means over positions
	Eps            float64 // of batch norm
}

// Rates are the learning rates of gradient descent: tensors of the values' shapes, or one rate for all.
type Rates struct {
	Each []*Tensor
	All  float64 // used if Each is nil
}

// MetaGradient is the result of [ConvNet.MetaGradient].
type MetaGradient struct {
	Grads     []*Tensor // for the values
	RateGrads []*Tensor // for Rates.Each
	Loss      *Tensor   // of the queries
	LogProbs  *Tensor   // of the queries, [query, way]
}

func (n ConvNet) c(op string, values []*Tensor) (C.struct_eg_convnet, []unsafe.Pointer) {
	blocks := len(n.Stride)
	if blocks > C.EG_CONVNET_BLOCKS || len(n.Window) != blocks || len(values) != 3*blocks+2 {
		panic(&Error{Op: op, Msg: fmt.Sprintf("%d values for %d strides and %d windows, of %d at most", len(values), blocks, len(n.Window), C.EG_CONVNET_BLOCKS)})
	}
	out := C.struct_eg_convnet{blocks: C.int(blocks), mean: C.int(truth(n.Mean)), eps: C.double(n.Eps)}
	for i := range blocks {
		out.stride[i], out.window[i] = C.int64_t(n.Stride[i]), C.int64_t(n.Window[i])
	}
	return out, pointers(op, values)
}

func pointers(op string, ts []*Tensor) []unsafe.Pointer {
	out := make([]unsafe.Pointer, len(ts))
	for i, t := range ts {
		out[i] = unsafe.Pointer(t.ptr(op))
	}
	return out
}

// first returns the address of a slice's first element, nil if it is empty.
func first(ps []unsafe.Pointer) *unsafe.Pointer {
	if len(ps) == 0 {
		return nil
	}
	return &ps[0]
}

// Fits reports whether the methods support these values and images x [batch, channels, height, width]: on the CPU, of
// one type, float32 or float64, and of matching shapes.
func (n ConvNet) Fits(values []*Tensor, x *Tensor) bool {
	const op = "ConvNet.Fits"
	net, v := n.c(op, values)
	return C.eg_convnet_fits(&net, &v[0], unsafe.Pointer(x.ptr(op))) != 0
}

// Descend returns the values after steps of gradient descent on images x with labels [batch].
func (n ConvNet) Descend(values []*Tensor, rates Rates, x, labels *Tensor, steps int) []*Tensor {
	const op = "ConvNet.Descend"
	net, v := n.c(op, values)
	got, each := make([]unsafe.Pointer, len(v)), pointers(op, rates.Each)
	ok := C.eg_convnet_descend(&net, &v[0], first(each), C.double(rates.All), unsafe.Pointer(x.ptr(op)), unsafe.Pointer(labels.ptr(op)), C.int(steps), &got[0])
	return several(op, got, ok == 0, x, labels)
}

// AdamSteps are steps of Adam with a beta1 of 0, which needs no first moment.
type AdamSteps struct {
	Rate, Beta2, Eps float64
	Done             int64     // steps already taken, which led to the squares
	Dealt            [][]int64 // image indices of each step, equally many per step
}

// Adam returns the values, and the running squares of their gradients with the same shapes, after steps of Adam on
// images x with labels [batch], and the mean of the steps' losses.
func (n ConvNet) Adam(values, squares []*Tensor, s AdamSteps, x, labels *Tensor) (moved, squared []*Tensor, loss *Tensor) {
	const op = "ConvNet.Adam"
	net, v := n.c(op, values)
	_, q := n.c(op, squares)
	by := C.struct_eg_adam_steps{rate: C.double(s.Rate), beta2: C.double(s.Beta2), eps: C.double(s.Eps), done: C.int64_t(s.Done), steps: C.int64_t(len(s.Dealt))}
	var dealt []int64
	for _, step := range s.Dealt {
		if len(step) == 0 || len(step) != len(s.Dealt[0]) {
			panic(&Error{Op: op, Msg: fmt.Sprintf("steps on %d and on %d images, want equally many", len(s.Dealt[0]), len(step))})
		}
		dealt = append(dealt, step...)
	}
	if len(dealt) == 0 {
		panic(&Error{Op: op, Msg: "no steps"})
	}
	by.batch = C.int64_t(len(s.Dealt[0]))
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&dealt[0])
	by.dealt = (*C.int64_t)(&dealt[0])
	got := make([]unsafe.Pointer, 2*len(v)+1)
	ok := C.eg_convnet_adam(&net, &v[0], &q[0], &by, unsafe.Pointer(x.ptr(op)), unsafe.Pointer(labels.ptr(op)), &got[0], &got[len(v)], &got[2*len(v)])
	all := several(op, got, ok == 0, x, labels)
	return all[:len(v)], all[len(v) : 2*len(v)], all[2*len(v)]
}

// MetaGradient returns the gradient, with respect to the values and the rates, of the loss on the queries after
// [ConvNet.Descend] on the support set: Finn et al. 2017, eq. 1. With second set, each step contributes a product
// with a Hessian, computed as a directional derivative of the gradient (Pearlmutter 1994, Fast exact multiplication
// by the Hessian); otherwise inner gradients are constants. Without steps it is the gradient with respect to the
// values.
func (n ConvNet) MetaGradient(values []*Tensor, rates Rates, support, supportLabels, query, queryLabels *Tensor, steps int, second bool) MetaGradient {
	const op = "ConvNet.MetaGradient"
	net, v := n.c(op, values)
	each := pointers(op, rates.Each)
	grads, rateGrads, rest := make([]unsafe.Pointer, len(v)), make([]unsafe.Pointer, len(each)), make([]unsafe.Pointer, 2)
	ok := C.eg_convnet_meta(&net, &v[0], first(each), C.double(rates.All), unsafe.Pointer(support.ptr(op)), unsafe.Pointer(supportLabels.ptr(op)),
		unsafe.Pointer(query.ptr(op)), unsafe.Pointer(queryLabels.ptr(op)), C.int(steps), C.int(truth(second)),
		&grads[0], first(rateGrads), &rest[0], &rest[1]) == 0
	answers := several(op, rest, ok, support, query)
	return MetaGradient{several(op, grads, ok), several(op, rateGrads, ok), answers[0], answers[1]}
}
