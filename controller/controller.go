// Package controller is what drives a memory step by step in the Neural Turing Machine (Graves et al. 2014) and in
// Memory-Augmented Neural Networks (Santoro et al. 2016): layers, feedforward or LSTM, that see the input and what was
// read at the step before, and a memory that they tell what to write and to read.
package controller

import (
	"fmt"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config are the settings of [New].
type Config struct {
	Inputs int64
	// Feedforward has layers without a state in the place of LSTM layers.
	Feedforward bool
	// Size is the width of a layer; zero stands for 100, Graves's for most tasks.
	Size int64
	// Layers is the number of layers; zero stands for 1.
	Layers int64
	// Memory makes the memory for a controller of a width; nil stands for memory.None.
	Memory func(b *nn.Builder, control int64) memory.Recurrent
}

// Controller is the layers and their memory.
type Controller struct {
	config Config
	cells  []*nn.LSTMCell // of an LSTM controller, a layer each
	layers []*nn.Linear   // of a feedforward one
	memory memory.Recurrent
}

// New makes a controller and its memory. Layer i is called controller<i>, the memory memory.
func New(b *nn.Builder, c Config) *Controller {
	if c.Size == 0 {
		c.Size = 100
	}
	if c.Layers == 0 {
		c.Layers = 1
	}
	n := &Controller{config: c, memory: memory.None{}}
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
	return n
}

// Width returns the size of what a step gives: size+read.
func (c *Controller) Width() int64 { return c.config.Size + c.memory.ReadWidth() }

// State is what carries over from one step to the next.
type State struct {
	Layers []nn.LSTMState // a layer each; none for a feedforward controller
	Memory memory.State
	Read   *tensor.Tensor // [batch, read], at the step before
}

// Init returns the state before the first step, in which nothing has been read.
func (c *Controller) Init(p *nn.Pass, batch int64) State {
	s := State{Memory: c.memory.Init(p, batch)}
	like := c.weight(p)
	for _, cell := range c.cells {
		l := cell.Init(batch)
		s.Layers = append(s.Layers, nn.LSTMState{Hidden: l.Hidden.To(like.DType()), Cell: l.Cell.To(like.DType())})
	}
	s.Read = tensor.Full(0, like.DType(), like.Device(), batch, c.memory.ReadWidth())
	return s
}

// weight returns the first layer's weight for the input and what was read.
func (c *Controller) weight(p *nn.Pass) *tensor.Tensor {
	if c.config.Feedforward {
		return p.Value(c.layers[0].Weight)
	}
	return p.Value(c.cells[0].InputWeight)
}

// Step takes x [batch, inputs] and the state before it, and returns the last layer's output and what is read now, [batch,
// size+read], and the state after it.
func (c *Controller) Step(p *nn.Pass, x *tensor.Tensor, prev State) (out *tensor.Tensor, next State) {
	in := tensor.Cat(1, x, prev.Read)
	if c.config.Feedforward {
		in = c.layers[0].Forward(p, in).Tanh()
	} else {
		s := c.cells[0].Step(p, in, prev.Layers[0])
		next.Layers, in = append(next.Layers, s), s.Hidden
	}
	control := c.rest(p, in, prev, &next)
	return tensor.Cat(1, control, next.Read), next
}

// rest takes the first layer's output through the other layers and the memory, and returns the last layer's.
func (c *Controller) rest(p *nn.Pass, control *tensor.Tensor, prev State, next *State) *tensor.Tensor {
	for i := 1; i < len(c.layers); i++ {
		control = c.layers[i].Forward(p, control).Tanh()
	}
	for i := 1; i < len(c.cells); i++ {
		s := c.cells[i].Step(p, control, prev.Layers[i])
		next.Layers, control = append(next.Layers, s), s.Hidden
	}
	next.Read, next.Memory = c.memory.Step(p, control, prev.Memory)
	return control
}

// Forward runs over x [time, batch, inputs] from the first state and returns the outputs of all steps, [time, batch,
// size+read]. seen, which may be nil, is shown the state after every step, as for plots.
//
// It is a Step each, but for the inputs' part of the first layer, which is computed for all steps at once: it does not
// wait for what is read, and its weight's gradient is then one product and not a sum of as many as there are steps.
func (c *Controller) Forward(p *nn.Pass, x *tensor.Tensor, seen func(step int64, s State)) *tensor.Tensor {
	first := c.unroll(p, x)
	s := c.Init(p, x.Dim(1))
	controls, reads := make([]*tensor.Tensor, len(first.inputs)), make([]*tensor.Tensor, len(first.inputs))
	for t := range first.inputs {
		var next State
		controls[t] = c.rest(p, first.step(t, s, &next), s, &next)
		reads[t], s = next.Read, next
		if seen != nil {
			seen(int64(t), s)
		}
	}
	return tensor.Cat(-1, tensor.Stack(0, controls...), tensor.Stack(0, reads...))
}
