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

var rules = map[string]memory.WriteRule{"LRUA": memory.LRUAWrite, "NTM": memory.NTMWrite, "DNC": memory.DNCWrite}

// eachRule runs a test with every rule.
func eachRule(t *testing.T, f func(t *testing.T, rule memory.WriteRule, r *rand.Rand)) {
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			f(t, rule, rand.New(rand.NewPCG(uint64(rule), 11)))
		})
	}
}

// plainBounded writes and reads one task by loops. Its score is the cosine.
func plainBounded(c memory.BoundedConfig, keys, values, queries [][]float64) (read, attention [][]float64) {
	n, width := int(c.Slots), len(keys[0])
	total := width + len(values[0]) + 1
	held, focus := matrix(n, total), matrix(1, n)
	if c.Rule == memory.NTMWrite {
		focus[0][0] = 1
	}
	attend := func(q []float64) []float64 {
		scores := make([]float64, n)
		for i, h := range held {
			scores[i] = -1e30
			if mass := h[total-1]; mass > 1e-5 {
				k := make([]float64, width)
				for d := range k {
					k[d] = h[d] / mass
				}
				scores[i] = c.Scale*plainCosine(q, k) + math.Log(mass)
			}
		}
		return softmax(scores)
	}
	for e := range keys {
		row := append(append(append([]float64{}, keys[e]...), values[e]...), 1)
		var full float64
		for _, h := range held {
			full += h[total-1]
		}
		alike := attend(keys[e])
		for i := range alike {
			alike[i] *= min(full, 1)
		}
		w, kept := make([]float64, n), make([]float64, n)
		switch c.Rule {
		case memory.LRUAWrite:
			least := plainLeastUsed(focus, 1)[0]
			for i := range w {
				w[i] = c.Gate*alike[i] + (1-c.Gate)*least[i]
				kept[i] = 1 - least[i]
			}
		case memory.NTMWrite:
			for i := range w {
				w[i] = c.Gate*alike[i] + (1-c.Gate)*focus[0][i]
				kept[i] = 1 - w[i]
			}
			focus = plainShift(focus, [][]float64{{0, 0, 1}})
		case memory.DNCWrite:
			a, sum := plainAllocation(focus, 1e-30, 1e-5)[0], 0.
			for i := range a {
				a[i] *= 1 - c.Gate
				sum += a[i]
			}
			for i := range w {
				w[i] = a[i] + (1-sum)*alike[i]
				kept[i] = 1 - w[i]
			}
			focus = plainUsage(focus, [][]float64{w}, nil)
		}
		for i, h := range held {
			for d := range h {
				h[d] = kept[i]*h[d] + w[i]*row[d]
			}
		}
		if c.Rule == memory.LRUAWrite {
			read := attend(keys[e])
			for i := range w {
				focus[0][i] = c.Decay*focus[0][i] + read[i]/slices.Max(read) + w[i]
			}
		}
	}
	for _, q := range queries {
		a := attend(q)
		v := make([]float64, len(values[0]))
		for i, h := range held {
			for d := range v {
				if h[total-1] > 1e-5 {
					v[d] += a[i] * h[width+d] / h[total-1]
				}
			}
		}
		read, attention = append(read, v), append(attention, a)
	}
	return read, attention
}

func plainCosine(q, k []float64) float64 {
	var qk, qq, kk float64
	for d := range q {
		qk, qq, kk = qk+q[d]*k[d], qq+q[d]*q[d], kk+k[d]*k[d]
	}
	return qk / math.Sqrt((qq+1e-12)*(kk+1e-12))
}

// Every rule, with enough and too few slots, with and without writing by content.
func TestBoundedIsThePlainLoop(t *testing.T) {
	eachRule(t, func(t *testing.T, rule memory.WriteRule, r *rand.Rand) {
		for _, slots := range []int64{1, 3, 8} {
			for _, gate := range []float64{0, .3} {
				c := memory.BoundedConfig{Rule: rule, Slots: slots, Scale: 4, Gate: gate, Decay: .9}
				keys, values := support(r, 2, 6, 3, 4)
				queries := floats(r.NormFloat64, 2, 5, 4)
				read, attention, logs := both(memory.NewBounded(c), keys, values, queries)
				for i := range int64(2) {
					wantRead, wantAttention := plainBounded(c, rows(keys, i), rows(values, i), rows(queries, i))
					what := fmt.Sprint(slots, " slots, gate ", gate)
					assert.InDeltaSlice(t, flat(wantAttention), flat(rows(attention, i)), 1e-9, what)
					assert.InDeltaSlice(t, flat(wantRead), flat(rows(read, i)), 1e-9, what)
				}
				assert.InDeltaSlice(t, read.Floats(), logs.Exp().Floats(), 1e-9, "LogRead is the logarithm of Read")
				sumToOne(t, attention)
				sumToOne(t, read)
			}
		}
	})
}

// With enough slots, a bounded memory reads the same as an unbounded one.
func TestBoundedWithEnoughSlotsIsKeyValue(t *testing.T) {
	eachRule(t, func(t *testing.T, rule memory.WriteRule, r *rand.Rand) {
		for _, m := range []metric.Metric{nil, metric.SquaredEuclidean{}} {
			want := memory.KeyValueConfig{Metric: m, Scale: 10}
			if m == nil {
				want.Metric = metric.Cosine{}
			}
			for _, n := range []int64{1, 20, 128} {
				keys, values := support(r, 2, n, 20, 6)
				queries := floats(r.NormFloat64, 2, 7, 6)
				for d, fine := range map[tensor.DType]float64{tensor.Float64: 1e-9, tensor.Float32: 1e-4} {
					args := []*tensor.Tensor{keys.To(d), values.To(d), queries.To(d)}
					read, attention, logs := both(memory.NewBounded(memory.BoundedConfig{Rule: rule, Metric: m}), args[0], args[1], args[2])
					wantRead, wantAttention, wantLogs := both(memory.NewKeyValue(want), args[0], args[1], args[2])
					assert.InDeltaSlice(t, wantRead.Floats(), read.Floats(), fine)
					assert.InDeltaSlice(t, wantAttention.Floats(), attention.Narrow(2, 0, n).Floats(), fine)
					if n < 20 {
						continue
					}
					near := wantLogs.Gt(wantLogs.ZerosLike().AddScalar(-5)).To(d)
					assert.InDeltaSlice(t, wantLogs.Mul(near).Floats(), logs.Mul(near).Floats(), 100*fine)
				}
			}
		}
	})
}

// full writes orthogonal keys [n], one per class, and returns for each the values of the slots that match it.
func full(t *testing.T, rule memory.WriteRule, slots, width int64, keys ...[]float64) [][]float64 {
	t.Helper()
	m := memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: slots, Scale: 100})
	n := int64(len(keys))
	labels := make([]int64, n)
	for i := range labels {
		labels[i] = int64(i)
	}
	values := tensor.New(labels, 1, n).OneHot(n).To(tensor.Float64)
	s := write(m, tensor.New(flat(keys), 1, n, width), values)
	held := s.(memory.BoundedState)
	return rows(held.Values().Div(held.Masses()), 0)
}

// Four pairs go into three slots.
func TestEvictionFromAFullMemory(t *testing.T) {
	testkit.Enter(t)
	a, b, c, d := []float64{1, 0, 0, 0}, []float64{0, 1, 0, 0}, []float64{0, 0, 1, 0}, []float64{0, 0, 0, 1}
	hot := func(classes ...int) [][]float64 {
		out := matrix(len(classes), 4)
		for i, c := range classes {
			out[i][c] = 1
		}
		return out
	}
	near := func(want [][]float64, got [][]float64, why string) {
		t.Helper()
		assert.InDeltaSlice(t, flat(want), flat(got), 1e-3, why)
	}
	near(hot(3, 1, 2), full(t, memory.LRUAWrite, 3, 4, a, b, c, d), "slot 0 was written longest ago")
	near(hot(3, 1, 2), full(t, memory.NTMWrite, 3, 4, a, b, c, d), "after slot 2 comes slot 0")
	// Pair 2 is similar to pair 0, which its write has read: slot 1 is the least recently used.
	again := []float64{1, .01, 0, 0}
	near(hot(0, 3, 2), full(t, memory.LRUAWrite, 3, 4, a, b, again, d), "slot 0 has been read since")
	// Pair 3 is most similar to pair 1, in slot 1, and replaces it.
	near(hot(0, 3, 2), full(t, memory.DNCWrite, 3, 4, a, b, c, []float64{.1, 1, .1, 0}), "slot 1 is the most similar")
	// Two rounds of NTM end at the first slot.
	near(hot(2, 3), full(t, memory.NTMWrite, 2, 4, a, b, c, d), "pairs 0 and 1 are evicted")
	near(hot(3), full(t, memory.LRUAWrite, 1, 4, a, b, c, d), "the last is kept")
	near(hot(3), full(t, memory.NTMWrite, 1, 4, a, b, c, d), "the last is kept")
	near(hot(3), full(t, memory.DNCWrite, 1, 4, a, b, c, d), "the last is kept")
}

func TestBoundedGradientIsTheFiniteDifference(t *testing.T) {
	eachRule(t, func(t *testing.T, rule memory.WriteRule, r *rand.Rand) {
		for _, slots := range []int64{2, 4, 6} {
			for _, gate := range []float64{0, .3} {
				m := memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: slots, Scale: 3, Gate: gate})
				xs := []*tensor.Tensor{floats(r.NormFloat64, 2, 4, 3), soft(r, 2, 4, 3), floats(r.NormFloat64, 2, 3, 3)}
				checkGradient(t, xs, nil, func(xs []*tensor.Tensor) []*tensor.Tensor {
					read, attention, logs := both(m, xs[0], xs[1], xs[2])
					return []*tensor.Tensor{read, attention, logs}
				})
			}
		}
	})
}

// Zero keys and queries, equal keys, and distant ones.
func TestBoundedEdgesAreFinite(t *testing.T) {
	eachRule(t, func(t *testing.T, rule memory.WriteRule, r *rand.Rand) {
		for _, m := range []metric.Metric{metric.Cosine{}, metric.SquaredEuclidean{}} {
			for _, slots := range []int64{1, 3, 128} {
				for _, gate := range []float64{0, .5} {
					b := memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: slots, Metric: m, Gate: gate})
					_, values := support(r, 1, 5, 3, 1)
					for _, v := range []float64{0, 1, 100} {
						for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
							args := []*tensor.Tensor{constants(v, 1, 5, 4), values, constants(v/2, 1, 2, 4)}
							finite(t, args, d, func(x []*tensor.Tensor) *tensor.Tensor {
								read, attention, logs := both(b, x[0], x[1], x[2])
								return tensor.Cat(2, read, attention, logs.Sum(-1).Unsqueeze(2))
							})
						}
					}
				}
			}
		}
	})
}

// Usage stays in range, and a slot's mass is the weight written to it.
func TestBoundedMasses(t *testing.T) {
	eachRule(t, func(t *testing.T, rule memory.WriteRule, r *rand.Rand) {
		for _, gate := range []float64{0, .4} {
			m := memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: 4, Gate: gate})
			s := m.Init(2)
			for range 10 {
				keys, values := support(r, 2, 1, 1, 3)
				s = m.Write(&nn.Pass{}, s, keys, values)
				b := s.(memory.BoundedState)
				assert.Equal(t, []int64{2, 4, 3}, b.Keys().Shape())
				assert.Equal(t, []int64{2, 4, 1}, b.Values().Shape())
				assert.InDeltaSlice(t, b.Masses().Floats(), b.Values().Floats(), 1e-12, "of one class")
				for _, v := range append(b.Masses().Floats(), b.Focus.Floats()...) {
					assert.GreaterOrEqual(t, v, 0.)
					if rule != memory.LRUAWrite {
						assert.LessOrEqual(t, v, 1+1e-9)
					}
				}
			}
		}
	})
}

func TestBoundedStateIsAValue(t *testing.T) {
	eachRule(t, func(t *testing.T, rule memory.WriteRule, r *rand.Rand) {
		m, p := memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: 4}), &nn.Pass{}
		keys, values := support(r, 2, 6, 3, 4)
		queries := floats(r.NormFloat64, 2, 5, 4)
		want, _, _ := both(m, keys, values, queries)
		first := m.Write(p, m.Init(2), keys.Narrow(1, 0, 2), values.Narrow(1, 0, 2))
		before := contents(first)
		s := m.Write(p, first, keys.Narrow(1, 2, 4), values.Narrow(1, 2, 4))
		read, _ := m.Read(p, s, queries)
		assert.InDeltaSlice(t, want.Floats(), read.Floats(), 1e-12, "writing in parts equals writing at once")
		assert.Equal(t, before, contents(first))

		// A task, also one of NaN, does not affect the others.
		alone, _, _ := both(m, keys.Narrow(0, 1, 1), values.Narrow(0, 1, 1), queries.Narrow(0, 1, 1))
		assert.InDeltaSlice(t, want.Select(0, 1).Floats(), alone.Floats(), 1e-12)
		spoiled := tensor.Cat(0, constants(math.NaN(), 1, 6, 4), keys.Narrow(0, 1, 1))
		beside, _, _ := both(m, spoiled, values, queries)
		assert.InDeltaSlice(t, alone.Floats(), beside.Select(0, 1).Floats(), 1e-12)

		got := map[string][]int64{}
		for _, n := range s.Tensors() {
			got[n.Name] = n.Tensor.Shape()
		}
		assert.Equal(t, map[string][]int64{"slots": {2, 4, 4 + 3 + 1}, "focus": {2, 1, 4}, "key_width": {1}}, got)
		assert.Empty(t, m.Init(2).Tensors())
		for _, read := range []func(){
			func() { m.Read(p, m.Init(2), queries) }, func() { memory.LogRead(m, p, m.Init(2), queries) },
		} {
			assert.ErrorContains(t, tensor.Do(func() error { read(); return nil }), "nothing has been written yet")
		}
	})
}

// A linear encoder learns which inputs distinguish the classes, through six writes, with enough slots and with one
// too few.
func TestAnEncoderOnABoundedMemoryLearns(t *testing.T) {
	const batch, way, shot, in = 8, 3, 2, 8
	eachRule(t, func(t *testing.T, rule memory.WriteRule, _ *rand.Rand) {
		for _, slots := range []int64{128, 5} {
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			encoder, m := nn.NewLinear(b, in, 4), memory.NewBounded(memory.BoundedConfig{Rule: rule, Slots: slots})
			opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
			t.Cleanup(opt.Free)
			var first, last float64
			const steps, final = 120, 20
			for step := range steps {
				scope := tensor.Enter()
				r := rand.New(rand.NewPCG(uint64(step), 1))
				var x [2][]float32
				var y []int64
				for range batch {
					corners := r.Perm(8)
					for i := range int64(way * shot) {
						y = append(y, i%way)
						for part := range x {
							for d := range in {
								v := 3 * r.NormFloat64()
								if d < 3 {
									v = 6*float64(corners[i%way]>>d&1) - 3 + .1*r.NormFloat64()
								}
								x[part] = append(x[part], float32(v))
							}
						}
					}
				}
				p, labels := &nn.Pass{Training: true}, tensor.New(y, batch, way*shot)
				embed := func(x []float32) *tensor.Tensor { return encoder.Forward(p, tensor.New(x, batch, way*shot, in)) }
				s := m.Write(p, m.Init(batch), embed(x[0]), labels.OneHot(way))
				loss := tensor.NLL(memory.LogRead(m, p, s, embed(x[1])).Flatten(0, 1), labels.Flatten(0, 1))
				require.True(t, loss.Finite())
				if step < final {
					first += loss.Float() / final
				}
				if step >= steps-final {
					last += loss.Float() / final
				}
				opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .03)
				scope.Leave()
			}
			t.Logf("%d slots: loss from %.2f to %.3f", slots, first, last)
			assert.Less(t, last, .35)
			assert.Less(t, last, first/2)
		}
	})
}
