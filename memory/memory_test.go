package memory_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadIsThePlainLoop(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		for _, c := range []struct{ batch, n, classes, queries, width int64 }{
			{1, 1, 1, 1, 1}, {2, 6, 3, 4, 5}, {1, 5, 5, 1, 2}, {3, 4, 1, 2, 3}, {1, 1, 1, 7, 4}, {2, 20, 20, 15, 64},
		} {
			keys, oneHot := support(r, c.batch, c.n, c.classes, c.width)
			queries := floats(r.NormFloat64, c.batch, c.queries, c.width)
			for _, values := range []*tensor.Tensor{oneHot, soft(r, c.batch, c.n, c.classes)} {
				for d, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-9, tensor.Float32: 3e-5} {
					read, attention, logs := both(s.memory, keys.To(d), values.To(d), queries.To(d))
					for task := range c.batch {
						wantRead, wantAttention := s.plain(rows(keys, task), rows(values, task), rows(queries, task))
						what := fmt.Sprint(c, d)
						assert.InDeltaSlice(t, flat(wantRead), flat(rows(read, task)), tolerance, what)
						assert.InDeltaSlice(t, flat(wantAttention), flat(rows(attention, task)), tolerance, what)
						for i, v := range flat(wantRead) {
							want := math.Log(v)
							assert.InDelta(t, want, flat(rows(logs, task))[i], 10*tolerance*(1+math.Abs(want)), what)
						}
					}
				}
			}
		}
	})
}

// Attention is a weighting, and so is a read of one-hot values: the class probabilities.
func TestWeightingsSumToOne(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		keys, values := support(r, 2, 12, 4, 6)
		read, attention, logs := both(s.memory, keys, values, floats(r.NormFloat64, 2, 9, 6))
		for _, x := range []*tensor.Tensor{attention, read, logs.Exp()} {
			for _, v := range x.Floats() {
				assert.GreaterOrEqual(t, v, 0.)
			}
			for _, sum := range x.Sum(-1).Floats() {
				assert.InDelta(t, 1, sum, 1e-12)
			}
		}
		assert.InDeltaSlice(t, read.Floats(), logs.Exp().Floats(), 1e-12, "LogRead is the logarithm of Read")
	})
}

// withoutLog hides that a memory implements LogReader.
type withoutLog struct{ memory.Associative }

func TestLogReadOfAnyMemory(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		keys, values := support(r, 2, 6, 3, 4)
		queries := floats(r.NormFloat64, 2, 5, 4)
		_, _, want := both(s.memory, keys, values, queries)
		_, _, got := both(withoutLog{s.memory}, keys, values, queries)
		assert.InDeltaSlice(t, want.Floats(), got.Floats(), 1e-9)
		_, _, got = both(withoutLog{s.memory}, keys, values.ZerosLike(), queries)
		assert.True(t, got.Finite())
	})
}

// Two classes at distance 100: the far one's probability is e^-10000, which no type can represent.
func TestLogReadOfSharpAttention(t *testing.T) {
	for name, m := range map[string]memory.Associative{
		"KeyValue":  memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}}),
		"Prototype": memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}}),
	} {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			t.Run(fmt.Sprint(name, d), func(t *testing.T) {
				testkit.Enter(t)
				keys := tensor.New([]float64{0, 0, 100, 0}, 1, 2, 2).To(d).Detach().RequireGrad()
				queries := tensor.New([]float64{0, 0, 100, 0}, 1, 2, 2).To(d).Detach().RequireGrad()
				values := tensor.New([]float64{1, 0, 0, 1}, 1, 2, 2).To(d)
				read, _, logs := both(m, keys, values, queries)
				assert.Equal(t, []float64{1, 0, 0, 1}, read.Floats())
				assert.Equal(t, []float64{0, -1e4, -1e4, 0}, logs.Floats())

				// Here log p₁(q) = -‖q-k₁‖² + ‖q-k₀‖², so its gradient with respect to q is 2(k₁-k₀), and the
				// gradients for the wrong class do not vanish.
				g := tensor.Grad(logs.Select(1, 0).Select(1, 1).Add(logs.Select(1, 1).Select(1, 0)).Sum(), queries, keys)
				assert.Equal(t, []float64{200, 0, -200, 0}, g[0].Floats())
				assert.Equal(t, []float64{200, 0, -200, 0}, g[1].Floats())
			})
		}
	}
}

// A class without examples gets no probability and causes no NaN.
func TestEmptyClass(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			some, oneHot := support(r, 2, 6, 3, 4)
			values := tensor.Cat(2, oneHot, oneHot.Narrow(2, 0, 1).ZerosLike()).To(d) // a fourth class, empty
			keys := some.To(d).Detach().RequireGrad()
			// The zero query equals the zero mean of the empty class.
			queries := tensor.Cat(1, floats(r.NormFloat64, 2, 3, 4), floats(func() float64 { return 0 }, 2, 1, 4)).To(d).Detach().RequireGrad()
			read, _, logs := both(s.memory, keys, values, queries)
			withoutFourth, _, _ := both(s.memory, keys, oneHot.To(d), queries)
			assert.InDeltaSlice(t, withoutFourth.Floats(), read.Narrow(2, 0, 3).Floats(), 1e-6)
			for i, p := range read.Select(2, 3).Floats() {
				assert.Zero(t, p)
				assert.Less(t, logs.Select(2, 3).Floats()[i], -1e9)
			}
			for _, y := range []*tensor.Tensor{logs.Narrow(2, 0, 3), read, logs} {
				assert.True(t, y.Finite())
				for _, g := range tensor.GradWith([]*tensor.Tensor{y.Square().Mean()}, []*tensor.Tensor{keys, queries}, tensor.GradOptions{Retain: true}) {
					assert.True(t, g.Finite())
				}
			}
			// At the largest distances between images the empty class must not become the most likely.
			far, _, _ := both(s.memory, keys, values, queries.AddScalar(1e6))
			for _, p := range far.Select(2, 3).Floats() {
				assert.Zero(t, p)
			}
		}
	})
}

// Zero keys and queries, and equal keys.
func TestDegenerateKeysHaveNoNaN(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		_, values := support(r, 2, 4, 2, 3)
		for _, v := range []float64{0, 1} {
			keys := tensor.Full(v, tensor.Float32, tensor.CPU, 2, 4, 3).RequireGrad()
			queries := tensor.Full(v, tensor.Float32, tensor.CPU, 2, 5, 3).RequireGrad()
			read, _, logs := both(s.memory, keys, values.To(tensor.Float32), queries)
			for i, p := range read.Floats() {
				assert.InDelta(t, .5, p, 1e-6)
				assert.InDelta(t, math.Log(.5), logs.Floats()[i], 1e-6)
			}
			for _, g := range tensor.Grad(logs.Narrow(2, 0, 1).Sum().Add(read.Square().Sum()), keys, queries) {
				assert.True(t, g.Finite())
			}
		}
	})
}

func TestWriteInPartsIsWriteAtOnce(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		keys, values := support(r, 2, 7, 3, 4)
		queries := floats(r.NormFloat64, 2, 5, 4)
		wantRead, wantAttention, wantLogs := both(s.memory, keys, values, queries)
		p := &nn.Pass{}
		first := s.memory.Write(p, s.memory.Init(2), keys.Narrow(1, 0, 2), values.Narrow(1, 0, 2))
		before := contents(first)
		state := s.memory.Write(p, first, keys.Narrow(1, 2, 4), values.Narrow(1, 2, 4))
		state = s.memory.Write(p, state, keys.Narrow(1, 6, 1), values.Narrow(1, 6, 1))
		read, attention := s.memory.Read(p, state, queries)
		assert.InDeltaSlice(t, wantRead.Floats(), read.Floats(), 1e-12)
		assert.InDeltaSlice(t, wantAttention.Floats(), attention.Floats(), 1e-12)
		assert.InDeltaSlice(t, wantLogs.Floats(), memory.LogRead(s.memory, p, state, queries).Floats(), 1e-12)
		assert.Equal(t, before, contents(first), "a state is a value: a later write does not change it")
	})
}

func contents(s memory.State) map[string][]float64 {
	out := map[string][]float64{}
	for _, n := range s.Tensors() {
		out[n.Name] = n.Tensor.Floats()
	}
	return out
}

func TestReadingNothingIsAnError(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		queries := floats(r.NormFloat64, 1, 2, 3)
		for _, read := range []func(){
			func() { s.memory.Read(&nn.Pass{}, s.memory.Init(1), queries) },
			func() { memory.LogRead(s.memory, &nn.Pass{}, s.memory.Init(1), queries) },
		} {
			err := tensor.Do(func() error { read(); return nil })
			var e *tensor.Error
			require.ErrorAs(t, err, &e)
			assert.Contains(t, e.Error(), "nothing has been written yet")
		}
	})
}

func TestStateNamesItsTensors(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 0))
	keys, values := support(r, 2, 6, 3, 4)
	for _, c := range []struct {
		memory memory.Associative
		want   map[string][]int64
	}{
		{memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Cosine{}}), map[string][]int64{"keys": {2, 6, 4}, "values": {2, 6, 3}}},
		{memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Cosine{}}), map[string][]int64{"sums": {2, 3, 4}, "counts": {2, 3, 1}}},
	} {
		assert.Empty(t, c.memory.Init(2).Tensors())
		got := map[string][]int64{}
		for _, n := range write(c.memory, keys, values).Tensors() {
			got[n.Name] = n.Tensor.Shape()
		}
		assert.Equal(t, c.want, got)
	}
}

func TestPrototypesAreMeans(t *testing.T) {
	testkit.Enter(t)
	keys := tensor.New([]float64{1, 2, 3, 4, 5, 9}, 1, 3, 2)
	values := tensor.New([]float64{1, 0, 0, 0, 1, 0, 1, 0, 0}, 1, 3, 3)
	m := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})
	s := write(m, keys, values).(memory.PrototypeState)
	assert.Equal(t, []float64{3, 5.5, 3, 4, 0, 0}, s.Prototypes().Floats())
}

// A task, also one of NaN, does not affect the other tasks of a batch.
func TestTasksOfABatchAreIndependent(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		keys, values := support(r, 3, 6, 3, 4)
		queries := floats(r.NormFloat64, 3, 5, 4)
		read, attention, logs := both(s.memory, keys, values, queries)
		spoiled := keys.Clone()
		spoiled.Select(0, 1).Assign(tensor.Full(math.NaN(), tensor.Float64, tensor.CPU, 6, 4))
		gotRead, gotAttention, gotLogs := both(s.memory, spoiled, values, queries)
		for _, c := range [][2]*tensor.Tensor{{read, gotRead}, {attention, gotAttention}, {logs, gotLogs}} {
			for _, task := range []int64{0, 2} {
				assert.InDeltaSlice(t, c[0].Select(0, task).Floats(), c[1].Select(0, task).Floats(), 1e-12)
			}
			assert.False(t, c[1].Select(0, 1).Finite())
		}
		alone, _, _ := both(s.memory, keys.Narrow(0, 2, 1), values.Narrow(0, 2, 1), queries.Narrow(0, 2, 1))
		assert.InDeltaSlice(t, read.Select(0, 2).Floats(), alone.Floats(), 1e-12)
	})
}

// The order of writing affects only the attention of a memory of pairs.
func TestOrderOfWriting(t *testing.T) {
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		keys, values := support(r, 2, 6, 3, 4)
		queries := floats(r.NormFloat64, 2, 5, 4)
		read, attention, logs := both(s.memory, keys, values, queries)
		order := tensor.New([]int64{3, 0, 5, 1, 4, 2}, 6)
		gotRead, gotAttention, gotLogs := both(s.memory, keys.IndexSelect(1, order), values.IndexSelect(1, order), queries)
		assert.InDeltaSlice(t, read.Floats(), gotRead.Floats(), 1e-12)
		assert.InDeltaSlice(t, logs.Floats(), gotLogs.Floats(), 1e-9)
		if attention.Dim(2) == 6 {
			attention = attention.IndexSelect(2, order)
		}
		assert.InDeltaSlice(t, attention.Floats(), gotAttention.Floats(), 1e-12)
	})
}

func TestGradientIsTheFiniteDifference(t *testing.T) {
	const h = 1e-5
	each(t, func(t *testing.T, s subject, r *rand.Rand) {
		xs := []*tensor.Tensor{floats(r.NormFloat64, 2, 5, 3), soft(r, 2, 5, 3), floats(r.NormFloat64, 2, 4, 3)}
		a, b := floats(r.NormFloat64, 2, 4, 3), floats(r.NormFloat64, 2, 4, 3)
		f := func(xs []*tensor.Tensor) *tensor.Tensor {
			read, _, logs := both(s.memory, xs[0], xs[1], xs[2])
			return read.Mul(a).Sum().Add(logs.Mul(b).Sum())
		}
		leaves := make([]*tensor.Tensor, len(xs))
		for i, x := range xs {
			leaves[i] = x.Clone().RequireGrad()
		}
		for i, g := range tensor.Grad(f(leaves), leaves...) {
			values := xs[i].Floats()
			want := make([]float64, len(values))
			for j, v := range values {
				at := func(v float64) float64 {
					moved, args := slices.Clone(values), slices.Clone(xs)
					moved[j] = v
					args[i] = tensor.New(moved, xs[i].Shape()...)
					return f(args).Float()
				}
				want[j] = (at(v+h) - at(v-h)) / (2 * h)
				assert.InDelta(t, want[j], g.Floats()[j], 1e-6*(1+math.Abs(want[j])), "%s %d", []string{"keys", "values", "queries"}[i], j)
			}
		}
	})
}

// Toy episodes of three classes: each is a corner of a cube, among nine inputs of noise of the same scale. A linear
// encoder learns which inputs matter.
func TestANetworkOnAMemoryLearns(t *testing.T) {
	const batch, way, shot, queries, in = 8, 3, 2, 2, 12
	each(t, func(t *testing.T, s subject, _ *rand.Rand) {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		encoder := nn.NewLinear(b, in, 4)
		opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
		t.Cleanup(opt.Free)
		episode := func(step int, n int64) (inputs, labels *tensor.Tensor) {
			r := rand.New(rand.NewPCG(uint64(step), uint64(n)))
			var x []float32
			var y []int64
			for task := range int64(batch) {
				corners := rand.New(rand.NewPCG(uint64(step), uint64(1000+task))).Perm(8)[:way]
				for i := range n {
					label := i % way
					y = append(y, label)
					for d := range in {
						v := 3 * r.NormFloat64()
						if d < 3 {
							v = 6*float64(corners[label]>>d&1) - 3 + .1*r.NormFloat64()
						}
						x = append(x, float32(v))
					}
				}
			}
			return tensor.New(x, batch, n, in), tensor.New(y, batch, n)
		}
		loss := func(step int) *tensor.Tensor {
			p := &nn.Pass{Training: true}
			x, y := episode(step, way*shot)
			q, want := episode(step, way*queries+way)
			state := s.memory.Write(p, s.memory.Init(batch), encoder.Forward(p, x), y.OneHot(way))
			logs := memory.LogRead(s.memory, p, state, encoder.Forward(p, q))
			return tensor.NLL(logs.Flatten(0, 1), want.Flatten(0, 1))
		}
		var first, last float64
		const steps, final = 300, 20
		for step := range steps {
			scope := tensor.Enter()
			l := loss(step)
			if step == 0 {
				first = l.Float()
			}
			if step >= steps-final {
				last += l.Float() / final
			}
			opt.Step(tensor.Grad(l, b.Params().Tensors()...), .03)
			scope.Leave()
		}
		t.Logf("loss from %.3f to %.4f", first, last)
		// Cosines lie in [-1, 1], so with a scale of 1 the loss of three classes cannot fall below log(1+2·e^-1.5) =
		// 0.37.
		enough := .1
		switch s.name {
		case "KeyValue/Cosine":
			enough = .6
		case "Hopfield/one association", "Hopfield/three updates": // normalised too, with a β of 1/√4 and of 0.7
			enough = .4
		}
		assert.Less(t, last, enough)
	})
}
