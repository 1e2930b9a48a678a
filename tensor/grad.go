package tensor

// #include "engram.h"
// #cgo nocallback eg_grad_mode
import "C"

import (
	"runtime"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// RequireGrad marks a leaf tensor as requiring a gradient, and returns it.
func (t *Tensor) RequireGrad() *Tensor {
	var out libtch.Ctensor
	libtch.AtgSetRequiresGrad(&out, t.ptr("RequireGrad"), 1)
	if out == nil {
		fail("RequireGrad", t)
	}
	libtch.AtFree(out)
	return t
}

// RequiresGrad reports whether t is, or was computed from, a tensor that requires a gradient.
func (t *Tensor) RequiresGrad() bool { return libtch.AtRequiresGrad(t.ptr("RequiresGrad")) }

// Detach returns t's values as a constant.
func (t *Tensor) Detach() *Tensor { return unary("Detach", libtch.AtgDetach, t) }

// NoGrad runs f without recording gradients and restores the mode, also when f panics.
func NoGrad(f func()) { gradMode(false, f) }

// WithGrad runs f with recording of gradients, also inside [NoGrad] and for parameters of a network outside training;
// see [GradAsked].
func WithGrad(f func()) { gradMode(true, f) }

// GradAsked reports whether this goroutine is inside [WithGrad] and not inside a nested [NoGrad]. Operations record
// gradients without it too, but a network that is evaluated then takes its parameters as constants.
func GradAsked() bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return threadSlot().gradAsked.Load()
}

func gradMode(on bool, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := threadSlot()
	asked := own.gradAsked.Swap(on)
	defer own.gradAsked.Store(asked)
	flag := C.int(0)
	if on {
		flag = 1
	}
	was := C.eg_grad_mode(flag)
	defer C.eg_grad_mode(was)
	f()
}

// GradOptions configures [GradWith]. The zero value is that of [Grad].
type GradOptions struct {
	// Outputs are the gradients with respect to the outputs, one per output; default ones.
	Outputs []*Tensor
	// Create records the computation of the gradients, so that they can be differentiated.
	Create bool
	// Retain keeps the graph for another call. Create implies it.
	Retain bool
}

// Grad returns the gradient of the sum of y with respect to each of xs, nil for those that y does not depend on.
func Grad(y *Tensor, xs ...*Tensor) []*Tensor {
	return GradWith([]*Tensor{y}, xs, GradOptions{})
}

// GradWith returns the gradients of the sum of several outputs with respect to each of xs, nil for those without
// influence.
func GradWith(ys, xs []*Tensor, o GradOptions) []*Tensor {
	if len(ys) == 0 {
		panic(&Error{Op: "Grad", Msg: "no output"})
	}
	if o.Outputs != nil && len(o.Outputs) != len(ys) {
		panic(&Error{Op: "Grad", Msg: "want one incoming gradient per output"})
	}
	if len(xs) == 0 {
		return nil
	}
	outs, ins, got := make([]unsafe.Pointer, len(ys)), make([]unsafe.Pointer, len(xs)), make([]unsafe.Pointer, len(xs))
	above := make([]unsafe.Pointer, len(ys))
	for i, y := range ys {
		outs[i] = unsafe.Pointer(y.ptr("Grad"))
		if o.Outputs != nil {
			above[i] = unsafe.Pointer(o.Outputs[i].optional("Grad"))
		}
	}
	for i, x := range xs {
		ins[i] = unsafe.Pointer(x.ptr("Grad"))
	}
	retain, create := C.int(0), C.int(0)
	if o.Create {
		retain, create = 1, 1
	}
	if o.Retain {
		retain = 1
	}
	if C.eg_grad(&outs[0], &above[0], C.int(len(ys)), &ins[0], C.int(len(xs)), &got[0], retain, create) != 0 {
		fail("Grad", ys...)
	}
	grads := make([]*Tensor, len(xs))
	for i, p := range got {
		if p != nil {
			grads[i] = adopt("Grad", libtch.Ctensor(p))
		}
	}
	return grads
}
