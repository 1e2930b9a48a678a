package sequence

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// RepeatCopyOptions configures [NewRepeatCopy]. The zero value is the paper's: vectors of 8 bits, lengths from 1 to
// 10, 1 to 10 repeats, no delimiter.
type RepeatCopyOptions struct {
	Bits                   int // of a vector; default 8
	MinLength, MaxLength   int // vectors of a training sequence; defaults 1 and 10
	MinRepeats, MaxRepeats int // in training; defaults 1 and 10
	// Delimiter adds an input channel that is 1 at the step of the repeat number, as in many other implementations.
	// Without it the repeat number alone marks the end of the sequence, so no number may be normalised to 0: the sum
	// of MinRepeats and MaxRepeats must be odd.
	Delimiter bool
}

// RepeatCopy is the repeat copy task (§4.2): random binary vectors, the number of repeats, and then, without input,
// the vectors repeated that many times and an end marker.
//
// Of a sequence of length L with R repeats, the vectors are the inputs of steps 0 to L-1, in channels 0 to Bits-1.
// The repeat number is channel Bits of step L: R minus the mean of the training range, divided by the standard
// deviation of the uniform distribution over that range, so (R-5.5)/2.87 for 1 to 10, also outside the range. If the
// range is a single number, only the mean is subtracted. The targets are those of steps L+1 to L+L*R and the end
// marker, in channel Bits and without other bits, of step L+L*R+1. All channels of these L*R+1 steps are scored:
// guessing costs (Bits+1)*(L*R+1) bits, 281.25 on average, of which 242 are for the bits of the vectors.
type RepeatCopy struct {
	options         RepeatCopyOptions
	mean, deviation float64 // of the repeat number in training
}

// NewRepeatCopy returns the task, or an error that names the setting out of range.
func NewRepeatCopy(o RepeatCopyOptions) (*RepeatCopy, error) {
	o.Bits, o.MinLength, o.MaxLength = cmp.Or(o.Bits, 8), cmp.Or(o.MinLength, 1), cmp.Or(o.MaxLength, 10)
	o.MinRepeats, o.MaxRepeats = cmp.Or(o.MinRepeats, 1), cmp.Or(o.MaxRepeats, 10)
	numbers := float64(o.MaxRepeats - o.MinRepeats + 1)
	t := &RepeatCopy{o, float64(o.MinRepeats+o.MaxRepeats) / 2, math.Sqrt((numbers*numbers - 1) / 12)}
	if err := room.Check(t.Name(),
		setting.In("Bits", o.Bits, 1, maxBits),
		setting.In("MaxLength", o.MaxLength, 1, maxLength),
		setting.In("MinLength", o.MinLength, 1, o.MaxLength),
		setting.In("MaxRepeats", o.MaxRepeats, 1, maxLength),
		setting.In("MinRepeats", o.MinRepeats, 1, o.MaxRepeats)); err != nil {
		return nil, err
	}
	if !o.Delimiter && (o.MinRepeats+o.MaxRepeats)%2 == 0 {
		return nil, fmt.Errorf("sequence: repeat copy: MinRepeats is %d and MaxRepeats %d: the number %d would be normalised to 0, indistinguishable from no input; set Delimiter, or choose two whose sum is odd",
			o.MinRepeats, o.MaxRepeats, (o.MinRepeats+o.MaxRepeats)/2)
	}
	if t.deviation == 0 {
		t.deviation = 1
	}
	return t, nil
}

// Name implements Task.
func (t *RepeatCopy) Name() string { return "repeat copy" }

// Inputs implements Task: the bits, the repeat number and the optional delimiter.
func (t *RepeatCopy) Inputs() int {
	if t.options.Delimiter {
		return t.options.Bits + 2
	}
	return t.options.Bits + 1
}

// Outputs implements Task: the bits and the end marker.
func (t *RepeatCopy) Outputs() int { return t.options.Bits + 1 }

// Channels implements Task.
func (t *RepeatCopy) Channels() (inputs, outputs []string) {
	inputs = append(bitNames(t.options.Bits), "repeats")
	if t.options.Delimiter {
		inputs = append(inputs, "delimiter")
	}
	return inputs, append(bitNames(t.options.Bits), "end marker")
}

// Sizes implements Task.
func (t *RepeatCopy) Sizes() iter.Seq[Size] {
	return func(yield func(Size) bool) {
		for l := t.options.MinLength; l <= t.options.MaxLength; l++ {
			for n := t.options.MinRepeats; n <= t.options.MaxRepeats; n++ {
				if !yield(Size{Length: l, Repeats: n}) {
					return
				}
			}
		}
	}
}

// Batch implements Task.
func (t *RepeatCopy) Batch(r *rand.Rand, n int) *Batch {
	o := t.options
	length := between(r, o.MinLength, o.MaxLength)
	return setting.Must(t.Sized(r, n, Size{Length: length, Repeats: between(r, o.MinRepeats, o.MaxRepeats)}))
}

// Sized implements Task; a size is a Length and Repeats.
func (t *RepeatCopy) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	length, repeats, bits := size.Length, size.Repeats, t.options.Bits
	if err := room.Check(t.Name(), setting.In("Length", length, 1, maxLength), setting.In("Repeats", repeats, 1, maxLength),
		setting.None("Items", size.Items), setting.None("Top", size.Top)); err != nil {
		return nil, err
	}
	end := length + length*repeats + 1 // the step of the end marker
	b, err := newBatch(t, end+1, n, size)
	if err != nil {
		return nil, err
	}
	number := t.normalised(repeats)
	for i := range n {
		c := coins{r: r}
		for s := range length {
			vector := b.Input(s, i)[:bits]
			c.fill(vector)
			for k := range repeats {
				copy(b.Target(length+1+k*length+s, i), vector)
			}
		}
		mark := b.Input(length, i)[bits:]
		mark[0] = number
		if t.options.Delimiter {
			mark[1] = 1
		}
		b.Target(end, i)[bits] = 1
	}
	for s := length + 1; s <= end; s++ {
		b.score(s)
	}
	return b, nil
}

// normalised returns the input for a number of repeats.
func (t *RepeatCopy) normalised(repeats int) float32 {
	return float32((float64(repeats) - t.mean) / t.deviation)
}

// Print implements Task.
func (t *RepeatCopy) Print(w io.Writer, b *Batch, i int, predictions []float32) error {
	p, err := newPrinter(w, t, b, i, predictions)
	if err != nil {
		return err
	}
	p.heading(fmt.Sprintf("%v (given as %.3f)", b.Sizes[i], t.normalised(b.Sizes[i].Repeats)))
	p.both()
	return p.err
}
