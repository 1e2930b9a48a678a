package metric_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var metrics = []struct {
	name   string
	metric metric.Metric
	plain  func(q, k []float64) float64
}{
	{"SquaredEuclidean", metric.SquaredEuclidean{}, func(q, k []float64) (score float64) {
		for i := range q {
			score -= (q[i] - k[i]) * (q[i] - k[i])
		}
		return score
	}},
	{"Euclidean", metric.Euclidean{}, func(q, k []float64) float64 {
		var sum float64
		for i := range q {
			sum += (q[i] - k[i]) * (q[i] - k[i])
		}
		return -math.Sqrt(sum)
	}},
	{"Manhattan", metric.Manhattan{}, func(q, k []float64) (score float64) {
		for i := range q {
			score -= math.Abs(q[i] - k[i])
		}
		return score
	}},
	{"Cosine", metric.Cosine{}, func(q, k []float64) float64 {
		var qk, qq, kk float64
		for i := range q {
			qk, qq, kk = qk+q[i]*k[i], qq+q[i]*q[i], kk+k[i]*k[i]
		}
		if qq == 0 || kk == 0 {
			return 0
		}
		return qk / math.Sqrt(qq) / math.Sqrt(kk)
	}},
}

func normal(r *rand.Rand, offset float64, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = offset + r.NormFloat64()
	}
	return tensor.New(v, shape...)
}

// loop returns the scores by a plain loop, flattened from [batch, queries, keys], and the largest |q|²+|k|².
func loop(plain func(q, k []float64) float64, queries, keys *tensor.Tensor) (scores []float64, size float64) {
	q, k, w := queries.Floats(), keys.Floats(), int(queries.Dim(2))
	nq, nk := int(queries.Dim(1)), int(keys.Dim(1))
	for b := range int(queries.Dim(0)) {
		for i := range nq {
			for j := range nk {
				x, y := q[(b*nq+i)*w:][:w], k[(b*nk+j)*w:][:w]
				scores = append(scores, plain(x, y))
				var s float64
				for d := range w {
					s += x[d]*x[d] + y[d]*y[d]
				}
				size = max(size, s)
			}
		}
	}
	return scores, size
}

func TestScoreIsThePlainLoop(t *testing.T) {
	for _, m := range metrics {
		for i, s := range [][4]int64{{1, 1, 1, 1}, {2, 3, 4, 5}, {1, 5, 1, 64}, {3, 1, 7, 2}, {2, 4, 4, 1}, {2, 75, 25, 64}, {1, 20, 20, 257}} {
			t.Run(fmt.Sprint(m.name, s), func(t *testing.T) {
				testkit.Enter(t)
				r := rand.New(rand.NewPCG(1, uint64(i)))
				q, k := normal(r, .2, s[0], s[1], s[3]), normal(r, .2, s[0], s[2], s[3])
				want, _ := loop(m.plain, q, k)
				got := m.metric.Score(nil, q, k)
				require.Equal(t, []int64{s[0], s[1], s[2]}, got.Shape())
				assert.InDeltaSlice(t, want, got.Floats(), 1e-8)

				q, k = q.To(tensor.Float32), k.To(tensor.Float32)
				want, size := loop(m.plain, q, k)
				assert.InDeltaSlice(t, want, m.metric.Score(nil, q, k).Floats(), 1e-6*max(1, size), "float32")
			})
		}
	}
}

func TestInvariants(t *testing.T) {
	const n = 12
	for _, m := range metrics {
		t.Run(m.name, func(t *testing.T) {
			testkit.Enter(t)
			r := rand.New(rand.NewPCG(2, 0))
			x := normal(r, .3, 2, n, 6).To(tensor.Float32)
			y := normal(r, -.3, 2, n, 6).To(tensor.Float32)
			self := m.metric.Score(nil, x, x).Floats()
			for row := range 2 * n {
				for j, v := range self[row*n:][:n] {
					if j != row%n {
						assert.Greater(t, self[row*n+row%n], v, "a vector is most similar to itself")
					}
				}
			}
			xy, yx := m.metric.Score(nil, x, y), m.metric.Score(nil, y, x)
			assert.InDeltaSlice(t, xy.Floats(), yx.Transpose(1, 2).Floats(), 1e-5, "symmetric")
			assert.InDeltaSlice(t, xy.Narrow(0, 1, 1).Floats(), m.metric.Score(nil, x.Narrow(0, 1, 1), y.Narrow(0, 1, 1)).Floats(), 1e-5,
				"the tasks of a batch are independent")
		})
	}
}

func TestSquaredEuclideanIsNotAboveZero(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(3, 0))
	x := normal(r, 0, 1, 40, 8).To(tensor.Float32)
	for _, v := range (metric.SquaredEuclidean{}).Score(nil, x, x).Floats() {
		assert.LessOrEqual(t, v, 1e-5, "except for rounding")
	}
}

func TestCosineLiesBetweenMinusOneAndOne(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(3, 1))
	x := normal(r, 0, 1, 40, 8).To(tensor.Float32)
	for _, scale := range []float64{.01, 1, 1e6} {
		k := tensor.Cat(1, x, x.MulScalar(-1)).MulScalar(scale)
		scores := metric.Cosine{}.Score(nil, x, k)
		for _, v := range scores.Floats() {
			assert.LessOrEqual(t, math.Abs(v), 1+1e-6)
		}
		for i := range int64(40) {
			assert.InDelta(t, 1, scores.Select(1, i).Select(1, i).Float(), 1e-6, "for any length")
			assert.InDelta(t, -1, scores.Select(1, i).Select(1, 40+i).Float(), 1e-6)
		}
	}
}

// Zero rows, identical points, and both at once.
func TestDegeneratePointsHaveNoNaN(t *testing.T) {
	for _, m := range metrics {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			t.Run(fmt.Sprint(m.name, d), func(t *testing.T) {
				testkit.Enter(t)
				values := []float64{0, 0, 0, 1, 2, 3, 1, 2, 3, -1, 0, 1}
				q := tensor.New(values, 1, 4, 3).To(d).Detach().RequireGrad()
				k := tensor.New(values, 1, 4, 3).To(d).Detach().RequireGrad()
				scores := m.metric.Score(nil, q, k)
				want, _ := loop(m.plain, q.Detach(), k.Detach())
				assert.InDeltaSlice(t, want, scores.Floats(), 1e-5)
				for _, g := range tensor.Grad(scores.Sum(), q, k) {
					assert.True(t, g.Finite())
				}
			})
		}
	}
}

func TestGradientIsTheFiniteDifference(t *testing.T) {
	const h = 1e-5
	for _, m := range metrics {
		t.Run(m.name, func(t *testing.T) {
			testkit.Enter(t)
			r := rand.New(rand.NewPCG(4, 0))
			xs := []*tensor.Tensor{normal(r, .5, 2, 3, 4), normal(r, .5, 2, 5, 4)}
			weights := normal(r, 0, 2, 3, 5)
			f := func(q, k *tensor.Tensor) *tensor.Tensor { return m.metric.Score(nil, q, k).Mul(weights).Sum() }
			leaves := []*tensor.Tensor{xs[0].Clone().RequireGrad(), xs[1].Clone().RequireGrad()}
			for i, g := range tensor.Grad(f(leaves[0], leaves[1]), leaves...) {
				values := xs[i].Floats()
				want := make([]float64, len(values))
				for j, v := range values {
					at := func(v float64) float64 {
						moved := append([]float64(nil), values...)
						moved[j] = v
						args := []*tensor.Tensor{xs[0], xs[1]}
						args[i] = tensor.New(moved, xs[i].Shape()...)
						return f(args[0], args[1]).Float()
					}
					want[j] = (at(v+h) - at(v-h)) / (2 * h)
				}
				assert.InDeltaSlice(t, want, g.Floats(), 1e-7)
			}
		})
	}
}
