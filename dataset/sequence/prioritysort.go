package sequence

import (
	"cmp"
	"io"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// PrioritySortOptions configures [NewPrioritySort]. The zero value is the paper's: 20 vectors of 8 bits, of which the
// 16 of highest priority are asked for, and no delimiter.
type PrioritySortOptions struct {
	Bits   int // of a vector; default 8
	Length int // vectors of a training sequence; default 20
	Top    int // vectors asked for in training, at most Length; default 16
	// Delimiter adds an input channel that is 1 in a separate step between the vectors and the answer. The paper
	// mentions none; without it the answer follows immediately, and the missing priority marks the end of the
	// vectors.
	Delimiter bool
}

// PrioritySort is the priority sort task (§4.5): random binary vectors, each with a priority from U[-1, 1], and then,
// without input, those of highest priority in descending order.
//
// Of a sequence of length L, the vectors are the inputs of steps 0 to L-1, in channels 0 to Bits-1, and the
// priorities channel Bits of the same steps. The optional delimiter is channel Bits+1 of step L. The targets are
// those of the last Top steps, and only these are scored. Among equal priorities the earlier vector comes first.
// Guessing costs Bits*Top bits: 128.
type PrioritySort struct{ options PrioritySortOptions }

// NewPrioritySort returns the task, or an error that names the setting out of range.
func NewPrioritySort(o PrioritySortOptions) (*PrioritySort, error) {
	o.Bits, o.Length, o.Top = cmp.Or(o.Bits, 8), cmp.Or(o.Length, 20), cmp.Or(o.Top, 16)
	t := &PrioritySort{o}
	if err := room.Check(t.Name(),
		setting.In("Bits", o.Bits, 1, maxBits),
		setting.In("Length", o.Length, 1, maxLength),
		setting.In("Top", o.Top, 1, o.Length)); err != nil {
		return nil, err
	}
	return t, nil
}

// Name implements Task.
func (t *PrioritySort) Name() string { return "priority sort" }

// Inputs implements Task: the bits, the priority and the optional delimiter.
func (t *PrioritySort) Inputs() int {
	if t.options.Delimiter {
		return t.options.Bits + 2
	}
	return t.options.Bits + 1
}

// Outputs implements Task.
func (t *PrioritySort) Outputs() int { return t.options.Bits }

// Channels implements Task.
func (t *PrioritySort) Channels() (inputs, outputs []string) {
	inputs = append(bitNames(t.options.Bits), "priority")
	if t.options.Delimiter {
		inputs = append(inputs, "delimiter")
	}
	return inputs, bitNames(t.options.Bits)
}

// Sizes implements Task; there is one.
func (t *PrioritySort) Sizes() iter.Seq[Size] {
	return func(yield func(Size) bool) { yield(t.size()) }
}

// size returns the size of training.
func (t *PrioritySort) size() Size { return Size{Length: t.options.Length, Top: t.options.Top} }

// Batch implements Task.
func (t *PrioritySort) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, t.size()))
}

// Sized implements Task; a size is a Length and a Top.
func (t *PrioritySort) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	length, bits := size.Length, t.options.Bits
	if err := room.Check(t.Name(), setting.In("Length", length, 1, maxLength), setting.None("Repeats", size.Repeats),
		setting.None("Items", size.Items), setting.In("Top", size.Top, 1, length)); err != nil {
		return nil, err
	}
	answer := length // the step of the first target
	if t.options.Delimiter {
		answer++
	}
	b, err := newBatch(t, answer+size.Top, n, size)
	if err != nil {
		return nil, err
	}
	order := make([]int, length)
	for i := range n {
		c := coins{r: r}
		for s := range length {
			vector := b.Input(s, i)
			c.fill(vector[:bits])
			vector[bits] = float32(2*r.Float64() - 1)
		}
		if t.options.Delimiter {
			b.Input(length, i)[bits+1] = 1
		}
		t.rank(order, b, i)
		for k := range size.Top {
			copy(b.Target(answer+k, i), b.Input(order[k], i)[:bits])
		}
	}
	for k := range size.Top {
		b.score(answer + k)
	}
	return b, nil
}

// rank fills order with the steps of the vectors of sequence i in descending order of priority.
func (t *PrioritySort) rank(order []int, b *Batch, i int) {
	for s := range order {
		order[s] = s
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(b.Input(y, i)[t.options.Bits], b.Input(x, i)[t.options.Bits])
	})
}

// Print implements Task. Instead of a priority it shows the vector's place in the target, read downwards, or nothing
// for a vector that is not in it.
func (t *PrioritySort) Print(w io.Writer, b *Batch, i int, predictions []float32) error {
	p, err := newPrinter(w, t, b, i, predictions)
	if err != nil {
		return err
	}
	size := b.Sizes[i]
	p.heading(size.String())
	order := make([]int, size.Length)
	t.rank(order, b, i)
	place := make([]int, p.first)
	for k, s := range order[:size.Top] {
		place[s] = k + 1
	}
	rows := p.bits(bitNames(t.options.Bits))
	name := "place"
	top := 1
	for top*10 <= size.Top {
		top *= 10
	}
	for unit := top; unit > 0; unit /= 10 {
		rows = append(rows, row{name, func(s int) byte {
			if place[s] < unit {
				return ' '
			}
			return '0' + byte(place[s]/unit%10)
		}})
		name = ""
	}
	if t.options.Delimiter {
		rows = append(rows, row{"delimiter", func(s int) byte { return bitMark(b.Input(s, i)[t.options.Bits+1]) }})
	}
	p.panel("input", 0, p.first, rows)
	p.outputs()
	return p.err
}
