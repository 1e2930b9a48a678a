package tensor

// #include <stdlib.h>
// #include "internal/kernels/memory/unroll.h"
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

// UnrolledMemory is a memory for [Unroll]: the fused memory, the controller's layer that emits what its heads need, and its
// first state.
type UnrolledMemory struct {
	Kernel       MemoryKernel
	Weight, Bias *Tensor   // of the emitting layer, [emission, size] and [emission]
	State        []*Tensor // as [MemoryStep] takes it
}

// Unroll runs a network over x [time, batch, inputs] from a controller's state of zeros, having read zeros, and returns the
// controller's output beside what is read at each step, [time, batch, size+read]: every step of every layer in one
// operation forward and one backward, with the gradients of all weights taken over all steps at once. It runs where
// [FusesSteps] holds and has no second-order gradient. The reference implementation is the loop over steps in package
// controller.
func Unroll(x *Tensor, n Unrolled) *Tensor {
	const op = "Unroll"
	operands := []*Tensor{x}
	for _, l := range n.Layers {
		operands = append(operands, l...)
	}
	how := C.struct_eg_network{layers: C.int(len(n.Layers)), lstm: C.int(truth(!n.Feedforward)), carried: C.double(n.Carried)}
	var settings *C.double
	if m := n.Memory; m != nil {
		operands = append(append(operands, m.Weight, m.Bias), m.State...)
		how.memory = C.CString(m.Kernel.Name)
		defer C.free(unsafe.Pointer(how.memory))
		how.settings_count, settings = C.int(len(m.Kernel.Settings)), m.Kernel.settings()
	}
	in := pointers(op, operands)
	out := C.eg_unroll(&in[0], C.int(len(in)), &how, settings)
	return result(op, libtch.Ctensor(out), operands...)
}

// ClipGradient returns t, whose gradient is clipped elementwise to [-by, by] on its way back.
func ClipGradient(t *Tensor, by float64) *Tensor {
	const op = "ClipGradient"
	return result(op, libtch.Ctensor(C.eg_clip_gradient(unsafe.Pointer(t.ptr(op)), C.double(by))), t)
}
