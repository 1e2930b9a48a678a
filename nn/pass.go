package nn

import (
	"maps"
	"math/rand/v2"

	"github.com/engram-go/engram/tensor"
)

// Norm selects the statistics of batch norm.
type Norm int

const (
	// BatchStats uses the mean and variance of the current batch. At test time one query can then influence the
	// prediction for another: transductive.
	BatchStats Norm = iota
	// RunningStats uses the statistics gathered during training. Each query is classified independently: inductive.
	RunningStats
)

// A Pass is the settings of one evaluation of a network. The zero value evaluates with batch statistics, updates
// nothing, applies no noise and records no gradients of the parameters; see [Pass.Value].
type Pass struct {
	// Training updates running statistics, applies noise such as dropout, and records gradients of the parameters.
	Training bool
	// Norm selects the statistics of batch norm. Training passes use BatchStats.
	Norm Norm
	// Rand draws noise, through [Drawn]. It may be nil if the network has none.
	Rand *rand.Rand
	// HigherOrder means that gradients will be differentiated again, which fused operations do not support.
	HigherOrder bool
	// Carried clips, elementwise, the gradient that a recurrent network passes back from one time step to the
	// previous, as Graves 2013, section 2.1. Zero means no clipping.
	Carried float64
	// With replaces parameters by other tensors, for methods that adapt a copy of the network. It may be nil.
	With map[*Param]*tensor.Tensor
	// Penalties are scalars that parts of the network add to the loss in training: see [Pass.Penalize].
	Penalties []*tensor.Tensor

	noise *Noise // of a step that is repeated
}

// Penalize adds a scalar to what training minimises besides the network's loss. Where no gradient is recorded it has no effect.
func (p *Pass) Penalize(x *tensor.Tensor) {
	if p.Training {
		p.Penalties = append(p.Penalties, x)
	}
}

// Value returns the tensor that this pass uses for a parameter: its replacement in With, or the stored one. Outside
// training the stored one counts as a constant, so that an evaluation records nothing and a state that outlives it
// does not keep its graph; set HigherOrder or use [tensor.WithGrad] to record.
func (p *Pass) Value(param *Param) *tensor.Tensor {
	if t, ok := p.With[param]; ok {
		return t
	}
	if param.Buffer || p.Training || p.HigherOrder || tensor.GradAsked() {
		return param.value
	}
	return param.value.Detach()
}

// Clone returns a copy of the pass with its own, non-nil With.
func (p *Pass) Clone() *Pass {
	own := *p
	own.With, own.Penalties = map[*Param]*tensor.Tensor{}, nil
	maps.Copy(own.With, p.With)
	return &own
}
