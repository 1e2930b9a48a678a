package experiments

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// fewshotFile is the experiment file of few-shot classification.
type fewshotFile struct {
	Common     `yaml:",inline"`
	Train      fewshotTrain      `yaml:"train"`
	Validation fewshotValidation `yaml:"validation"`
	Test       []fewshotTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`
	Stream     *streamTest       `yaml:"stream" doc:"and on long streams of labelled examples, by memories of several sizes"`
}

type fewshotTrain struct {
	Way   int `yaml:"way" min:"2" doc:"classes of a training episode"`
	Shot  int `yaml:"shot" min:"1" doc:"support images a class"`
	Query int `yaml:"query" min:"1" doc:"query images a class"`
	Loop  `yaml:",inline"`
}

type fewshotValidation struct {
	Episodes  int    `yaml:"episodes" min:"0" doc:"the same ones each time; 0 keeps the last model"`
	Way       int    `yaml:"way" min:"2"`
	Shot      int    `yaml:"shot" min:"1"`
	Query     int    `yaml:"query" min:"1"`
	Norm      string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the episode's own"`
	Selection `yaml:",inline"`
}

type fewshotTest struct {
	Way      int    `yaml:"way" min:"2" required:"true"`
	Shot     int    `yaml:"shot" min:"1" required:"true"`
	Query    int    `yaml:"query" min:"1"`
	Episodes int    `yaml:"episodes" min:"2"`
	Norm     string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the episode's own"`

	FineTune fineTune `yaml:"fine_tune"`

	Dataset  schema.Section `yaml:"dataset" doc:"another data set than the one trained on"`
	Optional bool           `yaml:"optional" doc:"leave this test out where its data set is not on the machine"`
}

// fineTune adapts a copy of the network to each episode before it is tested.
type fineTune struct {
	Steps int     `yaml:"steps" min:"0" doc:"of gradient descent on the episode's support set; 0 for none"`
	Rate  float64 `yaml:"rate" above:"0" doc:"learning rate"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *fewshotTest) SetDefaults() {
	*t = fewshotTest{Query: 15, Episodes: 1000, Norm: normInductive, FineTune: fineTune{Rate: 1e-2}}
}

// The names of batch norm's modes.
const (
	normInductive    = "inductive"
	normTransductive = "transductive"
)

func normOf(name string) nn.Norm {
	if name == normTransductive {
		return nn.BatchStats
	}
	return nn.RunningStats
}

// String names the test as tables do.
func (t fewshotTest) String() string { return fmt.Sprintf("%d-way %d-shot", t.Way, t.Shot) }

func newFewshotFile() *fewshotFile {
	return &fewshotFile{
		Common:     defaultCommon(),
		Train:      fewshotTrain{20, 1, 5, Loop{Batch: 1, Steps: 10_000, Report: 100, Save: 1000, Prefetch: 2}},
		Validation: fewshotValidation{200, 20, 1, 5, normInductive, Selection{Every: 500}},
	}
}

// Validate implements schema.Validator.
func (f *fewshotFile) Validate() error {
	var names []string
	for _, t := range f.Test {
		name := t.String() + ", " + t.Norm
		if t.FineTune.Steps > 0 {
			name += fmt.Sprintf(", %d steps of fine-tuning at %g", t.FineTune.Steps, t.FineTune.Rate)
		}
		if kind := t.Dataset.Kind(); kind != "" {
			name += " on " + kind
		}
		names = append(names, name)
	}
	return errors.Join(f.Common.Validate(), twice(names))
}

func (f *fewshotFile) parts() (*Common, *Loop, *Selection) {
	return &f.Common, &f.Train.Loop, &f.Validation.Selection
}

func (f *fewshotFile) plan() (work, error) {
	w := &fewshotWork{file: f}
	var err error
	var errs []error
	w.data, err = planImages(&f.Dataset)
	errs = append(errs, err)
	for i := range f.Test {
		var d imagesPlan
		if f.Test[i].Dataset.Kind() != "" {
			d, err = planImages(&f.Test[i].Dataset)
			errs = append(errs, err)
		}
		w.testData = append(w.testData, d)
	}
	if f.Network.Kind() != "" {
		w.network, err = planFewshot(&f.Network)
		if err == nil && f.Stream != nil {
			w.stream, err = planStream(&f.Network)
		}
		errs = append(errs, err)
	}
	return w, schema.Join(errs...)
}

// fewshotWork trains a network to classify the queries of episodes.
type fewshotWork struct {
	file     *fewshotFile
	data     imagesPlan
	testData []imagesPlan // one a test; the zero value where it has no data set of its own
	network  func(b *nn.Builder, in imageShape) (fewshotLearner, error)
	stream   func(h held) memory.Associative // nil where there is no stream

	parts      dataset.Parts
	training   *episode.Sampler
	validation *episode.Sampler // nil where there is none
	passing    *episode.Sampler // of the stream; nil where there is none
	net        fewshotLearner
	params     *nn.Params
}

// evaluationSeed draws validation and test episodes. It is not the run's seed, so that every method and every seed is
// measured on the same episodes and two runs can be compared pair by pair.
const evaluationSeed = 0

// evaluationImages is about how many images one evaluation of the network takes: enough to keep the cores busy, few
// enough to stay in memory.
const evaluationImages = 400

func (w *fewshotWork) score() Score { return accuracy }

func (w *fewshotWork) load(ctx context.Context, given string, seed uint64) (err error) {
	if w.parts, err = w.data.load(ctx, given); err != nil {
		return err
	}
	t, v := w.file.Train, w.file.Validation
	w.training, err = episode.New(w.parts.Train, episode.Spec{Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: w.data.rotation}, seed, "train")
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if w.file.Stream != nil {
		if err := w.loadStream(); err != nil {
			return err
		}
	}
	if v.Episodes == 0 {
		return nil
	}
	w.validation, err = episode.New(w.parts.Val, episode.Spec{Way: v.Way, Shot: v.Shot, Query: v.Query, Rotation: w.data.rotation}, evaluationSeed, "validation")
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	return nil
}

func (w *fewshotWork) build(b *nn.Builder) (err error) {
	var in imageShape
	in.channels, in.height, in.width = w.parts.Train.Shape()
	w.params = b.Params()
	w.net, err = w.network(b, in)
	return err
}

func (w *fewshotWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	n := w.file.Train.Batch
	return func(yield func(batch) bool) {
		for b := range w.training.Batches(ctx, uint64(first)*uint64(n), n, w.file.Train.Prefetch) {
			if !yield(episodes{b, w.net}) {
				return
			}
		}
	}
}

// episodes are the training data of one step.
type episodes struct {
	*episode.Batch
	net fewshotLearner
}

func (e episodes) loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, float64) {
	task := fewshot.NewTask(e.Batch, on)
	loss, logp := e.net.Loss(p, task)
	mean, _ := results.MeanInterval(task.Accuracies(logp))
	return loss, mean
}

func (w *fewshotWork) validates() bool { return w.validation != nil }

func (w *fewshotWork) validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	return w.evaluate(ctx, w.validation, w.file.Validation.Episodes, normOf(w.file.Validation.Norm), fineTune{}, on, nil)
}

// evaluate returns the accuracy of each of the first n episodes of a sampler, in [0, 1].
func (w *fewshotWork) evaluate(ctx context.Context, s *episode.Sampler, n int, norm nn.Norm, tune fineTune, on tensor.Device,
	tell func(done int)) ([]float64, error) {
	spec := s.Spec()
	together := 1
	if norm == nn.RunningStats && tune.Steps == 0 { // batch statistics and tuned parameters are an episode's own
		together = max(1, evaluationImages/(spec.Way*(spec.Shot+spec.Query)))
	}
	pass := &nn.Pass{Norm: norm}
	var accuracies []float64
	for b := range s.Batches(ctx, 0, together, 2) {
		err := tensor.Do(func() error {
			tensor.NoGrad(func() {
				task, pass := fewshot.NewTask(b, on), pass
				if tune.Steps > 0 {
					pass = fewshot.FineTune(pass, w.net, w.params, task, tune.Steps, tune.Rate)
				}
				accuracies = append(accuracies, task.Accuracies(w.net.LogProbs(pass, task))...)
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
		if tell != nil {
			tell(min(len(accuracies), n))
		}
		if len(accuracies) >= n {
			return accuracies[:n], nil
		}
	}
	return nil, ctx.Err()
}

func (w *fewshotWork) tests() int {
	n := len(w.file.Test)
	if w.file.Stream != nil {
		n++
	}
	return n
}

func (w *fewshotWork) test(ctx context.Context, i int, on tensor.Device, given string, say Reporter) ([]results.Figure, error) {
	if i == len(w.file.Test) {
		return w.testStream(ctx, on, say)
	}
	t, data, parts := w.file.Test[i], w.data, w.parts
	if own := w.testData[i]; own.load != nil {
		var err error
		parts, err = own.load(ctx, given)
		if t.Optional && errors.Is(err, dataset.ErrNotFound) {
			say.Note(fmt.Sprintf("%s on %s left out: the data set is not here (engram data fetch %s)", t, own.kind, own.kind))
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		data = own
	}
	sampler, err := episode.New(parts.Test, episode.Spec{Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: data.rotation}, evaluationSeed, "test/"+t.String())
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	say.Testing(fmt.Sprintf("%s %s, %s", data.kind, t, t.Norm), t.Episodes)
	accuracies, err := w.evaluate(ctx, sampler, t.Episodes, normOf(t.Norm), t.FineTune, on, say.Tested)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	mean, half := results.MeanInterval(accuracies)
	protocol := results.Protocol{
		Dataset: data.kind, Split: data.split, Rotations: string(data.rotation), Classes: parts.Test.Classes(),
		Way: t.Way, Shot: t.Shot, Query: t.Query, Episodes: t.Episodes, Norm: t.Norm,
		TrainedOn: w.data.kind, TrainWay: w.file.Train.Way, TrainShot: w.file.Train.Shot, Precision: "fp32",
	}
	if t.FineTune.Steps > 0 {
		protocol.FineTune, protocol.FineTuneRate = t.FineTune.Steps, t.FineTune.Rate
	}
	return []results.Figure{{
		Name: t.String(), Metric: accuracy.Name, Value: accuracy.Factor * mean, Interval: accuracy.Factor * half, Protocol: protocol,
		Scores: percentScores(accuracies, t.Way*t.Query, drawn(sampler, t.Episodes)),
	}}, nil
}
