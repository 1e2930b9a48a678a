package kinds

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"

	"github.com/engram-go/engram/dataset/token"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// tokensFile is the experiment file of a task on token sequences.
type tokensFile struct {
	Head       `yaml:",inline"`
	Dataset    schema.Section `yaml:"dataset" required:"true" family:"token task" doc:"the task"`
	Network    schema.Section `yaml:"network" required:"true" family:"token network" doc:"what is trained"`
	Tail       `yaml:",inline"`
	Train      sequenceTrain      `yaml:"train"`
	Validation sequenceValidation `yaml:"validation"`
	Test       []tokenTest        `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`

	parts *registry.Parts
}

// tokenTest is a size of sequences, trained on or longer; keys that the task does not use are left out.
type tokenTest struct {
	Length    int `yaml:"length" min:"0" doc:"of a sequence"`
	Pairs     int `yaml:"pairs" min:"0" doc:"of associative recall"`
	Copied    int `yaml:"copied" min:"0" doc:"tokens of selective copying"`
	Sequences int `yaml:"sequences" min:"2"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *tokenTest) SetDefaults() { *t = tokenTest{Sequences: 1000} }

func (t tokenTest) size() token.Size {
	return token.Size{Length: t.Length, Pairs: t.Pairs, Copied: t.Copied}
}

// String names the test as tables do.
func (t tokenTest) String() string { return t.size().String() }

func newTokens(p *registry.Parts) File {
	return &tokensFile{
		Head: newHead(), Tail: newTail(),
		Train: sequenceTrain{runner.Loop{
			Batch: 64, Steps: 5_000, Saving: runner.Saving{Report: 100, Save: 1000, Keep: 2}, Prefetch: 1,
		}},
		Validation: sequenceValidation{200, runner.Selection{Every: 500}},
		parts:      p,
	}
}

// Validate implements [schema.Validator].
func (f *tokensFile) Validate() error {
	return errors.Join(f.Head.Validate(), f.Tail.Validate(), needNetwork(&f.Network), needBatch(f.Train.Batch),
		noCarried(f.Train.Clip), duplicates(f.Test))
}

// Sections implements [File].
func (f *tokensFile) Sections() Sections {
	return Sections{&f.Head, &f.Tail, &f.Dataset, &f.Network, &f.Train.Saving, f.Validation.Patience}
}

// Plan implements [File].
func (f *tokensFile) Plan() (runner.Work, error) {
	w := &tokens{file: f}
	var taskErr, netErr error
	w.task, taskErr = f.parts.TokenTasks.Plan(&f.Dataset)
	w.planned, netErr = f.parts.TokenNets.Plan(&f.Network)
	errs := []error{taskErr, netErr}
	if taskErr == nil {
		for i, t := range f.Test {
			if _, err := w.task.Sized(stream.New(0, "check"), 1, t.size()); err != nil {
				errs = append(errs, f.Dataset.Errorf("test.%d: %w", i, err))
			}
			if netErr == nil && w.planned.Positions > 0 && int64(t.Length) > w.planned.Positions {
				errs = append(errs, f.Network.Errorf("test.%d: the sequences have %d tokens, and the network learns vectors of %d positions; use more positions, or none", i, t.Length, w.planned.Positions))
			}
		}
		for _, size := range w.task.Sizes() {
			if netErr == nil && w.planned.Positions > 0 && int64(size.Length) > w.planned.Positions {
				errs = append(errs, f.Network.Errorf("training sequences have up to %d tokens, and the network learns vectors of %d positions; use more positions, or none", size.Length, w.planned.Positions))
				break
			}
		}
	}
	return w, schema.Join(errs...)
}

// tokens trains a network on token sequences.
type tokens struct {
	file    *tokensFile
	task    token.Task
	planned registry.TokenNet
	seed    uint64
	net     registry.TokenNetwork
}

// Measure implements [runner.Work]: the share of scored positions that are right, sequence by sequence.
func (w *tokens) Measure() measure.Measure {
	m := measure.Accuracy
	m.Of = "sequences"
	return m
}

// Load implements [runner.Work].
func (w *tokens) Load(_ context.Context, from runner.Source) error {
	w.seed = from.Seed
	return nil
}

// Build implements [runner.Work].
func (w *tokens) Build(b *nn.Builder) error {
	w.net = w.planned.New(b, int64(w.task.Tokens()), int64(w.task.Classes()))
	return nil
}

// Course implements [runner.Work].
func (w *tokens) Course(schedule func(int64) nn.Schedule) runner.Course {
	return w.file.Train.Course(w.file.Validation.Selection, w.file.Validation.Sequences > 0, schedule)
}

// Batches implements [runner.Work].
func (w *tokens) Batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	return generated(ctx, w.seed, first, func(r *rand.Rand) *token.Batch { return w.task.Batch(r, w.file.Train.Batch) }, w.loss)
}

// scores returns the network's scores at the scored positions, [n, classes], and the classes there.
func (w *tokens) scores(p *nn.Pass, b *token.Batch, on tensor.Device) (scores *tensor.Tensor, classes []int64) {
	at, classes := b.Scored()
	inputs := tensor.New(b.Inputs, int64(b.Sequences), int64(b.Time)).On(on)
	return w.net(p, inputs, tensor.New(at, int64(len(at))).On(on)), classes
}

// loss is the mean cross-entropy of the scored positions, and the mean share of right answers.
func (w *tokens) loss(p *nn.Pass, b *token.Batch, on tensor.Device) (*tensor.Tensor, runner.Score) {
	scores, classes := w.scores(p, b, on)
	loss := tensor.NLL(scores.LogSoftmax(-1), tensor.New(classes, int64(len(classes))).On(on))
	return loss, func() float64 {
		return mean(shares(b.Scores(tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU)))))
	}
}

// shares are the shares of scored positions that are right.
func shares(scores []token.Score) []float64 {
	out := make([]float64, len(scores))
	for i, s := range scores {
		out[i] = float64(s.Right) / float64(s.Scored)
	}
	return out
}

// evaluate runs the network on n sequences of a size. sum, which may be nil, receives them.
func (w *tokens) evaluate(ctx context.Context, name string, size token.Size, n int, on tensor.Device, p measure.Progress, sum func(*token.Batch) error) ([]token.Score, error) {
	return measure.Evaluate(ctx, drawn(w.task.Sized, name, size, n), n, p, func(b *token.Batch) ([]token.Score, error) {
		scores, _ := w.scores(&nn.Pass{Norm: nn.RunningStats}, b, on)
		if err := measure.Finite(scores, "check the model file"); err != nil {
			return nil, err
		}
		if sum != nil {
			if err := sum(b); err != nil {
				return nil, err
			}
		}
		return b.Scores(tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU))), nil
	})
}

// Validate implements [runner.Work].
func (w *tokens) Validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	var out []float64
	sizes := w.task.Sizes()
	each := (w.file.Validation.Sequences + len(sizes) - 1) / len(sizes)
	for i, size := range sizes {
		scores, err := w.evaluate(ctx, validationStream(i), size, each, on, nil, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, shares(scores)...)
	}
	return out, nil
}

// wholeSequences is the metric of sequences of which every scored position is right.
const wholeSequences = "whole sequences"

// Tests implements [runner.Work].
func (w *tokens) Tests(context.Context, runner.Source) ([]measure.Test, error) {
	var out []measure.Test
	for _, t := range w.file.Test {
		out = append(out, measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
			return w.test(ctx, t, on, p)
		}})
	}
	return out, nil
}

// test measures the sequences of one size: the share of right answers, and that of sequences without a mistake.
func (w *tokens) test(ctx context.Context, t tokenTest, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
	p.Testing(w.task.Name()+", "+t.String(), t.Sequences)
	hash := fnv.New64a()
	scores, err := w.evaluate(ctx, "test/"+t.String(), t.size(), t.Sequences, on, p, func(b *token.Batch) error {
		return binary.Write(hash, binary.LittleEndian, append(b.Inputs, b.Targets...))
	})
	if err != nil {
		return nil, err
	}
	whole := make([]float64, len(scores))
	for i, s := range scores {
		if s.Whole() {
			whole[i] = 1
		}
	}
	checksum, a := fmt.Sprintf("%016x", hash.Sum64()), measure.Accuracy
	trained := measure.Trained{On: w.file.Dataset.Kind(), Precision: encoder.FP32}
	protocol := results.Protocol{Dataset: w.file.Dataset.Kind(), Split: "fresh sequences", Sequences: t.Sequences}
	right := trained.Figure(t.String(), a.Name, a.Factor, shares(scores), protocol)
	right.Scores = measure.Percent(shares(scores), 100_000, checksum)
	all := trained.Figure(t.String(), wholeSequences, a.Factor, whole, protocol)
	all.Scores = measure.Percent(whole, 1, checksum)
	return []results.Figure{right, all}, nil
}

// Show implements [runner.Work].
func (w *tokens) Show(context.Context, tensor.Device) ([]runner.Plot, []byte, error) {
	return nil, nil, nil
}
