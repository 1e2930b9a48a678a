// Package fewshot holds few-shot tasks as tensors, the contracts of the networks that solve them, and what these networks
// share: an encoder with a memory ([Net]), an encoder with a linear head ([Classifier]), and gradient descent on support
// sets ([Tune]).
package fewshot

import (
	"fmt"
	"math/rand/v2"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Task is a batch of few-shot tasks of the same shape: labelled support examples, and queries to classify. Examples are images,
// texts, or embeddings of either. Texts are rows of int64 tokens, [tasks, support, tokens] and [tasks, query, tokens], padded with
// 0 at their ends to one length.
type Task struct {
	Way           int64
	Support       *tensor.Tensor // [tasks, support, channels, height, width]
	SupportLabels *tensor.Tensor // [tasks, support], int64 in [0, Way)
	Query         *tensor.Tensor // [tasks, query, channels, height, width]
	QueryLabels   *tensor.Tensor // [tasks, query], int64 in [0, Way)
	// First is the index of the first task in its random stream; task i has index First+i. Networks that draw random numbers
	// in a test derive them from a task's index, so that they do not depend on how tasks are batched.
	First uint64
}

// NewTask copies a batch of episodes to a device.
func NewTask(b *episode.Batch, on tensor.Device) *Task {
	n, c, h, w := int64(b.Episodes), int64(b.Channels), int64(b.Height), int64(b.Width)
	support, query := int64(b.Way*b.Shot), int64(b.Way*b.Query)
	return &Task{
		Way:           int64(b.Way),
		First:         b.First,
		Support:       Images(b.Support, on, n, support, c, h, w),
		SupportLabels: tensor.Upload(b.SupportLabels, on, n, support),
		Query:         Images(b.QueryImages, on, n, query, c, h, w),
		QueryLabels:   tensor.Upload(b.QueryLabels, on, n, query),
	}
}

// Embed encodes the support sets and queries of all tasks in one batch and returns [tasks, support, width] and [tasks, query,
// width]. Under batch statistics both are therefore normalised together, as in the published code of Prototypical networks.
func (t *Task) Embed(p *nn.Pass, e encoder.Encoder) (support, query *tensor.Tensor) {
	shape := t.Support.Shape()
	n, s, q := shape[0], shape[1], t.Query.Dim(1)
	images := tensor.Cat(1, t.Support, t.Query) // [tasks, support+query, ...]
	out := e.Forward(p, images.Flatten(0, 1))   // [tasks·(support+query), width]
	out = out.Reshape(n, s+q, e.Width())
	return out.Narrow(1, 0, s), out.Narrow(1, s, q)
}

// Embedded returns the tasks with the embeddings of their images in the place of the images: Support [tasks, support, width] and
// Query [tasks, query, width], as Embed computes them.
func (t *Task) Embedded(p *nn.Pass, e encoder.Encoder) *Task {
	out := *t
	out.Support, out.Query = t.Embed(p, e)
	return &out
}

// Recall writes embedded support examples [tasks, support, width] with their labels to a memory, and returns the
// log-probabilities [tasks, query, way] that the embedded queries [tasks, query, width] read from it.
func (t *Task) Recall(p *nn.Pass, m memory.Associative, support, query *tensor.Tensor) *tensor.Tensor {
	logp := memory.LogRead(m, p, t.Write(p, m, support), query)
	if n := logp.Dim(2); n != t.Way {
		panic(&tensor.Error{Op: "fewshot.Recall", Shapes: [][]int64{logp.Shape()}, Msg: fmt.Sprintf("a %T that was written values of width %d answers with another width", m, t.Way)})
	}
	return logp
}

// Write writes embedded support examples [tasks, support, width] with their one-hot labels to an empty memory and returns its
// state. A support set has no order, but a task lists it class by class: a [memory.Ordered] memory gets the examples in a random order,
// which depends on the task's index alone. Otherwise training would fit what is learned about the values of a class to its place.
func (t *Task) Write(p *nn.Pass, m memory.Associative, support *tensor.Tensor) memory.State {
	labels := t.SupportLabels
	if o, ok := m.(memory.Ordered); ok && o.Ordered() {
		order := t.shuffle().On(support.Device())
		labels = labels.Gather(1, order)
		support = support.Gather(1, order.Unsqueeze(2).Expand(support.Shape()...))
	}
	return m.Write(p, m.Init(support.Dim(0)), support, labels.OneHot(t.Way).To(support.DType()))
}

// shuffleStream is the second half of the seeds of support sets' orders.
const shuffleStream = 0x5f0a

// shuffle returns a random order of each support set, [tasks, support].
func (t *Task) shuffle() *tensor.Tensor {
	tasks, n := t.SupportLabels.Dim(0), t.SupportLabels.Dim(1)
	var order []int64
	for i := range tasks {
		for _, at := range rand.New(rand.NewPCG(t.First+uint64(i), shuffleStream)).Perm(int(n)) {
			order = append(order, int64(at))
		}
	}
	return tensor.New(order, tasks, n)
}

// NLL returns the mean negative log-likelihood of the queries' labels under log-probabilities [tasks, query, way].
func (t *Task) NLL(logp *tensor.Tensor) *tensor.Tensor {
	return tensor.NLL(logp.Flatten(0, 1), t.QueryLabels.Flatten(0, 1))
}

// Accuracies returns, for each task, the fraction of queries whose label has the highest log-probability.
func (t *Task) Accuracies(logp *tensor.Tensor) []float64 {
	s := tensor.Enter()
	defer s.Leave()
	return logp.Argmax(-1).Eq(t.QueryLabels).To(tensor.Float64).Mean(-1).Floats()
}
