package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// matchers returns all memories of a support set, with a capacity of slots pairs.
func matchers(m metric.Metric, slots int64) map[string]memory.Matcher {
	return map[string]memory.Matcher{
		"KeyValue":  memory.NewKeyValue(memory.KeyValueConfig{Metric: m, Scale: 3}),
		"Prototype": memory.NewPrototype(memory.PrototypeConfig{Metric: m, Scale: 3}),
		"LRUA":      memory.NewBounded(memory.BoundedConfig{Rule: memory.LRUAWrite, Metric: m, Scale: 3, Slots: slots}),
		"NTM":       memory.NewBounded(memory.BoundedConfig{Rule: memory.NTMWrite, Metric: m, Scale: 3, Slots: slots}),
		"DNC":       memory.NewBounded(memory.BoundedConfig{Rule: memory.DNCWrite, Metric: m, Scale: 3, Slots: slots}),
	}
}

// Match returns the metric's scores without the scale, and a read is their softmax over the content of the slots.
func TestReadFollowsFromMatch(t *testing.T) {
	for name, m := range matchers(metric.SquaredEuclidean{}, 8) {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			r := rand.New(rand.NewPCG(40, 0))
			keys, values := support(r, 2, 6, 3, 4)
			queries := floats(r.NormFloat64, 2, 5, 4)
			s := write(m, keys, values)
			scores, shares := m.Match(&nn.Pass{}, s, queries)
			read, _ := m.Read(&nn.Pass{}, s, queries)
			for task := range int64(2) {
				held := rows(shares, task)
				var total float64
				for i, score := range rows(scores, task) {
					var sum float64
					want := make([]float64, 3)
					for slot, a := range softmax(scaled(score, 3)) {
						for c, share := range held[slot] {
							sum += a * share
							want[c] += a * share
						}
					}
					for c := range want {
						assert.InDelta(t, want[c]/sum, rows(read, task)[i][c], 1e-9)
					}
				}
				for _, row := range held {
					for _, share := range row {
						total += share
					}
				}
				if name == "Prototype" {
					assert.InDelta(t, 3, total, 1e-12, "a slot a class")
					continue
				}
				assert.InDelta(t, 6, total, 1e-9, "a slot a pair")
			}
			assert.Equal(t, []int64{2, 5, shares.Dim(1)}, scores.Shape())
		})
	}
}

func scaled(xs []float64, by float64) []float64 {
	out := make([]float64, len(xs))
	for i, x := range xs {
		out[i] = by * x
	}
	return out
}

// A class without examples has no share of its slot.
func TestMatchOfAnEmptyClass(t *testing.T) {
	testkit.Enter(t)
	m := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Dot{}})
	keys := tensor.New([]float64{1, 2}, 1, 1, 2)
	_, shares := m.Match(&nn.Pass{}, write(m, keys, tensor.New([]float64{0, 1}, 1, 1, 2)), keys)
	assert.Equal(t, []float64{0, 0, 0, 1}, shares.Floats())
}

func TestPrototypesCanBeSums(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(41, 0))
	keys, values := support(r, 2, 6, 3, 4)
	queries := floats(r.NormFloat64, 2, 5, 4)
	m := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Dot{}, Sum: true})
	mean := memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Dot{}})
	sums, _ := m.Match(&nn.Pass{}, write(m, keys, values), queries)
	means, _ := mean.Match(&nn.Pass{}, write(mean, keys, values), queries)
	assert.InDeltaSlice(t, scaled(means.Floats(), 2), sums.Floats(), 1e-12, "two keys per class")
}

// A fitted metric sees the same support set in every memory with enough slots, however it was written.
func TestFittedMetricInEveryMemory(t *testing.T) {
	for _, perClass := range []bool{true, false} {
		testkit.Enter(t)
		covariance := metric.NewCovariance(metric.CovarianceConfig{PerClass: perClass})
		r := rand.New(rand.NewPCG(42, 0))
		keys, values := support(r, 2, 6, 3, 4)
		queries := floats(r.NormFloat64, 2, 5, 4)
		means := values.Transpose(1, 2).MatMul(keys).MulScalar(.5)
		fit := func(shares *tensor.Tensor) metric.Metric {
			return covariance.Fit(metric.NewMoments(keys, values), shares)
		}
		byPair, byClass := fit(values).Score(nil, queries, keys), fit(nil).Score(nil, queries, means)
		for name, m := range matchers(covariance, 6) {
			parts := m.Write(&nn.Pass{}, m.Init(2), keys.Narrow(1, 0, 2), values.Narrow(1, 0, 2))
			parts = m.Write(&nn.Pass{}, parts, keys.Narrow(1, 2, 4), values.Narrow(1, 2, 4))
			for _, s := range []memory.State{write(m, keys, values), parts} {
				scores, _ := m.Match(&nn.Pass{}, s, queries)
				want := byPair
				if name == "Prototype" {
					want = byClass
				}
				assert.InDeltaSlice(t, want.Floats(), scores.Floats(), 1e-9, "%s, per class %v", name, perClass)
			}
		}
		state := write(memory.NewPrototype(memory.PrototypeConfig{Metric: covariance}), keys, values)
		require.Len(t, state.Tensors(), 3)
		assert.Equal(t, []int64{2, 3, 4, 4}, state.Tensors()[2].Tensor.Shape(), "the size does not depend on the number of writes")
	}
}

// With batch statistics an empty slot would influence the scores of all others, so it is left out, also in reads.
func TestEmptySlotsDoNotAffectARelation(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	relation := metric.NewRelation(b, metric.RelationConfig{Channels: 4, Height: 1, Width: 1})
	r := rand.New(rand.NewPCG(44, 0))
	keys, values := support(r, 2, 6, 3, 4)
	queries := floats(r.NormFloat64, 2, 5, 4)
	p, _ := testkit.Double(nn.Pass{}, b.Params())
	var want []float64
	for _, slots := range []int64{6, 9} {
		for name, m := range matchers(relation, slots) {
			if name == "Prototype" {
				continue
			}
			read, attention := m.Read(p, m.Write(p, m.Init(2), keys, values), queries)
			if want == nil {
				want = read.Floats()
				require.NotEqual(t, want[0], want[3])
			}
			assert.InDeltaSlice(t, want, read.Floats(), 1e-9, "%s of %d slots", name, slots)
			if name != "KeyValue" {
				assert.Equal(t, []int64{2, 5, slots}, attention.Shape())
			}
		}
	}
}

// Only queries update running statistics; the search for a slot to write does not.
func TestWritingUpdatesNoRunningStatistics(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	relation := metric.NewRelation(b, metric.RelationConfig{Channels: 4, Height: 1, Width: 1, Filters: 3})
	r := rand.New(rand.NewPCG(43, 0))
	keys, values := support(r, 1, 6, 3, 4)
	keys, values = keys.To(tensor.Float32), values.To(tensor.Float32)
	statistics := func() (out []float64) {
		for _, p := range b.Params().All() {
			if p.Buffer {
				out = append(out, p.Value().Floats()...)
			}
		}
		return out
	}
	training := &nn.Pass{Training: true}
	for name, m := range matchers(relation, 6) {
		before := statistics()
		s := m.Write(training, m.Init(1), keys, values)
		assert.Equal(t, before, statistics(), name)
		m.Read(training, s, keys)
		assert.NotEqual(t, before, statistics(), name)
	}
}
