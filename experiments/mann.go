package experiments

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/mann"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// mannFile is the experiment file of one-shot classification through time.
type mannFile struct {
	Common     `yaml:",inline"`
	Labels     schema.Section `yaml:"labels" doc:"what classes are called: one-hot, or strings of letters"`
	Train      mannTrain      `yaml:"train"`
	Validation mannValidation `yaml:"validation"`
	Test       []mannTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`
}

type mannTrain struct {
	Way     int     `yaml:"way" min:"1" doc:"classes of an episode"`
	Samples int     `yaml:"samples" min:"1" doc:"images a class"`
	Shift   float64 `yaml:"shift" min:"0" doc:"pixels that an image is moved by, at most"`
	Turn    float64 `yaml:"turn" min:"0" doc:"degrees that an image is turned by, at most"`
	Loop    `yaml:",inline"`
}

type mannValidation struct {
	Episodes  int `yaml:"episodes" min:"0" doc:"of the training episodes' shape, images as they are; the same ones each time; 0 keeps the last model"`
	Selection `yaml:",inline"`
}

type mannTest struct {
	Way      int     `yaml:"way" min:"1" required:"true"`
	Samples  int     `yaml:"samples" min:"1"`
	Episodes int     `yaml:"episodes" min:"2"`
	Shift    float64 `yaml:"shift" min:"0" doc:"as of training"`
	Turn     float64 `yaml:"turn" min:"0"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *mannTest) SetDefaults() { *t = mannTest{Samples: 10, Episodes: 1000} }

// String names the test as tables do.
func (t mannTest) String() string {
	name := fmt.Sprintf("%d classes", t.Way)
	if t.Shift > 0 || t.Turn > 0 {
		name += fmt.Sprintf(", moved by %v pixels and %v degrees", t.Shift, t.Turn)
	}
	return name
}

func newMANNFile() *mannFile {
	return &mannFile{
		Common:     defaultCommon(),
		Labels:     schema.NewSection("one-hot", nil),
		Train:      mannTrain{Way: 5, Samples: 10, Loop: Loop{Batch: 16, Steps: 6250, Report: 50, Save: 500, Keep: defaultKeep, Prefetch: 2}},
		Validation: mannValidation{200, Selection{Every: 500}},
	}
}

// Validate implements schema.Validator.
func (f *mannFile) Validate() error {
	var names []string
	errs := []error{f.Common.Validate()}
	for i, t := range f.Test {
		names = append(names, fmt.Sprintf("%s of %d images", t, t.Samples))
		if f.Labels.Kind() == "one-hot" && t.Way > f.Train.Way {
			errs = append(errs, schema.At(fmt.Sprintf("test.%d.way", i),
				fmt.Errorf("one-hot labels of %d classes do not name %d: raise train.way, or use labels: strings", f.Train.Way, t.Way)))
		}
	}
	return errors.Join(append(errs, twice(names))...)
}

func (f *mannFile) parts() (*Common, *Loop, *Selection) {
	return &f.Common, &f.Train.Loop, &f.Validation.Selection
}

func (f *mannFile) plan() (work, error) {
	w := &mannWork{file: f}
	var err error
	var errs []error
	if kind := f.Dataset.Kind(); slices.Contains(sequenceTasks(), kind) {
		err = f.Dataset.Errorf("mann is shown images, and %s has none; use one of %s, or another network", kind, strings.Join(dataset.ImageNames(), ", "))
	} else {
		w.data, err = planImages(&f.Dataset)
	}
	errs = append(errs, err)
	w.length, w.letters, err = planLabels(&f.Labels, f.Train.Way)
	errs = append(errs, err)
	w.network, err = planMANN(&f.Network)
	return w, schema.Join(append(errs, err)...)
}

type stringsConfig struct {
	Length  int `yaml:"length" min:"1" max:"20" doc:"letters of a label"`
	Letters int `yaml:"letters" min:"2" doc:"of the alphabet"`
}

// planLabels reads what the classes of training episodes are called.
func planLabels(s *schema.Section, way int) (length, letters int, err error) {
	switch s.Kind() {
	case "one-hot":
		return 1, way, s.Decode(&struct{}{})
	case "strings":
		c := stringsConfig{5, 5}
		err := s.Decode(&c)
		return c.Length, c.Letters, err
	}
	return 0, 0, s.UnknownKind([]string{"one-hot", "strings"})
}

type mannConfig struct {
	Encoder    schema.Section `yaml:"encoder" doc:"an image to an embedding: conv4, or none, which flattens it"`
	Controller schema.Section `yaml:"controller" doc:"lstm or feedforward"`
	Memory     schema.Section `yaml:"memory" doc:"lrua, ntm, dnc, or none for the baseline without memory"`
}

// planMANN reads a network, which is then made for images of a shape and for labels of a length and an alphabet.
func planMANN(s *schema.Section) (func(b *nn.Builder, in imageShape, length, letters int) (*mann.Net, error), error) {
	c := mannConfig{Encoder: schema.NewSection("none", nil), Controller: schema.NewSection("lstm", nil), Memory: schema.NewSection("lrua", nil)}
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	encode, encoderErr := func(*nn.Builder, imageShape) (encoder.Encoder, error) { return nil, nil }, error(nil)
	if c.Encoder.Kind() == "none" {
		encoderErr = c.Encoder.Decode(&struct{}{})
	} else {
		encode, encoderErr = planEncoder(&c.Encoder, "none")
	}
	control, err := planController(&c.Controller, &c.Memory, controllerConfig{Size: 200, Layers: 1})
	return func(b *nn.Builder, in imageShape, length, letters int) (*mann.Net, error) {
		e, err := encode(b.In("encoder"), in)
		if err != nil {
			return nil, err
		}
		inputs := int64(in.channels * in.height * in.width)
		if e != nil {
			inputs = e.Width()
		}
		return mann.New(b, mann.Config{
			Inputs: inputs, Encoder: e, Length: int64(length), Letters: int64(letters), Controller: control,
		}), nil
	}, schema.Join(encoderErr, err)
}

// mannWork trains a network to name images that come one after another.
type mannWork struct {
	file            *mannFile
	data            imagesPlan
	length, letters int // of labels
	network         func(b *nn.Builder, in imageShape, length, letters int) (*mann.Net, error)

	parts      dataset.Parts
	training   *episode.SequenceSampler
	validation *episode.SequenceSampler   // nil where there is none
	testing    []*episode.SequenceSampler // a test each
	net        *mann.Net
}

// evaluationEpisodes is how many episodes one evaluation of the network takes.
const evaluationEpisodes = 50

func (w *mannWork) score() Score { return accuracy }

func (w *mannWork) load(ctx context.Context, given string, seed uint64) (err error) {
	if w.parts, err = w.data.load(ctx, given); err != nil {
		return err
	}
	sampler := func(set dataset.Set, way, samples int, shift, turn float64, seed uint64, name string) (*episode.SequenceSampler, error) {
		s, err := episode.NewSequences(set, episode.SequenceSpec{
			Way: way, Samples: samples, Length: w.length, Letters: w.letters, Rotation: w.data.rotation, Shift: shift, Turn: turn,
		}, seed, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return s, nil
	}
	t := w.file.Train
	if w.training, err = sampler(w.parts.Train, t.Way, t.Samples, t.Shift, t.Turn, seed, "train"); err != nil {
		return err
	}
	if w.file.Validation.Episodes > 0 {
		if w.validation, err = sampler(w.parts.Val, t.Way, t.Samples, 0, 0, evaluationSeed, "validation"); err != nil {
			return err
		}
	}
	for _, t := range w.file.Test {
		s, err := sampler(w.parts.Test, t.Way, t.Samples, t.Shift, t.Turn, evaluationSeed, "test/"+t.String())
		if err != nil {
			return err
		}
		w.testing = append(w.testing, s)
	}
	return nil
}

func (w *mannWork) build(b *nn.Builder) (err error) {
	var in imageShape
	in.channels, in.height, in.width = w.parts.Train.Shape()
	w.net, err = w.network(b, in, w.length, w.letters)
	return err
}

func (w *mannWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	n := w.file.Train.Batch
	return batchesOf(w.training.Batches(ctx, uint64(first)*uint64(n), n, w.file.Train.Prefetch), func(b *episode.SequenceBatch) batch { return shown{b, w.net} })
}

// shown are the training data of one step.
type shown struct {
	*episode.SequenceBatch
	net *mann.Net
}

func (s shown) loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, float64) {
	task := fewshot.NewSequence(s.SequenceBatch, on)
	loss, logp := s.net.Loss(p, task)
	all, _ := task.Accuracies(logp)
	mean, _ := results.MeanInterval(all)
	return loss, mean
}

func (w *mannWork) stepwise() {}

func (w *mannWork) validates() bool { return w.validation != nil }

func (w *mannWork) validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	all, _, err := w.evaluate(ctx, w.validation, w.file.Validation.Episodes, on, nil)
	return all, err
}

// evaluate returns the accuracy of each of the first n episodes of a sampler, in [0, 1], over all images and, in
// instances[k-1], over the k-th images of the classes.
func (w *mannWork) evaluate(ctx context.Context, s *episode.SequenceSampler, n int, on tensor.Device, tell func(done int)) (all []float64, instances [][]float64, err error) {
	instances = make([][]float64, s.Spec().Samples)
	for b := range s.Batches(ctx, 0, evaluationEpisodes, 2) {
		err := tensor.Do(func() error {
			tensor.NoGrad(func() {
				task := fewshot.NewSequence(b, on)
				accuracies, each := task.Accuracies(w.net.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task))
				all = append(all, accuracies...)
				for k := range instances {
					instances[k] = append(instances[k], each[k]...)
				}
			})
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		if tell != nil {
			tell(min(len(all), n))
		}
		if len(all) >= n {
			for k := range instances {
				instances[k] = instances[k][:n]
			}
			return all[:n], instances, nil
		}
	}
	return nil, nil, ctx.Err()
}

func (w *mannWork) tests() int { return len(w.file.Test) }

// reported are the instances that the paper's tables have.
var reported = [...]int{1, 2, 3, 4, 5, 10}

func (w *mannWork) test(ctx context.Context, i int, on tensor.Device, _ string, say Reporter) ([]results.Figure, error) {
	t, s := w.file.Test[i], w.testing[i]
	say.Testing(w.data.kind+" "+t.String(), t.Episodes)
	_, instances, err := w.evaluate(ctx, s, t.Episodes, on, say.Tested)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", t, err)
	}
	drawn := checksum(s.Set(), t.Episodes, func(step uint64) []episode.Item { return s.Sequence(step).Items })
	var figures []results.Figure
	for _, k := range reported {
		if k > len(instances) {
			continue
		}
		mean, half := results.MeanInterval(instances[k-1])
		figures = append(figures, results.Figure{
			Name:     fmt.Sprintf("%s, instance %d", t, k),
			Metric:   accuracy.Name,
			Value:    accuracy.Factor * mean,
			Interval: accuracy.Factor * half,
			Protocol: results.Protocol{
				Dataset: w.data.kind, Split: w.data.split, Rotations: string(w.data.rotation), Classes: w.parts.Test.Classes(),
				Way: t.Way, Episodes: t.Episodes, Instance: k, Samples: t.Samples, Labels: w.file.Labels.Kind(), Shift: t.Shift, Turn: t.Turn,
				TrainedOn: w.data.kind, TrainWay: w.file.Train.Way, Precision: w.net.Precision(),
			},
			Scores: percentScores(instances[k-1], t.Way, drawn),
		})
	}
	return figures, nil
}
