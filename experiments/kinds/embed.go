package kinds

import (
	"context"
	"fmt"
	"slices"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The splits of a run's own data whose images can be embedded.
const (
	SplitTraining   = "training"
	SplitValidation = "validation"
	SplitTest       = "test"
)

// Embedder is work whose network embeds images.
type Embedder interface {
	// Part is the set of a split of the run's data, once it is loaded.
	Part(split string) (dataset.Set, error)
	// Embed returns the embeddings of all images of a set, class by class, [images, width] row by row, in evaluation mode: batch norm by running
	// statistics.
	Embed(ctx context.Context, set dataset.Set, on tensor.Device, p measure.Progress) (values []float32, width int, err error)
	// Embeds refuses a network that embeds no images by themselves. It needs no network yet.
	Embeds() error
}

// Embeds implements [Embedder].
func (w *fewShot) Embeds() error {
	if w.planned.ByTask {
		return fmt.Errorf("%s adapts its encoder to each task, so that an image has no embedding by itself", w.file.Network.Kind())
	}
	return nil
}

// Part implements [Embedder].
func (w *fewShot) Part(split string) (dataset.Set, error) {
	set := map[string]dataset.Set{SplitTraining: w.parts.Train, SplitValidation: w.parts.Val, SplitTest: w.parts.Test}[split]
	if set == nil || set.Classes() == 0 {
		return nil, fmt.Errorf("the split %s has no classes for %s", w.data.Split, split)
	}
	return set, nil
}

// Embed implements [Embedder].
func (w *fewShot) Embed(ctx context.Context, set dataset.Set, on tensor.Device, p measure.Progress) (values []float32, width int, err error) {
	net, ok := w.net.(registry.ImageEncoder)
	if !ok {
		return nil, 0, fmt.Errorf("%s has no encoder that embeds an image by itself", w.file.Network.Kind())
	}
	channels, height, wide := set.Shape()
	size := channels * height * wide
	type image struct{ class, instance int }
	var images []image
	for c := range set.Classes() {
		for i := range set.Instances(c) {
			images = append(images, image{c, i})
		}
	}
	together := max(1, EvaluationPixels/(height*wide))
	rows, err := measure.Evaluate(ctx, slices.Chunk(images, together), len(images), p, func(some []image) ([][]float32, error) {
		pixels := make([]float32, len(some)*size)
		for i, m := range some {
			set.Image(pixels[i*size:(i+1)*size], m.class, m.instance, 0)
		}
		x := tensor.New(pixels, int64(len(some)), int64(channels), int64(height), int64(wide)).On(on)
		out := net.Encode(&nn.Pass{Norm: nn.RunningStats}, fewshot.Normalize(x, dataset.NormalizationOf(set)))
		if err := measure.Finite(out, remedy); err != nil {
			return nil, err
		}
		all := tensor.Values[float32](out.To(tensor.Float32).On(tensor.CPU).Contiguous())
		width = len(all) / len(some)
		return slices.Collect(slices.Chunk(slices.Clone(all), width)), nil
	})
	if err != nil {
		return nil, 0, err
	}
	return slices.Concat(rows...), width, nil
}
