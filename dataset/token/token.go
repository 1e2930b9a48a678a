// Package token makes the data of tasks on sequences of tokens, on which memories of today are compared: multi-query
// associative recall (Arora et al. 2023, Zoology), parity and word problems of permutation groups (Grazzi et al. 2025; Siems
// et al. 2025), and the six tasks of MAD (Poli et al. 2024): in-context recall, noisy and fuzzy recall, selective copying,
// memorisation and compression. A network reads a sequence and names a class at marked positions.
//
// A task draws its sequences from a generator that the caller gives it and holds nothing but its settings.
package token

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// Task is a task on token sequences.
type Task interface {
	// Name is the task's name, in lower case.
	Name() string
	// Tokens is the number of input tokens; tokens are 0 to Tokens()-1.
	Tokens() int
	// Classes is the number of classes of the answers.
	Classes() int
	// Batch draws a size as in training and n sequences of that size. A task may score more positions in training than in tests.
	Batch(r *rand.Rand, n int) *Batch
	// Sized draws n test sequences of a size, one by one: the first sequences of a larger batch are those of a smaller one.
	Sized(r *rand.Rand, n int, size Size) (*Batch, error)
	// Sizes are the sizes of training; all are equally likely.
	Sizes() []Size
}

// A Compressor is a task that asks for the whole sequence from the vector of its last position: a network must reconstruct it
// from that alone, since at each position it has just read the answer.
type Compressor interface {
	Task
	Compresses()
}

// A MacroAveraged task is reported by the mean of the accuracies of the classes, as the public code of MAD reports its tasks.
type MacroAveraged interface {
	Task
	MacroAveraged()
}

// Size is how large a sequence is. A task reads the fields that it has; the others must be 0.
type Size struct {
	Length int // of the sequence
	Pairs  int // of associative recall
	Copied int // of selective copying: tokens to copy
}

// String names the fields that are not 0, as "length 64, pairs 4".
func (s Size) String() string {
	var parts []string
	for _, f := range []struct {
		name  string
		value int
	}{{"length", s.Length}, {"pairs", s.Pairs}, {"copied", s.Copied}} {
		if f.value != 0 {
			parts = append(parts, fmt.Sprint(f.name, " ", f.value))
		}
	}
	return strings.Join(parts, ", ")
}

// Unscored is the target of a position that is not scored.
const Unscored = -1

// Batch is some sequences of one size.
type Batch struct {
	Time, Sequences int
	Inputs          []int64 // [sequences, time]
	Targets         []int64 // [sequences, time], a class, or Unscored
	Size            Size
}

// Scored returns the indices of the scored positions in Targets, and their classes.
func (b *Batch) Scored() (at, classes []int64) {
	for i, c := range b.Targets {
		if c != Unscored {
			at, classes = append(at, int64(i)), append(classes, c)
		}
	}
	return at, classes
}

// Score is what one sequence scores.
type Score struct {
	Right, Scored int
}

// Whole reports whether every scored position is right.
func (s Score) Whole() bool { return s.Right == s.Scored }

// Scores compares answers, a class for each scored position in the order of [Batch.Scored], with the targets of each sequence.
func (b *Batch) Scores(answers []int64) []Score {
	at, classes := b.Scored()
	if len(answers) != len(at) {
		panic(fmt.Sprintf("token: %d answers for %d scored positions", len(answers), len(at)))
	}
	out := make([]Score, b.Sequences)
	for i, a := range answers {
		s := &out[int(at[i])/b.Time]
		if s.Scored++; a == classes[i] {
			s.Right++
		}
	}
	return out
}

// maxValues bounds the tokens of a batch.
const maxValues = 1 << 28

// checkLength is the check of a size that has a length alone.
func checkLength(t Task, size Size) error {
	return room.Check(t.Name(), setting.None("Pairs", size.Pairs), setting.None("Copied", size.Copied), setting.In("Length", size.Length, 2, maxLength))
}

// newBatch makes a batch in which nothing is scored.
func newBatch(t Task, n, time int, size Size) (*Batch, error) {
	if n < 1 || n > maxValues/time {
		return nil, fmt.Errorf("token: %s: %d sequences of %d tokens: choose 1 to %d sequences", t.Name(), n, time, maxValues/time)
	}
	b := &Batch{Time: time, Sequences: n, Inputs: make([]int64, n*time), Targets: make([]int64, n*time), Size: size}
	for i := range b.Targets {
		b.Targets[i] = Unscored
	}
	return b, nil
}

// Join joins batches of one size to one, in their order. It panics where there is none or their sizes differ.
func Join(bs []*Batch) *Batch {
	out := *bs[0]
	out.Inputs, out.Targets, out.Sequences = nil, nil, 0
	for _, b := range bs {
		if b.Time != out.Time {
			panic(fmt.Sprintf("token: sequences of %d and %d tokens in one batch", out.Time, b.Time))
		}
		out.Inputs, out.Targets, out.Sequences = append(out.Inputs, b.Inputs...), append(out.Targets, b.Targets...), out.Sequences+b.Sequences
	}
	return &out
}

// row returns the inputs and targets of a sequence.
func (b *Batch) row(i int) (inputs, targets []int64) {
	return b.Inputs[i*b.Time:][:b.Time], b.Targets[i*b.Time:][:b.Time]
}

// room begins the messages of this package.
const room setting.Room = "token"

// Bounds of settings, far beyond use.
const (
	maxLength     = 1 << 20 // of a sequence
	maxVocabulary = 1 << 24
)
