package experiments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"slices"

	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// sequenceFile is the experiment file of a task on sequences.
type sequenceFile struct {
	Common     `yaml:",inline"`
	Train      sequenceTrain      `yaml:"train"`
	Validation sequenceValidation `yaml:"validation"`
	Test       []sequenceTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`
}

type sequenceTrain struct {
	Loop `yaml:",inline"`
}

type sequenceValidation struct {
	Sequences int `yaml:"sequences" min:"0" doc:"at least, shared out over all training sizes; the same ones each time; 0 keeps the last model"`
	Selection `yaml:",inline"`
}

// sequenceTest is a size of sequences, trained on or longer; the keys that the task does not use stay away.
type sequenceTest struct {
	Length    int `yaml:"length" min:"0"`
	Repeats   int `yaml:"repeats" min:"0"`
	Items     int `yaml:"items" min:"0"`
	Top       int `yaml:"top" min:"0"`
	Sequences int `yaml:"sequences" min:"2"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *sequenceTest) SetDefaults() { *t = sequenceTest{Sequences: 200} }

func (t sequenceTest) size() sequence.Size {
	return sequence.Size{Length: t.Length, Repeats: t.Repeats, Items: t.Items, Top: t.Top}
}

func newSequenceFile() *sequenceFile {
	return &sequenceFile{
		Common:     defaultCommon(),
		Train:      sequenceTrain{Loop{Batch: 1, Steps: 10_000, Report: 100, Save: 1000, Keep: defaultKeep, Prefetch: 1}},
		Validation: sequenceValidation{200, Selection{Every: 500}},
	}
}

// Validate implements schema.Validator.
func (f *sequenceFile) Validate() error {
	var names []string
	for _, t := range f.Test {
		names = append(names, t.size().String())
	}
	return errors.Join(f.Common.Validate(), twice(names))
}

func (f *sequenceFile) parts() (*Common, *Loop, *Selection) {
	return &f.Common, &f.Train.Loop, &f.Validation.Selection
}

func (f *sequenceFile) plan() (work, error) {
	w := &sequenceWork{file: f}
	var errs []error
	var err error
	w.task, err = planSequence(&f.Dataset)
	errs = append(errs, err)
	if err == nil {
		for i, t := range f.Test {
			if _, err := w.task.Sized(stream.New(0, "check"), 1, t.size()); err != nil {
				errs = append(errs, f.Dataset.Errorf("test.%d: %w", i, err))
			}
		}
	}
	if f.Network.Kind() != "" {
		w.network, err = planSequenceNetwork(&f.Network)
		errs = append(errs, err)
	}
	return w, schema.Join(errs...)
}

// sequenceLearner is a network that goes through time: inputs [time, sequences, inputs] to outputs before the sigmoid,
// [time, sequences, outputs]. seen, which may be nil, is shown the memory's state after every step.
type sequenceLearner func(p *nn.Pass, inputs *tensor.Tensor, seen func(memory.State)) *tensor.Tensor

// sequenceWork trains a network on sequences of bits.
type sequenceWork struct {
	file    *sequenceFile
	task    sequence.Task
	network func(b *nn.Builder, inputs, outputs int64) sequenceLearner
	seed    uint64
	net     sequenceLearner
}

// bits is what the paper measures in: the cross-entropy of a sequence's scored outputs.
var bits = Score{Name: results.Bits, Of: "sequences", Unit: "bits", Factor: 1, Less: true, Axis: "cost per sequence (bits)"}

// evaluationSequences is how many sequences one evaluation of the network takes.
const evaluationSequences = 50

func (w *sequenceWork) score() Score { return bits }

func (w *sequenceWork) load(_ context.Context, _ string, seed uint64) error {
	w.seed = seed
	return nil
}

func (w *sequenceWork) build(b *nn.Builder) error {
	w.net = w.network(b, int64(w.task.Inputs()), int64(w.task.Outputs()))
	return nil
}

func (w *sequenceWork) batches(ctx context.Context, first int64) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		for step := uint64(first); ctx.Err() == nil; step++ {
			if !yield(sequences{w.task.Batch(stream.New(w.seed, "train", step), w.file.Train.Batch), w.net}) {
				return
			}
		}
	}
}

// sequences are the training data of one step.
type sequences struct {
	*sequence.Batch
	net sequenceLearner
}

func (s sequences) inputs(on tensor.Device) *tensor.Tensor {
	return tensor.New(s.Inputs, int64(s.Time), int64(s.Sequences), int64(s.InputWidth)).On(on)
}

// loss is the cross-entropy of the scored outputs in nats, summed over a sequence and averaged over the sequences.
func (s sequences) loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, float64) {
	var scored []int64
	for i, m := range s.Mask {
		if m != 0 {
			scored = append(scored, int64(i))
		}
	}
	at := tensor.New(scored, int64(len(scored))).On(on)
	logits := s.net(p, s.inputs(on), nil).Flatten(0, 1).IndexSelect(0, at)
	targets := tensor.New(s.Targets, int64(s.Time*s.Sequences), int64(s.OutputWidth)).On(on).IndexSelect(0, at)
	loss := tensor.BCEWithLogits(logits, targets).MulScalar(1 / float64(s.Sequences))
	return loss, loss.Float() / math.Ln2
}

func (w *sequenceWork) stepwise() {}

func (w *sequenceWork) validates() bool { return w.file.Validation.Sequences > 0 }

func (w *sequenceWork) validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	var scores []float64
	sizes := slices.Collect(w.task.Sizes())
	for i, size := range sizes {
		each := (w.file.Validation.Sequences + len(sizes) - 1) / len(sizes)
		for b, err := range w.answers(ctx, validationStream(i), size, each, on) {
			if err != nil {
				return nil, err
			}
			for _, c := range b.CostOfLogits(b.logits) {
				scores = append(scores, c.Bits)
			}
		}
	}
	return scores, nil
}

// optimum implements bounded: on N-grams, what the optimal estimator pays for the validation sequences.
func (w *sequenceWork) optimum() (bits float64, ok bool) {
	task, ok := w.task.(*sequence.NGrams)
	if !ok || !w.validates() {
		return 0, false
	}
	var costs []float64
	for size := range task.Sizes() { // there is one
		for first, n := range portions(w.file.Validation.Sequences) {
			b, err := w.sequences(validationStream(0), first, size, n)
			if err != nil {
				return 0, false
			}
			for _, c := range b.CostOfProbabilities(task.Optimal(b)) {
				costs = append(costs, c.Bits)
			}
		}
	}
	mean, _ := results.MeanInterval(costs)
	return mean, true
}

// validationStream names the stream that the validation sequences of a size come from.
func validationStream(size int) string { return fmt.Sprintf("validation/%d", size) }

// sequences draws n sequences of a size for evaluation, those of a stream from the given one on.
func (w *sequenceWork) sequences(name string, first int, size sequence.Size, n int) (*sequence.Batch, error) {
	return w.task.Sized(stream.New(evaluationSeed, name, uint64(first)), n, size)
}

// portions takes n sequences apart into those of one evaluation each: the first one's number, and how many.
func portions(n int) iter.Seq2[int, int] {
	return func(yield func(first, n int) bool) {
		for first := 0; first < n; first += evaluationSequences {
			if !yield(first, min(n-first, evaluationSequences)) {
				return
			}
		}
	}
}

// answered are sequences with the network's outputs before the sigmoid, [time, sequences, outputs].
type answered struct {
	*sequence.Batch
	logits []float32
}

// answers gives n sequences of a size, some at a time. An error ends it.
func (w *sequenceWork) answers(
	ctx context.Context, name string, size sequence.Size, n int, on tensor.Device,
) iter.Seq2[answered, error] {
	return func(yield func(answered, error) bool) {
		for first, n := range portions(n) {
			b, err := w.answer(ctx, name, first, size, n, on, nil)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// answer runs the network on n sequences of a size, those of a stream from the given one on. seen, which may be nil, is
// shown the memory's state after every step.
func (w *sequenceWork) answer(
	ctx context.Context, name string, first int, size sequence.Size, n int, on tensor.Device, seen func(memory.State),
) (answered, error) {
	b, err := w.sequences(name, first, size, n)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return answered{}, err
	}
	var logits []float32
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			out := w.net(&nn.Pass{Norm: nn.RunningStats}, sequences{b, w.net}.inputs(on), seen)
			logits = tensor.Values[float32](out.On(tensor.CPU))
		})
		return nil
	})
	return answered{b, logits}, err
}

func (w *sequenceWork) tests() int { return len(w.file.Test) }

func (w *sequenceWork) test(ctx context.Context, i int, on tensor.Device, _ string, say Reporter) ([]results.Figure, error) {
	t := w.file.Test[i]
	name := t.size().String()
	say.Testing(w.task.Name()+", "+name, t.Sequences)
	var m measured
	done, shown := 0, fnv.New64a()
	for b, err := range w.answers(ctx, testStream(t.size()), t.size(), t.Sequences, on) {
		if err != nil {
			return nil, fmt.Errorf("test %s: %w", name, err)
		}
		w.measure(b, &m)
		if err := binary.Write(shown, binary.LittleEndian, append(b.Inputs, b.Targets...)); err != nil {
			return nil, err
		}
		done += b.Sequences
		say.Tested(done)
	}
	var figures []results.Figure
	for _, metric := range m.metrics {
		mean, half := results.MeanInterval(m.values[metric])
		figures = append(figures, results.Figure{Name: name, Metric: metric, Value: mean, Interval: half, Protocol: results.Protocol{
			Dataset: w.file.Dataset.Kind(), Split: "fresh sequences", TrainedOn: w.file.Dataset.Kind(), Sequences: t.Sequences, Precision: encoder.FP32,
		}, Scores: results.NewScores(m.values[metric], 1000, fmt.Sprintf("%016x", shown.Sum64()))})
	}
	return figures, nil
}

// testStream names the stream that a test's sequences come from.
func testStream(size sequence.Size) string { return "test/" + size.String() }

// measured are values of each sequence under metrics, which stay in the order in which they came.
type measured struct {
	metrics []string
	values  map[string][]float64
}

func (m *measured) add(metric string, v float64) {
	if m.values == nil {
		m.values = map[string][]float64{}
	}
	if _, known := m.values[metric]; !known {
		m.metrics = append(m.metrics, metric)
	}
	m.values[metric] = append(m.values[metric], v)
}

// measure holds answers against their targets: by cost and wrong bits, and by what the task has of its own.
func (w *sequenceWork) measure(b answered, m *measured) {
	costs := b.CostOfLogits(b.logits)
	for _, c := range costs {
		m.add(results.Bits, c.Bits)
		m.add(results.WrongBits, 100*float64(c.Wrong)/float64(c.Scored))
	}
	switch task := w.task.(type) {
	case *sequence.Copy:
		thrown := b.thrown()
		for i, c := range costs {
			slip := sequence.FindSlip(b.Answer(b.Targets, i), b.Answer(thrown, i), task.Outputs())
			found := 0.
			if slip.Kind != sequence.NoSlip {
				found = 100
			}
			m.add(results.Slipped, found)
			m.add(results.WrongAligned, 100*float64(slip.Aligned)/float64(c.Scored))
		}
	case *sequence.NGrams:
		for i, best := range b.CostOfProbabilities(task.Optimal(b.Batch)) {
			m.add(results.OptimalBits, best.Bits)
			m.add(results.ExcessBits, costs[i].Bits-best.Bits)
		}
	}
}

// thrown are the outputs as bits. What is no number stays none.
func (b answered) thrown() []float32 {
	out := make([]float32, len(b.logits))
	for i, v := range b.logits {
		switch {
		case v >= 0:
			out[i] = 1
		case v != v:
			out[i] = v
		}
	}
	return out
}

// probabilities are the outputs after the sigmoid.
func (b answered) probabilities() []float32 {
	out := make([]float32, len(b.logits))
	for i, v := range b.logits {
		out[i] = float32(1 / (1 + math.Exp(-float64(v))))
	}
	return out
}
