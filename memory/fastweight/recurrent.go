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
	m.emit = nn.NewLinear(b.In("emit"), control, c.emission().Width())
	return m
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

// tokens returns what emissions [batch, time, emission] write and ask, in one operation where there is one.
func (m *Recurrent) tokens(p *nn.Pass, from *tensor.Tensor) Tokens {
	if p.HigherOrder || !tensor.FusesSteps(from) {
		return m.composed(p, from)
	}
	var rate, bias *tensor.Tensor
	if m.Gate != NoGate {
		rate, bias = p.Value(m.decayRate), p.Value(m.decayBias)
	}
	t, momentum := tensor.FastWeightTokens(m.emission(), from, rate, bias)
	return Tokens{Query: t.Query, Key: t.Key, Value: t.Value, Rate: t.Rate, Decay: t.Decay, Momentum: momentum}
}

// composed is the reference implementation of tokens.
func (m *Recurrent) composed(p *nn.Pass, from *tensor.Tensor) Tokens {
	batch, time, e := from.Dim(0), from.Dim(1), m.emission()
	var offset int64
	next := func(rows, width int64) *tensor.Tensor { // [batch, heads, time·rows, width]
		n := m.Heads * rows * width
		part := from.Narrow(2, offset, n).Reshape(batch, time, m.Heads, rows, width)
		offset += n
		return part.Permute(0, 2, 1, 3, 4).Reshape(batch, m.Heads, time*rows, width)
	}
	t := Tokens{Query: m.address(next(1, e.Key)), Key: m.address(next(e.Writes, e.Key)), Value: m.content(next(e.Writes, e.Value))}
	t.Query = t.Query.MulScalar(e.QueryScale)
	if e.MaxRate > 0 {
		t.Rate = m.rate(next(e.Writes, 1))
	}
	if e.Channels > 0 {
		t.Decay = m.decay(p, next(1, e.Channels))
	}
	if e.Momentum {
		t.Momentum = next(e.Writes, 1).Sigmoid()
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
