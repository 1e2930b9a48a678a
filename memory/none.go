package memory

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// None is a memory without content. Its reads are empty, so that a controller on it is the baseline without memory.
type None struct{}

// NoneState is the state of [None].
type NoneState struct{}

// Tensors implements [State].
func (NoneState) Tensors() []nn.Named { return nil }

// Init implements [Recurrent].
func (None) Init(*nn.Pass, int64) State { return NoneState{} }

// Step implements [Recurrent]. It reads [batch, 0].
func (None) Step(_ *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	return control.Narrow(1, 0, 0), prev
}

// ReadWidth implements [Recurrent].
func (None) ReadWidth() int64 { return 0 }

var _ Recurrent = None{}
