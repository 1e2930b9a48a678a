package transfer

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// wide returns tasks with more dimensions than support examples, two of which are equal, and one is zero.
func wide(width int64) *fewshot.Task {
	r := rand.New(rand.NewPCG(3, 0))
	t := &fewshot.Task{Way: 3, First: 5, Support: testkit.Normal(r, 2, 6, width).To(tensor.Float32), Query: testkit.Normal(r, 2, 7, width).To(tensor.Float32)}
	t.Support = tensor.Cat(1, t.Support, t.Support.Narrow(1, 0, 1), t.Support.Narrow(1, 0, 1).ZerosLike()) // 8
	t.SupportLabels = tensor.New([]int64{0, 1, 2, 0, 1, 2, 0, 1, 2, 1, 0, 0, 1, 2, 2, 1}, 2, 8)
	t.QueryLabels = tensor.New(make([]int64, 14), 2, 7)
	return t
}

// Heads that are trained on coordinates in the span of the support set answer as those trained on the embeddings.
func TestReducedTasksGiveTheSame(t *testing.T) {
	testkit.Enter(t)
	task := wide(40)
	for name, a := range map[string]Adaptation{
		"linear":          {Head: Linear, Epochs: 30, Rate: .02},
		"linear, SGD":     {Head: Linear, Epochs: 20, Batch: 3, Rate: .02, Momentum: .9, Dampening: .9, Decay: 1e-2},
		"cosine":          {Head: Cosine, Epochs: 30, Rate: .1},
		"cosine, SGD":     {Head: Cosine, Epochs: 20, Batch: 3, Rate: .05, Momentum: .9, Decay: 1e-2},
		"linear at means": {Head: Linear},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		net := New(b, testkit.Flatten(40), 7, a)
		reduced := a.reduce(task)
		assert.Equal(t, []int64{2, 8, 9}, reduced.Support.Shape(), name)
		assert.InDeltaSlice(t, task.Query.MatMul(task.Support.Transpose(-2, -1)).Flatten(0, -1).Floats(),
			reduced.Query.MatMul(reduced.Support.Transpose(-2, -1)).Flatten(0, -1).Floats(), 1e-4, name)
		assert.InDeltaSlice(t, task.Query.Square().Sum(-1).Flatten(0, -1).Floats(), reduced.Query.Square().Sum(-1).Flatten(0, -1).Floats(), 1e-4, name)
		want := net.adapt(&nn.Pass{}, task, nil).Exp().Flatten(0, -1).Floats()
		assert.InDeltaSlice(t, want, net.FromFeatures(&nn.Pass{}, task).Exp().Flatten(0, -1).Floats(), 1e-4, name)
		b.Params().Free()
	}
	for name, a := range map[string]Adaptation{"random": {Start: AtRandom}, "transductive": {Entropy: 1}} {
		assert.Same(t, task, a.reduce(task), name)
	}
	narrow := wide(9)
	assert.Same(t, narrow, Adaptation{}.reduce(narrow))
}
