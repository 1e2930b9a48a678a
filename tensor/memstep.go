package tensor

// #include "memstep.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// The functions of this file are whole steps of recurrent networks as one operation, with hand-derived gradients. They run
// on the CPU in float32 and float64 and have no second-order gradient; what they are made of, operation by operation, is
// their twin in package memory or nn, which every other device and type goes by.

// FusesSteps reports whether the steps of this file take operands like t.
func FusesSteps(t *Tensor) bool {
	d := t.DType()
	return t.Device() == CPU && (d == Float32 || d == Float64)
}

// LSTMStep is the step of an LSTM behind its linear maps: from gates [batch, 4·size] before their non-linearities, in the
// order input, forget, cell and output, and the cell [batch, size] to the hidden state and the next cell, both [batch,
// size]. Its twin is nn.LSTMCell.
func LSTMStep(gates, cell *Tensor) (hidden, next *Tensor) {
	const op = "LSTMStep"
	var out [2]unsafe.Pointer
	ok := C.eg_lstm_step(unsafe.Pointer(gates.ptr(op)), unsafe.Pointer(cell.ptr(op)), &out[0])
	all := several(op, out[:], ok == 0, gates, cell)
	return all[0], all[1]
}

// NTMOptions are the settings of an [NTMStep]; see memory.NTMConfig. A negative clip is none.
type NTMOptions struct {
	Reads, Writes, Shift int64
	Clip                 float64
}

// NTMStep is the step of memory.NTM behind its linear map: from the heads' emission, the memory [batch, slots, width] and
// the weightings [batch, reads+writes, slots] of the step before to what is read [batch, reads·width], the weightings and
// the memory.
func NTMStep(emission, memory, weightings *Tensor, o NTMOptions) (read, next, written *Tensor) {
	const op = "NTMStep"
	var out [3]unsafe.Pointer
	ok := C.eg_ntm_step(unsafe.Pointer(emission.ptr(op)), unsafe.Pointer(memory.ptr(op)), unsafe.Pointer(weightings.ptr(op)),
		C.int64_t(o.Reads), C.int64_t(o.Writes), C.int64_t(o.Shift), C.double(o.Clip), &out[0])
	all := several(op, out[:], ok == 0, emission, memory, weightings)
	return all[0], all[1], all[2]
}

// LRUAOptions are what the heads of an [LRUAStep] emit and how they write; see memory.LRUAConfig.
type LRUAOptions struct {
	Decay                   float64
	Add, Strength, OwnSlots bool
}

// LRUAResult is what an [LRUAStep] gives.
type LRUAResult struct {
	Out    *Tensor // what is read, [batch, heads·width]
	Memory *Tensor // [batch, slots, width]
	Read   *Tensor // the read weightings, [batch, heads, slots]
	Write  *Tensor // the write weightings, [batch, heads, slots]
	Usage  *Tensor // [batch, 1, slots], without a gradient
}

// LRUAStep is the step of memory.LRUA behind its linear map: from the heads' emission, the memory [batch, slots, width],
// the read weightings [batch, heads, slots] and the usage [batch, 1, slots] of the step before.
func LRUAStep(emission, memory, read, usage *Tensor, o LRUAOptions) LRUAResult {
	const op = "LRUAStep"
	var out [5]unsafe.Pointer
	ok := C.eg_lrua_step(unsafe.Pointer(emission.ptr(op)), unsafe.Pointer(memory.ptr(op)), unsafe.Pointer(read.ptr(op)),
		unsafe.Pointer(usage.ptr(op)), C.double(o.Decay), C.int(truth(o.Add)), C.int(truth(o.Strength)), C.int(truth(o.OwnSlots)), &out[0])
	all := several(op, out[:], ok == 0, emission, memory, read, usage)
	return LRUAResult{all[0], all[1], all[2], all[3], all[4]}
}

// DNCOptions are the settings of a [DNCStep]; see memory.DNCConfig. A negative clip is none.
type DNCOptions struct {
	Reads int64
	Clip  float64
}

// DNCParts is the state that a [DNCStep] goes from, or to.
type DNCParts struct {
	Memory     *Tensor // [batch, slots, width]
	Usage      *Tensor // [batch, 1, slots]
	Link       *Tensor // [batch, slots, slots]
	Precedence *Tensor // [batch, 1, slots]
	Read       *Tensor // the read weightings, [batch, reads, slots]
	Write      *Tensor // the write weighting, [batch, 1, slots]
}

// All returns the parts in their order.
func (p DNCParts) All() []*Tensor {
	return []*Tensor{p.Memory, p.Usage, p.Link, p.Precedence, p.Read, p.Write}
}

// DNCStep is the step of memory.DNC behind its linear map: from the heads' emission and the state before to what is read
// [batch, reads·width] and the state after.
func DNCStep(emission *Tensor, prev DNCParts, o DNCOptions) (read *Tensor, next DNCParts) {
	const op = "DNCStep"
	operands := append([]*Tensor{emission}, prev.All()...)
	in := pointers(op, operands)
	var out [7]unsafe.Pointer
	ok := C.eg_dnc_step(&in[0], C.double(o.Clip), &out[0])
	all := several(op, out[:], ok == 0, operands...)
	return all[0], DNCParts{Memory: all[1], Usage: all[2], Link: all[3], Precedence: all[4], Read: all[5], Write: all[6]}
}

// several gives an operation's outputs to the innermost scope, or panics where LibTorch gave none.
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
