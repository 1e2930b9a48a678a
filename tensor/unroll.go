package tensor

// #include <stdlib.h>
// #include "internal/kernels/memory/unroll.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Unrolled is a recurrent network, a controller that drives a memory, for [Unroll]. All tensors have one type.
type Unrolled struct {
	// Layers are the controller's layers, input first: for an LSTM layer input weight [4·size, in], hidden weight
	// [4·size, size], input bias and hidden bias [4·size]; for a feedforward layer, which ends in tanh, weight [size,
	// in] and bias [size]. The first layer takes the input and the previous read vector, in this order.
	Layers      [][]*Tensor
	Feedforward bool
	// Memory is the memory that the controller drives; it may be nil.
	Memory *UnrolledMemory
	// Carried clips, elementwise, the gradient that each step passes to the previous one, as [ClipGradient] does;
	// zero means no clipping.
	Carried float64
}

// UnrolledMemory is a memory for [Unroll]: the fused memory, the controller's emission layer, and the initial state.
type UnrolledMemory struct {
	Kernel       MemoryKernel
	Weight, Bias *Tensor // of the emission layer, [emission, size] and [emission]
	// Keys are the keys of stored programs, [programs, key]: Le et al. 2020, section 3. The emission layer then emits those of all
	// programs, one after the other, a query and a strength, and the memory is driven by their mixture. Nil for none.
	Keys        *Tensor
	Gain, Shift *Tensor   // of a layer norm of what drives the memory, [emission]; nil for none
	Eps         float64   // of the layer norm
	State       []*Tensor // as in [MemoryStep]
}

// Unroll runs a network over x [time, batch, inputs] from a zero controller state and a zero read vector. It returns
// the controller's output concatenated with the read vector at each step, [time, batch, size+read]. All steps of all
// layers are one operation forward and one backward, and weight gradients are computed over all steps at once. It
// requires [FusesSteps] and has no second-order gradient. The reference implementation is the loop over steps in
// package controller.
func Unroll(x *Tensor, n Unrolled) *Tensor {
	const op = "Unroll"
	operands := []*Tensor{x}
	for _, l := range n.Layers {
		operands = append(operands, l...)
	}
	how := C.struct_eg_network{layers: C.int(len(n.Layers)), lstm: C.int(truth(!n.Feedforward)), carried: C.double(n.Carried)}
	var settings *C.double
	if m := n.Memory; m != nil {
		operands = append(operands, m.Weight, m.Bias)
		if m.Keys != nil {
			operands, how.programs = append(operands, m.Keys), C.int(m.Keys.Dim(0))
		}
		if m.Gain != nil {
			operands, how.norm = append(operands, m.Gain, m.Shift), C.double(m.Eps)
		}
		operands = append(operands, m.State...)
		how.memory = C.CString(m.Kernel.Name)
		defer C.free(unsafe.Pointer(how.memory))
		how.settings_count, settings = C.int(len(m.Kernel.Settings)), m.Kernel.settings()
	}
	in := pointers(op, operands)
	out := C.eg_unroll(&in[0], C.int(len(in)), &how, settings)
	return result(op, libtch.Ctensor(out), operands...)
}

// ClipGradient returns t. The gradient that flows back through it is clipped elementwise to [-by, by].
func ClipGradient(t *Tensor, by float64) *Tensor {
	const op = "ClipGradient"
	return result(op, libtch.Ctensor(C.eg_clip_gradient(unsafe.Pointer(t.ptr(op)), C.double(by))), t)
}
