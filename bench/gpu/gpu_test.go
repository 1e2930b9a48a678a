package main

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// penalized is work whose gradient is that of a penalty alone.
type penalized struct {
	runner.Work
	weight *nn.Param
}

func (w *penalized) Load(context.Context, runner.Source) error { return nil }
func (w *penalized) Build(b *nn.Builder) error {
	w.weight = b.Param("weight", func(_ *rand.Rand, _ []int64, out []float32) { out[0] = 3 }, 1)
	return nil
}
func (w *penalized) Batches(context.Context, int64) iter.Seq[runner.Batch] {
	return func(yield func(runner.Batch) bool) {
		yield(runner.LossFunc(func(p *nn.Pass, _ tensor.Device) (*tensor.Tensor, runner.Score) {
			x := p.Value(w.weight)
			p.Penalize(x.Mul(x).Sum())
			return x.MulScalar(0).Sum(), nil
		}))
	}
}

// The check compares the gradients that training takes a step by, with the penalties in them.
func TestGradientsHaveThePenalties(t *testing.T) {
	c := &experiments.Config{Config: &runner.Config{Seed: 1, Work: &penalized{}, Settle: func(tensor.Device) error { return nil }}}
	_, grads, err := firstStep(t.Context(), c, tensor.CPU)
	require.NoError(t, err)
	assert.Equal(t, [][]float64{{6}}, grads)
}

func TestVerdicts(t *testing.T) {
	assert.True(t, Graphed{Captured: true, LossDiff: bound / 2}.OK())
	for name, g := range map[string]Graphed{
		"different": {Captured: true, LossDiff: 2 * bound}, "not a number": {Captured: true, LossDiff: math.NaN()},
		"no graph": {}, "failed": {Captured: true, Error: "no"},
	} {
		assert.False(t, g.OK(), name)
	}
	assert.False(t, Parity{GradDiff: math.NaN()}.OK())
}

// On the CPU the check of graphs is one of the steps that a graph replays.
func TestGraphsAreComparedOnTheCPU(t *testing.T) {
	o := options{device: "cpu"}
	g := graphs(t.Context(), experiments.Standard(), "../../experiments/lstm-copy.yaml", o)
	assert.True(t, g.OK(), "%s", g)
	assert.Equal(t, graphSteps, g.Steps)
	g = graphs(t.Context(), experiments.Standard(), "../../experiments/r2d2-cifar-fs.yaml", o)
	assert.False(t, g.OK())
	assert.Contains(t, g.Note, "cannot be captured")
}

// An experiment that only tests what others trained has no step to compare, which is no failure.
func TestUntrainedExperimentsDoNotFail(t *testing.T) {
	p := parity(t.Context(), experiments.Standard(), "../../experiments/banking77-words.yaml", tensor.CPU)
	assert.True(t, p.Untrained)
	assert.True(t, p.OK(), "%s", p)
}
