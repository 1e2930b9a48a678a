// Package ntm is the Neural Turing Machine of Graves, Wayne and Danihelka (2014): a controller, feedforward or LSTM, that
// works a memory step by step. Any [memory.Recurrent] plugs in; on [memory.None] an LSTM controller is the paper's
// baseline.
package ntm

import (
	"fmt"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config are the settings of [New].
type Config struct {
	Inputs, Outputs int64
	// Feedforward has layers without a state in the place of LSTM layers.
	Feedforward bool
	// Size is the width of a layer of the controller; zero stands for 100, the paper's for most tasks.
	Size int64
	// Layers is the number of layers of the controller; zero stands for 1.
	Layers int64
	// Memory makes the memory for a controller of a width; nil stands for memory.None.
	Memory func(b *nn.Builder, control int64) memory.Recurrent
}

// Net is a Neural Turing Machine. At each step the controller sees the input and what was read at the step before; the
// output is a linear map of the controller's output and of what is read now.
type Net struct {
	config Config
	cells  []*nn.LSTMCell // of an LSTM controller, a layer each
	layers []*nn.Linear   // of a feedforward one
	memory memory.Recurrent
	out    *nn.Linear
}

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	if c.Size == 0 {
		c.Size = 100
	}
	if c.Layers == 0 {
		c.Layers = 1
	}
	n := &Net{config: c, memory: memory.None{}}
	if c.Memory != nil {
		n.memory = c.Memory(b.In("memory"), c.Size)
	}
	in := c.Inputs + n.memory.ReadWidth()
	for i := range c.Layers {
		part := b.In(fmt.Sprintf("controller%d", i+1))
		if c.Feedforward {
			n.layers = append(n.layers, nn.NewLinear(part, in, c.Size))
		} else {
			n.cells = append(n.cells, nn.NewLSTMCell(part, in, c.Size))
		}
		in = c.Size
	}
	n.out = nn.NewLinear(b.In("output"), c.Size+n.memory.ReadWidth(), c.Outputs)
	return n
}

// State is what the network carries from one step to the next.
type State struct {
	Controller []nn.LSTMState // a layer each; none for a feedforward controller
	Memory     memory.State
	Read       *tensor.Tensor // [batch, read], at the step before
}

// Init returns the state before the first step, in which nothing has been read.
func (n *Net) Init(p *nn.Pass, batch int64) State {
	s := State{Memory: n.memory.Init(p, batch)}
	like := p.Value(n.out.Weight)
	for _, c := range n.cells {
		l := c.Init(batch)
		s.Controller = append(s.Controller, nn.LSTMState{Hidden: l.Hidden.To(like.DType()), Cell: l.Cell.To(like.DType())})
	}
	s.Read = tensor.Full(0, like.DType(), like.Device(), batch, n.memory.ReadWidth())
	return s
}

// Step takes x [batch, inputs] and the state before it, and returns what the output layer sees, [batch, size+read], and
// the state after it.
func (n *Net) Step(p *nn.Pass, x *tensor.Tensor, prev State) (hidden *tensor.Tensor, next State) {
	control := tensor.Cat(1, x, prev.Read)
	for _, l := range n.layers {
		control = l.Forward(p, control).Tanh()
	}
	for i, c := range n.cells {
		s := c.Step(p, control, prev.Controller[i])
		next.Controller = append(next.Controller, s)
		control = s.Hidden
	}
	next.Read, next.Memory = n.memory.Step(p, control, prev.Memory)
	return tensor.Cat(1, control, next.Read), next
}

// Forward runs over x [time, batch, inputs] from the first state and returns the outputs before the sigmoid, [time,
// batch, outputs]. seen, which may be nil, is shown the state after every step, as for plots.
func (n *Net) Forward(p *nn.Pass, x *tensor.Tensor, seen func(step int64, s State)) *tensor.Tensor {
	s := n.Init(p, x.Dim(1))
	hidden := make([]*tensor.Tensor, x.Dim(0))
	for t := range hidden {
		hidden[t], s = n.Step(p, x.Select(0, int64(t)), s)
		if seen != nil {
			seen(int64(t), s)
		}
	}
	return n.out.Forward(p, tensor.Stack(0, hidden...)) // all steps at once
}
