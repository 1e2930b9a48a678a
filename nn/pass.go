package nn

import (
	"maps"
	"math/rand/v2"

	"github.com/engram-go/engram/tensor"
)

// Norm says which statistics batch normalisation uses.
type Norm int

const (
	// BatchStats are the mean and variance of the batch at hand. At test time the query images then help to classify one
	// another, which the literature calls transductive.
	BatchStats Norm = iota
	// RunningStats are those gathered in training; each image is classified by itself, which is called inductive.
	RunningStats
)

// A Pass is one evaluation of a network: what differs between evaluations, and nothing of the network. The zero value
// evaluates with batch statistics, updates nothing, draws no noise and records no gradients; see [Pass.Value].
type Pass struct {
	// Training moves running statistics, applies noise such as dropout, and records what gradients of the parameters need.
	Training bool
	// Norm is batch normalisation's choice of statistics. Training passes use BatchStats.
	Norm Norm
	// Rand draws noise; it may be nil where the network has none.
	Rand *rand.Rand
	// HigherOrder says that gradients will themselves be differentiated, which operations computed in one pass cannot do.
	HigherOrder bool
	// Carried bounds the elements of the gradient that a recurrent network's step hands to the step before it: Graves 2013,
	// section 2.1, clips the derivatives of backpropagation through time likewise. Zero stands for no bound.
	Carried float64
	// With puts other tensors in the place of parameters, for methods that adapt a copy of the network. It may be nil.
	With map[*Param]*tensor.Tensor
}

// Value returns the tensor that this pass uses for a parameter: that of With where there is one, and otherwise the
// network's own. A pass that does not train takes the network's own for a constant, so that nothing of an evaluation is
// recorded for gradients and no state that outlives it holds on to its computation; HigherOrder, or [tensor.WithGrad]
// around the evaluation, records all the same.
func (p *Pass) Value(param *Param) *tensor.Tensor {
	if t, ok := p.With[param]; ok {
		return t
	}
	if param.Buffer || p.Training || p.HigherOrder || tensor.GradAsked() {
		return param.value
	}
	return param.value.Detach()
}

// Apart returns a copy of the pass whose With is its own and no nil map, to put tensors in.
func (p *Pass) Apart() *Pass {
	own := *p
	own.With = map[*Param]*tensor.Tensor{}
	maps.Copy(own.With, p.With)
	return &own
}
