package kinds

import (
	"context"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// source draws the batches that a few-shot network is trained on.
type source interface {
	batches(ctx context.Context, first int64) iter.Seq[runner.Batch]
}

// newSource makes the source of training batches that the network needs. The error says which requirement the data do not meet.
func (w *fewShot) newSource(train dataset.Set, seed uint64) (source, error) {
	t := w.file.Train
	distort := dataset.Distortion(t.Distort)
	augment, err := t.Augment.of(train)
	if err != nil {
		return nil, err
	}
	switch w.planned.Source {
	case registry.Pairs:
		s, err := episode.NewPairs(train, episode.PairSpec{Rotation: w.data.Rotation, Within: t.Within, Distort: distort, Augment: augment}, seed, "train")
		return &pairs{w, s}, err
	case registry.Labelled:
		s, err := episode.NewLabelled(train, episode.LabelledSpec{Rotation: w.data.Rotation, Distort: distort, Augment: augment}, seed, "train")
		return &labelled{w, s}, err
	}
	s, err := episode.New(train, episode.Spec{
		Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: w.data.Rotation, Within: t.Within, Distort: distort, Augment: augment,
	}, seed, "train")
	return &episodes{w, s}, err
}

// mean is the mean of scores.
func mean(scores []float64) float64 {
	m, _ := results.MeanInterval(scores)
	return m
}

// episodes are N-way K-shot tasks.
type episodes struct {
	*fewShot
	drawn *episode.Sampler
}

func (s *episodes) batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	n := s.file.Train.Batch
	return runner.Batches(s.drawn.Batches(ctx, uint64(first)*uint64(n), n, s.file.Train.Prefetch), func(b *episode.Batch) runner.Batch {
		if net, ok := s.net.(fewshot.AdaptiveNetwork); ok {
			return adaptedTask{task{b, net}, net}
		}
		return task{b, s.net}
	})
}

// onTensors is a batch as a function of tensors: those that make copies to a device, or others of the same shapes. key identifies the
// function.
func onTensors(
	make func(on tensor.Device) (key string, in []*tensor.Tensor), loss func(p *nn.Pass, in []*tensor.Tensor) (*tensor.Tensor, runner.Score),
) runner.Batch {
	return runner.FixedFunc{
		LossFunc: func(p *nn.Pass, on tensor.Device) (*tensor.Tensor, runner.Score) {
			_, in := make(on)
			return loss(p, in)
		},
		Of: func(on tensor.Device) (string, []*tensor.Tensor, func([]*tensor.Tensor) runner.Batch) {
			key, in := make(on)
			return key, in, func(in []*tensor.Tensor) runner.Batch {
				return runner.LossFunc(func(p *nn.Pass, _ tensor.Device) (*tensor.Tensor, runner.Score) { return loss(p, in) })
			}
		},
	}
}

// task is the training data of one step.
type task struct {
	*episode.Batch
	net fewshot.Network
}

// Loss implements [runner.Batch].
func (b task) Loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, runner.Score) {
	return boundTask{fewshot.NewTask(b.Batch, on), b.net}.Loss(p, on)
}

// Fixed implements [runner.Fixed].
func (b task) Fixed(on tensor.Device) (string, []*tensor.Tensor, func([]*tensor.Tensor) runner.Batch) {
	key, in := b.tensors(on)
	return key, in, func(in []*tensor.Tensor) runner.Batch { return b.bound(in) }
}

func (b task) tensors(on tensor.Device) (key string, in []*tensor.Tensor) {
	t := fewshot.NewTask(b.Batch, on)
	return fmt.Sprintf("%d-way", t.Way), []*tensor.Tensor{t.Support, t.SupportLabels, t.Query, t.QueryLabels}
}

// bound is a task of the same shape on given tensors. Its index does not matter, because networks use it only in tests.
func (b task) bound(in []*tensor.Tensor) boundTask {
	return boundTask{&fewshot.Task{Way: int64(b.Way), Support: in[0], SupportLabels: in[1], Query: in[2], QueryLabels: in[3]}, b.net}
}

// boundTask is a task whose tensors have been made.
type boundTask struct {
	*fewshot.Task
	net fewshot.Network
}

// Loss implements [runner.Batch].
func (b boundTask) Loss(p *nn.Pass, _ tensor.Device) (*tensor.Tensor, runner.Score) {
	loss, logp := b.net.Loss(p, b.Task)
	return loss, func() float64 { return mean(b.Accuracies(logp)) }
}

// adaptedTask is the training data of one step of a network that computes its own gradients.
type adaptedTask struct {
	task
	adapter fewshot.AdaptiveNetwork
}

// Gradients implements [runner.Derived].
func (b adaptedTask) Gradients(p *nn.Pass, on tensor.Device) ([]*tensor.Tensor, *tensor.Tensor, runner.Score) {
	return boundAdaptedTask{boundTask{fewshot.NewTask(b.Batch, on), b.net}, b.adapter}.Gradients(p, on)
}

// Fixed implements [runner.Fixed].
func (b adaptedTask) Fixed(on tensor.Device) (string, []*tensor.Tensor, func([]*tensor.Tensor) runner.Batch) {
	key, in := b.tensors(on)
	return key, in, func(in []*tensor.Tensor) runner.Batch { return boundAdaptedTask{b.bound(in), b.adapter} }
}

// boundAdaptedTask is an adaptedTask whose tensors have been made.
type boundAdaptedTask struct {
	boundTask
	adapter fewshot.AdaptiveNetwork
}

// Gradients implements [runner.Derived].
func (b boundAdaptedTask) Gradients(p *nn.Pass, _ tensor.Device) ([]*tensor.Tensor, *tensor.Tensor, runner.Score) {
	grads, loss, logp := b.adapter.Gradients(p, b.Task)
	return grads, loss, func() float64 { return mean(b.Accuracies(logp)) }
}

// pairs are pairs of images, drawn one by one.
type pairs struct {
	*fewShot
	drawn *episode.Pairs
}

func (s *pairs) batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	n := s.file.Train.Batch
	net := s.net.(fewshot.Verifier)
	return runner.Batches(s.drawn.Batches(ctx, uint64(first)*uint64(n), n, s.file.Train.Prefetch), func(b *episode.PairBatch) runner.Batch {
		return onTensors(func(on tensor.Device) (string, []*tensor.Tensor) {
			pairs := fewshot.NewPairs(b, on)
			return "", []*tensor.Tensor{pairs.Left, pairs.Right, pairs.Same}
		}, func(p *nn.Pass, in []*tensor.Tensor) (*tensor.Tensor, runner.Score) {
			pairs := &fewshot.Pairs{Left: in[0], Right: in[1], Same: in[2]}
			loss, logits := net.PairLoss(p, pairs)
			return loss, func() float64 { return mean(pairs.Accuracies(logits)) }
		})
	})
}

// labelled are images with their classes.
type labelled struct {
	*fewShot
	drawn *episode.Labelled
}

func (s *labelled) batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	net := s.net.(registry.Pretrained)
	return runner.Batches(s.drawn.Batches(ctx, uint64(first), s.file.Train.Batch, s.file.Train.Prefetch), func(b *episode.LabelledBatch) runner.Batch {
		return onTensors(func(on tensor.Device) (string, []*tensor.Tensor) {
			n := int64(b.Size)
			images := fewshot.Images(b.Images, on, n, int64(b.Channels), int64(b.Height), int64(b.Width))
			return "", []*tensor.Tensor{images, tensor.New(b.Labels, n).On(on)}
		}, func(p *nn.Pass, in []*tensor.Tensor) (*tensor.Tensor, runner.Score) {
			loss, logp := net.Classify(p, in[0], in[1])
			return loss, func() float64 { return logp.Argmax(-1).Eq(in[1]).To(tensor.Float64).Mean().Float() }
		})
	})
}
