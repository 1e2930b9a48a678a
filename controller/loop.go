package controller

import (
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A loop runs a controller over a sequence step by step, for memories that [tensor.Unroll] does not run. What does not depend on
// earlier steps is computed for all of them at once, and so are the gradients of the weights; see [tensor.RecurrentLinear].
type loop struct {
	*Controller
	pass   *nn.Pass
	first  []*tensor.Tensor // of each step, what the first layer makes of the input, [1, batch, width]
	layers []loopLayer
	driven memory.Interfaced // the memory, where it is one
	emit   loopMap           // its interface
}

// loopLayer are the linear maps of a layer.
type loopLayer struct {
	in     loopMap // from the layer below; in the first layer from the vectors read, without a bias
	hidden loopMap // of an LSTM
}

// loopMap is a linear map, with a bias [batch, width] or nil. The zero value maps nothing.
type loopMap struct {
	weight *tensor.RecurrentLinear
	bias   *tensor.Tensor
}

// newLoop makes a loop over x [time, batch, inputs]; the caller calls free.
func newLoop(c *Controller, p *nn.Pass, x *tensor.Tensor) *loop {
	l := &loop{Controller: c, pass: p}
	batch, inputs, read := x.Dim(1), x.Dim(2), c.memory.ReadWidth()
	bias := func(of *tensor.Tensor) *tensor.Tensor { return of.Unsqueeze(0).Expand(batch, of.Dim(0)) }
	add := func(weight, of, hidden *tensor.Tensor) {
		var layer loopLayer
		if len(l.layers) > 0 {
			layer.in = loopMap{tensor.NewRecurrentLinear(weight), bias(of)}
		} else {
			all := tensor.Linear(x, weight.Narrow(1, 0, inputs), of)
			l.first = all.Split(0, int(x.Dim(0)))
			if read > 0 {
				layer.in.weight = tensor.NewRecurrentLinear(weight.Narrow(1, inputs, read))
			}
		}
		if hidden != nil {
			layer.hidden.weight = tensor.NewRecurrentLinear(hidden)
		}
		l.layers = append(l.layers, layer)
	}
	for _, f := range c.layers {
		add(p.Value(f.Weight), p.Value(f.Bias), nil)
	}
	for _, f := range c.cells {
		add(p.Value(f.InputWeight), p.Value(f.InputBias).Add(p.Value(f.HiddenBias)), p.Value(f.HiddenWeight))
	}
	if m, ok := c.memory.(memory.Interfaced); ok {
		l.driven = m
		emit := m.Interface()
		l.emit = loopMap{tensor.NewRecurrentLinear(p.Value(emit.Weight)), bias(p.Value(emit.Bias))}
	}
	return l
}

// free releases the maps.
func (l *loop) free() {
	maps := []loopMap{l.emit}
	for _, layer := range l.layers {
		maps = append(maps, layer.in, layer.hidden)
	}
	for _, m := range maps {
		if m.weight != nil {
			m.weight.Free()
		}
	}
}

// add returns to plus the map of x; a nil to is zero.
func (m loopMap) add(to, x *tensor.Tensor) *tensor.Tensor {
	if m.weight == nil {
		return to
	}
	return m.weight.Add(to, x)
}

// run returns the outputs of all steps, [time, batch, size+read].
func (l *loop) run(batch int64) *tensor.Tensor {
	s := l.Init(l.pass, batch)
	var controls, reads []*tensor.Tensor
	step, kept := l.step, map[*tensor.Tensor]bool{}
	if _, ok := s.Memory.(memory.Mapper); ok {
		s.each(func(part *tensor.Tensor) { kept[part] = true })
		step = func(t int, prev State) (*tensor.Tensor, State) { return l.freeing(t, prev, kept) }
	}
	for t := range l.first {
		var control *tensor.Tensor
		control, s = step(t, s)
		controls, reads = append(controls, control), append(reads, s.Read)
		kept[control], kept[s.Read] = true, true
	}
	return tensor.Cat(2, tensor.Stack(0, controls...), tensor.Stack(0, reads...))
}

// freeing is step, after which only its results, the tensors that are kept and the graph of a gradient hold memory: a sequence may have
// many steps.
func (l *loop) freeing(t int, prev State, kept map[*tensor.Tensor]bool) (control *tensor.Tensor, next State) {
	scope := tensor.Enter()
	defer scope.Leave()
	penalties := len(l.pass.Penalties)
	control, next = l.step(t, prev)
	for _, penalty := range l.pass.Penalties[penalties:] {
		scope.Keep(penalty)
	}
	held := map[*tensor.Tensor]bool{}
	next.each(func(part *tensor.Tensor) { held[scope.Keep(part)] = true })
	prev.each(func(part *tensor.Tensor) {
		if !held[part] && !kept[part] {
			part.Free()
		}
	})
	return scope.Keep(control), next
}

// step is [Controller.Step] number t; its output is control and next.Read.
func (l *loop) step(t int, prev State) (control *tensor.Tensor, next State) {
	p := l.pass
	if p.Carried > 0 {
		prev = prev.clipped(p.Carried)
	}
	for i, layer := range l.layers {
		var sum *tensor.Tensor
		if i == 0 {
			sum = layer.in.add(l.first[t].Squeeze(0), prev.Read)
		} else {
			sum = layer.in.add(layer.in.bias, control)
		}
		if l.config.Feedforward {
			control = sum.Tanh()
			continue
		}
		s := l.cells[i].Gate(p, layer.hidden.add(sum, prev.Layers[i].Hidden), prev.Layers[i])
		next.Layers, control = append(next.Layers, s), s.Hidden
	}
	if l.driven != nil {
		next.Read, next.Memory = l.driven.StepInterface(p, l.emit.add(l.emit.bias, control), prev.Memory)
	} else {
		next.Read, next.Memory = l.memory.Step(p, control, prev.Memory)
	}
	return control, next
}
