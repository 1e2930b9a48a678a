package testkit

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// FewShot is a network that classifies the queries of few-shot tasks.
type FewShot interface {
	Loss(p *nn.Pass, t *fewshot.Task) (loss, logp *tensor.Tensor)
	LogProbs(p *nn.Pass, t *fewshot.Task) *tensor.Tensor
}

// Flatten is an encoder for images of this number of values; embeddings are the flattened images.
type Flatten int64

// Forward implements encoder.Encoder.
func (e Flatten) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return x.Flatten(1, -1) }

// Width implements encoder.Encoder.
func (e Flatten) Width() int64 { return int64(e) }

// Double returns p with float64 copies of all parameters, the trained ones as leaves, which are returned in order.
func Double(p nn.Pass, ps *nn.Params) (*nn.Pass, []*tensor.Tensor) {
	p.With = map[*nn.Param]*tensor.Tensor{}
	for _, q := range ps.All() {
		p.With[q] = q.Value().Detach().To(tensor.Float64)
	}
	var leaves []*tensor.Tensor
	for _, q := range ps.Trained() {
		leaves = append(leaves, p.With[q].RequireGrad())
	}
	return &p, leaves
}

// Differences compares gradients of f with finite differences. It changes the float64 leaves and restores them.
func Differences(t *testing.T, leaves []*tensor.Tensor, step, tolerance float64, f func() *tensor.Tensor) {
	t.Helper()
	for i, g := range tensor.Grad(f(), leaves...) {
		shape, values := leaves[i].Shape(), leaves[i].Floats()
		want := make([]float64, len(values))
		for j, v := range values {
			at := func(v float64) float64 {
				scope := tensor.Enter()
				defer scope.Leave()
				values[j] = v
				leaves[i].Assign(tensor.New(values, shape...))
				return f().Float()
			}
			want[j] = (at(v+step) - at(v-step)) / (2 * step)
			at(v)
		}
		if g == nil {
			g = tensor.New(make([]float64, len(values)), shape...)
		}
		assert.InDeltaSlice(t, want, g.Floats(), tolerance, "leaf %d of %v", i, shape)
	}
}

// The sizes of [Task]: Tasks tasks of Way classes, Shot support examples per class, Queries queries in all, Width
// values per example.
const Tasks, Way, Shot, Queries, Width = 3, 4, 2, 5, 6

// Task returns a few-shot task of random images [1, 2, 3], with the labels of each task in random order.
func Task(seed uint64) *fewshot.Task {
	r := rand.New(rand.NewPCG(seed, 0))
	images := func(n int64) *tensor.Tensor {
		v := make([]float64, Tasks*n*Width)
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return tensor.New(v, Tasks, n, 1, 2, 3)
	}
	var support, query []int64
	for range Tasks {
		for _, i := range r.Perm(Way * Shot) {
			support = append(support, int64(i)%Way)
		}
		for range Queries {
			query = append(query, r.Int64N(Way))
		}
	}
	return &fewshot.Task{
		Way: Way, Support: images(Way * Shot), SupportLabels: tensor.New(support, Tasks, Way*Shot),
		Query: images(Queries), QueryLabels: tensor.New(query, Tasks, Queries),
	}
}

// ConformFewShot checks the requirements on every network with an encoder and a memory. build makes the network, with
// its paper's memory if m is nil; plain computes its paper's formula in float64, with log-probabilities flat as
// [Tasks, Queries, Way].
func ConformFewShot(t *testing.T, build func(e encoder.Encoder, m memory.Associative) FewShot, plain func(*fewshot.Task) []float64) {
	t.Run("log-probabilities equal the paper's formula", func(t *testing.T) { isThePaper(t, build, plain) })
	t.Run("permuted labels permute probabilities", func(t *testing.T) { permutes(t, build) })
	t.Run("other memories fit", func(t *testing.T) { takesMemories(t, build) })
	t.Run("learns strokes", func(t *testing.T) {
		LearnsStrokes(t, 40, func(b *nn.Builder) FewShot {
			e, err := encoder.NewConv4(b, encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
			require.NoError(t, err)
			return build(e, nil)
		})
	})
}

func isThePaper(t *testing.T, build func(encoder.Encoder, memory.Associative) FewShot, plain func(*fewshot.Task) []float64) {
	Enter(t)
	task := Task(1)
	net := build(Flatten(Width), nil)
	want, labels := plain(task), tensor.Values[int64](task.QueryLabels)
	loss, logp := net.Loss(&nn.Pass{}, task)
	require.Equal(t, []int64{Tasks, Queries, Way}, logp.Shape())
	assert.InDeltaSlice(t, want, logp.Floats(), 1e-9)
	assert.InDeltaSlice(t, want, net.LogProbs(&nn.Pass{}, task).Floats(), 1e-9)
	var nll float64
	for i, label := range labels {
		nll -= want[i*Way+int(label)] / (Tasks * Queries)
	}
	assert.InDelta(t, nll, loss.Float(), 1e-9)

	// As NewTask does.
	task.Support, task.Query = task.Support.To(tensor.Float32), task.Query.To(tensor.Float32)
	assert.InDeltaSlice(t, want, net.LogProbs(&nn.Pass{}, task).Floats(), 1e-4)
}

// Permuted class indices give the permuted probabilities.
func permutes(t *testing.T, build func(encoder.Encoder, memory.Associative) FewShot) {
	Enter(t)
	task := Task(2)
	net := build(Flatten(Width), nil)
	loss, logp := net.Loss(&nn.Pass{}, task)
	renamed, old := tensor.New([]int64{2, 0, 3, 1}, Way), tensor.New([]int64{1, 3, 0, 2}, Way) // class 0 is now 2, and so on
	rename := func(labels *tensor.Tensor) *tensor.Tensor {
		return renamed.IndexSelect(0, labels.Flatten(0, 1)).Reshape(labels.Shape()...)
	}
	task.SupportLabels, task.QueryLabels = rename(task.SupportLabels), rename(task.QueryLabels)
	gotLoss, got := net.Loss(&nn.Pass{}, task)
	assert.InDeltaSlice(t, logp.IndexSelect(2, old).Floats(), got.Floats(), 1e-9)
	assert.InDelta(t, loss.Float(), gotLoss.Float(), 1e-9)
}

// Any memory works.
func takesMemories(t *testing.T, build func(encoder.Encoder, memory.Associative) FewShot) {
	Enter(t)
	task := Task(3)
	for name, m := range map[string]memory.Associative{
		"prototype": memory.NewPrototype(memory.PrototypeConfig{Metric: metric.Cosine{}, Scale: 5}),
		"key-value": memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}}),
	} {
		net := build(Flatten(Width), m)
		for _, sum := range net.LogProbs(&nn.Pass{}, task).Exp().Sum(-1).Floats() {
			assert.InDelta(t, 1, sum, 1e-9, name)
		}
	}
}

// Accuracy returns the mean accuracy of a network on the episodes of a batch.
func Accuracy(net FewShot, b *episode.Batch) (accuracy float64) {
	scope := tensor.Enter()
	defer scope.Leave()
	tensor.NoGrad(func() {
		task := fewshot.NewTask(b, tensor.CPU)
		for _, a := range task.Accuracies(net.LogProbs(&nn.Pass{}, task)) {
			accuracy += a / float64(b.Episodes)
		}
	})
	return accuracy
}

// LearnsStrokes trains a network for 28×28 images on invented characters for a number of steps, and fails the test if
// it does not generalise to other characters.
func LearnsStrokes(t *testing.T, steps int, build func(b *nn.Builder) FewShot) {
	Enter(t)
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 100, Val: 1, Test: 60})
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
	net, opt := build(b), nn.NewAdam(b.Params(), nn.DefaultAdam())
	t.Cleanup(opt.Free)
	measure := func() float64 { return Accuracy(net, test) }
	start := measure()
	for step := range steps {
		scope := tensor.Enter()
		loss, _ := net.Loss(&nn.Pass{Training: true}, fewshot.NewTask(train.Batch(uint64(step)*8, 8), tensor.CPU))
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
		scope.Leave()
	}
	end := measure()
	t.Logf("accuracy on unseen classes: from %.3f to %.3f", start, end)
	assert.Greater(t, end, start+.15)
	assert.Greater(t, end, .5)
}
