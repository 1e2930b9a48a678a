package metric_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/tensor"
)

// matrix reads a tensor [rows, columns].
func matrix(x *tensor.Tensor) [][]float64 {
	var out [][]float64
	v, w := x.Floats(), int(x.Dim(1))
	for i := range int(x.Dim(0)) {
		out = append(out, v[i*w:][:w])
	}
	return out
}

// plainCovariance returns the unbiased covariance of examples weighted by shares, undivided for a total weight below 2, and
// the total weight.
func plainCovariance(x [][]float64, shares []float64) (q [][]float64, n float64) {
	width := len(x[0])
	mean := make([]float64, width)
	for i, row := range x {
		n += shares[i]
		for d := range width {
			mean[d] += shares[i] * row[d]
		}
	}
	for d := range mean {
		mean[d] /= max(n, 1e-6)
	}
	q = square(width)
	for i, row := range x {
		for a := range width {
			for b := range width {
				q[a][b] += shares[i] * (row[a] - mean[a]) * (row[b] - mean[b]) / max(n-1, 1)
			}
		}
	}
	return q, n
}

func square(width int) [][]float64 {
	q := make([][]float64, width)
	for i := range q {
		q[i] = make([]float64, width)
	}
	return q
}

// solve solves q·x = b by elimination, for a positive-definite q.
func solve(q [][]float64, b []float64) []float64 {
	n := len(b)
	m := make([][]float64, n)
	for i := range m {
		m[i] = append(append([]float64(nil), q[i]...), b[i])
	}
	for i := range n {
		for j := range n {
			if j != i {
				f := m[j][i] / m[i][i]
				for k := range m[j] {
					m[j][k] -= f * m[i][k]
				}
			}
		}
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = m[i][n] / m[i][i]
	}
	return x
}

// plainCovariances implements the doc comment of metric.Covariance for one task, class by class.
func plainCovariances(perClass bool, ridge float64, keys [][]float64, shares [][]float64) (qs [][][]float64) {
	classes, width := len(shares[0]), len(keys[0])
	total, column := make([]float64, len(keys)), func(c int) (s []float64) {
		for i := range keys {
			s = append(s, shares[i][c])
		}
		return s
	}
	for i := range keys {
		for _, s := range shares[i] {
			total[i] += s
		}
	}
	whole, examples := plainCovariance(keys, total)
	within, freedom := square(width), examples
	for c := range classes {
		q, n := plainCovariance(keys, column(c))
		if n > 0 {
			freedom--
		}
		for a := range width {
			for b := range width {
				within[a][b] += q[a][b] * max(n-1, 1)
			}
		}
	}
	freedom = max(freedom, 0)
	for c := range classes {
		q, n := plainCovariance(keys, column(c))
		if !perClass {
			n = freedom
			for a := range width {
				for b := range width {
					q[a][b] = within[a][b] / max(freedom, 1)
				}
			}
		}
		for a := range width {
			for b := range width {
				q[a][b] = n/(n+1)*q[a][b] + 1/(n+1)*whole[a][b]
				if a == b {
					q[a][b] += ridge
				}
			}
		}
		qs = append(qs, q)
	}
	return qs
}

// labelled returns examples [batch, n, width] and their one-hot classes; example i has class i mod classes.
func labelled(r *rand.Rand, batch, n, classes, width int64) (keys, shares *tensor.Tensor) {
	labels := make([]int64, batch*n)
	for i := range labels {
		labels[i] = int64(i) % n % classes
	}
	return normal(r, .3, batch, n, width), tensor.New(labels, batch, n).OneHot(classes).To(tensor.Float64)
}

func eachForm(t *testing.T, f func(t *testing.T, perClass bool, m *metric.Covariance)) {
	for _, perClass := range []bool{true, false} {
		t.Run(fmt.Sprintf("per class %v", perClass), func(t *testing.T) {
			testkit.Enter(t)
			f(t, perClass, metric.NewCovariance(metric.CovarianceConfig{PerClass: perClass, Ridge: .5}))
		})
	}
}

func TestCovarianceIsThePlainLoop(t *testing.T) {
	eachForm(t, func(t *testing.T, perClass bool, m *metric.Covariance) {
		r := rand.New(rand.NewPCG(20, 0))
		for _, c := range []struct{ batch, n, classes, queries, width int64 }{{1, 1, 1, 1, 1}, {2, 6, 2, 3, 4}, {2, 5, 5, 2, 3}, {1, 20, 4, 5, 16}} {
			keys, oneHot := labelled(r, c.batch, c.n, c.classes, c.width)
			soft := normal(r, 0, c.batch, c.n, c.classes).Abs().AddScalar(.05)
			soft = soft.Div(soft.SumKeep(-1))
			slots, queries := normal(r, 0, c.batch, c.classes, c.width), normal(r, 0, c.batch, c.queries, c.width)
			for name, shares := range map[string]*tensor.Tensor{"one-hot": oneHot, "soft": soft} {
				moments := metric.NewMoments(keys, shares)
				byClass := m.Fit(moments, nil).Score(nil, queries, slots)
				byShare := m.Fit(moments, shares).Score(nil, queries, keys)
				single := m.Fit(metric.NewMoments(keys.To(tensor.Float32), shares.To(tensor.Float32)), nil).
					Score(nil, queries.To(tensor.Float32), slots.To(tensor.Float32))
				require.Equal(t, []int64{c.batch, c.queries, c.classes}, byClass.Shape())
				require.Equal(t, []int64{c.batch, c.queries, c.n}, byShare.Shape())
				assert.InDeltaSlice(t, byClass.Floats(), single.Floats(), 1e-3, "float32")
				for task := range c.batch {
					of := func(x *tensor.Tensor) [][]float64 { return matrix(x.Select(0, task)) }
					qs := plainCovariances(perClass, .5, of(keys), of(shares))
					distance := func(q [][]float64, x, y []float64) (score float64) {
						d := make([]float64, len(x))
						for i := range d {
							d[i] = x[i] - y[i]
						}
						for i, v := range solve(q, d) {
							score -= d[i] * v
						}
						return score
					}
					for i, q := range of(queries) {
						for s, slot := range of(slots) {
							assert.InDelta(t, distance(qs[s], q, slot), of(byClass)[i][s], 1e-9, "%v %s", c, name)
						}
						for s, key := range of(keys) {
							mixed := square(int(c.width)) // each class's matrix by the slot's share of it
							for class, share := range of(shares)[s] {
								for a := range mixed {
									for b := range mixed {
										mixed[a][b] += share * qs[class][a][b]
									}
								}
							}
							assert.InDelta(t, distance(mixed, q, key), of(byShare)[i][s], 1e-9, "%v %s", c, name)
						}
					}
				}
			}
		}
	})
}

// Moments added in parts equal the moments of all examples, also far from zero, where sums of squares would lose all
// accuracy.
func TestMomentsAdd(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(21, 0))
	for offset, tolerance := range map[float64]float64{0: 1e-5, 3000: 1e-2} {
		keys, shares := labelled(r, 2, 12, 3, 4)
		keys, shares = keys.AddScalar(offset).To(tensor.Float32), shares.To(tensor.Float32)
		part := func(from, n int64) metric.Moments {
			return metric.NewMoments(keys.Narrow(1, from, n), shares.Narrow(1, from, n))
		}
		whole, parts := part(0, 12), part(0, 2).Add(part(2, 7)).Add(part(9, 3))
		assert.InDeltaSlice(t, whole.Counts.Floats(), parts.Counts.Floats(), 1e-6)
		assert.InDeltaSlice(t, whole.Sums.Floats(), parts.Sums.Floats(), 1e-6*max(1, 12*offset))
		exact := metric.NewMoments(keys.To(tensor.Float64), shares.To(tensor.Float64)).Scatters.Floats()
		assert.InDeltaSlice(t, exact, whole.Scatters.Floats(), tolerance)
		assert.InDeltaSlice(t, exact, parts.Scatters.Floats(), tolerance)
	}
}

func TestCovarianceInvariants(t *testing.T) {
	eachForm(t, func(t *testing.T, perClass bool, m *metric.Covariance) {
		r := rand.New(rand.NewPCG(22, 0))
		keys, shares := labelled(r, 2, 12, 3, 5)
		fitted := m.Fit(metric.NewMoments(keys, shares), shares)
		self := fitted.Score(nil, keys, keys)
		for task := range int64(2) {
			for i, row := range matrix(self.Select(0, task)) {
				for j, v := range row {
					assert.LessOrEqual(t, v, 1e-12)
					if j != i {
						assert.Greater(t, row[i], v, "a vector is most similar to itself")
					}
				}
			}
		}
		// The Mahalanobis distance is invariant to translation and, apart from the ridge, to scaling.
		moved := m.Fit(metric.NewMoments(keys.AddScalar(7), shares), shares).Score(nil, keys.AddScalar(7), keys.AddScalar(7))
		assert.InDeltaSlice(t, self.Floats(), moved.Floats(), 1e-8)
		bare := metric.NewCovariance(metric.CovarianceConfig{PerClass: perClass, Ridge: 1e-9})
		scores := func(x *tensor.Tensor) []float64 {
			return bare.Fit(metric.NewMoments(x, shares), shares).Score(nil, x, x).Floats()
		}
		assert.InDeltaSlice(t, scores(keys), scores(keys.MulScalar(3)), 1e-5)

		one := m.Fit(metric.NewMoments(keys.Narrow(0, 1, 1), shares.Narrow(0, 1, 1)), shares.Narrow(0, 1, 1))
		assert.InDeltaSlice(t, self.Narrow(0, 1, 1).Floats(), one.Score(nil, keys.Narrow(0, 1, 1), keys.Narrow(0, 1, 1)).Floats(), 1e-9,
			"the tasks of a batch are independent")
		alone := m.Score(nil, keys, keys)
		each := tensor.Eye(12, tensor.Float64, tensor.CPU).Unsqueeze(0).Expand(2, 12, 12)
		assert.InDeltaSlice(t, m.Fit(metric.NewMoments(keys, each), each).Score(nil, keys, keys).Floats(), alone.Floats(), 1e-9,
			"unfitted, every key is its own class")
	})
}

// An empty class, one example per class, identical examples, zeros.
func TestCovarianceOfFewExamplesHasNoNaN(t *testing.T) {
	eachForm(t, func(t *testing.T, perClass bool, m *metric.Covariance) {
		r := rand.New(rand.NewPCG(23, 0))
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			_, shares := labelled(r, 1, 4, 2, 3)
			empty := tensor.Cat(2, shares, shares.Narrow(2, 0, 1).ZerosLike())
			nothing := empty.ZerosLike()
			for name, x := range map[string]*tensor.Tensor{
				"apart": normal(r, 0, 1, 4, 3), "same": normal(r, 0, 1, 1, 3).Expand(1, 4, 3), "zero": tensor.Zeros(1, 4, 3),
			} {
				for _, s := range []*tensor.Tensor{shares, empty, nothing, tensor.Eye(4, tensor.Float32, tensor.CPU).Unsqueeze(0)} {
					keys, s := x.To(d).Clone().Detach().RequireGrad(), s.To(d)
					fitted := m.Fit(metric.NewMoments(keys, s), s)
					scores := fitted.Score(nil, keys, keys)
					assert.True(t, scores.Finite(), name)
					assert.True(t, tensor.Grad(scores.Sum(), keys)[0].Finite(), name)
				}
			}
		}
	})
}

func TestCovarianceGradientIsTheFiniteDifference(t *testing.T) {
	eachForm(t, func(t *testing.T, perClass bool, m *metric.Covariance) {
		const h = 1e-5
		r := rand.New(rand.NewPCG(24, 0))
		keys, shares := labelled(r, 2, 6, 2, 3)
		queries, weights := normal(r, 0, 2, 2, 3), normal(r, 0, 2, 2, 6)
		f := func(keys *tensor.Tensor) *tensor.Tensor {
			return m.Fit(metric.NewMoments(keys, shares), shares).Score(nil, queries, keys).Mul(weights).Sum()
		}
		leaf := keys.Clone().Detach().RequireGrad()
		got := tensor.Grad(f(leaf), leaf)[0].Floats()
		values := keys.Floats()
		for j, v := range values {
			at := func(v float64) float64 {
				moved := append([]float64(nil), values...)
				moved[j] = v
				return f(tensor.New(moved, keys.Shape()...)).Float()
			}
			assert.InDelta(t, (at(v+h)-at(v-h))/(2*h), got[j], 1e-7)
		}
	})
}

// One class lies along a line, the other is round: a point on the line beyond the round class belongs to the line although
// the round class's mean is nearer.
func TestACovariancePerClassKnowsTheShapeOfAClass(t *testing.T) {
	testkit.Enter(t)
	keys := tensor.New([]float64{-20, 0, -10, .1, 10, -.1, 20, 0, 25, 3, 26, 4, 24, 3, 25, 2}, 1, 8, 2)
	shares := tensor.New([]int64{0, 0, 0, 0, 1, 1, 1, 1}, 1, 8).OneHot(2).To(tensor.Float64)
	means := tensor.New([]float64{0, 0, 25, 3}, 1, 2, 2)
	query := tensor.New([]float64{19, 0}, 1, 1, 2)
	closest := func(m metric.Metric) int64 {
		return tensor.Values[int64](m.Score(nil, query, means).Argmax(-1))[0]
	}
	assert.Equal(t, int64(1), closest(metric.SquaredEuclidean{}))
	assert.Equal(t, int64(0), closest(metric.NewCovariance(metric.CovarianceConfig{PerClass: true}).Fit(metric.NewMoments(keys, shares), nil)))
}
