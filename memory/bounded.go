package memory

import (
	"fmt"

	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// WriteRule is how a [Bounded] memory chooses the slot for the next pair.
type WriteRule int

const (
	// LRUAWrite writes to the least used slot, as [LRUA] does, and wipes what it held: Santoro et al. 2016, section 3.2. Each
	// writing is followed by a reading with the same key, as a step of LRUA is, so slots that are like it count as used too;
	// here every reading counts fully for the slot that it is strongest in, so that a new slot is never less used than one
	// that nothing has come near to since. When all slots are taken, the one that was longest neither written nor met is lost.
	LRUAWrite WriteRule = iota
	// NTMWrite goes from slot to slot, one a pair, as a head of [NTM] does that shifts by one: Graves et al. 2014, section
	// 3.3.2. Round the end it comes back to the first slot, so the oldest pair is lost. The location is kept apart from
	// writing by content, which would blur it.
	NTMWrite
	// DNCWrite allocates a free slot, as [DNC] does: Graves et al. 2016, Methods. Nothing is freed between the pairs of a
	// support set, so when all slots are in use, what cannot be allocated is written by content: a pair then replaces the one
	// that its key is most like.
	DNCWrite
)

// BoundedConfig are the settings of [NewBounded].
type BoundedConfig struct {
	Rule WriteRule
	// Slots bounds how much is held; zero stands for 128, the size of Graves et al. 2014 and Santoro et al. 2016.
	Slots int64
	// Metric compares queries and keys; nil stands for the cosine.
	Metric metric.Metric
	// Scale is the key strength, which multiplies the scores before the softmax; zero stands for 10.
	Scale float64
	// Gate is the share of each writing, in [0, 1), that goes by content to the slots that the key is most like, and not by
	// the rule; zero writes by the rule alone. In place of Santoro's σ(α), Graves's g and Graves's allocation gate, which a
	// controller would emit.
	Gate float64
	// Decay is how much usage LRUAWrite keeps from one writing to the next; zero stands for 0.95: Santoro et al. 2016.
	Decay float64
}

// Bounded holds a support set in a fixed number of slots, which it fills by the rule of a memory that controllers drive. A
// slot holds a key, its value, and a mass that says how much was written to it; pairs are written one after another. Keys
// are addressed by content, and values are read:
//
//	a(q, i) = mᵢ·exp(s·score(q, kᵢ)) / Σⱼ mⱼ·exp(s·score(q, kⱼ)),  v = Σᵢ a(q, i)·vᵢ
//
// So an empty slot draws no attention, and while there are slots enough and Gate is zero it reads what [KeyValue] reads.
type Bounded struct {
	config BoundedConfig
}

// NewBounded makes a bounded memory.
func NewBounded(c BoundedConfig) *Bounded {
	c.Slots, c.Scale, c.Decay = or(c.Slots, 128), or(c.Scale, 10), or(c.Decay, .95)
	if c.Metric == nil {
		c.Metric = metric.Cosine{}
	}
	return &Bounded{c}
}

// BoundedState is what a [Bounded] holds. Its tensors are nil while it is empty.
type BoundedState struct {
	Slots *tensor.Tensor // [batch, slots, key+value+1]: keys, values, and masses
	// Focus is what the rule chooses the next slot by, [batch, 1, slots]: the usage, and for NTMWrite the location of the next
	// writing.
	Focus *tensor.Tensor
	width *tensor.Tensor // [1], int64: key, to be saved with the others
	key   int64          // the width of a key
}

// widthName is what the width of a key is saved as.
const widthName = "key_width"

// Tensors implements [State].
func (s BoundedState) Tensors() []nn.Named {
	if s.Slots == nil {
		return nil
	}
	return []nn.Named{{Name: "slots", Tensor: s.Slots}, {Name: "focus", Tensor: s.Focus}, {Name: widthName, Tensor: s.width}}
}

// Keys returns the keys times their masses, [batch, slots, key].
func (s BoundedState) Keys() *tensor.Tensor { return s.Slots.Narrow(2, 0, s.key) }

// Values returns the values times their masses, [batch, slots, value].
func (s BoundedState) Values() *tensor.Tensor {
	return s.Slots.Narrow(2, s.key, s.Slots.Dim(2)-s.key-1)
}

// Masses returns how much was written to each slot, [batch, slots, 1].
func (s BoundedState) Masses() *tensor.Tensor { return s.Slots.Narrow(2, s.Slots.Dim(2)-1, 1) }

// Measure returns what keys are compared by, and what its scores are multiplied by.
func (m *Bounded) Measure() (metric.Metric, float64) { return m.config.Metric, m.config.Scale }

// Init implements [Associative].
func (m *Bounded) Init(int64) State { return BoundedState{} }

// Write implements [Associative]. Of an example written partly to many slots, each gets its share of key, value and mass.
func (m *Bounded) Write(p *nn.Pass, prev State, keys, values *tensor.Tensor) State {
	const op = "Bounded.Write"
	s := stateOf[BoundedState](op, prev)
	checkPairs(op, keys, values)
	checkRead(op, p, m.config.Metric)
	batch, n := keys.Dim(0), keys.Dim(1)
	rows := tensor.Cat(2, keys, values, tensor.Full(1, keys.DType(), keys.Device(), batch, n, 1))
	if s.Slots == nil {
		key := keys.Dim(2)
		s = BoundedState{Slots: zeros(keys, batch, m.config.Slots, rows.Dim(2)), width: tensor.New([]int64{key}, 1), key: key}
		if s.Focus = zeros(keys, batch, 1, m.config.Slots); m.config.Rule == NTMWrite {
			s.Focus = onFirstSlot(keys, batch, 1, m.config.Slots)
		}
	} else {
		m.checkSlots(op, s)
		held := s.Slots.Dim(2) - s.key - 1
		if more := checkHeld(op, s.Slots.Dim(0), s.key, held, keys, values); more > 0 {
			s.Slots = tensor.Cat(2, withZeros(s.Slots.Narrow(2, 0, s.key+held), 2, more), s.Masses())
		}
	}
	for i := range n {
		s = m.write(p, s, keys.Narrow(1, i, 1), rows.Narrow(1, i, 1))
	}
	return s
}

// checkSlots refuses the state of a memory of another size.
func (m *Bounded) checkSlots(op string, s BoundedState) {
	if have := s.Slots.Dim(1); have != m.config.Slots {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the state has %d slots and the memory %d: it is another memory's", have, m.config.Slots)})
	}
}

// write writes one row [batch, 1, key+value+1] under a key [batch, 1, key].
func (m *Bounded) write(p *nn.Pass, s BoundedState, key, row *tensor.Tensor) BoundedState {
	gate := m.config.Gate
	next := BoundedState{width: s.width, key: s.key}
	var w *tensor.Tensor
	switch m.config.Rule {
	case LRUAWrite:
		least := LeastUsed(s.Focus, 1)
		w = least
		if gate > 0 {
			w = mix(gate, m.recognise(p, s, key), least)
		}
		next.Slots = Add(Wipe(s.Slots, least), w, row)
		tensor.NoGrad(func() { // usage only ever chooses slots
			read := m.recognise(p, next, key)
			strongest, _ := read.Max(-1)
			read = read.Div(strongest.Unsqueeze(-1).ClampMin(smallest))
			next.Focus = DecayedUsage(s.Focus, m.config.Decay, read, w)
		})
		return next
	case NTMWrite:
		w = s.Focus
		if gate > 0 {
			w = mix(gate, m.recognise(p, s, key), w)
		}
		next.Focus = s.Focus.Roll(-1, 1)
	case DNCWrite:
		a := allocation(s.Focus, smallest, written).MulScalar(1 - gate)
		w = a.Add(m.recognise(p, s, key).Mul(oneMinus(a.SumKeep(-1))))
		next.Focus = Usage(s.Focus, w, nil)
	}
	kept := oneMinus(w).Transpose(1, 2) // whatever the weighting is on is erased
	next.Slots = Add(s.Slots.Mul(kept), w, row)
	return next
}

// recognise returns the weighting [batch, 1, slots] of the slots that a key [batch, 1, key] is like; zeros while there is
// nothing.
// A pass that trains moves no running statistics by it, which are those of queries.
func (m *Bounded) recognise(p *nn.Pass, s BoundedState, key *tensor.Tensor) *tensor.Tensor {
	looking := *p
	looking.Training = false
	full := s.Masses().SumKeep(1).ClampMax(1)
	return m.scores(&looking, s, key).Softmax(-1).Mul(full)
}

// mix returns gate·a + (1-gate)·b.
func mix(gate float64, a, b *tensor.Tensor) *tensor.Tensor {
	return a.MulScalar(gate).Add(b.MulScalar(1 - gate))
}

// Read implements [Associative].
func (m *Bounded) Read(p *nn.Pass, state State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	s := stateOf[BoundedState]("Bounded.Read", state)
	attention = m.scores(p, s, queries).Softmax(-1)
	return attention.MatMul(s.means()), attention
}

// LogRead implements [LogReader].
func (m *Bounded) LogRead(p *nn.Pass, state State, queries *tensor.Tensor) *tensor.Tensor {
	s := stateOf[BoundedState]("Bounded.Read", state)
	attention := m.scores(p, s, queries).LogSoftmax(-1)      // [batch, queries, slots]
	values := logOf(s.means()).Unsqueeze(1)                  // [batch, 1, slots, value]
	return attention.Unsqueeze(-1).Add(values).LogSumExp(-2) // [batch, queries, value]
}

// written is the mass from which on a slot counts as written. Below it, key and value would be quotients of rounding errors.
const written = 1e-5

// means returns the values without their masses, [batch, slots, value].
func (s BoundedState) means() *tensor.Tensor { return s.Values().Div(s.Masses().ClampMin(written)) }

// Match implements [Matcher]. It may leave slots out that are empty in every task.
func (m *Bounded) Match(p *nn.Pass, state State, queries *tensor.Tensor) (scores, shares *tensor.Tensor) {
	const op = "Bounded.Read"
	s := stateOf[BoundedState](op, state)
	checkRead(op, p, m.config.Metric)
	if s.Slots == nil {
		panic(&tensor.Error{Op: op, Msg: "nothing has been written yet"})
	}
	m.checkSlots(op, s)
	slots := s.Slots
	if used := m.used(s); used != nil {
		slots = slots.IndexSelect(1, used)
	}
	held := BoundedState{Slots: slots, key: s.key}
	keys := held.Keys().Div(held.Masses().ClampMin(written))
	return fitted(m.config.Metric, keys, held.Values()).Score(p, queries, keys), held.Values()
}

// used returns the slots [n] to score: nil for all, but under a learned relation, whose batch norm makes the score of a pair
// depend on the others, only those that hold something in any task.
func (m *Bounded) used(s BoundedState) *tensor.Tensor {
	if _, ok := m.config.Metric.(*metric.Relation); !ok {
		return nil
	}
	most, _ := s.Masses().Detach().Squeeze(2).Max(0)
	var used []int64
	for i, mass := range most.Floats() {
		if mass > written {
			used = append(used, int64(i))
		}
	}
	switch len(used) {
	case int(m.config.Slots):
		return nil
	case 0:
		used = []int64{0} // a metric wants something to score
	}
	return tensor.New(used, int64(len(used))).On(s.Slots.Device())
}

// scores returns what the attention is the softmax of, [batch, queries, slots].
func (m *Bounded) scores(p *nn.Pass, s BoundedState, queries *tensor.Tensor) *tensor.Tensor {
	scores, _ := m.Match(p, s, queries)
	if used := m.used(s); used != nil {
		all := zeros(queries, queries.Dim(0), queries.Dim(1), m.config.Slots)
		scores = all.Scatter(2, used.Reshape(1, 1, -1).Expand(queries.Dim(0), queries.Dim(1), -1), scores)
	}
	masses := s.Masses().Transpose(1, 2) // [batch, 1, slots]
	kept, empty := masses.ClampMin(written), masses.ZerosLike()
	scores = scores.MulScalar(m.config.Scale).Add(kept.Log())
	return tensor.Where(masses.Gt(empty.AddScalar(written)), scores, empty.AddScalar(logZero))
}

var (
	_ Matcher   = (*Bounded)(nil)
	_ LogReader = (*Bounded)(nil)
)
