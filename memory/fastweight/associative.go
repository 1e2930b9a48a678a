package fastweight

import (
	"fmt"
	"math"
	"slices"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// AssociativeConfig configures [NewAssociative].
type AssociativeConfig struct {
	Config
	// Learned computes rate, decay and momentum of a write from its key, by a linear layer. Otherwise they are constants.
	Learned bool
	// Rate is the constant learning rate, default 1: with keys of length 1 the delta rule then stores a pair exactly.
	Rate float64
	// Keep is the constant factor that the weights keep at a write, default 1.
	Keep float64
	// KeepMomentum is the constant factor that the momentum keeps, default 0.9.
	KeepMomentum float64
	// Scale multiplies what is read before the softmax over classes ([memory.LogReader]); default 10. It has no meaning where
	// the memory is Averaged, which reads probabilities.
	Scale float64
}

// Associative is a fast-weight memory of keys and values: it has no slots, and its size does not depend on what is written. It
// has one head. A residual model takes values of up to the width of the keys, which are filled up with zeros; its keys have the length
// 1, its layers no biases, and its layer norm starts with the gain 1/√key, so that what is read is about as long as a one-hot value.
type Associative struct {
	learner
	config AssociativeConfig
	gates  *nn.Linear // key to rate, decay and momentum; nil where they are constants
}

// NewAssociative makes a memory for keys of the width c.Key. It panics where settings of c exclude one another.
func NewAssociative(b *nn.Builder, c AssociativeConfig) *Associative {
	set := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.Rate, 1)
	set(&c.Keep, 1)
	set(&c.KeepMomentum, .9)
	set(&c.Scale, 10)
	if c.Residual {
		c.Value = c.Key
		// The papers' settings are for long sequences. Keys of other lengths would need other rates, what is written to a bias is read
		// by every query, and with a gain of one a one-hot value is far from what the layer norm returns.
		c.UnitKeys, c.Biased, c.StartStd, c.StartGain = true, false, 0, 1/sqrt(c.Key)
	}
	c.Config = c.Config.withDefaults()
	if c.Heads > 1 || c.Writes > 1 {
		panic("fastweight: an associative memory has one head and one write per pair")
	}
	m := &Associative{learner: newLearner(b, c.Config, c.Learned), config: c}
	if n := m.driven(); n > 0 && c.Learned {
		m.gates = nn.NewLinear(b.In("gates"), c.Key, n)
	}
	return m
}

// driven is how many numbers drive rate, decay and momentum.
func (m *Associative) driven() int64 {
	var n int64
	if m.MaxRate > 0 {
		n++
	}
	switch m.Gate {
	case PerHead:
		n++
	case PerChannel:
		n += m.Key
	}
	if m.Momentum {
		n++
	}
	return n
}

// Ordered implements [memory.Ordered]: only sums of outer products that nothing decays do not depend on the order.
func (m *Associative) Ordered() bool {
	return m.deep() || m.Loss != Dot || m.Gate != NoGate || m.config.Keep != 1
}

// Init implements [memory.Associative].
func (m *Associative) Init(int64) memory.State { return State{} }

// Write implements [memory.Associative].
func (m *Associative) Write(p *nn.Pass, prev memory.State, keys, values *tensor.Tensor) memory.State {
	const op = "fastweight.Write"
	s := stateOf(op, prev)
	k, v := keys.Shape(), values.Shape()
	if len(k) != 3 || len(v) != 3 || k[0] != v[0] || k[1] != v[1] || k[1] == 0 || k[2] != m.Key {
		panic(&tensor.Error{Op: op, Shapes: [][]int64{k, v}, Msg: fmt.Sprintf("want keys [batch, n, %d] and values [batch, n, value]", m.Key)})
	}
	s = m.fit(op, p, s, keys, values)
	if m.deep() {
		values, s.columns = widened(values, m.Value), v[2]
	}
	columns := s.columns
	key := keys.Unsqueeze(1) // one head
	t := Tokens{Key: m.address(key), Value: m.content(values.Unsqueeze(1))}
	m.drive(p, &t, key)
	m.skipEmpty(&t, key)
	_, s = m.Run(m.shared(p), s, t)
	s.columns = columns
	return s
}

// fit returns the state with as many columns as the values have: the initial one before the first write, and one with columns
// of zeros more where there are new classes.
func (m *Associative) fit(op string, p *nn.Pass, s State, keys, values *tensor.Tensor) State {
	batch, width := keys.Dim(0), values.Dim(2)
	wrong := func(msg string) {
		panic(&tensor.Error{Op: op, Shapes: [][]int64{keys.Shape(), values.Shape()}, Msg: msg})
	}
	if m.deep() && width > m.Value {
		wrong(fmt.Sprintf("a model of the width %d holds no wider values; use a wider encoder or another memory", m.Value))
	}
	if s.Weights == nil {
		return m.weights(p, keys, batch, m.Key, width)
	}
	if s.Weights[0].Dim(0) != batch {
		wrong(fmt.Sprintf("the memory holds a batch of %d", s.Weights[0].Dim(0)))
	}
	held := s.columns
	if !m.deep() {
		held = s.Weights[0].Dim(3) - m.columns(0)
	}
	if width < held {
		wrong(fmt.Sprintf("the memory holds values of width %d; values must have at least that", held))
	}
	if width == held || m.deep() {
		return s
	}
	return s.Map(func(w *tensor.Tensor) *tensor.Tensor {
		grown := widened(w.Narrow(3, 0, held), width)
		if m.Averaged {
			grown = tensor.Cat(3, grown, w.Narrow(3, held, 1))
		}
		return grown
	}).(State)
}

// widened returns x with zeros after its last dimension.
func widened(x *tensor.Tensor, width int64) *tensor.Tensor {
	shape := x.Shape()
	last := len(shape) - 1
	if shape[last] == width {
		return x
	}
	shape[last] = width - shape[last]
	return tensor.Cat(last, x, tensor.Full(0, x.DType(), x.Device(), shape...))
}

// drive sets rate, decay and momentum of the writes with keys [batch, 1, n, key].
func (m *Associative) drive(p *nn.Pass, t *Tokens, keys *tensor.Tensor) {
	constant := func(v float64) *tensor.Tensor {
		return tensor.Full(v, keys.DType(), keys.Device(), keys.Dim(0), 1, keys.Dim(2), 1)
	}
	if m.gates == nil {
		if m.config.Rate != 1 {
			t.Rate = constant(m.config.Rate)
		}
		if m.config.Keep != 1 {
			t.Decay = constant(math.Log(m.config.Keep))
		}
		if m.Momentum {
			t.Momentum = constant(m.config.KeepMomentum)
		}
		return
	}
	from := m.gates.Forward(p, keys)
	var offset int64
	next := func(n int64) *tensor.Tensor {
		offset += n
		return from.Narrow(3, offset-n, n)
	}
	if m.MaxRate > 0 {
		t.Rate = m.rate(next(1))
	}
	switch m.Gate {
	case PerHead:
		t.Decay = m.decay(p, next(1))
	case PerChannel:
		t.Decay = m.decay(p, next(m.Key))
	}
	if m.Momentum {
		t.Momentum = next(1).Sigmoid()
	}
}

// skipEmpty takes keys of zeros for empty slots: their rate and decay are zero. Otherwise the weights would decay, and gradients
// through a layer norm, which has no scale there, would overflow.
func (m *Associative) skipEmpty(t *Tokens, keys *tensor.Tensor) {
	if m.Features == ELU || !m.deep() && t.Decay == nil {
		return // keys of zeros are keys, or write nothing by themselves
	}
	length := keys.Detach().Square().SumKeep(-1)
	written := length.Gt(length.ZerosLike()).To(keys.DType())
	if t.Rate == nil {
		t.Rate = written
	} else {
		t.Rate = t.Rate.Mul(written)
	}
	if t.Decay != nil {
		t.Decay = t.Decay.Mul(written)
	}
	if t.Momentum != nil { // nothing of it is applied, and it ends
		t.Momentum = t.Momentum.Mul(written)
	}
}

// Read implements [memory.Associative]. There are no slots to attend to: the attention is nil.
func (m *Associative) Read(p *nn.Pass, state memory.State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	const op = "fastweight.Read"
	s := stateOf(op, state)
	if s.Weights == nil {
		panic(&tensor.Error{Op: op, Msg: "nothing has been written yet"})
	}
	read := m.reading(model{m.Rule, m.shared(p)}.forward(m.effective(s.Weights), m.address(queries.Unsqueeze(1))).y).Squeeze(1)
	if m.deep() { // without the columns that values were filled up with
		read = read.Narrow(-1, 0, s.columns)
	}
	return read, nil
}

// LogRead implements [memory.LogReader]: with one-hot values, the log-probabilities of the classes.
func (m *Associative) LogRead(p *nn.Pass, s memory.State, queries *tensor.Tensor) *tensor.Tensor {
	values, _ := m.Read(p, s, queries)
	if m.Averaged {
		return values.ClampMin(1e-30).Log()
	}
	return values.MulScalar(m.config.Scale).LogSoftmax(-1)
}

// Restore implements [memory.Restorer].
func (m *Associative) Restore(ts []nn.Named) (memory.State, error) {
	if len(ts) == 0 {
		return m.Init(0), nil
	}
	if !m.deep() {
		return m.restore(ts, m.Key, anySize)
	}
	columns := int64(0)
	ts = slices.DeleteFunc(slices.Clone(ts), func(t nn.Named) bool {
		if t.Name == columnsName && t.Tensor.DType() == tensor.Int64 && t.Tensor.Numel() == 1 {
			columns = tensor.Values[int64](t.Tensor)[0]
			return true
		}
		return false
	})
	out, err := m.restore(ts, m.Key, m.Value)
	if err == nil && (columns < 1 || columns > m.Value) {
		err = fmt.Errorf("fastweight: the state does not match the memory: %s is missing, or is not one int64 from 1 to %d", columnsName, m.Value)
	}
	if err != nil {
		return nil, err
	}
	s := out.(State)
	s.columns = columns
	return s, nil
}

var (
	_ memory.LogReader = (*Associative)(nil)
	_ memory.Restorer  = (*Associative)(nil)
	_ memory.Ordered   = (*Associative)(nil)
)
