package fewshot_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func batch(t *testing.T, spec episode.Spec, episodes int) *episode.Batch {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 12, Val: 1, Test: 1, Instances: 8, Size: 16})
	require.NoError(t, err)
	spec.Rotation = dataset.RotateNone
	s, err := episode.New(set, spec, 1, "test")
	require.NoError(t, err)
	return s.Batch(0, episodes)
}

// flatten is an encoder whose embeddings are the images.
type flatten struct{ width int64 }

func (e flatten) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return x.Flatten(1, -1) }
func (e flatten) Width() int64                                        { return e.width }

func TestNewTaskHoldsTheBatch(t *testing.T) {
	testkit.Enter(t)
	ofBytes := batch(t, episode.Spec{Way: 4, Shot: 2, Query: 3}, 5)
	support, query := ofBytes.Support.Floats(), ofBytes.QueryImages.Floats()
	ofValues := *ofBytes
	ofValues.Support, ofValues.QueryImages = episode.Pixels{Values: slices.Clone(support)}, episode.Pixels{Values: query}
	require.NotEmpty(t, ofBytes.Support.Bytes)
	for _, b := range []*episode.Batch{ofBytes, &ofValues} {
		task := fewshot.NewTask(b, tensor.CPU)
		assert.Equal(t, int64(4), task.Way)
		assert.Equal(t, []int64{5, 8, 1, 16, 16}, task.Support.Shape())
		assert.Equal(t, []int64{5, 12, 1, 16, 16}, task.Query.Shape())
		assert.Equal(t, []int64{5, 8}, task.SupportLabels.Shape())
		assert.Equal(t, []int64{5, 12}, task.QueryLabels.Shape())
		assert.Equal(t, support, tensor.Values[float32](task.Support))
		assert.Equal(t, query, tensor.Values[float32](task.Query))
		assert.Equal(t, b.SupportLabels, tensor.Values[int64](task.SupportLabels))
		assert.Equal(t, b.QueryLabels, tensor.Values[int64](task.QueryLabels))

		// The batch's memory is reused for the next batch, which must not change the task.
		clear(b.Support.Bytes)
		clear(b.Support.Values)
		assert.Equal(t, support, tensor.Values[float32](task.Support))
	}
}

func TestEmbedSplitsSupportFromQueries(t *testing.T) {
	testkit.Enter(t)
	for _, spec := range []episode.Spec{{Way: 4, Shot: 2, Query: 3}, {Way: 1, Shot: 1, Query: 1}, {Way: 3, Shot: 1}} {
		task := fewshot.NewTask(batch(t, spec, 3), tensor.CPU)
		support, query := task.Embed(&nn.Pass{}, flatten{256})
		assert.Equal(t, []int64{3, int64(spec.Way * spec.Shot), 256}, support.Shape())
		assert.Equal(t, []int64{3, int64(spec.Way * spec.Query), 256}, query.Shape())
		assert.Equal(t, task.Support.Floats(), support.Floats())
		assert.Equal(t, task.Query.Floats(), query.Floats())
	}
}

// counting records the number of images in each evaluation.
type counting struct {
	flatten
	seen *[]int64
}

func (e counting) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	*e.seen = append(*e.seen, x.Dim(0))
	return e.flatten.Forward(p, x)
}

func TestEmbedIsOneEvaluation(t *testing.T) {
	testkit.Enter(t)
	var seen []int64
	fewshot.NewTask(batch(t, episode.Spec{Way: 4, Shot: 2, Query: 3}, 3), tensor.CPU).Embed(&nn.Pass{}, counting{flatten{256}, &seen})
	assert.Equal(t, []int64{3 * (8 + 12)}, seen)
}

func TestAccuraciesAndNLLArePlainLoops(t *testing.T) {
	testkit.Enter(t)
	const tasks, queries, way = 4, 21, 3
	r := rand.New(rand.NewPCG(1, 0))
	scores, labels := make([]float32, tasks*queries*way), make([]int64, tasks*queries)
	for i := range scores {
		scores[i] = r.Float32()
	}
	for i := range labels {
		labels[i] = r.Int64N(way)
	}
	task := &fewshot.Task{Way: way, QueryLabels: tensor.New(labels, tasks, queries)}
	logp := tensor.New(scores, tasks, queries, way).LogSoftmax(-1)
	values := logp.Floats()

	want, nll := make([]float64, tasks), 0.
	for i, label := range labels {
		row := values[i*way:][:way]
		if row[label] == max(row[0], row[1], row[2]) {
			want[i/queries]++
		}
		nll -= row[label] / (tasks * queries)
	}
	for i := range want {
		want[i] /= queries
	}
	assert.Equal(t, want, task.Accuracies(logp), "the nearest float64, so that means do not depend on rounding")
	assert.InDelta(t, nll, task.NLL(logp).Float(), 1e-6)
}

// Recall reads from the memory after writing the support set with its labels.
func TestRecall(t *testing.T) {
	testkit.Enter(t)
	task := &fewshot.Task{Way: 3, SupportLabels: tensor.New([]int64{2, 0, 1, 2, 1, 0}, 2, 3)}
	support := tensor.New([]float32{0, 0, 1, 0, 0, 2, 3, 3, 1, 1, 0, 1}, 2, 3, 2)
	query := tensor.New([]float32{0, 0, 1, 1}, 2, 1, 2)
	distances := [][]float64{{1, 4, 0}, {1, 0, 8}} // by class, by hand
	for name, m := range map[string]memory.Associative{
		"prototype": memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}}),
		"key-value": memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}}),
	} {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			logp := task.Recall(&nn.Pass{}, m, support.To(d), query.To(d))
			require.Equal(t, []int64{2, 1, 3}, logp.Shape())
			for i, ds := range distances {
				sum := math.Exp(-ds[0]) + math.Exp(-ds[1]) + math.Exp(-ds[2])
				for c, v := range logp.Select(0, int64(i)).Floats() {
					assert.InDelta(t, -ds[c]-math.Log(sum), v, 1e-5, "%s, task %d, class %d", name, i, c)
				}
			}
		}
	}
}

// wide reads more columns than it was written.
type wide struct{ *memory.KeyValue }

func (w wide) LogRead(p *nn.Pass, s memory.State, queries *tensor.Tensor) *tensor.Tensor {
	y := w.KeyValue.LogRead(p, s, queries)
	return tensor.Cat(2, y, y)
}

// A memory that answers with classes that do not exist is refused: its right answers would be counted wrong.
func TestRecallRefusesClassesThatDoNotExist(t *testing.T) {
	testkit.Enter(t)
	task := fewshot.NewTask(batch(t, episode.Spec{Way: 3, Shot: 1, Query: 1}, 2), tensor.CPU)
	support, query := task.Embed(&nn.Pass{}, flatten{256})
	m := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}})
	require.NoError(t, tensor.Do(func() error { task.Recall(&nn.Pass{}, m, support, query); return nil }))
	err := tensor.Do(func() error { task.Recall(&nn.Pass{}, wide{m}, support, query); return nil })
	assert.ErrorContains(t, err, "was written values of width 3 answers with another width")
}

// listed is an ordered memory that reads the labels in the order in which they were written.
type listed struct {
	*memory.KeyValue
	written []int64
}

func (l *listed) Ordered() bool { return true }

func (l *listed) Write(p *nn.Pass, s memory.State, keys, values *tensor.Tensor) memory.State {
	l.written = tensor.Values[int64](values.Argmax(-1))
	return l.KeyValue.Write(p, s, keys, values)
}

// An ordered memory gets pairs in an order that depends on the task's index, with their own labels; others get them as they are listed.
func TestWriteShufflesForOrderedMemories(t *testing.T) {
	testkit.Enter(t)
	task := fewshot.NewTask(batch(t, episode.Spec{Way: 4, Shot: 2, Query: 1}, 3), tensor.CPU)
	support, query := task.Embed(&nn.Pass{}, flatten{256})
	plain := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}})
	m := &listed{KeyValue: plain}
	want, got := task.Recall(&nn.Pass{}, plain, support, query), task.Recall(&nn.Pass{}, m, support, query)
	assert.InDeltaSlice(t, want.Floats(), got.Floats(), 1e-3, "labels stay with their examples")
	inOrder := tensor.Values[int64](task.SupportLabels)
	assert.NotEqual(t, inOrder, m.written)
	assert.ElementsMatch(t, inOrder, m.written)
	assert.NotEqual(t, m.written[:8], m.written[8:16], "tasks have orders of their own")
	all := slices.Clone(m.written)
	task.Recall(&nn.Pass{}, m, support, query)
	assert.Equal(t, all, m.written, "the same again")
	second := *task
	second.First++
	second.SupportLabels, second.Query, second.QueryLabels = task.SupportLabels.Narrow(0, 1, 2), task.Query.Narrow(0, 1, 2), task.QueryLabels.Narrow(0, 1, 2)
	second.Recall(&nn.Pass{}, m, support.Narrow(0, 1, 2), query.Narrow(0, 1, 2))
	assert.Equal(t, all[8:], m.written, "it does not depend on how tasks are batched")
}
