package kinds

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// timeFile is the experiment file of one-shot classification through time.
type timeFile struct {
	Head       `yaml:",inline"`
	Dataset    schema.Section `yaml:"dataset" family:"images" doc:"what is learned from"`
	Network    schema.Section `yaml:"network" required:"true" family:"through-time network" doc:"what is trained"`
	Tail       `yaml:",inline"`
	Labels     schema.Section `yaml:"labels" family:"labels" doc:"what classes are called"`
	Train      timeTrain      `yaml:"train"`
	Validation timeValidation `yaml:"validation"`
	Test       []timeTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`

	parts *registry.Parts
}

type timeTrain struct {
	Way         int     `yaml:"way" min:"1" doc:"classes of an episode"`
	Samples     int     `yaml:"samples" min:"1" doc:"images per class"`
	Shift       float64 `yaml:"shift" min:"0" doc:"the most pixels that an image is moved by"`
	Turn        float64 `yaml:"turn" min:"0" doc:"the most degrees that an image is turned by"`
	runner.Loop `yaml:",inline"`
}

type timeValidation struct {
	Episodes         int `yaml:"episodes" min:"0" doc:"of the training episodes' shape, images as they are; the same ones each time; 0 keeps the last model"`
	runner.Selection `yaml:",inline"`
}

type timeTest struct {
	Way      int     `yaml:"way" min:"1" required:"true"`
	Samples  int     `yaml:"samples" min:"1"`
	Episodes int     `yaml:"episodes" min:"2"`
	Shift    float64 `yaml:"shift" min:"0" doc:"as of training"`
	Turn     float64 `yaml:"turn" min:"0"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *timeTest) SetDefaults() { *t = timeTest{Samples: 10, Episodes: 1000} }

// String names the test as tables do.
func (t timeTest) String() string {
	name := fmt.Sprintf("%d classes", t.Way)
	if t.Shift > 0 || t.Turn > 0 {
		name += fmt.Sprintf(", moved by %v pixels and %v degrees", t.Shift, t.Turn)
	}
	return name
}

func newThroughTime(p *registry.Parts) File {
	return &timeFile{
		Head: newHead(), Dataset: schema.NewSection(dataset.NameStrokes, nil), Tail: newTail(),
		Labels: schema.NewSection(registry.OneHot, nil),
		Train: timeTrain{Way: 5, Samples: 10, Loop: runner.Loop{
			Batch: 16, Steps: 6250, Saving: runner.Saving{Report: 50, Save: 500, Keep: 2}, Prefetch: 2,
		}},
		Validation: timeValidation{200, runner.Selection{Every: 500}},
		parts:      p,
	}
}

// Validate implements [schema.Validator].
func (f *timeFile) Validate() error {
	return errors.Join(f.Head.Validate(), f.Tail.Validate(), needNetwork(&f.Network), needBatch(f.Train.Batch), duplicates(f.Test))
}

// Sections implements [File].
func (f *timeFile) Sections() Sections {
	return Sections{&f.Head, &f.Tail, &f.Dataset, &f.Network, &f.Train.Saving, f.Validation.Patience}
}

// Plan implements [File].
func (f *timeFile) Plan() (runner.Work, error) {
	w := &throughTime{file: f}
	var dataErr, labelErr, netErr error
	w.data, dataErr = f.parts.PlanImages(&f.Dataset)
	w.labels, labelErr = f.parts.Labels.Plan(&f.Labels)
	w.planned, netErr = f.parts.ThroughTime.Plan(&f.Network)
	errs := []error{dataErr, labelErr, netErr}
	if dataErr == nil && w.data.Text {
		errs = append(errs, f.Dataset.Errorf("%s holds texts, and %s is shown images; use a few-shot network such as protonet, or a data set of images", f.Dataset.Kind(), f.Network.Kind()))
	}
	if w.labels.OneHot {
		w.labels.Letters = f.Train.Way
		for i, t := range f.Test {
			if t.Way > f.Train.Way {
				errs = append(errs, f.Labels.Errorf("test.%d.way: %s labels of %d classes do not name %d: raise train.way, or use other labels", i, f.Labels.Kind(), f.Train.Way, t.Way))
			}
		}
	}
	return w, schema.Join(errs...)
}

// throughTime trains a network to name images that come one after another.
type throughTime struct {
	file    *timeFile
	data    registry.Images
	labels  registry.Labels
	planned registry.ThroughTime

	parts      dataset.Parts
	training   *episode.SequenceSampler
	validation *episode.SequenceSampler // nil where there is none
	net        fewshot.SequenceNetwork
}

// evaluationEpisodes is how many episodes one evaluation of the network takes.
const evaluationEpisodes = 50

// Measure implements [runner.Work].
func (w *throughTime) Measure() measure.Measure { return measure.Accuracy }

func (w *throughTime) sampler(set dataset.Set, way, samples int, shift, turn float64, seed uint64, name string) (*episode.SequenceSampler, error) {
	s, err := episode.NewSequences(set, episode.SequenceSpec{
		Way: way, Samples: samples, Length: w.labels.Length, Letters: w.labels.Letters, Rotation: w.data.Rotation, Shift: shift, Turn: turn,
	}, seed, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// Load implements [runner.Work].
func (w *throughTime) Load(ctx context.Context, from runner.Source) (err error) {
	if w.parts, _, err = load(ctx, &w.data, from); err != nil {
		return err
	}
	t := w.file.Train
	if w.training, err = w.sampler(w.parts.Train, t.Way, t.Samples, t.Shift, t.Turn, from.Seed, "train"); err != nil {
		return err
	}
	if w.file.Validation.Episodes > 0 {
		w.validation, err = w.sampler(w.parts.Val, t.Way, t.Samples, 0, 0, evaluationSeed, "validation")
	}
	return err
}

// Build implements [runner.Work].
func (w *throughTime) Build(b *nn.Builder) (err error) {
	w.net, err = w.planned.New(b, registry.ThroughTimeInput{Shape: w.data.Shape(), Labels: w.labels})
	return err
}

// Course implements [runner.Work].
func (w *throughTime) Course(schedule func(int64) nn.Schedule) runner.Course {
	return w.file.Train.Course(w.file.Validation.Selection, w.file.Validation.Episodes > 0, schedule)
}

// Batches implements [runner.Work].
func (w *throughTime) Batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	n := w.file.Train.Batch
	return runner.Batches(w.training.Batches(ctx, uint64(first)*uint64(n), n, w.file.Train.Prefetch), func(b *episode.SequenceBatch) runner.Batch {
		return onTensors(func(on tensor.Device) (string, []*tensor.Tensor) {
			task := fewshot.NewSequence(b, on)
			return "", []*tensor.Tensor{task.Images, task.Labels}
		}, func(p *nn.Pass, in []*tensor.Tensor) (*tensor.Tensor, runner.Score) {
			task := &fewshot.Sequence{Images: in[0], Labels: in[1], Instances: b.Instances}
			loss, logp := w.net.Loss(p, task)
			return loss, func() float64 {
				all, _ := task.Accuracies(logp)
				return mean(all)
			}
		})
	})
}

// namedEpisode is what a network makes of one episode: the accuracy over all images, in [0, 1], and over the k-th images of
// the classes.
type namedEpisode struct {
	all       float64
	instances []float64
}

// evaluate runs the network on the first n sequences of a sampler and adds them to a checksum, which may be nil.
func (w *throughTime) evaluate(
	ctx context.Context, s *episode.SequenceSampler, n int, sum *measure.Checksum, on tensor.Device, p measure.Progress,
) ([]namedEpisode, error) {
	return measure.Evaluate(ctx, s.Batches(ctx, 0, evaluationEpisodes, 2), n, p, func(b *episode.SequenceBatch) ([]namedEpisode, error) {
		sum.Add(b.Items, b.Time)
		task := fewshot.NewSequence(b, on)
		logp := w.net.LogProbs(&nn.Pass{Norm: nn.RunningStats}, task)
		all, instances := task.Accuracies(logp)
		out := make([]namedEpisode, len(all))
		for i := range out {
			out[i].all = all[i]
			for _, of := range instances {
				out[i].instances = append(out[i].instances, of[i])
			}
		}
		return out, measure.Finite(logp, "check the model file and the encoder")
	})
}

// Validate implements [runner.Work].
func (w *throughTime) Validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	episodes, err := w.evaluate(ctx, w.validation, w.file.Validation.Episodes, nil, on, nil)
	all := make([]float64, len(episodes))
	for i, e := range episodes {
		all[i] = e.all
	}
	return all, err
}

// reported are the instances in the paper's tables.
var reported = [...]int{1, 2, 3, 4, 5, 10}

// Tests implements [runner.Work].
func (w *throughTime) Tests(context.Context, runner.Source) ([]measure.Test, error) {
	var out []measure.Test
	for i, t := range w.file.Test {
		s, err := w.sampler(w.parts.Test, t.Way, t.Samples, t.Shift, t.Turn, evaluationSeed, "test/"+t.String())
		if err != nil {
			return nil, fmt.Errorf("test.%d: %w", i, err)
		}
		out = append(out, measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
			p.Testing(w.file.Dataset.Kind()+" "+t.String(), t.Episodes)
			sum := measure.NewChecksum(w.parts.Test, t.Episodes)
			episodes, err := w.evaluate(ctx, s, t.Episodes, sum, on, p)
			if err != nil {
				return nil, err
			}
			figures := w.figures(t, episodes, sum.String())
			carried, err := w.carried(s, on)
			if err != nil {
				return nil, err
			}
			for i := range figures {
				figures[i].State = carried
			}
			if i == 0 && len(figures) > 0 { // the network is judged by what it knows at the end
				figures[len(figures)-1].Headline = true
			}
			return figures, nil
		}})
	}
	return out, nil
}

// carried is the number of values in the memory's state at the end of an episode; 0 if the state cannot be seen.
func (w *throughTime) carried(s *episode.SequenceSampler, on tensor.Device) (n int64, err error) {
	net, ok := w.net.(registry.Watched)
	if !ok {
		return 0, nil
	}
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			net.Watch(&nn.Pass{Norm: nn.RunningStats}, fewshot.NewSequence(s.Batch(0, 1), on), func(state memory.State) { n = memory.Numbers(state) })
		})
		return nil
	})
	return n, err
}

// figures are the accuracies on the instances that are reported.
func (w *throughTime) figures(t timeTest, episodes []namedEpisode, checksum string) (figures []results.Figure) {
	trained := measure.Trained{On: w.file.Dataset.Kind(), Way: w.file.Train.Way, Precision: w.file.Tail.precision(w.net)}
	for _, k := range reported {
		if k > t.Samples {
			continue
		}
		shares := make([]float64, len(episodes))
		for i, e := range episodes {
			shares[i] = e.instances[k-1]
		}
		f := trained.Figure(fmt.Sprintf("%s, instance %d", t, k), measure.Accuracy.Name, measure.Accuracy.Factor, shares, results.Protocol{
			Dataset: w.file.Dataset.Kind(), Split: w.data.Split, Rotations: string(w.data.Rotation), Classes: w.parts.Test.Classes(),
			Way: t.Way, Episodes: t.Episodes, Instance: k, Samples: t.Samples, Labels: w.file.Labels.Kind(), Shift: t.Shift, Turn: t.Turn, Resize: resized(&w.data),
		})
		f.Scores = measure.Percent(shares, t.Way, checksum)
		figures = append(figures, f)
	}
	return figures
}
