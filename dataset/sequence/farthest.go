package sequence

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// NthFarthestOptions configures [NewNthFarthest]. The zero value is the paper's: 8 vectors of 16 numbers.
type NthFarthestOptions struct {
	Vectors int // of a sequence; default 8
	Width   int // of a vector; default 16
}

// NthFarthest is the task of Santoro et al. 2018, "Relational recurrent neural networks", §5.1 and appendix A.1: which of the
// vectors is the n-th farthest from vector m?
//
// A step shows one vector of numbers from U(-1, 1), its label one-hot, n one-hot and the label m one-hot; n and m are the same
// at all steps of a sequence. Labels are drawn without replacement, so that they do not follow the order of the steps. The
// answer, at the last step, is a label of Vectors classes. n counts from the farthest, 1, down to the vector m itself, which is
// the last; distances are Euclidean. Guessing costs log₂ Vectors bits: 3.
//
// The paper's text is followed. The released generator counts ranks from the nearest and answers with the rank of vector n.
type NthFarthest struct{ options NthFarthestOptions }

// maxVectors bounds the vectors of a sequence.
const maxVectors = 1 << 10

// NewNthFarthest returns the task, or an error that names the setting out of range.
func NewNthFarthest(o NthFarthestOptions) (*NthFarthest, error) {
	o.Vectors, o.Width = cmp.Or(o.Vectors, 8), cmp.Or(o.Width, 16)
	t := &NthFarthest{o}
	return t, room.Check(t.Name(), setting.In("Vectors", o.Vectors, 2, maxVectors), setting.In("Width", o.Width, 1, maxBits))
}

// Name implements Task.
func (t *NthFarthest) Name() string { return "n-th farthest" }

// Inputs implements Task: a vector, its label, n and m.
func (t *NthFarthest) Inputs() int { return t.options.Width + 3*t.options.Vectors }

// Outputs implements Task.
func (t *NthFarthest) Outputs() int { return t.options.Vectors }

// Channels implements Task.
func (t *NthFarthest) Channels() (inputs, outputs []string) {
	numbered := func(name string, n int) (out []string) {
		for k := range n {
			out = append(out, fmt.Sprint(name, " ", k+1))
		}
		return out
	}
	n := t.options.Vectors
	inputs = slices.Concat(numbered("x", t.options.Width), numbered("label", n), numbered("n", n), numbered("m", n))
	return inputs, numbered("label", n)
}

// Sizes implements Task; there is one.
func (t *NthFarthest) Sizes() iter.Seq[Size] {
	return func(yield func(Size) bool) { yield(Size{Items: t.options.Vectors}) }
}

// Batch implements Task.
func (t *NthFarthest) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, Size{Items: t.options.Vectors}))
}

// Sized implements Task; a size is a number of Items, at most as many as there are labels.
func (t *NthFarthest) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := room.Check(t.Name(), setting.None("Length", size.Length), setting.None("Repeats", size.Repeats),
		setting.In("Items", size.Items, 2, t.options.Vectors), setting.None("Top", size.Top)); err != nil {
		return nil, err
	}
	b, err := newBatch(t, size.Items, n, size)
	if err != nil {
		return nil, err
	}
	b.Exclusive = true
	width, labels := t.options.Width, t.options.Vectors
	for i := range n {
		names := r.Perm(labels)[:size.Items]
		asked, rank := r.IntN(size.Items), r.IntN(size.Items)
		for s := range size.Items {
			x := b.Input(s, i)
			for k := range width {
				x[k] = float32(2*r.Float64() - 1)
			}
			x[width+names[s]], x[width+labels+rank], x[width+2*labels+names[asked]] = 1, 1, 1
		}
		b.Target(size.Items-1, i)[names[t.farthest(b, i, asked)[rank]]] = 1
	}
	b.score(size.Items - 1)
	return b, nil
}

// distance is the squared distance of the vectors of two steps of sequence i.
func (t *NthFarthest) distance(b *Batch, i, s, u int) (sum float64) {
	x, y := b.Input(s, i), b.Input(u, i)
	for k := range t.options.Width {
		d := float64(x[k]) - float64(y[k])
		sum += d * d
	}
	return sum
}

// farthest lists the steps of sequence i by the distance from the vector of one of them, the farthest first.
func (t *NthFarthest) farthest(b *Batch, i, from int) []int {
	order := make([]int, b.Time)
	for s := range order {
		order[s] = s
	}
	slices.SortStableFunc(order, func(s, u int) int { return cmp.Compare(t.distance(b, i, u, from), t.distance(b, i, s, from)) })
	return order
}

// Print implements Task: the question, the labels from the farthest on, the answer and the largest predictions.
func (t *NthFarthest) Print(w io.Writer, b *Batch, i int, predictions []float32) error {
	p, err := newPrinter(w, t, b, i, predictions)
	if err != nil {
		return err
	}
	p.heading(b.Sizes[i].String())
	width, labels := t.options.Width, t.options.Vectors
	hot := func(x []float32) int { return slices.Index(x, 1) }
	x := b.Input(0, i)
	rank, asked := hot(x[width+labels:width+2*labels]), hot(x[width+2*labels:])
	var names []int
	from := 0
	for s := range b.Time {
		names = append(names, hot(b.Input(s, i)[width:width+labels]))
		if names[s] == asked {
			from = s
		}
	}
	p.printf("question: the vector that is number %d from the farthest, from vector %d\n", rank+1, asked+1)
	p.printf("from the farthest:")
	for _, s := range t.farthest(b, i, from) {
		p.printf(" %d", names[s]+1)
	}
	p.printf("\nanswer: %d\n", hot(b.Target(b.Time-1, i))+1)
	if predictions != nil {
		p.printf("output:")
		for k, v := range predictions[((b.Time-1)*b.Sequences+i)*labels:][:labels] {
			p.printf(" %d: %.2f", k+1, v)
		}
		p.printf("\n")
	}
	return p.err
}
