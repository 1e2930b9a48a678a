package kinds

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// sequenceFile is the experiment file of a task on sequences.
type sequenceFile struct {
	Head       `yaml:",inline"`
	Dataset    schema.Section `yaml:"dataset" required:"true" family:"task" doc:"the task"`
	Network    schema.Section `yaml:"network" required:"true" family:"sequence network" doc:"what is trained"`
	Tail       `yaml:",inline"`
	Train      sequenceTrain      `yaml:"train"`
	Validation sequenceValidation `yaml:"validation"`
	Test       []sequenceTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`

	parts *registry.Parts
}

type sequenceTrain struct {
	runner.Loop `yaml:",inline"`
}

type sequenceValidation struct {
	Sequences        int `yaml:"sequences" min:"0" doc:"at least this many, spread over all training sizes; the same ones each time; 0 keeps the last model"`
	runner.Selection `yaml:",inline"`
}

// sequenceTest is a size of sequences, trained on or longer; keys that the task does not use are left out.
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

// String names the test as tables do.
func (t sequenceTest) String() string { return t.size().String() }

func newSequences(p *registry.Parts) File {
	return &sequenceFile{
		Head: newHead(), Tail: newTail(),
		Train: sequenceTrain{runner.Loop{
			Batch: 1, Steps: 10_000, Saving: runner.Saving{Report: 100, Save: 1000, Keep: 2}, Prefetch: 1,
		}},
		Validation: sequenceValidation{200, runner.Selection{Every: 500}},
		parts:      p,
	}
}

// Validate implements [schema.Validator].
func (f *sequenceFile) Validate() error {
	return errors.Join(f.Head.Validate(), f.Tail.Validate(), needNetwork(&f.Network), needBatch(f.Train.Batch), duplicates(f.Test))
}

// Sections implements [File].
func (f *sequenceFile) Sections() Sections {
	return Sections{&f.Head, &f.Tail, &f.Dataset, &f.Network, &f.Train.Saving, f.Validation.Patience}
}

// Plan implements [File].
func (f *sequenceFile) Plan() (runner.Work, error) {
	w := &sequences{file: f}
	var taskErr, netErr error
	w.task, taskErr = f.parts.Tasks.Plan(&f.Dataset)
	w.planned, netErr = f.parts.Sequential.Plan(&f.Network)
	errs := []error{taskErr, netErr}
	if taskErr == nil {
		for i, t := range f.Test {
			if _, err := w.task.Sized(stream.New(0, "check"), 1, t.size()); err != nil {
				errs = append(errs, f.Dataset.Errorf("test.%d: %w", i, err))
			}
		}
	}
	return w, schema.Join(errs...)
}

// sequences trains a network on sequences of bits.
type sequences struct {
	file    *sequenceFile
	task    sequence.Task
	planned registry.Sequential
	seed    uint64
	net     registry.SequenceNetwork
}

// evaluationSequences is how many sequences one evaluation of the network takes.
const evaluationSequences = 50

// Measure implements [runner.Work]: the cross-entropy of a sequence's scored outputs in bits, as in the NTM paper.
func (w *sequences) Measure() measure.Measure {
	return measure.Measure{Name: results.Bits, Of: "sequences", Unit: "bits", Factor: 1, Less: true, Axis: "cost per sequence (bits)"}
}

// Load implements [runner.Work].
func (w *sequences) Load(_ context.Context, from runner.Source) error {
	w.seed = from.Seed
	return nil
}

// Build implements [runner.Work].
func (w *sequences) Build(b *nn.Builder) error {
	w.net = w.planned.New(b, int64(w.task.Inputs()), int64(w.task.Outputs()))
	return nil
}

// Course implements [runner.Work].
func (w *sequences) Course(schedule func(int64) nn.Schedule) runner.Course {
	return w.file.Train.Course(w.file.Validation.Selection, w.file.Validation.Sequences > 0, schedule)
}

// Batches implements [runner.Work].
func (w *sequences) Batches(ctx context.Context, first int64) iter.Seq[runner.Batch] {
	return generated(ctx, w.seed, first, func(r *rand.Rand) *sequence.Batch { return w.task.Batch(r, w.file.Train.Batch) }, w.batch)
}

func inputs(b *sequence.Batch, on tensor.Device) *tensor.Tensor {
	return tensor.New(b.Inputs, int64(b.Time), int64(b.Sequences), int64(b.InputWidth)).On(on)
}

// batch computes the cross-entropy of the scored outputs in nats, summed over a sequence and averaged over the sequences, and the same
// in bits.
func (w *sequences) batch(b *sequence.Batch) runner.Batch {
	return onTensors(func(on tensor.Device) (string, []*tensor.Tensor) {
		var scored []int64
		for i, m := range b.Mask {
			if m != 0 {
				scored = append(scored, int64(i))
			}
		}
		at := tensor.New(scored, int64(len(scored))).On(on)
		targets := tensor.New(b.Targets, int64(b.Time*b.Sequences), int64(b.OutputWidth)).On(on)
		return fmt.Sprintf("exclusive: %v", b.Exclusive), []*tensor.Tensor{inputs(b, on), at, targets.IndexSelect(0, at)}
	}, func(p *nn.Pass, in []*tensor.Tensor) (*tensor.Tensor, runner.Score) {
		logits, targets := w.net(p, in[0], nil).Flatten(0, 1).IndexSelect(0, in[1]), in[2]
		var loss *tensor.Tensor
		if b.Exclusive {
			loss = logits.LogSoftmax(-1).Mul(targets).Sum().Neg()
		} else {
			loss = tensor.BCEWithLogits(logits, targets)
		}
		loss = loss.MulScalar(1 / float64(b.Sequences))
		return loss, func() float64 { return loss.Float() / math.Ln2 }
	})
}

// Validate implements [runner.Work].
func (w *sequences) Validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	var scores []float64
	sizes := slices.Collect(w.task.Sizes())
	each := (w.file.Validation.Sequences + len(sizes) - 1) / len(sizes)
	for i, size := range sizes {
		bits, err := measure.Evaluate(ctx, drawn(w.task.Sized, validationStream(i), size, each), each, nil, func(b *sequence.Batch) ([]float64, error) {
			a, err := w.answer(b, on, nil)
			if err != nil {
				return nil, err
			}
			var bits []float64
			for _, c := range b.CostOfLogits(a.logits) {
				bits = append(bits, c.Bits)
			}
			return bits, nil
		})
		if err != nil {
			return nil, err
		}
		scores = append(scores, bits...)
	}
	return scores, nil
}

// Optimum implements [runner.Bounded]: the cost of the optimal estimator on the validation sequences, for a task that has one.
func (w *sequences) Optimum() (bits float64, ok bool) {
	task, ok := w.task.(estimable)
	if !ok || w.file.Validation.Sequences == 0 {
		return 0, false
	}
	var costs []float64
	for i, size := range slices.Collect(w.task.Sizes()) {
		for b := range drawn(w.task.Sized, validationStream(i), size, w.file.Validation.Sequences) {
			for _, c := range b.CostOfProbabilities(task.Optimal(b)) {
				costs = append(costs, c.Bits)
			}
		}
	}
	return mean(costs), true
}

// validationStream names the stream that the validation sequences of a size come from.
func validationStream(size int) string { return fmt.Sprintf("validation/%d", size) }

// testStream names the stream that a test's sequences come from.
func testStream(size sequence.Size) string { return "test/" + size.String() }

// answered are sequences with the network's outputs before the sigmoid, [time, sequences, outputs].
type answered struct {
	*sequence.Batch
	logits []float32
}

// answer runs the network on sequences. seen, which may be nil, is shown the memory's state after every step.
func (w *sequences) answer(b *sequence.Batch, on tensor.Device, seen func(memory.State)) (answered, error) {
	out := w.net(&nn.Pass{Norm: nn.RunningStats}, inputs(b, on), seen)
	if err := measure.Finite(out, "check the model file"); err != nil {
		return answered{}, err
	}
	return answered{b, tensor.Values[float32](out.On(tensor.CPU))}, nil
}

// Tests implements [runner.Work].
func (w *sequences) Tests(context.Context, runner.Source) ([]measure.Test, error) {
	var out []measure.Test
	for _, t := range w.file.Test {
		out = append(out, measure.Test{Name: t.String(), Run: func(ctx context.Context, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
			return w.test(ctx, t, on, p)
		}})
	}
	return out, nil
}

// test measures the sequences of one size by the metrics of the task.
func (w *sequences) test(ctx context.Context, t sequenceTest, on tensor.Device, p measure.Progress) ([]results.Figure, error) {
	p.Testing(w.task.Name()+", "+t.String(), t.Sequences)
	hash := fnv.New64a()
	each, err := measure.Evaluate(ctx, drawn(w.task.Sized, testStream(t.size()), t.size(), t.Sequences), t.Sequences, p, func(b *sequence.Batch) ([][]sequence.Value, error) {
		a, err := w.answer(b, on, nil)
		if err == nil {
			err = binary.Write(hash, binary.LittleEndian, slices.Concat(b.Inputs, b.Targets))
		}
		return w.task.Measure(b, a.logits), err
	})
	if err != nil {
		return nil, err
	}
	checksum := fmt.Sprintf("%016x", hash.Sum64())
	trained := measure.Trained{On: w.file.Dataset.Kind(), Precision: encoder.FP32}
	carried, err := w.carried(t.size(), on)
	if err != nil {
		return nil, err
	}
	var figures []results.Figure
	for i, m := range each[0] {
		values := make([]float64, len(each))
		for j := range each {
			values[j] = each[j][i].Value
		}
		f := trained.Figure(t.String(), m.Metric, 1, values, results.Protocol{
			Dataset: w.file.Dataset.Kind(), Split: "fresh sequences", Sequences: t.Sequences,
		})
		f.Scores, f.State = results.NewScores(values, 1000, checksum), carried
		figures = append(figures, f)
	}
	return figures, nil
}

// carried is the number of values in the memory's state at the end of a sequence of a size.
func (w *sequences) carried(size sequence.Size, on tensor.Device) (n int64, err error) {
	b, err := w.task.Sized(stream.New(evaluationSeed, testStream(size)), 1, size)
	if err != nil {
		return 0, err
	}
	err = tensor.Do(func() error {
		tensor.NoGrad(func() {
			w.net(&nn.Pass{Norm: nn.RunningStats}, inputs(b, on), func(s memory.State) { n = memory.Numbers(s) })
		})
		return nil
	})
	return n, err
}

// probabilities are the outputs after the sigmoid, or the softmax over classes.
func (b answered) probabilities() []float32 {
	out := make([]float32, len(b.logits))
	if b.Exclusive {
		for first := 0; first < len(out); first += b.OutputWidth {
			step, of := out[first:first+b.OutputWidth], b.logits[first:first+b.OutputWidth]
			most, sum := slices.Max(of), float32(0)
			for k, v := range of {
				step[k] = float32(math.Exp(float64(v - most)))
				sum += step[k]
			}
			for k := range step {
				step[k] /= sum
			}
		}
		return out
	}
	for i, v := range b.logits {
		out[i] = float32(1 / (1 + math.Exp(-float64(v))))
	}
	return out
}
