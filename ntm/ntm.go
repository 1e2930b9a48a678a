// Package ntm is the Neural Turing Machine of Graves, Wayne and Danihelka (2014): a controller, feedforward or LSTM, that
// works a memory step by step. Any [memory.Recurrent] plugs in; on [memory.None] an LSTM controller is the paper's
// baseline.
package ntm

import (
	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config are the settings of [New].
type Config struct {
	controller.Config
	Outputs int64
}

// Net is a Neural Turing Machine. At each step the controller sees the input and what was read at the step before; the
// output is a linear map of the controller's output and of what is read now.
type Net struct {
	controller *controller.Controller
	out        *nn.Linear
}

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	n := &Net{controller: controller.New(b, c.Config)}
	n.out = nn.NewLinear(b.In("output"), n.controller.Width(), c.Outputs)
	return n
}

// State is what the network carries from one step to the next.
type State = controller.State

// Forward runs over x [time, batch, inputs] from the first state and returns the outputs before the sigmoid, [time,
// batch, outputs]. seen, which may be nil, is shown the state after every step, as for plots.
func (n *Net) Forward(p *nn.Pass, x *tensor.Tensor, seen func(step int64, s State)) *tensor.Tensor {
	return n.out.Forward(p, n.controller.Forward(p, x, seen)) // all steps at once
}
