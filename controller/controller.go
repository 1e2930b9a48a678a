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
	if p.Carried > 0 {
		prev = prev.clipped(p.Carried)
	}
	control := tensor.Cat(1, x, prev.Read)
	for _, l := range c.layers {
		control = l.Forward(p, control).Tanh()
	}
	for i, cell := range c.cells {
		s := cell.Step(p, control, prev.Layers[i])
		next.Layers, control = append(next.Layers, s), s.Hidden
	}
	next.Read, next.Memory = c.memory.Step(p, control, prev.Memory)
	return tensor.Cat(1, control, next.Read), next
}

// clipped returns the state with its gradient clipped elementwise to ±by. A memory whose state is no [memory.Mapper] hands its
// gradient on as it is.
func (s State) clipped(by float64) State {
	clip := func(t *tensor.Tensor) *tensor.Tensor { return tensor.ClipGradient(t, by) }
	layers := make([]nn.LSTMState, len(s.Layers))
	for i, l := range s.Layers {
		layers[i] = nn.LSTMState{Hidden: clip(l.Hidden), Cell: clip(l.Cell)}
	}
	s.Layers, s.Read = layers, clip(s.Read)
	if m, ok := s.Memory.(memory.Mapper); ok {
		s.Memory = m.Map(clip)
	}
	return s
}

// Forward runs over x [time, batch, inputs] from the first state and returns the outputs of all steps, [time, batch,
// size+read]. seen, which may be nil, is shown the state after every step, as for plots. Where nothing is shown and the
// memory allows it, it is one operation; see [tensor.Unroll].
func (c *Controller) Forward(p *nn.Pass, x *tensor.Tensor, seen func(step int64, s State)) *tensor.Tensor {
	if u, ok := c.unrolled(p, x); ok && seen == nil {
		return tensor.Unroll(x, u)
	}
	s := c.Init(p, x.Dim(1))
	out := make([]*tensor.Tensor, x.Dim(0))
	for t := range out {
		out[t], s = c.Step(p, x.Select(0, int64(t)), s)
		if seen != nil {
			seen(int64(t), s)
		}
	}
	return tensor.Stack(0, out...)
}

// unrolled describes the network for [tensor.Unroll], where that can run it.
func (c *Controller) unrolled(p *nn.Pass, x *tensor.Tensor) (tensor.Unrolled, bool) {
	u := tensor.Unrolled{Feedforward: c.config.Feedforward, Carried: p.Carried}
	if w := c.weight(p); p.HigherOrder || !tensor.FusesSteps(x) || w.DType() != x.DType() || w.Device() != x.Device() {
		return u, false
	}
	switch m := c.memory.(type) {
	case memory.None:
	case memory.Unroller:
		var ok bool
		if u.Memory, ok = m.Unroll(p, x.Dim(1)); !ok {
			return u, false
		}
	default:
		return u, false
	}
	for _, l := range c.layers {
		u.Layers = append(u.Layers, []*tensor.Tensor{p.Value(l.Weight), p.Value(l.Bias)})
	}
	for _, l := range c.cells {
		u.Layers = append(u.Layers, []*tensor.Tensor{p.Value(l.InputWeight), p.Value(l.HiddenWeight), p.Value(l.InputBias), p.Value(l.HiddenBias)})
	}
	return u, true
}
