package fewshot_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Fine-tuning equals gradient descent by hand on a copy and leaves the network unchanged.
func TestFineTuneIsGradientDescentOnACopy(t *testing.T) {
	testkit.Enter(t)
	task := fewshot.NewTask(batch(t, episode.Spec{Way: 4, Shot: 2, Query: 3}, 1), tensor.CPU)
	own := *task
	own.Query, own.QueryLabels = task.Support, task.SupportLabels
	build := func() (*fewshot.Net, *nn.Params) {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 16, Width: 16, Filters: 4})
		require.NoError(t, err)
		for range 30 { // running statistics other than the initial ones
			task.Embed(&nn.Pass{Training: true}, e)
		}
		return &fewshot.Net{Encoder: e, Memory: memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}})}, b.Params()
	}
	const rate = .03
	for _, norm := range []nn.Norm{nn.BatchStats, nn.RunningStats} {
		net, ps := build()
		reference, theirs := build()
		logp := net.LogProbs(&nn.Pass{Norm: norm}, task)
		assert.False(t, logp.RequiresGrad(), "an evaluation records nothing")
		before := logp.Floats()
		var tuned *nn.Pass
		tensor.NoGrad(func() { tuned = fewshot.FineTune(&nn.Pass{Norm: norm}, net, ps, task, 3, rate) }) // as an evaluation calls it

		opt := nn.NewSGD(theirs, nn.SGDConfig{})
		t.Cleanup(opt.Free)
		first, _ := reference.Loss(&nn.Pass{Norm: norm}, &own)
		for range 3 {
			tensor.WithGrad(func() {
				loss, _ := reference.Loss(&nn.Pass{Norm: norm}, &own)
				opt.Step(tensor.Grad(loss, theirs.Tensors()...), rate)
			})
		}
		assert.InDeltaSlice(t, reference.LogProbs(&nn.Pass{Norm: norm}, task).Floats(), net.LogProbs(tuned, task).Floats(), 1e-4)
		last, _ := net.Loss(tuned, &own)
		assert.Less(t, last.Float(), first.Float(), "the loss on the support set falls")

		assert.Equal(t, before, net.LogProbs(&nn.Pass{Norm: norm}, task).Floats(), "the network does not change")
		assert.Equal(t, norm, tuned.Norm)
		none := fewshot.FineTune(&nn.Pass{Norm: norm}, net, ps, task, 0, rate)
		assert.Equal(t, before, net.LogProbs(none, task).Floats())
	}
}

// failing is a network whose loss panics in an operation.
type failing struct{}

func (failing) Loss(_ *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor) {
	tensor.New([]float64{-1}, 1, 1).Cholesky()
	return nil, nil
}

// What panics in a step of gradient descent is the caller's error, and no scope stays open.
func TestTuneOfANetworkThatPanics(t *testing.T) {
	before := tensor.Live()
	b := nn.NewBuilder(1, tensor.CPU)
	b.Param("w", nn.Constant(1), 1)
	err := tensor.Do(func() error {
		task := testkit.Task(1)
		fewshot.FineTune(&nn.Pass{}, failing{}, b.Params(), task, 2, .1)
		return nil
	})
	var wrong *tensor.Error
	require.ErrorAs(t, err, &wrong)
	assert.Equal(t, "Cholesky", wrong.Op)
	b.Params().Free()
	assert.Equal(t, before, tensor.Live())
}
