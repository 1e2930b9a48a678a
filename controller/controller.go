// Package controller implements the controller of the Neural Turing Machine (Graves et al. 2014) and of Memory-Augmented
// Neural Networks (Santoro et al. 2016): feedforward or LSTM layers that take the input and the previous read vector, and
// whose output drives a memory.
package controller

import (
	"fmt"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Config configures [New].
type Config struct {
	// Inputs is the width of the input.
	Inputs int64
	// Feedforward uses feedforward layers with tanh instead of LSTM layers.
	Feedforward bool
	// Size is the width of a layer; default 100, the paper's for most tasks.
	Size int64
	// Layers is the number of layers; default 1.
	Layers int64
	// Memory makes the memory for a controller whose output has the width control; default [memory.None].
	Memory func(b *nn.Builder, control int64) memory.Recurrent
}

// Controller is a stack of layers with a memory.
type Controller struct {
	config Config
	cells  []*nn.LSTMCell // one per layer of an LSTM controller
	layers []*nn.Linear   // one per layer of a feedforward controller
	memory memory.Recurrent
}

// New makes a controller and its memory. Layer i, counted from 1, is named controller<i>, the memory is named memory.
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

// Width returns the width of a step's output: size+read.
func (c *Controller) Width() int64 { return c.config.Size + c.memory.ReadWidth() }

// ReadWidth returns the width of the vectors read, the last part of a step's output.
func (c *Controller) ReadWidth() int64 { return c.memory.ReadWidth() }

// State is the state between two steps. It is a value: a step returns a new one and does not change the old.
type State struct {
	Layers []nn.LSTMState // one per layer; empty for a feedforward controller
	Memory memory.State
	Read   *tensor.Tensor // [batch, read], the previous read vector
}

// Init returns the state before the first step, with a read vector of zeros.
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

// weight returns the first layer's weight for the input and the read vector.
func (c *Controller) weight(p *nn.Pass) *tensor.Tensor {
	if c.config.Feedforward {
		return p.Value(c.layers[0].Weight)
	}
	return p.Value(c.cells[0].InputWeight)
}

// Step takes the input x [batch, inputs] and the previous state. It returns the last layer's output concatenated with the new
// read vector, [batch, size+read], and the next state.
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

// clipped returns the state with its gradient clipped elementwise to [-by, by]. The gradient of a memory state that is not a
// [memory.Mapper] is not clipped.
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

// Forward runs over x [time, batch, inputs] from the initial state and returns the outputs of all steps, [time, batch,
// size+read]. observe, if not nil, is called with the state after every step, for example to plot it. Without it, and if
// the memory supports it, all steps are one fused operation; see [tensor.Unroll]. Other memories are run step by step, with the
// linear maps of all steps together as far as they do not depend on each other.
func (c *Controller) Forward(p *nn.Pass, x *tensor.Tensor, observe func(step int64, s State)) *tensor.Tensor {
	if observe == nil {
		if u, ok := c.unrolled(p, x); ok {
			return tensor.Unroll(x, u)
		}
		if !p.HigherOrder {
			l := newLoop(c, p, x)
			defer l.free()
			return l.run(x.Dim(1))
		}
	}
	s := c.Init(p, x.Dim(1))
	out := make([]*tensor.Tensor, x.Dim(0))
	for t := range out {
		out[t], s = c.Step(p, x.Select(0, int64(t)), s)
		if observe != nil {
			observe(int64(t), s)
		}
	}
	return tensor.Stack(0, out...)
}

// each calls f for the tensors of a state, whose memory state is a [memory.Mapper].
func (s State) each(f func(*tensor.Tensor)) {
	for _, l := range s.Layers {
		f(l.Hidden)
		f(l.Cell)
	}
	f(s.Read)
	s.Memory.(memory.Mapper).Map(func(t *tensor.Tensor) *tensor.Tensor {
		f(t)
		return t
	})
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
