package tensor

// #include "unroll.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Unrolled is a recurrent network, a controller that drives a memory, for [Unroll]. All tensors are of one type.
type Unrolled struct {
	// Layers are the controller's, from the input up: of an LSTM layer input weight [4·size, in], hidden weight [4·size,
	// size], input bias and hidden bias [4·size]; of a feedforward layer, which ends in tanh, weight [size, in] and bias
	// [size]. The first layer takes the input and what was read at the step before, in this order.
	Layers      [][]*Tensor
	Feedforward bool
	// Memory is what the controller drives; nil stands for none.
	Memory *UnrolledMemory
	// Carried bounds the elements of the gradient that each step hands to the one before it, as [ClipGradient] does; zero
	// stands for no bound.
	Carried float64
}

// UnrolledMemory is a memory for [Unroll]: its emitting layer, its first state and its settings.
type UnrolledMemory struct {
	Weight, Bias *Tensor // of the layer that the heads' emission comes from, [emission, size] and [emission]
	State        []*Tensor
	// NTM, LRUA or DNC says how the state goes on: as [NTMStep] from memory and weightings, as [LRUAStep] from memory, read
	// weightings and usage, or as [DNCStep] from the parts of its state in their order.
	NTM  *NTMOptions
	LRUA *LRUAOptions
	DNC  *DNCOptions
}

// Unroll runs a network over x [time, batch, inputs] from a controller's state of zeros, having read zeros, and returns the
// controller's output beside what is read at each step, [time, batch, size+read]: every step of every layer in one
// operation forward and one backward, with the gradients of all weights taken over all steps at once. It runs where
// [FusesSteps] holds and has no second-order gradient; the loop over steps is its twin, in package ntm.
func Unroll(x *Tensor, n Unrolled) *Tensor {
	const op = "Unroll"
	operands := []*Tensor{x}
	for _, l := range n.Layers {
		operands = append(operands, l...)
	}
	how := C.struct_eg_network{layers: C.int(len(n.Layers)), lstm: C.int(truth(!n.Feedforward)), memory: C.EG_MEMORY_NONE, carried: C.double(n.Carried)}
	if m := n.Memory; m != nil {
		operands = append(append(operands, m.Weight, m.Bias), m.State...)
		switch ntm, lrua, dnc := m.NTM, m.LRUA, m.DNC; {
		case ntm != nil:
			how.memory = C.EG_MEMORY_NTM
			how.reads, how.writes, how.shift, how.clip = C.int64_t(ntm.Reads), C.int64_t(ntm.Writes), C.int64_t(ntm.Shift), C.double(ntm.Clip)
		case lrua != nil:
			how.memory, how.reads, how.decay = C.EG_MEMORY_LRUA, C.int64_t(m.State[1].Dim(1)), C.double(lrua.Decay)
			how.add, how.strength, how.own_slots = C.int(truth(lrua.Add)), C.int(truth(lrua.Strength)), C.int(truth(lrua.OwnSlots))
		default:
			how.memory, how.reads, how.clip = C.EG_MEMORY_DNC, C.int64_t(dnc.Reads), C.double(dnc.Clip)
		}
	}
	in := pointers(op, operands)
	out := C.eg_unroll(&in[0], C.int(len(in)), &how)
	return result(op, libtch.Ctensor(out), operands...)
}

// ClipGradient returns t, whose gradient is clipped elementwise to [-by, by] on its way back.
func ClipGradient(t *Tensor, by float64) *Tensor {
	const op = "ClipGradient"
	return result(op, libtch.Ctensor(C.eg_clip_gradient(unsafe.Pointer(t.ptr(op)), C.double(by))), t)
}
