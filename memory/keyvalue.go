package memory

import (
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// KeyValueConfig configures [NewKeyValue].
type KeyValueConfig struct {
	Metric metric.Metric
	// Scale multiplies the scores before the softmax; default 1, as in Vinyals et al. 2016. Cosines lie in [-1, 1],
	// so with a scale of 1 no attention can be sharp.
	Scale float64
	// Linear reads by the scores without the softmax: Sukhbaatar et al. 2015, section 4.2, for the start of training.
	Linear bool
}

// KeyValue stores all pairs, without limit, and reads by a softmax over the scores of the keys:
//
//	a(q, kᵢ) = exp(s·score(q, kᵢ)) / Σⱼ exp(s·score(q, kⱼ)),  v = Σᵢ a(q, kᵢ)·vᵢ
//
// With cosine scores this is the attention of Matching networks: Vinyals et al. 2016, eq. 1 and section 2.1.1.
type KeyValue struct {
	config KeyValueConfig
}

// NewKeyValue makes a key-value memory.
func NewKeyValue(c KeyValueConfig) *KeyValue {
	if c.Scale == 0 {
		c.Scale = 1
	}
	return &KeyValue{c}
}

// KeyValueState is the content of a [KeyValue]: all pairs in the order of writing. Both are nil while it is empty.
type KeyValueState struct {
	Keys   *tensor.Tensor // [batch, slots, key]
	Values *tensor.Tensor // [batch, slots, value]
}

// Tensors implements [State].
func (s KeyValueState) Tensors() []nn.Named {
	if s.Keys == nil {
		return nil
	}
	return []nn.Named{{Name: "keys", Tensor: s.Keys}, {Name: "values", Tensor: s.Values}}
}

// Measure returns the metric that compares keys and the scale of its scores.
func (m *KeyValue) Measure() (metric.Metric, float64) { return m.config.Metric, m.config.Scale }

// Linear implements [Linearizer].
func (m *KeyValue) Linear(on bool) Associative {
	c := m.config
	c.Linear = on
	return &KeyValue{c}
}

// Init implements [Associative].
func (m *KeyValue) Init(int64) State { return KeyValueState{} }

// Write implements [Associative]. The first pairs are stored without copying.
func (m *KeyValue) Write(_ *nn.Pass, prev State, keys, values *tensor.Tensor) State {
	const op = "KeyValue.Write"
	s := stateOf[KeyValueState](op, prev)
	checkPairs(op, keys, values)
	if s.Keys == nil {
		return KeyValueState{keys, values}
	}
	more := checkHeld(op, s.Keys.Dim(0), s.Keys.Dim(2), s.Values.Dim(2), keys, values)
	return KeyValueState{tensor.Cat(1, s.Keys, keys), tensor.Cat(1, withZeros(s.Values, 2, more), values)}
}

// Read implements [Associative].
func (m *KeyValue) Read(p *nn.Pass, s State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	kv := stateOf[KeyValueState]("KeyValue.Read", s)
	checkRead("KeyValue.Read", p, m.config.Metric)
	if _, dot := m.config.Metric.(metric.Dot); dot && kv.Keys != nil && !p.HigherOrder && tensor.FusesSteps(queries) {
		return tensor.Attend(queries, kv.Keys, kv.Values, m.config.Scale, !m.config.Linear)
	}
	attention = m.scores(p, kv, queries)
	if !m.config.Linear {
		attention = attention.Softmax(-1)
	}
	if attention.Dim(1) == 1 { // one row per task: twice as fast as a batched matrix product
		return attention.Transpose(1, 2).Mul(kv.Values).SumKeep(1), attention
	}
	return attention.MatMul(kv.Values), attention
}

// LogRead implements [LogReader]. Where no slot contributes to a value it is [logZero].
func (m *KeyValue) LogRead(p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor {
	kv := stateOf[KeyValueState]("KeyValue.LogRead", s)
	if m.config.Linear {
		panic(&tensor.Error{Op: "KeyValue.LogRead", Msg: "a linear read has no logarithm; turn Linear off"})
	}
	attention := m.scores(p, kv, queries).LogSoftmax(-1)     // [batch, queries, slots]
	values := logOf(kv.Values).Unsqueeze(1)                  // [batch, 1, slots, value]
	return attention.Unsqueeze(-1).Add(values).LogSumExp(-2) // [batch, queries, value]
}

// Match implements [Matcher].
func (m *KeyValue) Match(p *nn.Pass, s State, queries *tensor.Tensor) (scores, shares *tensor.Tensor) {
	kv := stateOf[KeyValueState]("KeyValue.Read", s)
	checkRead("KeyValue.Read", p, m.config.Metric)
	if kv.Keys == nil {
		panic(&tensor.Error{Op: "KeyValue.Read", Msg: "nothing has been written yet"})
	}
	return fitted(m.config.Metric, kv.Keys, kv.Values).Score(p, queries, kv.Keys), kv.Values
}

func (m *KeyValue) scores(p *nn.Pass, s KeyValueState, queries *tensor.Tensor) *tensor.Tensor {
	scores, _ := m.Match(p, s, queries)
	if m.config.Scale == 1 {
		return scores
	}
	return scores.MulScalar(m.config.Scale)
}

var (
	_ Matcher    = (*KeyValue)(nil)
	_ LogReader  = (*KeyValue)(nil)
	_ Linearizer = (*KeyValue)(nil)
)
