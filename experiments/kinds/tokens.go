package kinds

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/dataset/token"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// tokensFile is the experiment file of a task on token sequences.
type tokensFile struct {
	Head       `yaml:",inline"`
	Dataset    schema.Section `yaml:"dataset" required:"true" family:"token task" doc:"the task"`
	Network    schema.Section `yaml:"network" required:"true" family:"token network" doc:"what is trained"`
	Tail       `yaml:",inline"`
	Train      tokenTrain      `yaml:"train"`
	Validation tokenValidation `yaml:"validation"`
	Test       []tokenTest     `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`

	parts *registry.Parts
}

type tokenTrain struct {
	Examples    int `yaml:"examples" min:"0" doc:"train on so many sequences, in another order in each epoch; 0 draws new ones at every step"`
	runner.Loop `yaml:",inline"`
}

// tokenSize is a size of sequences, trained on or longer. Keys that the task does not use are left out. Without keys it is that of
// training.
type tokenSize struct {
	Length int `yaml:"length" min:"0" doc:"of a sequence; validation without these keys is on all sizes of training"`
	Pairs  int `yaml:"pairs" min:"0" doc:"of associative recall"`
	Copied int `yaml:"copied" min:"0" doc:"tokens of selective copying"`
}

func (t tokenSize) size() token.Size {
	return token.Size{Length: t.Length, Pairs: t.Pairs, Copied: t.Copied}
}

// String names the size as tables do.
func (t tokenSize) String() string { return t.size().String() }

// tokenTest is a test on sequences of one size; that of training has to be named where there are several.
type tokenTest struct {
	tokenSize `yaml:",inline"`
	Sequences int `yaml:"sequences" min:"2"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *tokenTest) SetDefaults() { *t = tokenTest{Sequences: 1000} }

// tokenValidation is on sequences of the sizes of training, or of one other size.
type tokenValidation struct {
	sequenceValidation `yaml:",inline"`
	tokenSize          `yaml:",inline"`
}

// stream names the stream that the test's sequences come from.
func (t tokenTest) stream() string { return "test/" + t.String() }

func newTokens(p *registry.Parts) File {
	return &tokensFile{
		Head: newHead(), Tail: newTail(),
		Train: tokenTrain{Loop: runner.Loop{
			Batch: 64, Steps: 5_000, Saving: runner.Saving{Report: 100, Save: 1000, Keep: 2}, Prefetch: 1,
		}},
		Validation: tokenValidation{sequenceValidation: sequenceValidation{200, runner.Selection{Every: 500}}},
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
		_, compresses := w.task.(token.Compressor)
		switch {
		case netErr != nil:
		case compresses && !w.planned.Decodes:
			errs = append(errs, f.Network.Errorf("%s asks for a sequence from the vector of its last position, and this network has just read each answer; use decoder: true", w.task.Name()))
		case !compresses && w.planned.Decodes:
			errs = append(errs, f.Network.Errorf("decoder: is for the task compression; leave it out"))
		}
		if len(w.task.Sizes()) > 1 && f.Train.Examples > 0 {
			errs = append(errs, schema.At("train.examples", fmt.Errorf("the training sequences of %s have several sizes; give the task one size, or leave examples out", w.task.Name())))
		}
		for i, t := range f.Test {
			if sizes := w.task.Sizes(); len(sizes) == 1 && t.size() == (token.Size{}) {
				t.Length, t.Pairs, t.Copied = sizes[0].Length, sizes[0].Pairs, sizes[0].Copied
				f.Test[i] = t
			}
			errs = append(errs, w.check(fmt.Sprintf("test.%d", i), t.tokenSize, netErr == nil))
		}
		if v := f.Validation.tokenSize; v.size() != (token.Size{}) {
			errs = append(errs, w.check("validation", v, netErr == nil))
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

// check reports whether the task, and the network if there is one, take sequences of the size at a place of the file.
func (w *tokens) check(place string, t tokenSize, network bool) error {
	f := w.file
	if _, err := w.task.Sized(stream.New(0, "check"), 1, t.size()); err != nil {
		return f.Dataset.Errorf("%s: %w", place, err)
	}
	if network && w.planned.Positions > 0 && int64(t.Length) > w.planned.Positions {
		return f.Network.Errorf("%s: the sequences have %d tokens, and the network learns vectors of %d positions; use more positions, or none", place, t.Length, w.planned.Positions)
	}
	return nil
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
	if w.file.Train.Examples > 0 {
		return runner.Batches(w.repeated(ctx, first), w.batch)
	}
	return generated(ctx, w.seed, first, func(r *rand.Rand) *token.Batch { return w.task.Batch(r, w.file.Train.Batch) }, w.batch)
}

// scores returns the network's scores at the scored positions, [n, classes], and the classes there.
func (w *tokens) scores(p *nn.Pass, b *token.Batch, on tensor.Device) (scores *tensor.Tensor, classes []int64) {
	at, classes := b.Scored()
	inputs := tensor.New(b.Inputs, int64(b.Sequences), int64(b.Time)).On(on)
	return w.net.Forward(p, inputs, tensor.New(at, int64(len(at))).On(on)), classes
}

// batch computes the mean cross-entropy of the scored positions, and the mean share of right answers.
func (w *tokens) batch(b *token.Batch) runner.Batch {
	return runner.LossFunc(func(p *nn.Pass, on tensor.Device) (*tensor.Tensor, runner.Score) {
		scores, classes := w.scores(p, b, on)
		loss := tensor.NLL(scores.LogSoftmax(-1), tensor.New(classes, int64(len(classes))).On(on))
		return loss, func() float64 {
			return mean(shares(b.Scores(tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU)))))
		}
	})
}

// repeated gives the batches of a fixed number of sequences from step first on, epoch by epoch, each time in another order. The
// sequences are drawn again whenever they are needed: each from a stream of its own. A batch may reach into the next epoch.
func (w *tokens) repeated(ctx context.Context, first int64) iter.Seq[*token.Batch] {
	return func(yield func(*token.Batch) bool) {
		n := uint64(w.file.Train.Examples)
		var order []int
		of := ^uint64(0) // the epoch that order is of
		for at := uint64(first) * uint64(w.file.Train.Batch); ctx.Err() == nil; {
			parts := make([]*token.Batch, w.file.Train.Batch)
			for i := range parts {
				if epoch := at / n; epoch != of {
					order, of = stream.New(w.seed, "train order", epoch).Perm(int(n)), epoch
				}
				parts[i] = w.task.Batch(stream.New(w.seed, "train example", uint64(order[at%n])), 1)
				at++
			}
			if !yield(token.Join(parts)) {
				return
			}
		}
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

// evaluate runs the network on n sequences of a size. seen, which may be nil, receives them with the answers at the scored positions.
func (w *tokens) evaluate(
	ctx context.Context, name string, size token.Size, n int, on tensor.Device, p measure.Progress, seen func(b *token.Batch, answers []int64) error,
) ([]token.Score, error) {
	return measure.Evaluate(ctx, drawn(w.task.Sized, name, size, n), n, p, func(b *token.Batch) ([]token.Score, error) {
		scores, _ := w.scores(&nn.Pass{Norm: nn.RunningStats}, b, on)
		if err := measure.Finite(scores, "check the model file"); err != nil {
			return nil, err
		}
		answers := tensor.Values[int64](scores.Argmax(-1).On(tensor.CPU))
		if seen != nil {
			if err := seen(b, answers); err != nil {
				return nil, err
			}
		}
		return b.Scores(answers), nil
	})
}

// Validate implements [runner.Work].
func (w *tokens) Validate(ctx context.Context, on tensor.Device) ([]float64, error) {
	var out []float64
	sizes := w.task.Sizes()
	if size := w.file.Validation.size(); size != (token.Size{}) {
		sizes = []token.Size{size}
	}
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

// Metrics of token sequences besides the accuracy, which is the mean over sequences of the share of right answers.
const (
	wholeSequences = "whole sequences" // every scored position is right
	macroAccuracy  = "macro accuracy"  // the mean over classes, of a [token.MacroAveraged] task
)

// classCounts counts the answers of each class over a test.
type classCounts struct{ right, asked, taken map[int64]int }

func newClassCounts() classCounts {
	return classCounts{map[int64]int{}, map[int64]int{}, map[int64]int{}}
}

func (c classCounts) add(b *token.Batch, answers []int64) {
	_, classes := b.Scored()
	for i, class := range classes {
		c.asked[class]++
		c.taken[answers[i]]++
		if answers[i] == class {
			c.right[class]++
		}
	}
}

// accuracy is the mean over the classes that were asked for or answered of the share of right answers, which is 0 for a class
// that was never asked for: torchmetrics' macro average.
func (c classCounts) accuracy() float64 {
	// In a fixed order, since the rounding of the sum depends on it.
	var sum float64
	for _, class := range slices.Sorted(maps.Keys(c.asked)) {
		sum += float64(c.right[class]) / float64(c.asked[class])
	}
	n := len(c.asked)
	for class := range c.taken {
		if c.asked[class] == 0 {
			n++
		}
	}
	return sum / float64(n)
}

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
	hash, counts := fnv.New64a(), newClassCounts()
	scores, err := w.evaluate(ctx, t.stream(), t.size(), t.Sequences, on, p, func(b *token.Batch, answers []int64) error {
		counts.add(b, answers)
		return binary.Write(hash, binary.LittleEndian, slices.Concat(b.Inputs, b.Targets))
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
	right.State = w.net.State(int64(max(t.Length, 1)))
	all := trained.Figure(t.String(), wholeSequences, a.Factor, whole, protocol)
	all.Scores = measure.Percent(whole, 1, checksum)
	figures := []results.Figure{right, all}
	if _, ok := w.task.(token.MacroAveraged); ok {
		f := trained.Value(t.String(), macroAccuracy, a.Factor*counts.accuracy(), 0, protocol)
		f.Single = true
		figures = append(figures, f)
	}
	return figures, nil
}

// shownSequences is how many sequences of a test a plot shows.
const shownSequences = 20

// Show implements [runner.Work]: the first sequence of each test as text, and which answers of the first sequences are right.
func (w *tokens) Show(ctx context.Context, on tensor.Device) (plots []runner.Plot, samples []byte, err error) {
	var text bytes.Buffer
	for _, t := range w.file.Test {
		var panel plot.Panel
		n := min(shownSequences, t.Sequences)
		scores, err := w.evaluate(ctx, t.stream(), t.size(), n, on, nil, func(b *token.Batch, answers []int64) error {
			at, classes := b.Scored()
			panel.Cells = grid(min(n, b.Sequences), b.Time, func(int, int) float64 { return math.NaN() })
			for i, p := range at {
				if row := int(p) / b.Time; row < n {
					panel.Cells[row][int(p)%b.Time] = map[bool]float64{true: 0, false: 1}[answers[i] == classes[i]]
				}
			}
			return w.print(&text, t, b, answers)
		})
		if err != nil {
			return plots, text.Bytes(), fmt.Errorf("sample of %s: %w", t, err)
		}
		for i := range n {
			panel.Rows = append(panel.Rows, strconv.Itoa(i+1))
		}
		panel.Name = "sequence"
		plots = append(plots, runner.Plot{Name: "answers-" + strings.NewReplacer(", ", "-", " ", "-").Replace(t.String()), Figure: plot.Panels{
			Title: fmt.Sprintf("%s, %s: %.1f %% right", w.file.Name, t, 100*mean(shares(scores))), X: "position",
			Note: "white is right, black is wrong; pale blue is not scored", Panels: []plot.Panel{panel},
		}})
	}
	return plots, text.Bytes(), nil
}

// lineTokens is the number of positions on a line of a sample.
const lineTokens = 20

// print writes the first sequence of a batch: tokens, targets and answers, position by position.
func (w *tokens) print(out io.Writer, t tokenTest, b *token.Batch, answers []int64) error {
	width := len(strconv.Itoa(max(w.task.Tokens(), w.task.Classes()) - 1))
	answered := map[int]int64{}
	at, _ := b.Scored()
	for i, p := range at {
		if int(p) < b.Time {
			answered[int(p)] = answers[i]
		}
	}
	score := b.Scores(answers)[0]
	lines := []string{fmt.Sprintf("%s, %s\n%d of %d answers right\n", w.task.Name(), t, score.Right, score.Scored)}
	row := func(name string, from int, cell func(i int) (int64, bool)) {
		line := fmt.Sprintf("  %-8s", name)
		for i := from; i < min(from+lineTokens, b.Time); i++ {
			if v, ok := cell(i); ok {
				line += fmt.Sprintf(" %*d", width, v)
			} else {
				line += fmt.Sprintf(" %*s", width, ".")
			}
		}
		lines = append(lines, line+"\n")
	}
	for from := 0; from < b.Time; from += lineTokens {
		lines = append(lines, fmt.Sprintf("positions %d to %d\n", from, min(from+lineTokens, b.Time)-1))
		row("token", from, func(i int) (int64, bool) { return b.Inputs[i], true })
		row("target", from, func(i int) (int64, bool) { return b.Targets[i], b.Targets[i] != token.Unscored })
		row("answer", from, func(i int) (int64, bool) { v, ok := answered[i]; return v, ok })
	}
	_, err := io.WriteString(out, strings.Join(lines, "")+"\n")
	return err
}
