package nn_test

import (
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

// With replaces a parameter for values and gradients: y = w·x with w 5 in place of 2.
func TestWithReplacesAParameter(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	l := nn.NewLinear(b, 1, 1)
	set(l.Weight, 2)
	set(l.Bias, 0)
	x, other := tensor.New([]float32{3}, 1, 1), tensor.New([]float32{5}, 1, 1).RequireGrad()
	p := &nn.Pass{Training: true, With: map[*nn.Param]*tensor.Tensor{l.Weight: other}}

	y := l.Forward(p, x)
	assert.Equal(t, 15.0, y.Float())
	g := tensor.Grad(y, other, l.Weight.Value(), l.Bias.Value())
	assert.Equal(t, 3.0, g[0].Float())
	assert.Nil(t, g[1], "the stored weight is not used")
	assert.Equal(t, 1.0, g[2].Float())
	assert.Equal(t, 6.0, l.Forward(&nn.Pass{}, x).Float(), "the network itself does not change")
}

// An inner step of MAML: with the loss y²/2 and w' = w - r·w·x², the outer loss (w'x)²/2 has the gradient w'·x²·(1 -
// r·x²) with respect to w.
func TestGradientThroughAnAdaptedParameter(t *testing.T) {
	testkit.Enter(t)
	b := build(t, 1)
	l := nn.NewLinear(b, 1, 1)
	set(l.Weight, 2)
	set(l.Bias, 0)
	const w, v, r = 2.0, 3.0, .05
	x := tensor.New([]float32{v}, 1, 1)
	loss := func(p *nn.Pass) *tensor.Tensor { return l.Forward(p, x).Square().MulScalar(.5).Sum() }

	g := tensor.GradWith([]*tensor.Tensor{loss(&nn.Pass{Training: true})}, []*tensor.Tensor{l.Weight.Value()}, tensor.GradOptions{Create: true})[0]
	adapted := l.Weight.Value().Sub(g.MulScalar(r))
	outer := loss(&nn.Pass{With: map[*nn.Param]*tensor.Tensor{l.Weight: adapted}})
	want := (w - r*w*v*v) * v * v * (1 - r*v*v)
	assert.InDelta(t, want, tensor.Grad(outer, l.Weight.Value())[0].Float(), 1e-4)
}

// normed returns a batch norm over one channel with running mean 10 and variance 4, and the batch 1, 2, 3, 6: mean 3,
// variance 3.5, unbiased 14/3.
func normed(t *testing.T) (l *nn.BatchNorm, x *tensor.Tensor) {
	testkit.Enter(t)
	b := build(t, 1)
	l = nn.NewBatchNorm(b, 1)
	set(l.Mean, 10)
	set(l.Variance, 4)
	return l, tensor.New([]float32{1, 2, 3, 6}, 4, 1)
}

func TestTrainingUpdatesRunningStatistics(t *testing.T) {
	l, x := normed(t)
	y := l.Forward(&nn.Pass{Training: true}, x)
	assert.InDelta(t, 0, y.Mean().Float(), 1e-6)
	assert.InDelta(t, 1, y.Square().Mean().Float(), 1e-5)
	assert.InDelta(t, .9*10+.1*3, l.Mean.Value().Float(), 1e-5)
	assert.InDelta(t, .9*4+.1*14/3, l.Variance.Value().Float(), 1e-5)
}

func TestBatchStatisticsOutsideTrainingUpdateNothing(t *testing.T) {
	l, x := normed(t)
	y := l.Forward(&nn.Pass{}, x)
	assert.InDelta(t, 0, y.Mean().Float(), 1e-6)
	assert.InDelta(t, 1, y.Square().Mean().Float(), 1e-5)
	assert.Equal(t, 10.0, l.Mean.Value().Float())
	assert.Equal(t, 4.0, l.Variance.Value().Float())
}

func TestRunningStatisticsAreUsedAndDoNotChange(t *testing.T) {
	for _, training := range []bool{false, true} {
		t.Run("", func(t *testing.T) {
			l, x := normed(t)
			y := l.Forward(&nn.Pass{Norm: nn.RunningStats, Training: training}, x)
			assert.InDeltaSlice(t, []float64{-4.5, -4, -3.5, -2}, y.Floats(), 1e-4)
			one := l.Forward(&nn.Pass{Norm: nn.RunningStats}, x.Narrow(0, 3, 1))
			assert.InDelta(t, -2, one.Float(), 1e-4, "the result does not depend on the batch")
			assert.Equal(t, 10.0, l.Mean.Value().Float())
			assert.Equal(t, 4.0, l.Variance.Value().Float())
		})
	}
}

// A method that adapts a copy of the network updates the copy's statistics only.
func TestTrainingUpdatesReplacedStatistics(t *testing.T) {
	l, x := normed(t)
	mean, variance := tensor.Zeros(1), tensor.Ones(1)
	l.Forward(&nn.Pass{Training: true, With: map[*nn.Param]*tensor.Tensor{l.Mean: mean, l.Variance: variance}}, x)
	assert.InDelta(t, .3, mean.Float(), 1e-6)
	assert.InDelta(t, .9+.1*14/3, variance.Float(), 1e-6)
	assert.Equal(t, 10.0, l.Mean.Value().Float())
	assert.Equal(t, 4.0, l.Variance.Value().Float())
}

// Evaluations take parameters as constants unless gradients are requested.
func TestEvaluationRecordsNoGradients(t *testing.T) {
	testkit.Enter(t)
	l := nn.NewLinear(build(t, 1), 2, 1)
	x := tensor.Ones(1, 2)
	recorded := func(p *nn.Pass) bool { return l.Forward(p, x).RequiresGrad() }
	assert.False(t, recorded(&nn.Pass{}))
	assert.False(t, recorded(&nn.Pass{Norm: nn.RunningStats}))
	assert.True(t, recorded(&nn.Pass{Training: true}))
	assert.True(t, recorded(&nn.Pass{HigherOrder: true}))
	assert.True(t, recorded(&nn.Pass{With: map[*nn.Param]*tensor.Tensor{l.Weight: tensor.Ones(1, 2).RequireGrad()}}))
	assert.Same(t, l.Weight.Value(), (&nn.Pass{Training: true}).Value(l.Weight))
	tensor.WithGrad(func() {
		assert.True(t, recorded(&nn.Pass{}))
		tensor.NoGrad(func() { assert.False(t, recorded(&nn.Pass{})) })
		assert.True(t, recorded(&nn.Pass{}))
	})
	assert.False(t, recorded(&nn.Pass{}))

	y := x.Clone().RequireGrad() // gradients of inputs are always recorded
	assert.Equal(t, l.Weight.Value().Floats(), tensor.Grad(l.Forward(&nn.Pass{}, y).Sum(), y)[0].Floats())
}
