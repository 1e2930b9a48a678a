package memory

import (
	"cmp"
	"fmt"

	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// WriteRule selects how a [Bounded] memory chooses the slot for the next pair.
type WriteRule int

const (
	// LRUAWrite erases the least used slot and writes to it, as [LRUA] does: Santoro et al. 2016, section 3.2. Each
	// write is followed by a read with the same key, as in a step of LRUA, so similar slots count as used too. Unlike
	// there, every read adds 1 to the usage of the slot with the highest weight. When full, the memory evicts the
	// slot least recently written or matched.
	LRUAWrite WriteRule = iota
	// NTMWrite writes to one slot after another, as a head of [NTM] that shifts by one: Graves et al. 2014, section
	// 3.3.2. After the last slot follows the first, so the oldest pair is evicted. The location is kept separate from
	// writing by content, which would blur it.
	NTMWrite
	// DNCWrite allocates a free slot, as [DNC] does: Graves et al. 2016, Methods. Nothing is freed between the pairs
	// of a support set. When full, the memory writes by content: a pair replaces the one with the most similar key.
	DNCWrite
)

// BoundedConfig configures [NewBounded].
type BoundedConfig struct {
	Rule WriteRule
	// Slots is the capacity; default 128, the size of Graves et al. 2014 and Santoro et al. 2016.
	Slots int64
	// Metric compares queries and keys; default cosine.
	Metric metric.Metric
	// Scale is the key strength, which multiplies the scores before the softmax; default 10.
	Scale float64
	// Gate is the fraction of each write, in [0, 1), that goes to slots by content instead of by the rule. It takes
	// the place of Santoro's σ(α), the NTM's g and the DNC's allocation gate, which a controller would emit.
	Gate float64
	// Decay is the usage decay of LRUAWrite per write; default 0.95: Santoro et al. 2016.
	Decay float64
}

// Bounded stores a support set in a fixed number of slots, filled one pair at a time by the rule of a recurrent
// memory. A slot holds a key, its value and a mass, the total weight written to it. Queries read by content:
//
//	a(q, i) = mᵢ·exp(s·score(q, kᵢ)) / Σⱼ mⱼ·exp(s·score(q, kⱼ)),  v = Σᵢ a(q, i)·vᵢ
//
// An empty slot gets no attention. With enough slots and a Gate of zero, reads equal those of [KeyValue].
type Bounded struct {
	config BoundedConfig
}

// NewBounded makes a bounded memory.
func NewBounded(c BoundedConfig) *Bounded {
	c.Slots, c.Scale, c.Decay = cmp.Or(c.Slots, 128), cmp.Or(c.Scale, 10), cmp.Or(c.Decay, .95)
	if c.Metric == nil {
		c.Metric = metric.Cosine{}
	}
	return &Bounded{c}
}

// BoundedState is the content of a [Bounded]. Its tensors are nil while it is empty.
type BoundedState struct {
	Slots *tensor.Tensor // [batch, slots, key+value+1]: keys, values, and masses
	// Focus determines the next slot, [batch, 1, slots]: the usage, or for NTMWrite the location of the next write.
	Focus *tensor.Tensor
	width *tensor.Tensor // [1], int64: key, to be saved
	key   int64          // the width of a key
}

// widthName is the name under which the width of a key is saved.
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

// Masses returns the total weight written to each slot, [batch, slots, 1].
func (s BoundedState) Masses() *tensor.Tensor { return s.Slots.Narrow(2, s.Slots.Dim(2)-1, 1) }

// Measure returns the metric that compares keys and the scale of its scores.
func (m *Bounded) Measure() (metric.Metric, float64) { return m.config.Metric, m.config.Scale }

// Init implements [Associative].
func (m *Bounded) Init(int64) State { return BoundedState{} }

// Write implements [Associative]. A pair that is written to several slots is divided among them: key, value and mass.
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

// checkSlots panics for the state of a memory of another size.
func (m *Bounded) checkSlots(op string, s BoundedState) {
	if have := s.Slots.Dim(1); have != m.config.Slots {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the state has %d slots, but the memory has %d", have, m.config.Slots)})
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
		tensor.NoGrad(func() { // usage only selects slots
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
	kept := oneMinus(w).Transpose(1, 2) // erases where it writes
	next.Slots = Add(s.Slots.Mul(kept), w, row)
	return next
}

// recognise returns the content weighting [batch, 1, slots] of a key [batch, 1, key], zeros while the memory is
// empty. It never updates running statistics, which must come from queries only.
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

// written is the mass above which a slot counts as written. Below it, key and value would be quotients of rounding
// errors.
const written = 1e-5

// means returns the values divided by their masses, [batch, slots, value].
func (s BoundedState) means() *tensor.Tensor { return s.Values().Div(s.Masses().ClampMin(written)) }

// Match implements [Matcher]. It may omit slots that are empty in every task.
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

// used returns the slots [n] to score, nil for all. The batch norm of a learned relation makes each score depend on
// all slots, so there it returns only those that are written in some task.
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
		used = []int64{0} // a metric needs at least one key
	}
	return tensor.New(used, int64(len(used))).On(s.Slots.Device())
}

// scores returns the logits of the attention, [batch, queries, slots].
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
