package tensor

// #include "internal/kernels/memory/entities.h"
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// EntityNetwork is the operands of [TrackEntities].
type EntityNetwork struct {
	First     *Tensor // [slots, width], the slots before the first sentence
	Sentences *Tensor // s, [steps, stories, width]
	Inputs    *Tensor // V·s, [steps, stories, width]
	FromKeys  *Tensor // W·w, [slots, width]
	ToKeys    *Tensor // s·w and the gate's bias, [steps, stories, slots]
	State     *Tensor // U, [width, width]
	Slope     *Tensor // of the PReLU, [width]
	Lengths   []int64 // the number of sentences of each story; the slots stay as they are beyond it
	Eps       float64 // added to the squared length of a slot
}

// TrackEntities returns the slots of a Recurrent Entity Network after the sentences of each story, [stories, slots, width]: Henaff et
// al. 2017, section 2.2. All steps are one operation forward and one backward. It requires [FusesSteps] and has no second-order
// gradient. The reference implementation is the loop over steps in package entnet.
func TrackEntities(n EntityNetwork) *Tensor {
	const op = "TrackEntities"
	operands := []*Tensor{n.First, n.Sentences, n.Inputs, n.FromKeys, n.ToKeys, n.State, n.Slope}
	if s := n.Sentences.Shape(); len(s) != 3 || int64(len(n.Lengths)) != s[1] || s[1] == 0 {
		panic(&Error{Op: op, Msg: fmt.Sprintf("want sentences [steps, stories, width] and a length for each story, got %v and %d lengths", s, len(n.Lengths))})
	}
	at := pointers(op, operands)
	out := C.eg_entities(at[0], at[1], at[2], at[3], at[4], at[5], at[6], (*C.int64_t)(unsafe.Pointer(&n.Lengths[0])), C.double(n.Eps))
	return result(op, libtch.Ctensor(out), operands...)
}
