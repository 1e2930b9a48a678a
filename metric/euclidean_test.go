package metric_test

import (
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

func TestDotIsThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(9, 0))
	q, k := normal(r, .2, 2, 3, 5), normal(r, .2, 2, 4, 5)
	want, _ := loop(func(q, k []float64) (score float64) {
		for i := range q {
			score += q[i] * k[i]
		}
		return score
	}, q, k)
	assert.InDeltaSlice(t, want, metric.Dot{}.Score(nil, q, k).Floats(), 1e-12)
}

// (q-k)ᵀ LLᵀ (q-k), by a plain loop, for a random L instead of the learned one.
func TestMahalanobisIsThePlainLoop(t *testing.T) {
	const width = 4
	for _, diagonal := range []bool{false, true} {
		testkit.Enter(t)
		r := rand.New(rand.NewPCG(10, 0))
		b := nn.NewBuilder(1, tensor.CPU)
		m := metric.NewMahalanobis(b, width, diagonal)
		q, k := normal(r, .2, 2, 3, width), normal(r, .2, 2, 5, width)

		first := m.Score(&nn.Pass{}, q.To(tensor.Float32), k.To(tensor.Float32))
		assert.InDeltaSlice(t, metric.SquaredEuclidean{}.Score(nil, q, k).Floats(), first.Floats(), 1e-4, "initially squared Euclidean")

		l := normal(r, 0, m.Map.Value().Shape()...)
		at := func(i, j int) float64 {
			switch values := l.Floats(); {
			case !diagonal:
				return values[i*width+j]
			case i == j:
				return values[i]
			}
			return 0
		}
		want, _ := loop(func(q, k []float64) (score float64) {
			for j := range width {
				var mapped float64
				for i := range width {
					mapped += (q[i] - k[i]) * at(i, j)
				}
				score -= mapped * mapped
			}
			return score
		}, q, k)
		pass := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{m.Map: l.RequireGrad()}}
		score := m.Score(pass, q, k)
		assert.InDeltaSlice(t, want, score.Floats(), 1e-9)
		assert.True(t, tensor.Grad(score.Sum(), l)[0].Finite())
		b.Params().Free()
	}
}

func TestMahalanobisGradientIsTheFiniteDifference(t *testing.T) {
	for _, diagonal := range []bool{false, true} {
		testkit.Enter(t)
		r := rand.New(rand.NewPCG(12, 0))
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		m := metric.NewMahalanobis(b, 3, diagonal)
		p, leaves := testkit.Double(nn.Pass{}, b.Params())
		leaves[0].Assign(normal(r, 0, leaves[0].Shape()...))
		q, k := normal(r, .2, 2, 3, 3).RequireGrad(), normal(r, .2, 2, 4, 3).RequireGrad()
		weights := normal(r, 0, 2, 3, 4)
		testkit.Differences(t, append(leaves, q, k), 1e-5, 1e-6, func() *tensor.Tensor { return m.Score(p, q, k).Mul(weights).Sum() })
	}
}

// Zero and identical points have finite scores and gradients, also with respect to the parameters.
func TestDotAndMahalanobisOfDegeneratePointsHaveNoNaN(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	for name, m := range map[string]metric.Metric{
		"dot": metric.Dot{}, "full": metric.NewMahalanobis(b.In("full"), 3, false), "diagonal": metric.NewMahalanobis(b.In("diagonal"), 3, true),
	} {
		x := tensor.New([]float32{0, 0, 0, 1, 2, 3, 1, 2, 3}, 1, 3, 3).RequireGrad()
		scores := m.Score(&nn.Pass{}, x, x)
		assert.True(t, scores.Finite(), name)
		for _, g := range tensor.Grad(scores.Sum(), append(b.Params().Tensors(), x)...) {
			assert.True(t, g == nil || g.Finite(), name)
		}
	}
}

// The metric learns which coordinate matters: only the first of two separates the classes.
func TestMahalanobisLearnsWhichCoordinateMatters(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	m := metric.NewMahalanobis(b, 2, true)
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	defer opt.Free()
	r := rand.New(rand.NewPCG(11, 0))
	labels := tensor.New([]int64{0, 1}, 2)
	for range 150 {
		s := tensor.Enter()
		x := func() *tensor.Tensor {
			return tensor.New([]float32{-1, 3 * float32(r.NormFloat64()), 1, 3 * float32(r.NormFloat64())}, 1, 2, 2)
		}
		loss := tensor.NLL(m.Score(&nn.Pass{Training: true}, x(), x()).LogSoftmax(-1).Squeeze(0), labels)
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .02)
		s.Leave()
	}
	d := m.Map.Value().Floats()
	assert.Greater(t, d[0]*d[0], 10*d[1]*d[1], "%v", d)
}
