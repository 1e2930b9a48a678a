package protonet_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/protonet"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// enter opens a scope for the rest of the test, which fails where tensors are left behind at its end.
func enter(t *testing.T) {
	before := tensor.Live()
	s := tensor.Enter()
	t.Cleanup(func() {
		s.Leave()
		assert.Equal(t, before, tensor.Live(), "tensors left behind")
	})
}

// flatten is an encoder whose embeddings are the images.
type flatten struct{ width int64 }

func (e flatten) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return x.Flatten(1, -1) }
func (e flatten) Width() int64                                        { return e.width }

const tasks, way, shot, queries, width = 3, 4, 2, 5, 6

// task is a few-shot task of random images [1, 2, 3], the labels of each task in an order of their own.
func task(seed uint64) *fewshot.Task {
	r := rand.New(rand.NewPCG(seed, 0))
	images := func(n int64) *tensor.Tensor {
		v := make([]float64, tasks*n*width)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return tensor.New(v, tasks, n, 1, 2, 3)
	}
	var support, query []int64
	for range tasks {
		for _, i := range r.Perm(way * shot) {
			support = append(support, int64(i)%way)
		}
		for range queries {
			query = append(query, r.Int64N(way))
		}
	}
	return &fewshot.Task{
		Way: way, Support: images(way * shot), SupportLabels: tensor.New(support, tasks, way*shot),
		Query: images(queries), QueryLabels: tensor.New(query, tasks, queries),
	}
}

// plain is Snell et al. 2017, eqs. 1 and 2, in float64: log-probabilities, flat as [tasks, queries, way].
func plain(t *fewshot.Task) (logp []float64) {
	support, labels, query := t.Support.Floats(), tensor.Values[int64](t.SupportLabels), t.Query.Floats()
	for task := range tasks {
		var prototypes [way][width]float64
		for i := range way * shot {
			for d := range width {
				prototypes[labels[task*way*shot+i]][d] += support[(task*way*shot+i)*width+d] / shot
			}
		}
		for q := range queries {
			var distances [way]float64
			var sum float64
			for c := range way {
				for d := range width {
					distances[c] += math.Pow(query[(task*queries+q)*width+d]-prototypes[c][d], 2)
				}
				sum += math.Exp(-distances[c])
			}
			for c := range way {
				logp = append(logp, math.Log(math.Exp(-distances[c])/sum))
			}
		}
	}
	return logp
}

func TestLogProbsAreThePaperWrittenOut(t *testing.T) {
	enter(t)
	task := task(1)
	net := protonet.New(flatten{width}, nil)
	want, labels := plain(task), tensor.Values[int64](task.QueryLabels)
	loss, logp := net.Loss(&nn.Pass{}, task)
	require.Equal(t, []int64{tasks, queries, way}, logp.Shape())
	assert.InDeltaSlice(t, want, logp.Floats(), 1e-9)
	assert.InDeltaSlice(t, want, net.LogProbs(&nn.Pass{}, task).Floats(), 1e-9)
	var nll float64
	for i, label := range labels {
		nll -= want[i*way+int(label)] / (tasks * queries)
	}
	assert.InDelta(t, nll, loss.Float(), 1e-9)

	// As NewTask makes it.
	task.Support, task.Query = task.Support.To(tensor.Float32), task.Query.To(tensor.Float32)
	assert.InDeltaSlice(t, want, net.LogProbs(&nn.Pass{}, task).Floats(), 1e-4)
}

// Names of classes mean nothing: other names give the same probabilities under them.
func TestPermutedLabelsPermuteProbabilities(t *testing.T) {
	enter(t)
	task := task(2)
	net := protonet.New(flatten{width}, nil)
	loss, logp := net.Loss(&nn.Pass{}, task)
	renamed, old := tensor.New([]int64{2, 0, 3, 1}, way), tensor.New([]int64{1, 3, 0, 2}, way) // class 0 is now 2, and so on
	rename := func(labels *tensor.Tensor) *tensor.Tensor {
		return renamed.IndexSelect(0, labels.Flatten(0, 1)).Reshape(labels.Shape()...)
	}
	task.SupportLabels, task.QueryLabels = rename(task.SupportLabels), rename(task.QueryLabels)
	gotLoss, got := net.Loss(&nn.Pass{}, task)
	assert.InDeltaSlice(t, logp.IndexSelect(2, old).Floats(), got.Floats(), 1e-9)
	assert.InDelta(t, loss.Float(), gotLoss.Float(), 1e-9)
}

// Any memory fits.
func TestOtherMemories(t *testing.T) {
	enter(t)
	task := task(3)
	for name, m := range map[string]memory.Associative{
		"prototype": memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Cosine{}, Scale: 5}),
		"key-value": memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}}),
	} {
		net := protonet.New(flatten{width}, m)
		assert.Same(t, m, net.Memory)
		for _, sum := range net.LogProbs(&nn.Pass{}, task).Exp().Sum(-1).Floats() {
			assert.InDelta(t, 1, sum, 1e-9, name)
		}
	}
}

func TestLearnsStrokes(t *testing.T) {
	enter(t)
	set, err := dataset.NewStrokes(1, dataset.StrokesOptions{Train: 100, Val: 1, Test: 60})
	require.NoError(t, err)
	parts, err := set.Split().Parts(set, dataset.RotateNone)
	require.NoError(t, err)
	sampler := func(set dataset.Set, name string) *episode.Sampler {
		s, err := episode.New(set, episode.Spec{Way: 5, Shot: 1, Query: 3, Rotation: dataset.RotateNone}, 1, name)
		require.NoError(t, err)
		return s
	}
	train, test := sampler(parts.Train, "train"), sampler(parts.Test, "test").Batch(0, 100)

	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
	require.NoError(t, err)
	net, opt := protonet.New(e, nil), nn.NewAdam(b.Params(), nn.AdamConfig{})
	t.Cleanup(opt.Free)
	measure := func() (accuracy float64) {
		scope := tensor.Enter()
		defer scope.Leave()
		tensor.NoGrad(func() {
			task := fewshot.NewTask(test, tensor.CPU)
			for _, a := range task.Accuracies(net.LogProbs(&nn.Pass{}, task)) {
				accuracy += a / float64(test.Episodes)
			}
		})
		return accuracy
	}
	start := measure()
	for step := range 40 {
		scope := tensor.Enter()
		loss, _ := net.Loss(&nn.Pass{Training: true}, fewshot.NewTask(train.Batch(uint64(step)*8, 8), tensor.CPU))
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
		scope.Leave()
	}
	end := measure()
	t.Logf("accuracy on classes not seen in training: from %.3f to %.3f", start, end)
	assert.Greater(t, end, start+.15)
	assert.Greater(t, end, .55)
}
