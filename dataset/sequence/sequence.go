// Package sequence generates the data of the five tasks of Graves, Wayne & Danihelka (2014), "Neural Turing
// Machines": copy (§4.1), repeat copy (§4.2), associative recall (§4.3), dynamic N-grams (§4.4) and priority sort
// (§4.5); and of N-th farthest, of Santoro et al. (2018), "Relational recurrent neural networks" (§5.1).
//
// A task draws its sequences from a given generator, computes their cost in bits as the paper does, and prints one
// for people to read. It holds only its settings, so several goroutines may use it at once. The zero value of every
// options struct is the paper's setting.
//
// All sequences of a batch have the same size, drawn for the batch as the paper draws it for a sequence: no step of
// the batch is wasted, and the size of each sequence has the paper's distribution. Sizes within a batch are not
// independent, so a mean over the training range has a lower variance when taken over one batch per size of
// Task.Sizes.
package sequence

import (
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// Task is a task on sequences of vectors.
type Task interface {
	// Name returns the paper's name of the task, in lower case.
	Name() string
	// Inputs returns the width of an input vector.
	Inputs() int
	// Outputs returns the width of an output vector.
	Outputs() int
	// Channels returns the name of each input and output.
	Channels() (inputs, outputs []string)
	// Batch draws a size as in training and n sequences of that size. It panics where Sized returns an error.
	Batch(r *rand.Rand, n int) *Batch
	// Sized draws n sequences of a size, which may be outside the training range. It draws sequence by sequence, so
	// the first sequences of a larger batch are those of a smaller one.
	Sized(r *rand.Rand, n int, size Size) (*Batch, error)
	// Sizes lists the training sizes; all are equally likely.
	Sizes() iter.Seq[Size]
	// Measure returns the scores of a batch of this task, [sequences][metrics], with the same metrics in the same
	// order for each sequence, from outputs before the sigmoid, [time, sequences, outputs]. The first is MetricBits;
	// see [Measure].
	Measure(b *Batch, logits []float32) [][]Value
	// Print prints sequence i of a batch of this task for people to read: time runs to the right and channels run
	// downwards, as in the paper's figures. predictions, [time, sequences, outputs], are probabilities, or nil.
	Print(w io.Writer, b *Batch, i int, predictions []float32) error
}

// Size is the size of a sequence. A task uses some of the fields; the others must be 0.
type Size struct {
	Length  int // vectors to copy, repeat or sort; bits of an N-gram sequence
	Repeats int // of repeat copy
	Items   int // of associative recall; vectors of N-th farthest
	Top     int // of priority sort: vectors asked for
}

// String lists the fields that are not 0, such as "length 10, repeats 3".
func (s Size) String() string {
	var parts []string
	for _, f := range []struct {
		name  string
		value int
	}{{"length", s.Length}, {"repeats", s.Repeats}, {"items", s.Items}, {"top", s.Top}} {
		if f.value != 0 {
			parts = append(parts, fmt.Sprint(f.name, " ", f.value))
		}
	}
	return strings.Join(parts, ", ")
}

// Batch is sequences of a task, laid out for recurrent networks. Bits are 0 or 1.
type Batch struct {
	Time, Sequences         int
	InputWidth, OutputWidth int
	Inputs                  []float32 // [time, sequences, inputs]
	Targets                 []float32 // [time, sequences, outputs]; 0 where not scored
	Mask                    []float32 // [time, sequences]: 1 where the output is scored, 0 elsewhere
	// Exclusive says that a scored target is one-hot, a class: probabilities are then the softmax of the outputs and not their
	// sigmoids, and a step counts as one answer.
	Exclusive bool
	Sizes     []Size // [sequences]
}

// Input returns the input vector of sequence i at step t, a view.
func (b *Batch) Input(t, i int) []float32 {
	at := (t*b.Sequences + i) * b.InputWidth
	return b.Inputs[at : at+b.InputWidth : at+b.InputWidth]
}

// Target returns the target vector of sequence i at step t, a view.
func (b *Batch) Target(t, i int) []float32 {
	at := (t*b.Sequences + i) * b.OutputWidth
	return b.Targets[at : at+b.OutputWidth : at+b.OutputWidth]
}

// Scored reports whether the output of sequence i at step t is scored.
func (b *Batch) Scored(t, i int) bool { return b.Mask[t*b.Sequences+i] != 0 }

// Answer returns a copy of the scored steps of sequence i of targets or outputs [time, sequences, outputs], as
// [scored steps, outputs].
func (b *Batch) Answer(values []float32, i int) []float32 {
	b.fits("answer", values)
	var answer []float32
	for t := range b.Time {
		if b.Scored(t, i) {
			at := (t*b.Sequences + i) * b.OutputWidth
			answer = append(answer, values[at:at+b.OutputWidth]...)
		}
	}
	return answer
}

// fits panics unless there is one value per output.
func (b *Batch) fits(operation string, values []float32) {
	if want := b.Time * b.Sequences * b.OutputWidth; len(values) != want {
		panic(fmt.Sprintf("sequence: %s: %d values for outputs of shape [%d, %d, %d]", operation, len(values), b.Time, b.Sequences, b.OutputWidth))
	}
}

// score marks step t of all sequences as scored.
func (b *Batch) score(t int) {
	for i := range b.Sequences {
		b.Mask[t*b.Sequences+i] = 1
	}
}

// room begins the messages of this package.
const room setting.Room = "sequence"

// Limits of settings and sizes, far beyond use; the product of any two fits an int.
const (
	maxBits   = 1 << 10
	maxLength = 1 << 16
	maxValues = 1 << 28 // of inputs or targets of a batch
)

// newBatch makes a batch of zeros.
func newBatch(t Task, time, n int, size Size) (*Batch, error) {
	if n < 1 {
		return nil, fmt.Errorf("sequence: %s: %d sequences: choose at least 1", t.Name(), n)
	}
	wide := max(t.Inputs(), t.Outputs())
	if most := maxValues / wide / time; n > most {
		return nil, fmt.Errorf("sequence: %s: %d sequences of %d steps of %d values: choose at most %d values per batch", t.Name(), n, time, wide, maxValues)
	}
	b := &Batch{
		Time: time, Sequences: n, InputWidth: t.Inputs(), OutputWidth: t.Outputs(),
		Inputs:  make([]float32, time*n*t.Inputs()),
		Targets: make([]float32, time*n*t.Outputs()),
		Mask:    make([]float32, time*n),
		Sizes:   make([]Size, n),
	}
	for i := range b.Sizes {
		b.Sizes[i] = size
	}
	return b, nil
}

// between draws an integer from low to high, inclusive.
func between(r *rand.Rand, low, high int) int { return low + r.IntN(high-low+1) }

// coins are fair bits, 64 per draw.
type coins struct {
	r    *rand.Rand
	word uint64
	left int
}

// fill draws a fair bit for each value.
func (c *coins) fill(values []float32) {
	for k := range values {
		if c.left == 0 {
			c.word, c.left = c.r.Uint64(), 64
		}
		values[k] = float32(c.word & 1)
		c.word >>= 1
		c.left--
	}
}
