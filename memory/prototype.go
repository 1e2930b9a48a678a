package memory

import (
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// PrototypeConfig configures [NewPrototype].
type PrototypeConfig struct {
	Metric metric.Metric
	// Scale multiplies the scores before the softmax; default 1.
	Scale float64
	// Sum uses the sum of a class's keys as its prototype instead of their mean: Sung et al. 2018, section 3.2.
	Sum bool
}

// Prototype merges pairs by class: a slot holds the mean or sum of its class's keys, and a query reads by a softmax
// over the scores of the prototypes: Snell et al. 2017, eqs. 1 and 2. Its size depends on the number of classes only.
// The columns of a value are the key's shares of the classes, so soft labels work.
type Prototype struct {
	config PrototypeConfig
}

// NewPrototype makes a prototype memory.
func NewPrototype(c PrototypeConfig) *Prototype {
	if c.Scale == 0 {
		c.Scale = 1
	}
	return &Prototype{c}
}

// PrototypeState is the content of a [Prototype]. All tensors are nil while it is empty.
type PrototypeState struct {
	Sums   *tensor.Tensor // [batch, classes, key], sum of the keys of each class
	Counts *tensor.Tensor // [batch, classes, 1], number of keys of each class
	// Scatters are stored for a fitted metric, [batch, classes, key, key]; see metric.Moments.
	Scatters *tensor.Tensor
}

// Tensors implements [State].
func (s PrototypeState) Tensors() []nn.Named {
	if s.Sums == nil {
		return nil
	}
	out := []nn.Named{{Name: "sums", Tensor: s.Sums}, {Name: "counts", Tensor: s.Counts}}
	if s.Scatters != nil {
		out = append(out, nn.Named{Name: "scatters", Tensor: s.Scatters})
	}
	return out
}

// Prototypes returns the class means [batch, classes, key]; zero for a class without examples.
func (s PrototypeState) Prototypes() *tensor.Tensor { return s.Sums.Div(s.Counts.ClampMin(countFloor)) }

// countFloor keeps the mean of an empty class finite. A count is a sum of labels, so counts of other classes are far
// larger.
const countFloor = 1e-6

// Measure returns the metric that compares keys and the scale of its scores.
func (m *Prototype) Measure() (metric.Metric, float64) { return m.config.Metric, m.config.Scale }

// MergesClasses implements [ClassMemory].
func (m *Prototype) MergesClasses() {}

// Init implements [Associative].
func (m *Prototype) Init(int64) State { return PrototypeState{} }

// Write implements [Associative].
func (m *Prototype) Write(_ *nn.Pass, prev State, keys, values *tensor.Tensor) State {
	const op = "Prototype.Write"
	s := stateOf[PrototypeState](op, prev)
	checkPairs(op, keys, values)
	if s.Sums != nil {
		if more := checkHeld(op, s.Sums.Dim(0), s.Sums.Dim(2), s.Sums.Dim(1), keys, values); more > 0 {
			s.Sums, s.Counts = withZeros(s.Sums, 1, more), withZeros(s.Counts, 1, more)
			if s.Scatters != nil {
				s.Scatters = withZeros(s.Scatters, 1, more)
			}
		}
	}
	if m.fitted() {
		next := metric.NewMoments(keys, values)
		if s.Sums != nil {
			if s.Scatters == nil {
				panic(&tensor.Error{Op: op, Msg: "the state has no scatters, which the memory's metric needs: it belongs to a prototype memory with another metric"})
			}
			next = metric.Moments(s).Add(next)
		}
		return PrototypeState(next)
	}
	byClass := values.Transpose(-2, -1) // [batch, classes, n]
	next := PrototypeState{Sums: byClass.MatMul(keys), Counts: byClass.SumKeep(-1)}
	if s.Sums != nil {
		next.Sums, next.Counts = next.Sums.Add(s.Sums), next.Counts.Add(s.Counts)
	}
	return next
}

// fitted reports whether the metric depends on the support set.
func (m *Prototype) fitted() bool {
	_, ok := m.config.Metric.(metric.Fitted)
	return ok
}

// Read implements [Associative]. The value of a slot is its class, so values and attention are the same.
func (m *Prototype) Read(p *nn.Pass, s State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	a := m.scores(p, s, queries).Softmax(-1)
	return a, a
}

// LogRead implements [LogReader].
func (m *Prototype) LogRead(p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor {
	return m.scores(p, s, queries).LogSoftmax(-1)
}

// Match implements [Matcher]. Each slot belongs to one class.
func (m *Prototype) Match(p *nn.Pass, state State, queries *tensor.Tensor) (scores, shares *tensor.Tensor) {
	const op = "Prototype.Read"
	s := stateOf[PrototypeState](op, state)
	checkRead(op, p, m.config.Metric)
	if s.Sums == nil {
		panic(&tensor.Error{Op: op, Msg: "nothing has been written yet"})
	}
	if m.fitted() && s.Scatters == nil {
		panic(&tensor.Error{Op: op, Msg: "the state has no scatters, which the memory's metric needs: it belongs to a prototype memory with another metric"})
	}
	measure := m.config.Metric
	if f, ok := measure.(metric.Fitted); ok {
		measure = f.Fit(metric.Moments(s), nil)
	}
	keys := s.Sums
	if !m.config.Sum {
		keys = s.Prototypes()
	}
	present := s.Counts.Gt(s.Counts.ZerosLike()).To(keys.DType()) // [batch, classes, 1]
	return measure.Score(p, queries, keys), tensor.Eye(present.Dim(1), keys.DType(), keys.Device()).Mul(present)
}

func (m *Prototype) scores(p *nn.Pass, state State, queries *tensor.Tensor) *tensor.Tensor {
	s := stateOf[PrototypeState]("Prototype.Read", state)
	scores, _ := m.Match(p, state, queries)
	if m.config.Scale != 1 {
		scores = scores.MulScalar(m.config.Scale)
	}
	// The zero mean of a class without keys must not attract queries.
	counts := s.Counts.Transpose(-2, -1) // [batch, 1, classes]
	return tensor.Where(counts.Gt(counts.ZerosLike()), scores, scores.ZerosLike().AddScalar(logZero))
}

var (
	_ Matcher     = (*Prototype)(nil)
	_ LogReader   = (*Prototype)(nil)
	_ ClassMemory = (*Prototype)(nil)
)
