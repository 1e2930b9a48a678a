package memory

import (
	"cmp"
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// RareConfig configures [NewRare].
type RareConfig struct {
	// Slots is the number of slots; default 8192.
	Slots int64
	// Margin is α of the loss; default 0.1.
	Margin float64
	// Scale multiplies the cosines before the softmax over slots; default 40, the paper's softmax temperature for 256 neighbours.
	Scale float64
}

// Rare is the memory for rare events of Kaiser et al. 2017 ("Learning to Remember Rare Events"). A slot holds a key of length 1,
// a class and an age. A pair whose nearest key has its class moves that key to the normalised sum of both; any other pair
// overwrites the oldest slot (section 2, "Memory update"). What is stored is a constant to gradients, so a state lives across
// episodes. Values are one-hot.
//
// Where the paper's code differs: the choice of the oldest slot is exact, while the code adds noise to the ages, which are then
// hardly ever equal; all slots are neighbours, while the code takes the 256 nearest.
type Rare struct{ config RareConfig }

// NewRare makes a memory for rare events.
func NewRare(c RareConfig) *Rare {
	c.Slots, c.Margin, c.Scale = cmp.Or(c.Slots, 8192), cmp.Or(c.Margin, .1), cmp.Or(c.Scale, 40)
	return &Rare{c}
}

// RareState is what a [Rare] holds. Its tensors are nil while it is empty, and have no gradient.
type RareState struct {
	Keys   *tensor.Tensor // [batch, slots, key]: of length 1, zero in an empty slot
	Values *tensor.Tensor // [batch, slots, value]: one-hot, zero in an empty slot
	// Ages are the numbers of writes since a slot was last written, [batch, slots]. Empty slots are older than any other, the
	// first of them the oldest.
	Ages *tensor.Tensor
}

// Tensors implements [State].
func (s RareState) Tensors() []nn.Named {
	if s.Keys == nil {
		return nil
	}
	return []nn.Named{{Name: "keys", Tensor: s.Keys}, {Name: "values", Tensor: s.Values}, {Name: "ages", Tensor: s.Ages}}
}

// emptyAge is the age of the last empty slot.
const emptyAge = 1e6

// MergesClasses implements [ClassMemory].
func (m *Rare) MergesClasses() {}

// Init implements [Associative].
func (m *Rare) Init(int64) State { return RareState{} }

// unit returns rows of length 1; a row of zeros stays one.
func unit(x *tensor.Tensor) *tensor.Tensor {
	return x.Mul(x.Square().SumKeep(-1).AddScalar(1e-12).PowScalar(-.5))
}

// Write implements [Associative]. Pairs are written one after another.
func (m *Rare) Write(_ *nn.Pass, prev State, keys, values *tensor.Tensor) State {
	const op = "Rare.Write"
	s := stateOf[RareState](op, prev)
	checkPairs(op, keys, values)
	keys, values = unit(keys.Detach()), values.Detach().To(keys.DType())
	batch, slots := keys.Dim(0), m.config.Slots
	if s.Keys == nil {
		ages := make([]float32, slots)
		for i := range ages {
			ages[i] = emptyAge + float32(int(slots)-i)
		}
		s = RareState{
			Keys: zeros(keys, batch, slots, keys.Dim(2)), Values: zeros(values, batch, slots, values.Dim(2)),
			Ages: tensor.New(ages, 1, slots).To(keys.DType()).On(keys.Device()).Expand(batch, slots),
		}
	} else {
		if s.Keys.Dim(1) != slots {
			panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the state has %d slots, and the memory %d", s.Keys.Dim(1), slots)})
		}
		s.Values = withZeros(s.Values, 2, checkHeld(op, s.Keys.Dim(0), s.Keys.Dim(2), s.Values.Dim(2), keys, values))
	}
	// What a pair needs on the way is freed at once: a state is as large as the memory.
	scope := tensor.Enter()
	defer scope.Leave()
	for i := range keys.Dim(1) {
		s = s.write(keys.Narrow(1, i, 1), values.Narrow(1, i, 1))
	}
	return s.kept(scope)
}

// kept moves the state to the scope around another.
func (s RareState) kept(of *tensor.Scope) RareState {
	return RareState{Keys: of.Keep(s.Keys), Values: of.Keep(s.Values), Ages: of.Keep(s.Ages)}
}

// write writes one pair, key [batch, 1, key] and value [batch, 1, value].
func (s RareState) write(key, value *tensor.Tensor) RareState {
	scope := tensor.Enter()
	defer scope.Leave()
	// row repeats the index of a slot, [batch, 1], over a row of x.
	row := func(slot, x *tensor.Tensor) *tensor.Tensor { return slot.Unsqueeze(2).Expand(slot.Dim(0), 1, x.Dim(2)) }
	nearest, oldest := s.similarity(key).Squeeze(1).Argmax(-1).Unsqueeze(1), s.Ages.Argmax(-1).Unsqueeze(1)
	right := s.Values.Gather(1, row(nearest, s.Values)).Mul(value).Sum(-1) // [batch, 1], 1 where the nearest is of the class
	slot := tensor.Where(right.Gt(right.ZerosLike()), nearest, oldest)
	// Where the slot is of the class its key is kept in the sum, and where it is overwritten it is not.
	moved := unit(key.Add(s.Keys.Gather(1, row(slot, s.Keys)).Mul(right.Unsqueeze(2))))
	return RareState{
		Keys: s.Keys.Scatter(1, row(slot, s.Keys), moved), Values: s.Values.Scatter(1, row(slot, s.Values), value),
		Ages: s.Ages.AddScalar(1).Scatter(1, slot, right.ZerosLike()),
	}.kept(scope)
}

// similarity returns the cosines [batch, queries, slots] of queries of length 1; -2 where a slot is empty.
func (s RareState) similarity(queries *tensor.Tensor) *tensor.Tensor {
	empty := oneMinus(s.Values.Sum(-1)).Unsqueeze(1) // [batch, 1, slots], 1 where empty
	return queries.MatMul(s.Keys.Transpose(1, 2)).Sub(empty.MulScalar(2))
}

// Read implements [Associative]: by a softmax over the cosines of all slots that are written. The nearest neighbour, which the
// paper answers with, is where the attention is largest.
func (m *Rare) Read(_ *nn.Pass, state State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	s := m.written("Rare.Read", state)
	attention = m.scores(s, queries).Softmax(-1)
	return attention.MatMul(s.Values), attention
}

// LogRead implements [LogReader].
func (m *Rare) LogRead(_ *nn.Pass, state State, queries *tensor.Tensor) *tensor.Tensor {
	s := m.written("Rare.LogRead", state)
	attention := m.scores(s, queries).LogSoftmax(-1)
	return attention.Unsqueeze(-1).Add(logOf(s.Values).Unsqueeze(1)).LogSumExp(-2)
}

func (m *Rare) written(op string, state State) RareState {
	s := stateOf[RareState](op, state)
	if s.Keys == nil {
		panic(&tensor.Error{Op: op, Msg: "nothing has been written yet"})
	}
	return s
}

func (m *Rare) scores(s RareState, queries *tensor.Tensor) *tensor.Tensor {
	full := s.Values.Sum(-1).Unsqueeze(1)
	scores := s.similarity(unit(queries)).MulScalar(m.config.Scale)
	return tensor.Where(full.Gt(full.ZerosLike()), scores, scores.ZerosLike().AddScalar(logZero))
}

// Loss is the paper's margin loss of queries [batch, n, key] with one-hot classes [batch, n, value]: the mean of
// relu(s⁻ - s⁺ + α), where s⁺ and s⁻ are the largest cosines to a slot of the class and to one of another class (section 2,
// eq. 2). A query without a slot of its class, or without one of another, has a loss of zero.
func (m *Rare) Loss(_ *nn.Pass, state State, queries, classes *tensor.Tensor) *tensor.Tensor {
	s := m.written("Rare.Loss", state)
	similar := s.similarity(unit(queries))
	same := classes.To(queries.DType()).MatMul(s.Values.Transpose(1, 2)) // [batch, n, slots]
	full := s.Values.Sum(-1).Unsqueeze(1)
	best := func(of *tensor.Tensor) *tensor.Tensor {
		most, _ := similar.Sub(oneMinus(of).MulScalar(4)).Max(-1)
		return most
	}
	positive, negative := best(same), best(full.Sub(same))
	both := positive.Gt(positive.ZerosLike().AddScalar(-1.5)).To(queries.DType()).Mul(negative.Gt(negative.ZerosLike().AddScalar(-1.5)).To(queries.DType()))
	return negative.Sub(positive).AddScalar(m.config.Margin).ReLU().Mul(both).Mean()
}

// Restore implements [Restorer].
func (m *Rare) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	if len(ts) == 0 {
		return m.Init(0), nil
	}
	r := restore(fmt.Sprintf("a memory for rare events of %d slots", m.config.Slots), ts)
	s := RareState{Keys: r.take("keys", m.config.Slots, anySize)}
	s.Values = r.take("values", m.config.Slots, anySize)
	s.Ages = r.take("ages", m.config.Slots)
	return s, r.done()
}

var (
	_ LogReader   = (*Rare)(nil)
	_ ClassMemory = (*Rare)(nil)
	_ Restorer    = (*Rare)(nil)
)
