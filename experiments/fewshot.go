package experiments

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
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

	Within  bool             `yaml:"within_alphabet" doc:"the classes of an episode are of one alphabet"`
	Distort distortionConfig `yaml:"distort"`
	Loop    `yaml:",inline"`
}

// distortionConfig bends training images by random affine maps: Koch et al. 2015, section 3.2.
type distortionConfig struct {
	Rotate float64 `yaml:"rotate" min:"0" doc:"degrees, either way"`
	Shear  float64 `yaml:"shear" min:"0" below:"1" doc:"of either axis, either way"`
	Scale  float64 `yaml:"scale" min:"0" below:"1" doc:"of either axis, 1 more or less this"`
	Shift  float64 `yaml:"shift" min:"0" doc:"pixels along either axis, either way"`
	Chance float64 `yaml:"chance" min:"0" max:"1" doc:"of each of these for an image"`
}

type fewshotValidation struct {
	Episodes  int    `yaml:"episodes" min:"0" doc:"the same ones each time; 0 keeps the last model"`
	Way       int    `yaml:"way" min:"2"`
	Shot      int    `yaml:"shot" min:"1"`
	Query     int    `yaml:"query" min:"1"`
	Norm      string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the episode's own"`
	Within    bool   `yaml:"within_alphabet" doc:"the classes of an episode are of one alphabet"`
	Selection `yaml:",inline"`
}

type fewshotTest struct {
	Kind     string `yaml:"kind" enum:"episodes,lake-runs,verification" doc:"episodes of test classes, Lake's 20 one-shot runs, or telling pairs apart (siamese)"`
	Way      int    `yaml:"way" min:"0" doc:"classes of an episode"`
	Shot     int    `yaml:"shot" min:"0" doc:"support images a class"`
	Query    int    `yaml:"query" min:"1"`
	Episodes int    `yaml:"episodes" min:"2"`
	Pairs    int    `yaml:"pairs" min:"2" doc:"of a verification, half of them of the same class"`
	Within   bool   `yaml:"within_alphabet" doc:"the classes of an episode, or of a pair, are of one alphabet"`
	Norm     string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the episode's own"`
	Classes  string `yaml:"classes" enum:"test,validation" doc:"those of the split to test on; validation, to choose a test's own settings without the test classes"`

	FineTune fineTune       `yaml:"fine_tune"`
	Head     schema.Section `yaml:"head" doc:"how a transfer network is adapted to an episode, other than its own head says: linear, cosine or mean"`

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
	*t = fewshotTest{Kind: testEpisodes, Query: 15, Episodes: 1000, Pairs: 10_000, Norm: normInductive, Classes: classesOfTest, FineTune: fineTune{Rate: 1e-2}}
}

// The kinds of test.
const (
	testEpisodes     = "episodes"
	testLakeRuns     = "lake-runs"
	testVerification = "verification"
)

// The classes that a test may be made on.
const (
	classesOfTest       = "test"
	classesOfValidation = "validation"
)

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
func (t fewshotTest) String() string {
	name := t.Kind
	switch t.Kind {
	case testEpisodes:
		name = fmt.Sprintf("%d-way %d-shot", t.Way, t.Shot)
	case testLakeRuns:
		return results.LakeRuns
	}
	if t.Within {
		name += " within alphabets"
	}
	if t.Classes == classesOfValidation {
		name += " of validation classes"
	}
	return name
}

// Validate implements schema.Validator.
func (t fewshotTest) Validate() error {
	if t.Kind == testLakeRuns && t.Classes == classesOfValidation {
		return schema.At("classes", errors.New("the characters of Lake's runs are their own, and none are for validation; leave it out"))
	}
	if t.Kind != testEpisodes {
		if t.FineTune.Steps > 0 {
			return schema.At("fine_tune.steps", fmt.Errorf("only a test on episodes is fine-tuned, not %s", t.Kind))
		}
		return nil
	}
	var errs []error
	for _, k := range []struct {
		name       string
		got, least int
	}{{"way", t.Way, 2}, {"shot", t.Shot, 1}} {
		if k.got < k.least {
			errs = append(errs, schema.At(k.name, fmt.Errorf("a test on episodes needs at least %d, got %d", k.least, k.got)))
		}
	}
	return errors.Join(errs...)
}

func newFewshotFile() *fewshotFile {
	return &fewshotFile{
		Common: defaultCommon(),
		Train: fewshotTrain{
			Way: 20, Shot: 1, Query: 5, Distort: distortionConfig{Chance: .5},
			Loop: Loop{Batch: 1, Steps: 10_000, Report: 100, Save: 1000, Keep: defaultKeep, Prefetch: 2},
		},
		Validation: fewshotValidation{200, 20, 1, 5, normInductive, false, Selection{Every: 500}},
	}
}

// Validate implements schema.Validator.
func (f *fewshotFile) Validate() error {
	var names []string
	for i, t := range f.Test {
		name := t.String() + ", " + t.Norm
		if t.FineTune.Steps > 0 {
			name += fmt.Sprintf(", %d steps of fine-tuning at %g", t.FineTune.Steps, t.FineTune.Rate)
		}
		if t.Head.Kind() != "" {
			name += fmt.Sprintf(", head %d", i) // what heads come to is known only once they are decoded
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
	for i, t := range f.Test {
		if t.Kind == testLakeRuns && w.data.showsRuns {
			errs = append(errs, f.Dataset.Errorf("test.%d: the split %s trains on alphabets of Lake's runs; use %s or %s", i, w.data.split, dataset.SplitKoch, dataset.SplitLake))
		}
		if t.Kind == testVerification && f.Network.Kind() != "siamese" {
			errs = append(errs, f.Network.Errorf("test.%d: %s classifies and tells no pairs apart; use siamese, or another kind of test", i, f.Network.Kind()))
		}
		if t.Head.Kind() != "" && f.Network.Kind() != "transfer" {
			errs = append(errs, f.Test[i].Head.Errorf("only a transfer network gets a new head for each episode, and %s has none; leave it out", f.Network.Kind()))
		}
	}
	if f.Network.Kind() == "transfer" {
		transfer, err := planTransfer(w)
		return transfer, schema.Join(append(errs, err)...)
	}
	if f.Network.Kind() == "siamese" {
		siamese, err := planSiamese(w)
		return siamese, schema.Join(append(errs, err)...)
	}
	if f.Network.Kind() != "" {
		w.network, err = planFewshot(&f.Network)
		if w.adapts = adapts(f.Network.Kind()); w.adapts {
			errs = append(errs, checkAdaptive(f))
		} else if err == nil && f.Stream != nil {
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

	adapts     bool // the network, to each task by itself
	cores      int
	parts      dataset.Parts
	training   *episode.Sampler
	validation *episode.Sampler // nil where there is none
	passing    *episode.Sampler // of the stream; nil where there is none
	net        fewshotLearner
	params     *nn.Params

	// adapted gives the network that a test measures and how it was adapted, where they differ from test to test; else nil.
	adapted func(test int) (fewshotLearner, string)
	// alone is set where the network is not trained on episodes.
	alone bool
}

// evaluationSeed draws validation and test episodes. It is not the run's seed, so that every method and every seed is
// measured on the same episodes and two runs can be compared pair by pair.
const evaluationSeed = 0

// evaluationPixels is about how many pixels one evaluation of the network takes, those of 400 images of 28×28: enough to
// keep the cores busy, few enough to stay in memory.
const evaluationPixels = 400 * 28 * 28

// together says how many examples of so many images one evaluation takes. Batch statistics are an example's own. An adaptive
// network takes a batch apart itself, and shares it among the cores.
func (w *fewshotWork) together(images int, norm nn.Norm) int {
	if norm == nn.BatchStats && !w.adapts {
		return 1
	}
	return max(1, w.cores, evaluationPixels/(images*w.data.image.Height*w.data.image.Width))
}

func (w *fewshotWork) score() Score { return accuracy }

func (w *fewshotWork) load(ctx context.Context, given string, seed uint64) (err error) {
	if w.parts, err = w.data.load(ctx, given); err != nil {
		return err
	}
	t, v := w.file.Train, w.file.Validation
	if !w.alone {
		w.training, err = episode.New(w.parts.Train, episode.Spec{
			Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: w.data.rotation, Within: t.Within, Distort: dataset.Distortion(t.Distort),
		}, seed, "train")
		if err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	if w.file.Stream != nil {
		if err := w.loadStream(); err != nil {
			return err
		}
	}
	if v.Episodes == 0 {
		return nil
	}
	w.validation, err = episode.New(w.parts.Val, episode.Spec{
		Way: v.Way, Shot: v.Shot, Query: v.Query, Rotation: w.data.rotation, Within: v.Within,
	}, evaluationSeed, "validation")
	if err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	return nil
}

func (w *fewshotWork) build(b *nn.Builder) (err error) {
	in := w.data.shape()
	in.way, in.cores = w.file.Train.Way, w.cores
	w.params = b.Params()
	w.net, err = w.network(b, in)
	return err
}

func (w *fewshotWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	n := w.file.Train.Batch
	return batchesOf(w.training.Batches(ctx, uint64(first)*uint64(n), n, w.file.Train.Prefetch), func(b *episode.Batch) batch {
		if net, ok := w.net.(adaptive); ok {
			return adaptedEpisodes{episodes{b, w.net}, net}
		}
		return episodes{b, w.net}
	})
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
	return w.evaluate(ctx, w.net, w.validation, w.file.Validation.Episodes, normOf(w.file.Validation.Norm), fineTune{}, on, nil)
}

// evaluate returns a network's accuracy in each of the first n episodes of a sampler, in [0, 1].
func (w *fewshotWork) evaluate(ctx context.Context, net fewshotLearner, s *episode.Sampler, n int, norm nn.Norm, tune fineTune, on tensor.Device,
	tell func(done int)) ([]float64, error) {
	spec := s.Spec()
	together := w.together(spec.Way*(spec.Shot+spec.Query), norm)
	if tune.Steps > 0 { // tuned parameters are an episode's own
		together = 1
	}
	pass := &nn.Pass{Norm: norm}
	var accuracies []float64
	for b := range s.Batches(ctx, 0, together, 2) {
		err := tensor.Do(func() error {
			tensor.NoGrad(func() {
				task, pass := fewshot.NewTask(b, on), pass
				if tune.Steps > 0 {
					pass = fewshot.FineTune(pass, net, w.params, task, tune.Steps, tune.Rate)
				}
				accuracies = append(accuracies, task.Accuracies(net.LogProbs(pass, task))...)
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
	t := w.file.Test[i]
	if t.Kind == testLakeRuns {
		return w.testLakeRuns(ctx, i, on, given, say)
	}
	data, set, err := w.tested(ctx, i, given, say)
	if err != nil || set == nil {
		return nil, err
	}
	sampler, err := episode.New(set, episode.Spec{
		Way: t.Way, Shot: t.Shot, Query: t.Query, Rotation: data.rotation, Within: t.Within,
	}, evaluationSeed, "test/"+t.String())
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	say.Testing(fmt.Sprintf("%s %s, %s", data.kind, t, t.Norm), t.Episodes)
	net, how := w.measured(i)
	accuracies, err := w.evaluate(ctx, net, sampler, t.Episodes, normOf(t.Norm), t.FineTune, on, say.Tested)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	protocol := results.Protocol{
		Dataset: data.kind, Split: data.split, Rotations: string(data.rotation), Classes: set.Classes(),
		Way: t.Way, Shot: t.Shot, Query: t.Query, Episodes: t.Episodes, Within: t.Within, Adapted: how,
	}
	if net, ok := w.net.(adaptive); ok {
		_, protocol.InnerSteps = net.Steps()
	}
	if t.FineTune.Steps > 0 {
		protocol.FineTune, protocol.FineTuneRate = t.FineTune.Steps, t.FineTune.Rate
	}
	f := w.figure(t, accuracies, protocol)
	f.Scores = percentScores(accuracies, t.Way*t.Query, drawn(sampler, t.Episodes))
	return []results.Figure{f}, nil
}

// measured gives the network that a test measures, and how it is adapted where that differs from test to test.
func (w *fewshotWork) measured(test int) (fewshotLearner, string) {
	if w.adapted != nil {
		return w.adapted(test)
	}
	return w.net, ""
}

// tested gives what a test is measured on. Where its data set is not here and need not be, there is no set.
func (w *fewshotWork) tested(ctx context.Context, i int, given string, say Reporter) (imagesPlan, dataset.Set, error) {
	t, data, parts := w.file.Test[i], w.testData[i], w.parts
	if data.load == nil {
		data = w.data
	} else {
		var err error
		parts, err = data.load(ctx, given)
		if t.Optional && errors.Is(err, dataset.ErrNotFound) {
			say.Note(fmt.Sprintf("%s on %s left out: the data set is not here (engram data fetch %s)", t, data.kind, data.kind))
			return data, nil, nil
		}
		if err != nil {
			return data, nil, err
		}
	}
	if t.Classes == classesOfTest {
		return data, parts.Test, nil
	}
	if parts.Val == nil || parts.Val.Classes() == 0 {
		return data, nil, fmt.Errorf("test.%d: classes: the split %s of %s has none for validation", i, data.split, data.kind)
	}
	return data, parts.Val, nil
}

// figure is the mean of what a test came to, under what the protocol says of the test and what is known of the training.
func (w *fewshotWork) figure(t fewshotTest, accuracies []float64, p results.Protocol) results.Figure {
	mean, half := results.MeanInterval(accuracies)
	p.Norm, p.TrainedOn, p.Precision = t.Norm, w.data.kind, encoder.FP32
	if w.file.Train.Steps > 0 && !w.alone {
		p.TrainWay, p.TrainShot = w.file.Train.Way, w.file.Train.Shot
	}
	if told, ok := w.net.(interface{ Precision() string }); ok {
		p.Precision = told.Precision()
	}
	return results.Figure{Name: t.String(), Metric: accuracy.Name, Value: accuracy.Factor * mean, Interval: accuracy.Factor * half, Protocol: p}
}
