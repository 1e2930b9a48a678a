package experiments

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// testLakeRuns measures a network on Lake's 20 one-shot runs, scaled to the images that it was trained on.
func (w *fewshotWork) testLakeRuns(ctx context.Context, i int, on tensor.Device, given string, say Reporter) ([]results.Figure, error) {
	t := w.file.Test[i]
	net, how := w.measured(i)
	channels, height, width := w.parts.Train.Shape()
	if channels != 1 || height != width {
		return nil, fmt.Errorf("test %s: its images are square and have one channel, those trained on are %d×%d×%d", t, channels, height, width)
	}
	root, err := dataset.Find(dataset.NameOmniglot, given)
	var runs []dataset.OneShotRun
	if err == nil {
		runs, err = dataset.LoadOneShotRuns(root, height)
	}
	if t.Optional && errors.Is(err, dataset.ErrNotFound) {
		say.Note(t.String() + " left out: the data set is not here (engram data fetch omniglot)")
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	say.Testing(t.String(), len(runs))
	var accuracies []float64
	for len(accuracies) < len(runs) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("test %s: %w", t, err)
		}
		some := runs[len(accuracies):]
		some = some[:min(len(some), w.together(2*len(some[0].Test), normOf(t.Norm)))]
		err := tensor.Do(func() error {
			tensor.NoGrad(func() {
				task := lakeTask(some, int64(height), on)
				accuracies = append(accuracies, task.Accuracies(net.LogProbs(&nn.Pass{Norm: normOf(t.Norm)}, task))...)
			})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", t, err)
		}
		say.Tested(len(accuracies))
	}
	f := w.figure(t, accuracies, results.Protocol{
		Dataset: dataset.NameOmniglot, Split: w.data.split, Rotations: string(dataset.RotateNone),
		Way: len(runs[0].Training), Shot: 1, Query: 1, Episodes: len(runs), Within: true, Adapted: how,
	})
	f.Scores = percentScores(accuracies, len(runs[0].Test), results.LakeRuns)
	for i, a := range accuracies {
		f.Errors = append(f.Errors, int(math.Round(float64(len(runs[i].Answers))*(1-a))))
	}
	return []results.Figure{f}, nil
}

// lakeTask is some of Lake's runs as few-shot tasks.
func lakeTask(runs []dataset.OneShotRun, side int64, on tensor.Device) *fewshot.Task {
	var support, query []float32
	var supportLabels, queryLabels []int64
	for _, r := range runs {
		for i := range r.Training {
			support, supportLabels = append(support, r.Training[i]...), append(supportLabels, int64(i))
		}
		for i := range r.Test {
			query, queryLabels = append(query, r.Test[i]...), append(queryLabels, int64(r.Answers[i]))
		}
	}
	n, way := int64(len(runs)), int64(len(runs[0].Training))
	return &fewshot.Task{
		Way:     way,
		Support: tensor.New(support, n, way, 1, side, side).On(on), SupportLabels: tensor.New(supportLabels, n, way).On(on),
		Query: tensor.New(query, n, way, 1, side, side).On(on), QueryLabels: tensor.New(queryLabels, n, way).On(on),
	}
}
