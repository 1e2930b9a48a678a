package runner

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// guard notices that training has diverged: that the loss or the norm of the gradient of a step is not finite.
//
// On the CPU each step is checked before it changes parameters. Elsewhere reading a number waits for all work that was given to the
// device, so that the guard is late: it collects the steps on the device, and is read with reports, and before a validation or a
// checkpoint.
type guard struct {
	late   bool
	health *tensor.Tensor // 0 as long as all is finite, NaN afterwards; nil where the guard is not late
}

func newGuard(on tensor.Device) guard {
	if on == tensor.CPU {
		return guard{}
	}
	return lateGuard(on)
}

func lateGuard(on tensor.Device) guard {
	scope := tensor.Enter()
	defer scope.Leave()
	return guard{late: true, health: tensor.Full(0, tensor.Float64, on).Own()}
}

// add collects a step.
func (g *guard) add(loss *tensor.Tensor, grads []*tensor.Tensor) {
	loss = loss.Detach().To(tensor.Float64)
	norm := nn.DeviceNorm(grads)
	g.health.Assign(g.health.Add(loss.Sub(loss)).Add(norm.Sub(norm)))
}

// sound reports whether all steps were finite, as far as a late guard has collected them.
func (g *guard) sound() bool {
	if g.health == nil {
		return true
	}
	scope := tensor.Enter()
	defer scope.Leave()
	return finite(g.health.Float())
}

func (g *guard) free() { g.health.Free() }
