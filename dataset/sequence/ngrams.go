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

// NGramsOptions configures [NewNGrams]. The zero value is the paper's: 6-grams, 200 bits.
type NGramsOptions struct {
	N      int // a bit depends on the N-1 before it; default 6
	Length int // bits of a sequence; default 200
}

// NGrams is the dynamic N-grams task (§4.4): predict each bit of a sequence from a distribution that is new for each
// sequence.
//
// The distribution is a table of 2^(N-1) probabilities that the next bit is 1, one for each history of N-1 bits,
// drawn independently from Beta(1/2, 1/2). The first N-1 bits, which have no full history, are fair coins. The target
// of step t is bit t, the input is bit t-1, and 0 at step 0; all steps are scored, including the first N-1. Guessing
// costs Length bits: 200; the optimal estimator about 133.3 on average, see Optimal.
type NGrams struct{ options NGramsOptions }

// NewNGrams returns the task, or an error that names the setting out of range.
func NewNGrams(o NGramsOptions) (*NGrams, error) {
	o.N, o.Length = cmp.Or(o.N, 6), cmp.Or(o.Length, 200)
	t := &NGrams{o}
	if err := room.Check(t.Name(),
		setting.In("N", o.N, 1, 16),
		setting.In("Length", o.Length, 1, maxLength)); err != nil {
		return nil, err
	}
	return t, nil
}

// Name implements Task.
func (t *NGrams) Name() string { return "dynamic n-grams" }

// Inputs implements Task.
func (t *NGrams) Inputs() int { return 1 }

// Outputs implements Task.
func (t *NGrams) Outputs() int { return 1 }

// Channels implements Task.
func (t *NGrams) Channels() (inputs, outputs []string) {
	return []string{"bit before"}, []string{"bit"}
}

// Sizes implements Task; there is one.
func (t *NGrams) Sizes() iter.Seq[Size] {
	return func(yield func(Size) bool) { yield(Size{Length: t.options.Length}) }
}

// Batch implements Task.
func (t *NGrams) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, Size{Length: t.options.Length}))
}

// Sized implements Task; a size is a Length.
func (t *NGrams) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	b, _, err := t.draw(r, n, size)
	return b, err
}

// draw also returns the table's probability of a 1 for each bit, [time, sequences].
func (t *NGrams) draw(r *rand.Rand, n int, size Size) (*Batch, []float64, error) {
	if err := room.Check(t.Name(), setting.In("Length", size.Length, 1, maxLength), setting.None("Repeats", size.Repeats),
		setting.None("Items", size.Items), setting.None("Top", size.Top)); err != nil {
		return nil, nil, err
	}
	b, err := newBatch(t, size.Length, n, size)
	if err != nil {
		return nil, nil, err
	}
	chances := make([]float64, len(b.Targets))
	table := make([]float64, 1<<(t.options.N-1))
	for i := range n {
		for h := range table {
			// Beta(1/2, 1/2) is the arcsine distribution.
			sin := math.Sin(math.Pi / 2 * r.Float64())
			table[h] = sin * sin
		}
		history := 0 // the last N-1 bits, the latest as lowest bit
		for s := range size.Length {
			chance := 0.5
			if s >= t.options.N-1 {
				chance = table[history]
			}
			chances[s*n+i] = chance
			bit := 0
			if r.Float64() < chance {
				bit = 1
			}
			history = (history<<1 | bit) & (len(table) - 1)
			b.Targets[s*n+i] = float32(bit)
			if s+1 < size.Length {
				b.Inputs[(s+1)*n+i] = float32(bit)
			}
		}
	}
	for s := range size.Length {
		b.score(s)
	}
	return b, chances, nil
}

// Optimal returns the probability of a 1 at each step, [time, sequences, 1], of the optimal Bayesian estimator given
// the previous bits (eq. 10): (N1+1/2)/(N1+N0+1) after N1 ones and N0 zeros with the same history so far, and 1/2 for
// the first N-1 bits.
func (t *NGrams) Optimal(b *Batch) []float32 {
	p := make([]float32, len(b.Targets))
	counts := make([][2]int32, 1<<(t.options.N-1))
	for i := range b.Sequences {
		clear(counts)
		history := 0
		for s := range b.Time {
			at := s*b.Sequences + i
			p[at] = 0.5
			if !b.Scored(s, i) {
				continue
			}
			bit := int(b.Targets[at])
			if s >= t.options.N-1 {
				c := &counts[history]
				p[at] = (float32(c[1]) + 0.5) / float32(c[0]+c[1]+1)
				c[bit]++
			}
			history = (history<<1 | bit) & (len(counts) - 1)
		}
	}
	return p
}

// Print implements Task. It also shows the predictions of the optimal estimator and the network in tenths.
func (t *NGrams) Print(w io.Writer, b *Batch, i int, predictions []float32) error {
	p, err := newPrinter(w, t, b, i, predictions)
	if err != nil {
		return err
	}
	optimal := t.Optimal(b)
	cost := b.cost(i, optimal, probabilityBits, 0.5)
	p.heading(fmt.Sprintf("%v, optimum %.2f bits", b.Sizes[i], cost.Bits))
	tenths := func(values []float32) func(int) byte {
		return func(s int) byte {
			v := values[s*b.Sequences+i]
			if !(v >= 0 && v <= 1) {
				return '?'
			}
			return '0' + byte(min(9, 10*v))
		}
	}
	rows := []row{
		{"bit", func(s int) byte { return bitMark(b.Target(s, i)[0]) }},
		{"optimum", tenths(optimal)},
	}
	if predictions != nil {
		rows = append(rows, row{"output", tenths(predictions)})
	}
	p.panel("probability of a one, in tenths", 0, p.end, rows)
	return p.err
}
