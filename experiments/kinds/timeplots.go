package kinds

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/tensor"
)

// shownEpisodes is the number of test episodes in the plot of the accuracy by instance.
const shownEpisodes = 200

// Show implements [runner.Work]: the accuracy by instance over episodes of the first test, and what the memory does during one of
// them.
func (w *throughTime) Show(ctx context.Context, on tensor.Device) (plots []runner.Plot, samples []byte, err error) {
	t := w.file.Test[0]
	s, err := w.sampler(w.parts.Test, t.Way, t.Samples, t.Shift, t.Turn, evaluationSeed, "test/"+t.String())
	if err != nil {
		return nil, nil, err
	}
	n := min(t.Episodes, shownEpisodes)
	episodes, err := w.evaluate(ctx, s, n, nil, on, nil)
	if err != nil {
		return nil, nil, err
	}
	plots = append(plots, runner.Plot{Name: "instances", Figure: w.byInstance(t, episodes)})
	seen, err := w.watch(s.Batch(0, 1), on)
	if err != nil {
		return plots, nil, err
	}
	return append(plots, runner.Plot{Name: "memory", Figure: seen}), nil, ctx.Err()
}

// byInstance is the accuracy on the first images of the classes, on the second, and so on. The first can only be guessed.
func (w *throughTime) byInstance(t timeTest, episodes []namedEpisode) plot.Curves {
	line, chance := plot.Line{Name: w.file.Name, Dots: true}, plot.Line{Name: "uniform guess", Pale: true}
	for k := range t.Samples {
		var sum float64
		for _, e := range episodes {
			sum += e.instances[k]
		}
		line.X, line.Y = append(line.X, float64(k+1)), append(line.Y, 100*sum/float64(len(episodes)))
		chance.X, chance.Y = append(chance.X, float64(k+1)), append(chance.Y, 100/float64(t.Way))
	}
	return plot.Curves{
		Title: fmt.Sprintf("%s, seed %d: accuracy by instance", w.file.Name, w.file.Seed),
		X:     "instance of a class in its episode", Y: "accuracy (%)", Lines: []plot.Line{chance, line},
		Note: fmt.Sprintf("%d episodes of test classes, %d classes each", len(episodes), t.Way),
	}
}

// watch shows an episode: which class each image is of, the probability that the network gives to its label, and where the heads of
// the memory write and read meanwhile.
func (w *throughTime) watch(b *episode.SequenceBatch, on tensor.Device) (f plot.Panels, err error) {
	var seen sample
	var right []float64
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			task, pass := fewshot.NewSequence(b, on), &nn.Pass{Norm: nn.RunningStats}
			var logp *tensor.Tensor
			if net, ok := w.net.(registry.Watched); ok {
				logp = net.Watch(pass, task, func(m memory.State) {
					read, write := memory.Weightings(m)
					seen.read.add(read)
					seen.write.add(write)
				})
			} else {
				logp = w.net.LogProbs(pass, task)
			}
			right = labelProbabilities(b, logp.To(tensor.Float64).Floats())
		})
		return nil
	})
	if err != nil {
		return f, err
	}
	var names []string
	classes := map[int]int{} // rows by class, in the order of first appearance
	for _, item := range b.Items {
		if _, known := classes[item.Class]; !known {
			classes[item.Class] = len(names)
			names = append(names, w.parts.Test.Class(item.Class))
		}
	}
	panels := []plot.Panel{
		{Name: "class of the image", Rows: names, Cells: grid(len(names), b.Time, func(row, t int) float64 {
			if classes[b.Items[t].Class] == row {
				return 1
			}
			return 0
		})},
		{Name: "probability of the right label", Rows: []string{"label"}, Cells: [][]float64{right}},
	}
	if seen.read != nil {
		first, n := seen.slots()
		panels = slices.Concat(panels, seen.write.panels("write weighting", first, n), seen.read.panels("read weighting", first, n))
	}
	return plot.Panels{
		Title: fmt.Sprintf("%s, seed %d: an episode of %d classes", w.file.Name, w.file.Seed, len(names)),
		X:     "image", Note: "white is 0, black 1", Panels: panels,
	}, nil
}

// labelProbabilities are the probabilities of the labels of a single sequence by log-probabilities [time, 1, length, letters]: the
// product over the letters of a label.
func labelProbabilities(b *episode.SequenceBatch, logp []float64) []float64 {
	out := make([]float64, b.Time)
	for t := range out {
		var sum float64
		for k := range b.Length {
			at := t*b.Length + k
			sum += logp[at*b.Letters+int(b.Labels[at])]
		}
		out[t] = math.Exp(sum)
	}
	return out
}
