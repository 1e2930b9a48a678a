package metric_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

func weighted(t *testing.T, width int64) *metric.WeightedManhattan {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	return metric.NewWeightedManhattan(b, width)
}

func TestWeightedManhattanIsThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	for i, s := range [][4]int64{{1, 1, 1, 1}, {2, 3, 5, 4}, {1, 20, 20, 65}} {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		m := weighted(t, s[3])
		q, k := normal(r, .2, s[0], s[1], s[3]), normal(r, .2, s[0], s[2], s[3])
		first, _ := loop(func(q, k []float64) (score float64) {
			for i := range q {
				score -= math.Abs(q[i]-k[i]) / float64(len(q))
			}
			return score
		}, q, k)
		got := m.Score(&nn.Pass{}, q.To(tensor.Float32), k.To(tensor.Float32))
		assert.Equal(t, []int64{s[0], s[1], s[2]}, got.Shape())
		assert.InDeltaSlice(t, first, got.Floats(), 1e-6, "initially the mean difference")

		alpha := normal(r, 0, s[3])
		weights := alpha.Floats()
		want, _ := loop(func(q, k []float64) (score float64) {
			for i := range q {
				score -= weights[i] * math.Abs(q[i]-k[i]) / float64(len(q))
			}
			return score
		}, q, k)
		pass := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{m.Weight: alpha}}
		assert.InDeltaSlice(t, want, m.Score(pass, q, k).Floats(), 1e-9)
		symmetric := m.Score(pass, k, q).Transpose(1, 2)
		assert.InDeltaSlice(t, want, symmetric.Floats(), 1e-9, "symmetric")
		for _, v := range m.Score(pass, q, q).Sum(0).Floats()[:1] {
			assert.Zero(t, v, "a point has the distance 0 to itself")
		}
	}
}

// The gradient is zero at identical points and zero rows, and equals finite differences elsewhere, also for α.
func TestWeightedManhattanGradient(t *testing.T) {
	testkit.Enter(t)
	const h = 1e-6
	r := rand.New(rand.NewPCG(2, 0))
	m := weighted(t, 4)
	values := [][]float64{normal(r, .5, 2, 3, 4).Floats(), normal(r, .5, 2, 2, 4).Floats(), normal(r, 0, 4).Floats()}
	shapes := [][]int64{{2, 3, 4}, {2, 2, 4}, {4}}
	weights := normal(r, 0, 2, 3, 2)
	score := func(xs []*tensor.Tensor) *tensor.Tensor {
		pass := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{m.Weight: xs[2]}}
		return m.Score(pass, xs[0], xs[1]).Mul(weights).Sum()
	}
	at := func() (xs []*tensor.Tensor) {
		for i, v := range values {
			xs = append(xs, tensor.New(v, shapes[i]...))
		}
		return xs
	}
	leaves := at()
	for _, x := range leaves {
		x.RequireGrad()
	}
	for i, g := range tensor.Grad(score(leaves), leaves...) {
		for j, got := range g.Floats() {
			was := values[i][j]
			values[i][j] = was + h
			up := score(at()).Float()
			values[i][j] = was - h
			down := score(at()).Float()
			values[i][j] = was
			assert.InDelta(t, (up-down)/(2*h), got, 1e-6)
		}
	}

	same := tensor.New([]float32{0, 0, 0, 0, 1, 2, 3, 4}, 1, 2, 4)
	q, k := same.Clone().Detach().RequireGrad(), same.Clone().Detach().RequireGrad()
	grads := tensor.Grad(m.Score(&nn.Pass{Training: true}, q, k).Sum(), q, k, m.Weight.Value())
	for _, g := range grads {
		assert.True(t, g.Finite())
	}
	for _, g := range tensor.Grad(m.Score(&nn.Pass{}, q.Narrow(1, 0, 1), k.Narrow(1, 0, 1)).Sum(), q, k) {
		assert.Equal(t, make([]float64, 8), g.Floats())
	}
}

// Only the first of two coordinates separates the classes.
func TestWeightedManhattanLearnsWhichCoordinateMatters(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	m := metric.NewWeightedManhattan(b, 2)
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
	alpha := m.Weight.Value().Floats()
	assert.Greater(t, alpha[0], 5*math.Abs(alpha[1]), "%v", alpha)
}
