package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// eachStepped runs a test on the memories whose reference is the fixture and no loop of this package's tests.
func eachStepped(t *testing.T, f func(t *testing.T, m memory.Recurrent, b *nn.Builder)) {
	for name, build := range fixtureMemories() {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(5, tensor.CPU)
			t.Cleanup(b.Params().Free)
			f(t, build(b, control), b)
		})
	}
}

// The state's first tensor is the memory.
func TestSteppedGradient(t *testing.T) {
	eachStepped(t, func(t *testing.T, m memory.Recurrent, b *nn.Builder) {
		checkUnrolled(t, m, b, func(s memory.State) []*tensor.Tensor { return []*tensor.Tensor{s.Tensors()[0].Tensor} })
	})
}

// With zero or huge inputs nothing becomes non-finite, gradients included, after one step, after many, and at 10,000.
func TestSteppedStayFinite(t *testing.T) {
	eachStepped(t, func(t *testing.T, m memory.Recurrent, b *nn.Builder) {
		for _, size := range []float64{0, 1, 100, 1e6} {
			for _, steps := range []int{1, 30} {
				r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{Training: true}
				s := m.Init(p, 2)
				var loss *tensor.Tensor
				for range steps {
					var read *tensor.Tensor
					read, s = m.Step(p, floats(func() float64 { return size * r.NormFloat64() }, 2, control).To(tensor.Float32), s)
					require.True(t, read.Finite())
					loss = read.Square().Sum()
				}
				for _, n := range s.Tensors() {
					assert.True(t, n.Tensor.To(tensor.Float32).Finite(), n.Name)
				}
				for i, g := range tensor.Grad(loss, b.Params().Tensors()...) {
					if g != nil {
						assert.True(t, g.Finite(), "%s, input %g, %d steps", b.Params().Trained()[i].Name, size, steps)
					}
				}
			}
		}
	})
}

// Nothing becomes non-finite in 10,000 steps.
func TestSteppedStayFiniteForLong(t *testing.T) {
	for _, name := range []string{"relational", "sparse"} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(5, tensor.CPU)
			t.Cleanup(b.Params().Free)
			m := fixtureMemories()[name](b, control)
			r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{}
			inputs := floats(r.NormFloat64, 100, 1, control).To(tensor.Float32)
			var read *tensor.Tensor
			tensor.NoGrad(func() {
				s := m.Init(p, 1)
				for i := range int64(10_000) {
					if name == "sparse" { // a step frees what is not in its state
						read, s = m.Step(p, inputs.Select(0, i%100), s)
						continue
					}
					scope := tensor.Enter()
					read, s = m.Step(p, inputs.Select(0, i%100), s)
					scope.Keep(read)
					s = s.(memory.Mapper).Map(func(x *tensor.Tensor) *tensor.Tensor { return scope.Keep(x) })
					scope.Leave()
				}
			})
			assert.True(t, read.Finite())
		})
	}
}

// A step does not change the previous state, a state that others have gone on from can be gone on from again, and a restored
// state goes on as the saved one.
func TestSteppedStatesAreValues(t *testing.T) {
	eachStepped(t, func(t *testing.T, m memory.Recurrent, _ *nn.Builder) {
		r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{}
		x := func() *tensor.Tensor { return floats(r.NormFloat64, 2, control).To(tensor.Float32) }
		s := m.Init(p, 2)
		for range 5 {
			_, s = m.Step(p, x(), s)
		}
		before, input := contents(s), x()
		read, next := m.Step(p, input, s)
		m.Step(p, x(), next)
		assert.Equal(t, before, contents(s))
		again, other := m.Step(p, input, s)
		assert.Equal(t, read.Floats(), again.Floats())
		assert.Equal(t, contents(next), contents(other))
		restored, _ := m.Step(p, input, reloaded(t, m.(memory.Restorer), s))
		assert.InDeltaSlice(t, read.Floats(), restored.Floats(), 1e-5)
	})
}

// Sequences of a batch do not affect one another.
func TestSteppedSequencesAreIndependent(t *testing.T) {
	eachStepped(t, func(t *testing.T, m memory.Recurrent, b *nn.Builder) {
		run := func(batch int64, xs []*tensor.Tensor) (read *tensor.Tensor) {
			p, _, _ := double(b)
			s := m.Init(p, batch)
			for _, x := range xs {
				read, s = m.Step(p, x, s)
			}
			return read
		}
		r := rand.New(rand.NewPCG(1, 1))
		var all, alone []*tensor.Tensor
		for range 6 {
			x := floats(r.NormFloat64, 2, control)
			all, alone = append(all, x), append(alone, x.Narrow(0, 1, 1))
		}
		assert.InDeltaSlice(t, run(2, all).Select(0, 1).Floats(), run(1, alone).Floats(), 1e-12)
	})
}

// With one program the wrapper is the memory itself; with several the penalty is the sum of the cosines of their keys.
func TestNUTM(t *testing.T) {
	testkit.Enter(t)
	build := func(b *nn.Builder, programs int64) memory.Recurrent {
		return memory.NewNUTM(b, memory.NUTMConfig{Control: control, Programs: programs, Key: 3, Penalty: .5, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 6, Width: 4})
		}})
	}
	one, core := nn.NewBuilder(3, tensor.CPU), nn.NewBuilder(3, tensor.CPU)
	t.Cleanup(one.Params().Free)
	t.Cleanup(core.Params().Free)
	m, own := build(one, 1), memory.NewNTM(core.In("core"), memory.NTMConfig{Control: control, Slots: 6, Width: 4})
	p := &nn.Pass{Training: true}
	x := tensor.Ones(2, control)
	got, _ := m.Step(p, x, m.Init(p, 2))
	want, _ := own.Step(p, x, own.Init(p, 2))
	assert.Equal(t, want.Floats(), got.Floats())
	assert.Equal(t, core.Params().Count(), one.Params().Count())
	assert.Empty(t, p.Penalties)

	several := nn.NewBuilder(3, tensor.CPU)
	t.Cleanup(several.Params().Free)
	n := build(several, 3).(*memory.NUTM)
	n.Init(p, 2)
	require.Len(t, p.Penalties, 1)
	var keys [][]float64
	for _, param := range several.Params().All() {
		if param.Name == "keys" {
			keys = rows(param.Value().Unsqueeze(0), 0)
		}
	}
	require.Len(t, keys, 3)
	assert.InDelta(t, .5*(cosine(keys[0], keys[1])+cosine(keys[0], keys[2])+cosine(keys[1], keys[2])), p.Penalties[0].Float(), 1e-6)
	for _, w := range n.Weighting(p, x).Sum(-1).Floats() {
		assert.InDelta(t, 1, w, 1e-6)
	}
	n.Init(&nn.Pass{}, 2) // adds nothing outside training

	// A whole sequence is one operation where it is for the wrapped memory, and the penalty is added there too.
	u, ok := n.Unroll(p, 2)
	require.True(t, ok)
	assert.Equal(t, []int64{3, 3}, u.Keys.Shape())
	require.Len(t, p.Penalties, 2)
	assert.InDelta(t, p.Penalties[0].Float(), p.Penalties[1].Float(), 1e-6)
	plain := memory.NewNUTM(several.In("plain"), memory.NUTMConfig{Control: control, Memory: func(b *nn.Builder, control int64) memory.Interfaced {
		return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Width: 4, Masked: true})
	}})
	_, ok = plain.Unroll(p, 2)
	assert.False(t, ok)
}

// The relational memory starts as the identity, cut off or with zeros.
func TestRelationalStartsAsTheIdentity(t *testing.T) {
	testkit.Enter(t)
	for _, heads := range []int64{1, 4} {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		m := memory.NewRelational(b, memory.RelationalConfig{Control: control, Slots: 3, Heads: heads, Width: 2})
		for i, row := range rows(m.Init(&nn.Pass{}, 2).Tensors()[0].Tensor, 1) {
			for j, v := range row {
				assert.Equal(t, map[bool]float64{true: 1}[i == j], v)
			}
		}
		assert.Equal(t, 3*2*heads, m.ReadWidth())
	}
}

// A repeated slot of a small sparse memory and a least recently accessed slot that was read: the weights of a read sum to one,
// and all slots are somewhere in the order of access.
func TestSparseInvariants(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	for _, hashed := range []bool{false, true} {
		m := memory.NewSparse(b.In(map[bool]string{false: "exact", true: "hashed"}[hashed]), memory.SparseConfig{
			Control: control, Slots: 40, Width: 3, Heads: 3, Reads: 3, Hashed: hashed,
		})
		r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{}
		s := m.Init(p, 2)
		for range 60 {
			_, s = m.Step(p, floats(func() float64 { return 3 * r.NormFloat64() }, 2, control).To(tensor.Float32), s)
			read, _ := memory.Weightings(s)
			sumToOne(t, read)
			for _, row := range rows(read, 1) {
				used := 0
				for _, w := range row {
					if w > 0 {
						used++
					}
				}
				assert.LessOrEqual(t, used, 3)
			}
		}
		seen := map[float64]bool{}
		for _, v := range s.Tensors()[2].Tensor.Select(0, 0).Floats() {
			seen[v] = true
		}
		assert.Len(t, seen, 40)
	}
	assert.Panics(t, func() { memory.NewSparse(b.In("few"), memory.SparseConfig{Control: control, Slots: 3, Reads: 4}) })
	_, err := memory.NewSparse(b.In("restored"), memory.SparseConfig{Control: control, Slots: 4}).Restore([]nn.Named{
		{Name: "memory", Tensor: tensor.Ones(1, 4, 32)}, {Name: "read", Tensor: tensor.Ones(1, 4, 4)}, {Name: "order", Tensor: tensor.New([]int64{0, 1, 1, 2}, 1, 4)},
	})
	assert.ErrorContains(t, err, "order does not list every slot once")
}
