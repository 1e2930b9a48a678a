// Package ntm implements the Neural Turing Machine of Graves, Wayne and Danihelka (2014): a feedforward or LSTM controller that
// drives a memory step by step. Any [memory.Recurrent] plugs in. With [memory.None] an LSTM controller is the paper's
// baseline.
package ntm

import (
	"cmp"
	"fmt"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config configures [New].
type Config struct {
	controller.Config
	// Outputs is the width of the output.
	Outputs int64
	// Hidden is the number of ReLU layers of the width HiddenSize, default 256, between the controller's output and the network's:
	// Santoro et al. 2018, appendix A.1. The default is none.
	Hidden, HiddenSize int64
	// Bypass is the chance that a value of the controller's output is zeroed, in training, on its way past the memory to the
	// network's output, so that answers come from what is read: Franke, Niehues and Waibel 2018, section 3.2.
	Bypass float64
}

// Net is a Neural Turing Machine. At each step the controller takes the input and the previous read vector; the output is a
// linear map of the controller's output and the new read vector.
type Net struct {
	config     Config
	controller *controller.Controller
	hidden     []*nn.Linear
	out        *nn.Linear
}

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	n := &Net{config: c, controller: controller.New(b, c.Config)}
	width := n.controller.Width()
	for i := range c.Hidden {
		size := cmp.Or(c.HiddenSize, 256)
		n.hidden = append(n.hidden, nn.NewLinear(b.In(fmt.Sprintf("hidden%d", i+1)), width, size))
		width = size
	}
	n.out = nn.NewLinear(b.In("output"), width, c.Outputs)
	return n
}

// State is the network's state between two steps.
type State = controller.State

// Forward runs over x [time, batch, inputs] from the initial state and returns the logits of the outputs, [time, batch,
// outputs]. observe, if not nil, is called with the state after every step, for example to plot it.
func (n *Net) Forward(p *nn.Pass, x *tensor.Tensor, observe func(step int64, s State)) *tensor.Tensor {
	return n.outputs(p, n.controller.Forward(p, x, observe))
}

// outputs maps the controller's outputs with the vectors read, [..., size+read], to the network's.
func (n *Net) outputs(p *nn.Pass, y *tensor.Tensor) *tensor.Tensor {
	if p.Training && n.config.Bypass > 0 {
		own, last := y.Dim(-1)-n.controller.ReadWidth(), y.Rank()-1
		y = tensor.Cat(last, nn.Dropout(p, y.Narrow(last, 0, own), n.config.Bypass), y.Narrow(last, own, n.controller.ReadWidth()))
	}
	for _, l := range n.hidden {
		y = l.Forward(p, y).ReLU()
	}
	return n.out.Forward(p, y) // one linear map for all steps
}
