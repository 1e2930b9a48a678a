package memory_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// plainRare is the naive loop of one task; a class of -1 marks an empty slot.
type plainRare struct {
	keys    [][]float64
	classes []int
	ages    []int
}

func (m *plainRare) nearest(q []float64) int {
	best, at := math.Inf(-1), -1
	for i, k := range m.keys {
		if m.classes[i] >= 0 && dot(q, k) > best {
			best, at = dot(q, k), i
		}
	}
	return at
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func normalised(x []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] / math.Sqrt(dot(x, x))
	}
	return out
}

func (m *plainRare) write(key []float64, class int) {
	key = normalised(key)
	at := m.nearest(key)
	for i := range m.ages {
		m.ages[i]++
	}
	if at >= 0 && m.classes[at] == class {
		for i := range key {
			m.keys[at][i] += key[i]
		}
		m.keys[at] = normalised(m.keys[at])
	} else {
		at = 0
		for i := range m.ages {
			if m.ages[i] > m.ages[at] {
				at = i
			}
		}
		m.keys[at], m.classes[at] = key, class
	}
	m.ages[at] = 0
}

func TestRareIsThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	const batch, slots, n, classes, width = 2, 5, 40, 4, 3
	m := memory.NewRare(memory.RareConfig{Slots: slots})
	keys, p := floats(r.NormFloat64, batch, n, width), &nn.Pass{}
	labels := make([]int64, batch*n)
	for i := range labels {
		labels[i] = r.Int64N(classes)
	}
	values := tensor.New(labels, batch, n).OneHot(classes).To(tensor.Float64)
	var s memory.State = m.Init(batch)
	plain := make([]*plainRare, batch)
	for b := range plain {
		plain[b] = &plainRare{make([][]float64, slots), make([]int, slots), make([]int, slots)}
		for i := range slots {
			plain[b].keys[i], plain[b].classes[i], plain[b].ages[i] = make([]float64, width), -1, 1_000_000+slots-i
		}
	}
	for i := range int64(n) {
		before := contents(s)
		next := m.Write(p, s, keys.Narrow(1, i, 1), values.Narrow(1, i, 1))
		assert.Equal(t, before, contents(s), "a state is a value")
		s = next
		for b, want := range plain {
			want.write(rows(keys, int64(b))[i], int(labels[int64(b)*n+i]))
			held := s.(memory.RareState)
			for slot := range slots {
				assert.InDeltaSlice(t, want.keys[slot], rows(held.Keys, int64(b))[slot], 1e-5)
				for c, v := range rows(held.Values, int64(b))[slot] {
					assert.Equal(t, want.classes[slot] == c, v == 1, "write %d, slot %d, class %d", i, slot, c)
				}
				assert.InDelta(t, want.ages[slot], held.Ages.Select(0, int64(b)).Floats()[slot], 1e-9)
			}
		}
	}
	queries := floats(r.NormFloat64, batch, 6, width)
	_, attention := m.Read(p, s, queries)
	for b, want := range plain {
		for i, q := range rows(queries, int64(b)) {
			assert.EqualValues(t, want.nearest(normalised(q)), tensor.Values[int64](attention.Argmax(-1))[b*6+i])
		}
	}
	// The loss.
	want, asked := 0., tensor.New([]int64{0, 1, 2, 3, 0, 1, 1, 2, 3, 0, 1, 2}, batch, 6)
	for b, task := range plain {
		for i, q := range rows(queries, int64(b)) {
			positive, negative := math.Inf(-1), math.Inf(-1)
			for slot, k := range task.keys {
				if int64(task.classes[slot]) == tensor.Values[int64](asked)[b*6+i] {
					positive = max(positive, dot(normalised(q), k))
				} else if task.classes[slot] >= 0 {
					negative = max(negative, dot(normalised(q), k))
				}
			}
			if !math.IsInf(positive, 0) && !math.IsInf(negative, 0) {
				want += max(negative-positive+.1, 0) / (batch * 6)
			}
		}
	}
	assert.InDelta(t, want, m.Loss(p, s, queries, asked.OneHot(classes)).Float(), 1e-6)
}

// Written at once, in parts, with new classes, or restored in between, the same is held.
func TestRareInParts(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	m, p := memory.NewRare(memory.RareConfig{Slots: 4}), &nn.Pass{}
	keys, values := support(r, 2, 9, 3, 4)
	want := contents(m.Write(p, m.Init(2), keys, values))
	s := m.Write(p, m.Init(2), keys.Narrow(1, 0, 2), values.Narrow(1, 0, 2).Narrow(2, 0, 2))
	s, err := m.Restore(s.Tensors())
	require.NoError(t, err)
	s = m.Write(p, s, keys.Narrow(1, 2, 7), values.Narrow(1, 2, 7))
	assert.Equal(t, want, contents(s))
	_, err = memory.NewRare(memory.RareConfig{Slots: 5}).Restore(s.Tensors())
	assert.ErrorContains(t, err, "the state does not match a memory for rare events of 5 slots")
	empty, err := m.Restore(nil)
	require.NoError(t, err)
	assert.ErrorContains(t, tensor.Do(func() error { m.Read(p, empty, keys); return nil }), "nothing has been written yet")
}

// The gradient of reads and loss by the queries is the finite difference; what is stored has none.
func TestGradientOfRare(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	m, p := memory.NewRare(memory.RareConfig{Slots: 6, Scale: 3, Margin: 1.5}), &nn.Pass{}
	keys, values := support(r, 2, 8, 3, 4)
	stored := keys.Clone().Detach().RequireGrad()
	s := m.Write(p, m.Init(2), stored, values)
	for _, n := range s.Tensors() {
		assert.False(t, n.Tensor.RequiresGrad(), n.Name)
	}
	checkGradient(t, []*tensor.Tensor{floats(r.NormFloat64, 2, 5, 4)}, nil, func(x []*tensor.Tensor) []*tensor.Tensor {
		read, _ := m.Read(p, s, x[0])
		return []*tensor.Tensor{read, memory.LogRead(m, p, s, x[0]), m.Loss(p, s, x[0], values.Narrow(1, 0, 5)).Reshape(1)}
	})
}

// Zero keys and queries, one pair and ten thousand.
func TestRareStaysFinite(t *testing.T) {
	testkit.Enter(t)
	m, p := memory.NewRare(memory.RareConfig{Slots: 8}), &nn.Pass{}
	keys, queries := tensor.Zeros(1, 1, 3), tensor.Zeros(1, 2, 3).RequireGrad()
	values := tensor.New([]int64{1}, 1, 1).OneHot(2)
	s := m.Write(p, m.Init(1), keys, values)
	loss := memory.LogRead(m, p, s, queries).Narrow(2, 1, 1).Sum().Add(m.Loss(p, s, queries, tensor.Cat(1, values, values)))
	assert.True(t, loss.Finite())
	assert.True(t, tensor.Grad(loss, queries)[0].Finite())
	r := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		scope := tensor.Enter()
		keys, values := support(r, 1, 100, 5, 3)
		s = m.Write(p, s, keys.To(tensor.Float32), values.To(tensor.Float32))
		for _, n := range s.Tensors() {
			scope.Keep(n.Tensor)
		}
		scope.Leave()
	}
	read, _ := m.Read(p, s, queries)
	assert.True(t, read.Finite())
	for _, k := range rows(s.(memory.RareState).Keys, 0) {
		assert.InDelta(t, 1, dot(k, k), 1e-4)
	}
}

// An encoder learns by the margin loss on a memory that lives across episodes.
func TestRareLearns(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	encoder := nn.NewLinear(b, 12, 4)
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	t.Cleanup(opt.Free)
	m := memory.NewRare(memory.RareConfig{Slots: 64})
	const classes, n = 6, 12
	var s memory.State = m.Init(1)
	var first, last float64
	for step := range 200 {
		scope := tensor.Enter()
		r, p := rand.New(rand.NewPCG(uint64(step), 5)), &nn.Pass{Training: true}
		var x []float32
		var y []int64
		for range n {
			class := r.Int64N(classes)
			y = append(y, class)
			for d := range 12 {
				v := 1.5 * r.NormFloat64()
				if d < 3 {
					v = 4*float64((class+1)>>d&1) - 2 + .1*r.NormFloat64()
				}
				x = append(x, float32(v))
			}
		}
		keys, labels := encoder.Forward(p, tensor.New(x, 1, n, 12)), tensor.New(y, 1, n).OneHot(classes)
		if step > 0 {
			loss := m.Loss(p, s, keys, labels)
			if step <= 20 {
				first += loss.Float() / 20
			}
			if step >= 180 {
				last += loss.Float() / 20
			}
			if loss.RequiresGrad() {
				opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .02)
			}
		}
		s = m.Write(p, s, keys, labels)
		for _, n := range s.Tensors() {
			scope.Keep(n.Tensor)
		}
		scope.Leave()
	}
	t.Logf("loss from %.3f to %.3f", first, last)
	assert.Less(t, last, .5*first)
}

// The fast form gives the loss, the gradient and the answers of the step-by-step form: with keys of one class near each other, so that
// some are moved, with fewer slots than keys, so that the oldest are overwritten, and with equal keys.
func TestRareSequenceMatchesPlain(t *testing.T) {
	for _, c := range []struct {
		steps, n, classes, slots int64
		noise                    float64
	}{{7, 4, 3, 28, .3}, {12, 3, 4, 9, .5}, {6, 5, 2, 40, 0}, {1, 3, 2, 3, 1}, {5, 1, 5, 8, .3}, {9, 2, 1, 18, .4}} {
		testkit.Enter(t)
		r := rand.New(rand.NewPCG(1, 1))
		m := memory.NewRare(memory.RareConfig{Slots: c.slots, Scale: 10})
		labels := make([]int64, c.steps*c.n)
		for i := range labels {
			labels[i] = r.Int64N(c.classes)
		}
		classes := tensor.New(labels, c.steps, c.n)
		means := testkit.Normal(r, c.classes, 6)
		keys := classes.OneHot(c.classes).To(tensor.Float64).MatMul(means).Add(testkit.Normal(r, c.steps, c.n, 6).MulScalar(c.noise)).To(tensor.Float32).Detach().RequireGrad()
		want, wantRead := m.SequencePlain(keys, classes, c.classes)
		got, gotRead := m.Sequence(keys, classes, c.classes)
		assert.InDelta(t, want.Float(), got.Float(), 1e-5, "%+v", c)
		assert.Equal(t, []int64{c.steps, c.n, c.classes}, gotRead.Shape())
		assert.InDeltaSlice(t, wantRead.Floats(), gotRead.Floats(), 1e-5, "%+v", c)
		assert.InDeltaSlice(t, tensor.Grad(want, keys)[0].Floats(), tensor.Grad(got, keys)[0].Floats(), 1e-5, "%+v", c)
	}
	m := memory.NewRare(memory.RareConfig{})
	err := tensor.Do(func() error {
		m.Sequence(tensor.Ones(2, 3, 4), tensor.Zeros(3, 2).To(tensor.Int64), 2)
		return nil
	})
	assert.ErrorContains(t, err, "want keys [steps, n, key]")
}
