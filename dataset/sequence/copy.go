package sequence

import (
	"cmp"
	"io"
	"iter"
	"math/rand/v2"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// CopyOptions configures [NewCopy]. The zero value is the paper's: vectors of 8 bits, lengths from 1 to 20.
type CopyOptions struct {
	Bits                 int // of a vector; default 8
	MinLength, MaxLength int // vectors of a training sequence; defaults 1 and 20
}

// Copy is the copy task (§4.1): random binary vectors, a delimiter, and then, without input, the same vectors.
//
// Of a sequence of length L, the vectors are the inputs of steps 0 to L-1, in channels 0 to Bits-1; the delimiter is
// channel Bits of step L; the targets are those of steps L+1 to 2L, and only these are scored. Guessing costs Bits*L
// bits: 84 on average.
type Copy struct{ options CopyOptions }

// NewCopy returns the task, or an error that names the setting out of range.
func NewCopy(o CopyOptions) (*Copy, error) {
	o.Bits, o.MinLength, o.MaxLength = cmp.Or(o.Bits, 8), cmp.Or(o.MinLength, 1), cmp.Or(o.MaxLength, 20)
	t := &Copy{o}
	if err := room.Check(t.Name(),
		setting.In("Bits", o.Bits, 1, maxBits),
		setting.In("MaxLength", o.MaxLength, 1, maxLength),
		setting.In("MinLength", o.MinLength, 1, o.MaxLength)); err != nil {
		return nil, err
	}
	return t, nil
}

// Name implements Task.
func (t *Copy) Name() string { return "copy" }

// Inputs implements Task: the bits and the delimiter.
func (t *Copy) Inputs() int { return t.options.Bits + 1 }

// Outputs implements Task.
func (t *Copy) Outputs() int { return t.options.Bits }

// Channels implements Task.
func (t *Copy) Channels() (inputs, outputs []string) {
	bits := bitNames(t.options.Bits)
	return append(bits, "delimiter"), bits
}

// Sizes implements Task.
func (t *Copy) Sizes() iter.Seq[Size] {
	return func(yield func(Size) bool) {
		for l := t.options.MinLength; l <= t.options.MaxLength; l++ {
			if !yield(Size{Length: l}) {
				return
			}
		}
	}
}

// Batch implements Task.
func (t *Copy) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, Size{Length: between(r, t.options.MinLength, t.options.MaxLength)}))
}

// Sized implements Task; a size is a Length.
func (t *Copy) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	length := size.Length
	if err := room.Check(t.Name(), setting.In("Length", length, 1, maxLength), setting.None("Repeats", size.Repeats),
		setting.None("Items", size.Items), setting.None("Top", size.Top)); err != nil {
		return nil, err
	}
	b, err := newBatch(t, 2*length+1, n, size)
	if err != nil {
		return nil, err
	}
	for i := range n {
		c := coins{r: r}
		for s := range length {
			vector := b.Input(s, i)[:t.options.Bits]
			c.fill(vector)
			copy(b.Target(length+1+s, i), vector)
		}
		b.Input(length, i)[t.options.Bits] = 1
	}
	for s := range length {
		b.score(length + 1 + s)
	}
	return b, nil
}

// Print implements Task.
func (t *Copy) Print(w io.Writer, b *Batch, i int, predictions []float32) error {
	p, err := newPrinter(w, t, b, i, predictions)
	if err != nil {
		return err
	}
	p.heading(b.Sizes[i].String())
	p.both()
	return p.err
}
