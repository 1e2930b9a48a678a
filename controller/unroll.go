package controller

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// unrolled is the first layer with the inputs of all steps taken through it.
type unrolled struct {
	feedforward bool
	inputs      []*tensor.Tensor // a step each, [batch, size] or an LSTM's [batch, 4·size], with the biases
	// back is the weight of what comes from the step before: what was read and, in an LSTM, the hidden state.
	back *tensor.Tensor
}

// unroll takes x [time, batch, inputs] through the first layer.
func (c *Controller) unroll(p *nn.Pass, x *tensor.Tensor) unrolled {
	w, in := c.weight(p), c.config.Inputs
	u := unrolled{feedforward: c.config.Feedforward, back: w.Narrow(1, in, c.memory.ReadWidth())}
	var bias *tensor.Tensor
	if u.feedforward {
		bias = p.Value(c.layers[0].Bias)
	} else {
		cell := c.cells[0]
		bias = p.Value(cell.InputBias).Add(p.Value(cell.HiddenBias))
		u.back = tensor.Cat(1, u.back, p.Value(cell.HiddenWeight))
	}
	u.inputs = tensor.Linear(x, w.Narrow(1, 0, in), bias).Unbind(0)
	return u
}

// step returns the first layer's output at step t and puts its state, where it has one, into next.
func (u unrolled) step(t int, prev State, next *State) *tensor.Tensor {
	if u.feedforward {
		return u.inputs[t].Add(tensor.Linear(prev.Read, u.back, nil)).Tanh()
	}
	before := prev.Layers[0]
	gates := u.inputs[t].Add(tensor.Linear(tensor.Cat(1, prev.Read, before.Hidden), u.back, nil))
	size := before.Hidden.Dim(1)
	gate := func(i int64) *tensor.Tensor { return gates.Narrow(1, i*size, size) }
	in, forget, cell, out := gate(0).Sigmoid(), gate(1).Sigmoid(), gate(2).Tanh(), gate(3).Sigmoid()
	after := nn.LSTMState{Cell: forget.Mul(before.Cell).Add(in.Mul(cell))}
	after.Hidden = out.Mul(after.Cell.Tanh())
	next.Layers = append(next.Layers, after)
	return after.Hidden
}
