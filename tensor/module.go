package tensor

// #include <stdlib.h>
// #include "internal/kernels/runtime/module.h"
import "C"

import (
	"math/rand/v2"
	"runtime"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// A Module is a TorchScript module without its tensors, which every call passes. It is freed when unreachable. Calls
// of one module are serialised.
type Module struct {
	c     unsafe.Pointer
	names []string
}

// ModuleTensor is a parameter or a buffer of a [Module].
type ModuleTensor struct {
	Name      string // as in PyTorch's state dict
	Parameter bool
	*Tensor
}

// LoadModule reads a file written by torch.jit.save and returns the module and its tensors, in the order of PyTorch's
// state dict. The tensors belong to the innermost scope.
func LoadModule(path string, on Device) (m *Module, ts []ModuleTensor, err error) {
	const op = "LoadModule"
	defer Catch(&err)
	current(op)
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	m = &Module{c: C.eg_module_load(name, C.int(on))}
	if m.c == nil {
		fail(op)
	}
	runtime.AddCleanup(m, func(c unsafe.Pointer) { C.eg_module_free(c) }, m.c)
	for i := range C.eg_module_count(m.c) {
		var parameter C.int
		p := C.eg_module_take(m.c, i, &parameter)
		if p == nil {
			fail(op)
		}
		m.names = append(m.names, C.GoString(C.eg_module_name(m.c, i)))
		ts = append(ts, ModuleTensor{m.names[i], parameter != 0, adopt(op, libtch.Ctensor(p))})
	}
	return m, ts, nil
}

// ModuleCall configures a call of a [Module]. The zero value evaluates.
type ModuleCall struct {
	// Training enables training-only behaviour of layers, such as dropout.
	Training bool
	// BatchStats normalises by the batch's statistics and updates the running ones in place.
	BatchStats bool
	// Seed seeds the noise of training.
	Seed uint64
}

// Seeded draws the seed from a generator, which may be nil.
func (c ModuleCall) Seeded(r *rand.Rand) ModuleCall {
	if r != nil {
		c.Seed = r.Uint64()
	}
	return c
}

// Forward calls the module's forward on x, with tensors in place of those that [LoadModule] returned, in the same
// order. LibTorch's graph optimiser is off, so that a call does not depend on earlier calls.
func (m *Module) Forward(x *Tensor, tensors []*Tensor, c ModuleCall) *Tensor {
	const op = "Module.Forward"
	if len(tensors) != len(m.names) {
		failWith(op, "want as many tensors as LoadModule returned", x)
	}
	raw := make([]unsafe.Pointer, len(tensors)+1) // one more, so that &raw[0] exists
	for i, t := range tensors {
		raw[i] = unsafe.Pointer(t.ptr(op))
	}
	p := C.eg_module_forward(m.c, unsafe.Pointer(x.ptr(op)), &raw[0], C.int(truth(c.Training)), C.int(truth(c.BatchStats)), C.uint64_t(c.Seed))
	runtime.KeepAlive(m)
	if p == nil {
		fail(op, x)
	}
	return adopt(op, libtch.Ctensor(p))
}
