package tensor

// #include "internal/kernels/memory/recurrent_linear.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// A RecurrentLinear is a linear map that a recurrent network applies at every step of a sequence. Its weight is packed once for all
// steps, and the gradient of the weight is one product over all steps, so that a step neither reads nor writes a gradient of the
// weight's size. It has no second-order gradient. The reference implementation is [Linear].
type RecurrentLinear struct{ handle unsafe.Pointer }

// NewRecurrentLinear makes a map from a weight [out, in], which must not change while the map is in use. The caller calls Free.
func NewRecurrentLinear(weight *Tensor) *RecurrentLinear {
	const op = "RecurrentLinear"
	m := &RecurrentLinear{C.eg_recurrent_linear(unsafe.Pointer(weight.ptr(op)))}
	if m.handle == nil {
		fail(op, weight)
	}
	return m
}

// Add returns base [rows, out] plus the map of x [rows, in]. A nil base is zero.
func (m *RecurrentLinear) Add(base, x *Tensor) *Tensor {
	const op = "RecurrentLinear.Add"
	if m.handle == nil {
		panic(&Error{Op: op, Msg: "the map was freed"})
	}
	operands := []*Tensor{x}
	var to unsafe.Pointer
	if base != nil {
		to = unsafe.Pointer(base.ptr(op))
		operands = append(operands, base)
	}
	return result(op, libtch.Ctensor(C.eg_recurrent_linear_apply(m.handle, unsafe.Pointer(x.ptr(op)), to)), operands...)
}

// Free releases the map. Gradients of its results can still be computed.
func (m *RecurrentLinear) Free() {
	C.eg_recurrent_linear_free(m.handle)
	m.handle = nil
}
