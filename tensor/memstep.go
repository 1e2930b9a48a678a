package tensor

// #include <stdlib.h>
// #include "internal/kernels/memory/step.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// This file computes whole steps of recurrent networks in one operation, with hand-derived gradients, on the CPU in
// float32 and float64, without a second-order gradient. The reference implementations, in packages memory and nn,
// compose the steps from LibTorch's operations for every other device and type.

// FusesSteps reports whether the steps of this file support the type and the device of t.
func FusesSteps(t *Tensor) bool {
	d := t.DType()
	return t.Device() == CPU && (d == Float32 || d == Float64)
}

// LSTMStep computes the step of an LSTM after its linear maps: from gates [batch, 4·size] before their
// non-linearities, in the order input, forget, cell and output, and the cell [batch, size] to the hidden state and
// the next cell, both [batch, size]. The reference implementation is in nn.LSTMCell.
func LSTMStep(gates, cell *Tensor) (hidden, next *Tensor) {
	const op = "LSTMStep"
	var out [2]unsafe.Pointer
	ok := C.eg_lstm_step(unsafe.Pointer(gates.ptr(op)), unsafe.Pointer(cell.ptr(op)), &out[0])
	all := several(op, out[:], ok == 0, gates, cell)
	return all[0], all[1]
}

// A MemoryKernel names a memory with a fused step, and its settings in the order that its C++ file documents:
//
//   - "ntm": read heads, write heads, shift, clip (negative for none)
//   - "lrua": heads, usage decay, and, as 0 or 1, whether heads emit an add vector, emit a key strength, and have their own
//     least used slots
//   - "dnc": read heads, clip (negative for none), and, as 0 or 1, whether there are temporal links and whether freed slots are
//     erased
type MemoryKernel struct {
	Name     string
	Settings []float64
}

func (k MemoryKernel) settings() *C.double {
	return (*C.double)(unsafe.SliceData(k.Settings))
}

// MemoryStep computes the step of a memory after its linear map, for a batch of sequences: from the heads' emission
// [batch, n] and the previous state to the vectors read [batch, heads·width] and the next state. A state is the
// memory [batch, slots, width] and then its other parts [batch, rows, slots]:
//
//   - "ntm": the weightings of the read heads and then of the write heads
//   - "lrua": before, the read weightings and the usage; after, the read weightings, the write weightings and the usage, which
//     has no gradient
//   - "dnc": usage, link matrix, precedence, read weightings, write weighting; without links neither matrix nor precedence
//
// The reference implementations are the Step methods in package memory.
func MemoryStep(k MemoryKernel, emission *Tensor, state ...*Tensor) (read *Tensor, next []*Tensor) {
	const op = "MemoryStep"
	operands := append([]*Tensor{emission}, state...)
	in := pointers(op, operands)
	name := C.CString(k.Name)
	defer C.free(unsafe.Pointer(name))
	var out [C.EG_STEP_OUTPUTS]unsafe.Pointer
	n := C.eg_memory_step(name, k.settings(), C.int(len(k.Settings)), &in[0], C.int(len(in)), &out[0])
	all := several(op, out[:max(n, 0)], n > 0, operands...)
	return all[0], all[1:]
}

// several moves an operation's outputs to the innermost scope, or panics if LibTorch failed.
func several(op string, out []unsafe.Pointer, ok bool, operands ...*Tensor) []*Tensor {
	if !ok {
		fail(op, operands...)
	}
	all := make([]*Tensor, len(out))
	for i, p := range out {
		all[i] = adopt(op, libtch.Ctensor(p))
	}
	return all
}
