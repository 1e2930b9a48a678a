package fastweight

import (
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Recurrent is a fast-weight memory that a controller drives. One linear layer emits, for each head, query, keys and values, the
// logits of the rates, and what drives decay and momentum. A step writes and then reads.
type Recurrent struct {
	learner
	emit *nn.Linear
}

// NewRecurrent makes a memory for a controller whose output has the width control. It panics where settings of c exclude one
// another.
func NewRecurrent(b *nn.Builder, control int64, c Config) *Recurrent {
	c = c.withDefaults()
	m := &Recurrent{learner: newLearner(b, c, true)}
	var n int64
	for _, w := range m.emitted() {
		n += w.rows * w.width
	}
	m.emit = nn.NewLinear(b.In("emit"), control, c.Heads*n)
	return m
}

// emission is a part of what the linear layer emits for a head.
type emission struct{ rows, width int64 }

// emitted lists the parts: query, keys, values, rates, decay and momentum.
func (m *Recurrent) emitted() [6]emission {
	c := m.Config
	e := [6]emission{{1, c.Key}, {c.Writes, c.Key}, {c.Writes, c.Value}}
	if c.MaxRate > 0 {
		e[3] = emission{c.Writes, 1}
	}
	switch c.Gate {
	case PerHead:
		e[4] = emission{1, 1}
	case PerChannel:
		e[4] = emission{1, c.Key}
	}
	if c.Momentum {
		e[5] = emission{c.Writes, 1}
	}
	return e
}

// ReadWidth implements [memory.Recurrent].
func (m *Recurrent) ReadWidth() int64 { return m.Heads * m.Value }

// Init implements [memory.Recurrent].
func (m *Recurrent) Init(p *nn.Pass, batch int64) memory.State {
	return m.weights(p, p.Value(m.emit.Weight), batch, m.Key, m.Value)
}

// Interface implements [memory.Interfaced].
func (m *Recurrent) Interface() *nn.Linear { return m.emit }

// Step implements [memory.Recurrent].
func (m *Recurrent) Step(p *nn.Pass, control *tensor.Tensor, prev memory.State) (read *tensor.Tensor, next memory.State) {
	return m.StepInterface(p, m.emit.Forward(p, control), prev)
}

// StepInterface implements [memory.Interfaced].
func (m *Recurrent) StepInterface(p *nn.Pass, emission *tensor.Tensor, prev memory.State) (read *tensor.Tensor, next memory.State) {
	s := stateOf("Recurrent.Step", prev)
	read, s = m.Run(m.shared(p), s, m.tokens(p, emission.Unsqueeze(1)))
	return m.reading(read).Flatten(1, 3), s
}

// Sequence runs over control [batch, time, control] from a state and returns what is read, [batch, time, heads·value], and the
// state after the last step: for layers whose input does not depend on what was read.
func (m *Recurrent) Sequence(p *nn.Pass, control *tensor.Tensor, prev memory.State) (read *tensor.Tensor, next memory.State) {
	read, s := m.Run(m.shared(p), stateOf("Recurrent.Sequence", prev), m.tokens(p, m.emit.Forward(p, control)))
	return m.reading(read).Transpose(1, 2).Flatten(2, 3), s
}

// tokens returns what an emission [batch, time, emission] writes and asks.
func (m *Recurrent) tokens(p *nn.Pass, from *tensor.Tensor) Tokens {
	batch, time := from.Dim(0), from.Dim(1)
	var offset int64
	next := func(e emission) *tensor.Tensor { // [batch, heads, time·rows, width]
		n := m.Heads * e.rows * e.width
		if n == 0 {
			return nil
		}
		part := from.Narrow(2, offset, n).Reshape(batch, time, m.Heads, e.rows, e.width)
		offset += n
		return part.Permute(0, 2, 1, 3, 4).Reshape(batch, m.Heads, time*e.rows, e.width)
	}
	e := m.emitted()
	t := Tokens{Query: m.address(next(e[0])), Key: m.address(next(e[1])), Value: m.content(next(e[2]))}
	if m.ScaledQueries {
		t.Query = t.Query.MulScalar(1 / sqrt(m.Key))
	}
	if rate := next(e[3]); rate != nil {
		t.Rate = m.rate(rate)
	}
	if decay := next(e[4]); decay != nil {
		t.Decay = m.decay(p, decay)
	}
	if momentum := next(e[5]); momentum != nil {
		t.Momentum = momentum.Sigmoid()
	}
	return t
}

// Restore implements [memory.Restorer].
func (m *Recurrent) Restore(ts []nn.Named) (memory.State, error) {
	return m.restore(ts, m.Key, m.columns(m.Value))
}

var (
	_ memory.Interfaced = (*Recurrent)(nil)
	_ memory.Restorer   = (*Recurrent)(nil)
)
