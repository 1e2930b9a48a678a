package memory_test

import (
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// associatives returns all associative memories.
func associatives() map[string]memory.Associative {
	out := map[string]memory.Associative{
		"Prototype/covariance": memory.NewPrototype(memory.PrototypeConfig{Metric: metric.NewCovariance(metric.CovarianceConfig{})}),
	}
	for _, s := range subjects() {
		out[s.name] = s.memory
	}
	for name, rule := range rules {
		out["Bounded/"+name] = memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: 9, Gate: .1})
	}
	return out
}

func eachAssociative(t *testing.T, f func(t *testing.T, m memory.Associative, r *rand.Rand)) {
	for name, m := range associatives() {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			f(t, m, rand.New(rand.NewPCG(71, 0)))
		})
	}
}

// reloaded saves a state's tensors to a file and restores the state from it.
func reloaded(t *testing.T, m memory.Restorer, s memory.State) memory.State {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.safetensors")
	require.NoError(t, nn.Save(path, s.Tensors(), nil))
	file, err := nn.Open(path)
	require.NoError(t, err)
	ts, err := file.Tensors(tensor.CPU)
	require.NoError(t, err)
	got, err := m.Restore(ts)
	require.NoError(t, err)
	assert.IsType(t, s, got)
	assert.Equal(t, contents(s), contents(got))
	return got
}

func TestSavedStateOfPairsIsRestored(t *testing.T) {
	eachAssociative(t, func(t *testing.T, m memory.Associative, r *rand.Rand) {
		p := &nn.Pass{}
		restorer := m.(memory.Restorer)
		assert.Equal(t, m.Init(2), reloaded(t, restorer, m.Init(2)), "also while it is empty")
		keys, values := support(r, 2, 9, 3, 4)
		queries := floats(r.NormFloat64, 2, 5, 4)
		s := m.Write(p, m.Init(2), keys.Narrow(1, 0, 6), values.Narrow(1, 0, 6))
		for range 2 { // same reads, before and after a further write
			again := reloaded(t, restorer, s)
			want, wantAttention := m.Read(p, s, queries)
			got, gotAttention := m.Read(p, again, queries)
			assert.Equal(t, want.Floats(), got.Floats())
			assert.Equal(t, wantAttention.Floats(), gotAttention.Floats())
			assert.Equal(t, memory.LogRead(m, p, s, queries).Floats(), memory.LogRead(m, p, again, queries).Floats())
			s = m.Write(p, again, keys.Narrow(1, 6, 3), values.Narrow(1, 6, 3))
		}
	})
}

func TestSavedStateOfARecurrentMemoryIsRestored(t *testing.T) {
	eachRecurrent(t, func(t *testing.T, _ recurrentCase, m memory.Recurrent, _ *nn.Builder) {
		r := rand.New(rand.NewPCG(72, 0))
		p := &nn.Pass{}
		input := func() *tensor.Tensor { return floats(r.NormFloat64, 2, control).To(tensor.Float32) }
		s := m.Init(p, 2)
		for range 3 { // also before the first step
			x := input()
			want, next := m.Step(p, x, s)
			got, gotNext := m.Step(p, x, reloaded(t, m.(memory.Restorer), s))
			assert.Equal(t, want.Floats(), got.Floats())
			assert.Equal(t, contents(next), contents(gotNext))
			s = gotNext
		}
		higher := &nn.Pass{HigherOrder: true} // unfused
		x := input()
		want, _ := m.Step(higher, x, s)
		got, _ := m.Step(higher, x, reloaded(t, m.(memory.Restorer), s))
		assert.Equal(t, want.Floats(), got.Floats())
	})
	testkit.Enter(t)
	reloaded(t, memory.None{}, memory.NoneState{})
}

func TestMismatchIsNotRestored(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	one := func(name string, shape ...int64) nn.Named {
		return nn.Named{Name: name, Tensor: tensor.Zeros(shape...)}
	}
	width := func(v int64) nn.Named {
		return nn.Named{Name: "key_width", Tensor: tensor.New([]int64{v}, 1)}
	}
	keyValue := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Cosine{}})
	prototype := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
	fitted := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.NewCovariance(metric.CovarianceConfig{})})
	bounded := memory.NewBounded(memory.BoundedConfig{Slots: 4})
	lrua := memory.NewLRUA(b.In("lrua"), memory.LRUAConfig{Control: 1, Slots: 5, Width: 3, Heads: 2})
	for _, c := range []struct {
		memory memory.Restorer
		saved  []nn.Named
		want   []string
	}{
		{keyValue, []nn.Named{one("keys", 1, 6, 4)}, []string{"values is missing"}},
		{keyValue, []nn.Named{one("keys", 1, 6, 4), one("values", 1, 5, 3), one("focus", 1)}, []string{
			"a key-value memory", "values has the shape [1 5 3], want [1 6 any]", "focus is not a tensor of this memory's state"}},
		{keyValue, []nn.Named{one("keys", 6, 4), one("values", 1, 6, 3)}, []string{"keys has the shape [6 4], want [any any any]"}},
		{keyValue, []nn.Named{one("keys", 1, 6, 4), {Name: "values", Tensor: tensor.Zeros(1, 6, 3).To(tensor.Int64)}}, []string{"values is int64, want a floating-point type"}},
		{keyValue, []nn.Named{one("keys", 1, 6, 4), {Name: "values", Tensor: tensor.Zeros(1, 6, 3).To(tensor.Float64)}}, []string{"values is float64, the other tensors are float32"}},
		{keyValue, []nn.Named{one("keys", 1, 6, 4), one("keys", 1, 6, 4), {Name: "values"}}, []string{"duplicate tensor keys", "values is nil"}},
		{prototype, []nn.Named{one("sums", 2, 3, 4), one("counts", 1, 3, 1)}, []string{"counts has the shape [1 3 1], want [2 3 1]"}},
		{prototype, []nn.Named{one("sums", 2, 3, 4), one("counts", 2, 3, 1), one("scatters", 2, 3, 4, 4)}, []string{"scatters is not a tensor"}},
		{fitted, []nn.Named{one("sums", 2, 3, 4), one("counts", 2, 3, 1)}, []string{"scatters is missing"}},
		{bounded, []nn.Named{one("slots", 1, 5, 7), one("focus", 1, 1, 4), width(3)}, []string{"a bounded memory of 4 slots", "slots has the shape [1 5 7], want [any 4 any]"}},
		{bounded, []nn.Named{one("slots", 1, 4, 7), one("focus", 1, 1, 4), width(6)}, []string{"key_width is 6, want 1 to 5"}},
		{bounded, []nn.Named{one("slots", 1, 4, 7), one("focus", 1, 1, 4), one("key_width", 1)}, []string{"key_width is float32 of the shape [1], want int64"}},
		{lrua, []nn.Named{one("memory", 2, 5, 3), one("read", 2, 3, 5), one("usage", 2, 1, 5), one("write", 2, 2, 4)}, []string{
			"an LRUA memory of 5 slots of width 3 and 2 heads", "read has the shape [2 3 5], want [2 2 5]", "write has the shape [2 2 4], want [2 2 5]"}},
		{memory.NewNTM(b.In("ntm"), memory.NTMConfig{Control: 1}), nil, []string{"memory is missing", "weightings is missing"}},
		{memory.NewDNC(b.In("dnc"), memory.DNCConfig{Control: 1}), []nn.Named{one("memory", 1, 128, 20)}, []string{"link is missing"}},
		{memory.None{}, []nn.Named{one("keys", 1)}, []string{"keys is not a tensor of this memory's state"}},
	} {
		_, err := c.memory.Restore(c.saved)
		for _, want := range c.want {
			assert.ErrorContains(t, err, want)
		}
	}
}

// A class can be added after others have been written, as if its column had been there from the start.
func TestClassesAreAddedAfterTheFirstWrite(t *testing.T) {
	eachAssociative(t, func(t *testing.T, m memory.Associative, r *rand.Rand) {
		p := &nn.Pass{}
		keys, values := support(r, 2, 8, 4, 3)
		known := values.Select(2, 3).Eq(values.Select(2, 3).ZerosLike()) // whether a pair belongs to the first three classes
		order := [2][]int64{}
		for i, yes := range tensor.Values[bool](known.Select(0, 0)) {
			if yes {
				order[0] = append(order[0], int64(i))
			} else {
				order[1] = append(order[1], int64(i))
			}
		}
		at := func(x *tensor.Tensor, half int) *tensor.Tensor {
			return x.IndexSelect(1, tensor.New(order[half], int64(len(order[half]))))
		}
		want := m.Write(p, m.Write(p, m.Init(2), at(keys, 0), at(values, 0)), at(keys, 1), at(values, 1))
		few := m.Write(p, m.Init(2), at(keys, 0), at(values, 0).Narrow(2, 0, 3))
		before := contents(few)
		got := m.Write(p, few, at(keys, 1), at(values, 1))
		assert.Equal(t, contents(want), contents(got))
		assert.Equal(t, before, contents(few), "the earlier state does not change")
		queries := floats(r.NormFloat64, 2, 5, 3)
		read, _ := m.Read(p, got, queries)
		assert.Equal(t, []int64{2, 5, 4}, read.Shape())

		for _, wrong := range [][2]*tensor.Tensor{
			{at(keys, 1), at(values, 1).Narrow(2, 0, 2)},                              // fewer classes than before
			{at(keys, 1).Narrow(2, 0, 1), at(values, 1)},                              // wrong key width
			{at(keys, 1).Narrow(0, 0, 1), at(values, 1).Narrow(0, 0, 1)},              // wrong batch size
			{at(keys, 1), at(values, 0).Narrow(2, 0, 3)},                              // not pairs
			{at(keys, 1).Select(0, 0), at(values, 1)},                                 // without a batch
			{nil, at(values, 1)},                                                      // nothing
			{at(keys, 1), at(values, 1).Narrow(0, 0, 1)},                              // wrong batch size of the values
			{at(keys, 1).Narrow(1, 0, 1), at(values, 1).Narrow(2, 0, 3)},              // one key for several values
			{at(keys, 1).Narrow(2, 0, 1), at(values, 1).Narrow(2, 0, 3)},              // would be broadcast
			{at(keys, 1).Narrow(1, 0, 1).Narrow(2, 0, 1), at(values, 1)},              // likewise
			{at(keys, 1).Narrow(0, 0, 1), at(values, 1).Narrow(0, 0, 1).MulScalar(2)}, // likewise
		} {
			var e *tensor.Error
			assert.ErrorAs(t, tensor.Do(func() error { m.Write(p, few, wrong[0], wrong[1]); return nil }), &e)
		}
	})
}

// foreign is a state of no memory of the package.
type foreign struct{ memory.NoneState }

func TestMistakesAreErrorsOfTensor(t *testing.T) {
	testkit.Enter(t)
	refused := func(t *testing.T, want string, f func()) {
		t.Helper()
		var e *tensor.Error
		err := tensor.Do(func() error { f(); return nil })
		assert.ErrorAs(t, err, &e)
		assert.ErrorContains(t, err, want)
	}
	keys, values := tensor.Ones(1, 2, 3), tensor.Ones(1, 2, 2)
	p := &nn.Pass{}
	for name, m := range associatives() {
		t.Run(name, func(t *testing.T) {
			for want, s := range map[string]memory.State{"the state is nil": nil, "the state is memory_test.foreign": foreign{}} {
				refused(t, want, func() { m.Write(p, s, keys, values) })
				refused(t, want, func() { m.Read(p, s, keys) })
				refused(t, want, func() { memory.LogRead(m, p, s, keys) })
				if matcher, ok := m.(memory.Matcher); ok {
					refused(t, want, func() { matcher.Match(p, s, keys) })
				}
			}
			refused(t, "the pass is nil", func() { m.Read(nil, m.Write(p, m.Init(1), keys, values), keys) })
		})
	}
	eachRecurrent(t, func(t *testing.T, _ recurrentCase, m memory.Recurrent, _ *nn.Builder) {
		refused(t, "the state is memory_test.foreign", func() { m.Step(p, tensor.Ones(1, control), foreign{}) })
	})
	for name, m := range map[string]memory.Associative{
		"KeyValue": memory.NewKeyValue(memory.KeyValueConfig{}), "Prototype": memory.NewPrototype(memory.PrototypeConfig{}),
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			s := m.Write(p, m.Init(1), keys, values)
			refused(t, "the memory has no metric", func() { m.Read(p, s, keys) })
			refused(t, "the memory has no metric", func() { memory.LogRead(m, p, s, keys) })
		})
	}
	refused(t, "there is no memory to read", func() { memory.Hops{}.Read(p, []memory.State{nil}, keys) })
	small, large := memory.NewBounded(memory.BoundedConfig{Slots: 3}), memory.NewBounded(memory.BoundedConfig{Slots: 4})
	s := large.Write(p, large.Init(1), keys, values)
	refused(t, "the state has 4 slots, but the memory has 3", func() { small.Read(p, s, keys) })
	refused(t, "the state has 4 slots, but the memory has 3", func() { small.Write(p, s, keys, values) })
	plain := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Cosine{}})
	fitted := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.NewCovariance(metric.CovarianceConfig{})})
	s = plain.Write(p, plain.Init(1), keys, values)
	refused(t, "the state has no scatters", func() { fitted.Read(p, s, keys) })
	refused(t, "the state has no scatters", func() { fitted.Write(p, s, keys, values) })
}

// A state written outside training does not hold the graph of the keys, which would live as long as the state.
func TestKeptStateHoldsNoGraph(t *testing.T) {
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	encode := nn.NewLinear(b.In("encoder"), 4, 3)
	for name, m := range associatives() {
		t.Run(name, func(t *testing.T) {
			before, p := tensor.Live(), &nn.Pass{}
			state := m.Init(1)
			var sizes []int64
			for i := range 200 {
				require.NoError(t, tensor.Do(func() error {
					next := memory.Own(m.Write(p, state, encode.Forward(p, tensor.Ones(1, 1, 4)), tensor.Ones(1, 1, 1)))
					memory.Free(state, next)
					state = next
					for _, n := range state.Tensors() {
						assert.False(t, n.Tensor.RequiresGrad(), "%s after %d writings", n.Name, i+1)
					}
					read, _ := m.Read(p, state, encode.Forward(p, tensor.Ones(1, 1, 4)))
					assert.False(t, read.RequiresGrad())
					return nil
				}))
				sizes = append(sizes, tensor.Live()-before)
			}
			assert.Equal(t, sizes[0], sizes[199], "live tensors")
			memory.Free(state, nil)
			assert.Equal(t, before, tensor.Live())
		})
	}
	require.NoError(t, tensor.Do(func() error {
		m := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
		for name, p := range map[string]*nn.Pass{"training": {Training: true}, "higher order": {HigherOrder: true}} {
			s := m.Write(p, m.Init(1), encode.Forward(p, tensor.Ones(1, 1, 4)), tensor.Ones(1, 1, 1)).(memory.PrototypeState)
			assert.True(t, s.Sums.RequiresGrad(), name)
		}
		return nil
	}))
}

// A state of a recurrent memory is kept between scopes with the tensors that are not saved.
func TestStateOfARecurrentMemoryIsKept(t *testing.T) {
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	for i, d := range recurrentCases() {
		t.Run(d.name, func(t *testing.T) {
			m := d.make(b.In(string(rune('a'+i))), control)
			before := tensor.Live()
			for _, p := range []*nn.Pass{{}, {HigherOrder: true}} {
				var state memory.State
				require.NoError(t, tensor.Do(func() error { state = memory.Own(m.Init(p, 2)); return nil }))
				for range 3 {
					require.NoError(t, tensor.Do(func() error {
						_, next := m.Step(p, tensor.Ones(2, control), state)
						memory.Own(next)
						memory.Free(state, next)
						state = next
						return nil
					}))
				}
				memory.Free(state, nil)
				assert.Equal(t, before, tensor.Live())
			}
		})
	}
}
