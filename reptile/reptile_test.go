package reptile_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/reptile"
	"github.com/engram-go/engram/tensor"
)

func build(t *testing.T, filters int64, c reptile.Config) (*reptile.Net, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: filters, Strided: true})
	require.NoError(t, err)
	c.Way = 5
	return reptile.New(b, e, c), b.Params()
}

func strokes(t *testing.T, shot, query int) (train, test *episode.Sampler) {
	t.Helper()
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 100, Val: 1, Test: 60})
	require.NoError(t, err)
	parts, err := set.Split().Parts(set, dataset.RotateNone)
	require.NoError(t, err)
	sampler := func(set dataset.Set, name string, shot int) *episode.Sampler {
		s, err := episode.New(set, episode.Spec{Way: 5, Shot: shot, Query: query, Rotation: dataset.RotateNone}, 1, name)
		require.NoError(t, err)
		return s
	}
	return sampler(parts.Train, "train", shot), sampler(parts.Test, "test", 1)
}

func pass(seed uint64) *nn.Pass {
	return &nn.Pass{Training: true, Rand: rand.New(rand.NewPCG(seed, 0))}
}

func oneThread(t *testing.T) {
	before := tensor.Threads()
	tensor.SetThreads(1)
	t.Cleanup(func() { tensor.SetThreads(before) })
}

// With the whole support set in every inner step, the gradient is the distance over which nn.Adam moves a reference network
// whose second moments carry over from step to step and task to task.
func TestGradientsAreTheWayThatTrainingGoes(t *testing.T) {
	testkit.Enter(t)
	train, _ := strokes(t, 2, 2)
	net, ps := build(t, 4, reptile.Config{Steps: 3, Batch: 10, Rate: .01})
	reference, theirs := build(t, 4, reptile.Config{})
	config := nn.DefaultAdam()
	config.Beta1 = 0
	opt := nn.NewAdam(theirs, config)
	t.Cleanup(opt.Free)
	for step := range uint64(3) {
		task := fewshot.NewTask(train.Batch(step, 1), tensor.CPU)
		for i, p := range theirs.Trained() {
			p.Value().Assign(ps.Trained()[i].Value())
		}
		var mean float64
		for range 3 {
			var loss *tensor.Tensor
			tensor.WithGrad(func() {
				loss = tensor.NLL(reference.Classify(&nn.Pass{}, task.Support.Flatten(0, 1)), task.SupportLabels.Flatten(0, 1))
			})
			opt.Step(tensor.Grad(loss, theirs.Tensors()...), .01)
			mean += loss.Float() / 3
		}
		grads, loss, logp := net.Gradients(pass(step), task)
		assert.InDelta(t, mean, loss.Float(), 1e-4)
		for i, p := range ps.Trained() {
			if strings.HasSuffix(p.Name, "conv.bias") { // batch norm cancels it: its gradient is rounding, which Adam amplifies
				assert.Zero(t, grads[i].Square().Sum().Float(), p.Name)
				continue
			}
			want := p.Value().Sub(theirs.Trained()[i].Value()).Detach()
			assert.InDeltaSlice(t, want.Floats(), grads[i].Floats(), 2e-3, "%s at %d", p.Name, step)
		}
		assert.InDeltaSlice(t, reference.QueryLogProbs(&nn.Pass{}, task).Floats(), logp.Floats(), 2e-2)
	}
}

// A batch of tasks gives the mean of the single tasks' results, from the same initial values and second moments.
func TestBatchedIsTheMeanOfSerial(t *testing.T) {
	testkit.Enter(t)
	oneThread(t)
	train, _ := strokes(t, 3, 1)
	net, ps := build(t, 4, reptile.Config{Batch: 15})
	task := fewshot.NewTask(train.Batch(0, 3), tensor.CPU)
	grads, loss, _ := net.Gradients(pass(1), task)
	var mean []*tensor.Tensor
	var losses float64
	for i := range int64(3) {
		alone, ps := build(t, 4, reptile.Config{Batch: 15})
		g, l, _ := alone.Gradients(pass(1), task.Only(i))
		losses += l.Float() / 3
		for k := range ps.Trained() {
			if i == 0 {
				mean = append(mean, g[k].MulScalar(1./3))
			} else {
				mean[k] = mean[k].Add(g[k].MulScalar(1. / 3))
			}
		}
	}
	assert.InDelta(t, losses, loss.Float(), 1e-6)
	for k := range mean {
		assert.InDeltaSlice(t, mean[k].Floats(), grads[k].Floats(), 1e-6)
	}
	for _, p := range ps.All() {
		if p.Name == "inner.steps" {
			assert.Equal(t, 5.0, p.Value().Float())
		}
	}
}

func TestParallelIsSerialToTheBit(t *testing.T) {
	testkit.Enter(t)
	oneThread(t)
	train, test := strokes(t, 5, 2)
	var want [][]byte
	for _, workers := range []int{1, 2, 5} {
		net, ps := build(t, 16, reptile.Config{Workers: workers, TestSteps: 6})
		var got [][]byte
		for step := range uint64(2) {
			grads, loss, logp := net.Gradients(pass(step), fewshot.NewTask(train.Batch(step*5, 5), tensor.CPU))
			for _, x := range append(grads, loss, logp) {
				got = append(got, x.Bytes())
			}
		}
		for _, p := range ps.All() { // the second moments too
			got = append(got, p.Value().Bytes())
		}
		for _, norm := range []nn.Norm{nn.BatchStats, nn.RunningStats} {
			got = append(got, net.LogProbs(&nn.Pass{Norm: norm}, fewshot.NewTask(test.Batch(0, 3), tensor.CPU)).Bytes())
		}
		if want == nil {
			want = got
		}
		for i := range want {
			require.True(t, string(want[i]) == string(got[i]), "result %d with %d workers", i, workers)
		}
	}
}

// p.Rand decides which images a training step sees. A test does not depend on it and changes nothing.
func TestMinibatches(t *testing.T) {
	testkit.Enter(t)
	train, test := strokes(t, 4, 1)
	net, ps := build(t, 4, reptile.Config{Batch: 6, TestSteps: 4, TestBatch: 2})
	task := fewshot.NewTask(train.Batch(0, 2), tensor.CPU)
	loss := func(seed uint64) float64 {
		p := pass(seed)
		p.Training = false
		_, loss, _ := net.Gradients(p, task)
		return loss.Float()
	}
	assert.Equal(t, loss(1), loss(1))
	assert.NotEqual(t, loss(1), loss(2))

	var before []float64
	for _, p := range ps.All() {
		before = append(before, p.Value().Floats()...)
	}
	tested := fewshot.NewTask(test.Batch(0, 2), tensor.CPU)
	assert.Equal(t, net.LogProbs(&nn.Pass{}, tested).Floats(), net.LogProbs(pass(7), tested).Floats())
	var after []float64
	for _, p := range ps.All() {
		after = append(after, p.Value().Floats()...)
	}
	assert.Equal(t, before, after)
}

// In a test the index of a task decides the order of its images: copies of a task that differ in it are trained differently,
// however tasks are batched.
func TestOrderIsByTheTasksIndex(t *testing.T) {
	testkit.Enter(t)
	_, test := strokes(t, 4, 1)
	net, _ := build(t, 4, reptile.Config{TestSteps: 4, TestBatch: 2})
	single := fewshot.NewTask(test.Batch(0, 1), tensor.CPU)
	double := &fewshot.Task{
		Way: single.Way, First: 7,
		Support: tensor.Cat(0, single.Support, single.Support), SupportLabels: tensor.Cat(0, single.SupportLabels, single.SupportLabels),
		Query: tensor.Cat(0, single.Query, single.Query), QueryLabels: tensor.Cat(0, single.QueryLabels, single.QueryLabels),
	}
	both := net.LogProbs(&nn.Pass{}, double)
	assert.NotEqual(t, both.Select(0, 0).Floats(), both.Select(0, 1).Floats())
	for i := range int64(2) {
		one := *single
		one.First = 7 + uint64(i)
		assert.Equal(t, net.LogProbs(&nn.Pass{}, &one).Flatten(0, -1).Floats(), both.Select(0, i).Flatten(0, -1).Floats())
	}
}

func TestLearnsStrokes(t *testing.T) {
	testkit.Enter(t)
	train, test := strokes(t, 10, 1)
	net, ps := build(t, 8, reptile.Config{Workers: 2, TestSteps: 20, Rate: 5e-3})
	opt := nn.NewSGD(ps, nn.SGDConfig{})
	t.Cleanup(opt.Free)
	measure := func() float64 { return testkit.Accuracy(net, test.Batch(0, 60)) }
	start := measure()
	for step := range uint64(40) {
		scope := tensor.Enter()
		grads, _, _ := net.Gradients(pass(step), fewshot.NewTask(train.Batch(step*2, 2), tensor.CPU))
		opt.Step(grads, 1-float64(step)/40)
		scope.Leave()
	}
	end := measure()
	t.Logf("accuracy on classes not seen in training: from %.3f to %.3f", start, end)
	assert.Greater(t, end, start+.1)
}
