package sequence

import (
	"cmp"
	"io"
	"iter"
	"math/rand/v2"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// RecallOptions configures [NewRecall]. The zero value is the paper's: items of three vectors of 6 bits, 2 to 6
// items.
type RecallOptions struct {
	Bits               int // of a vector; default 6
	Vectors            int // of an item; default 3
	MinItems, MaxItems int // of a training sequence; defaults 2 and 6
}

// Recall is the associative recall task (§4.3): a list of items, then one of them as the query; the answer is the
// next item.
//
// An item is bounded on both sides by delimiters. With V vectors per item and I items, the item delimiter, channel
// Bits, comes before each item, at the steps k*(V+1), and also ends the previous item. The query delimiter, channel
// Bits+1, ends the last item at step I*(V+1); then come the query and the query delimiter again. The targets are
// those of the last V steps, which have no input; only these are scored. The query is any item except the last, with
// equal probability. Guessing costs Bits*V bits: 18.
//
// Items are drawn independently. Two of one sequence are equal with probability 2^-18 per pair, and a query for such
// an item has two correct answers, of which only one is the target.
type Recall struct{ options RecallOptions }

// NewRecall returns the task, or an error that names the setting out of range.
func NewRecall(o RecallOptions) (*Recall, error) {
	o.Bits, o.Vectors = cmp.Or(o.Bits, 6), cmp.Or(o.Vectors, 3)
	o.MinItems, o.MaxItems = cmp.Or(o.MinItems, 2), cmp.Or(o.MaxItems, 6)
	t := &Recall{o}
	if err := room.Check(t.Name(),
		setting.In("Bits", o.Bits, 1, maxBits),
		setting.In("Vectors", o.Vectors, 1, maxLength),
		setting.In("MaxItems", o.MaxItems, 2, maxLength),
		setting.In("MinItems", o.MinItems, 2, o.MaxItems)); err != nil {
		return nil, err
	}
	return t, nil
}

// Name implements Task.
func (t *Recall) Name() string { return "associative recall" }

// Inputs implements Task: the bits, the item delimiter and the query delimiter.
func (t *Recall) Inputs() int { return t.options.Bits + 2 }

// Outputs implements Task.
func (t *Recall) Outputs() int { return t.options.Bits }

// Channels implements Task.
func (t *Recall) Channels() (inputs, outputs []string) {
	bits := bitNames(t.options.Bits)
	return append(bits, "item", "query"), bits
}

// Sizes implements Task.
func (t *Recall) Sizes() iter.Seq[Size] {
	return func(yield func(Size) bool) {
		for n := t.options.MinItems; n <= t.options.MaxItems; n++ {
			if !yield(Size{Items: n}) {
				return
			}
		}
	}
}

// Batch implements Task.
func (t *Recall) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, Size{Items: between(r, t.options.MinItems, t.options.MaxItems)}))
}

// Sized implements Task; a size is a number of Items.
func (t *Recall) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	items, vectors, bits := size.Items, t.options.Vectors, t.options.Bits
	if err := room.Check(t.Name(), setting.None("Length", size.Length), setting.None("Repeats", size.Repeats),
		setting.In("Items", items, 2, maxLength), setting.None("Top", size.Top)); err != nil {
		return nil, err
	}
	query := items * (vectors + 1) // the step of the first query delimiter
	answer := query + vectors + 2  // the step of the first target
	b, err := newBatch(t, answer+vectors, n, size)
	if err != nil {
		return nil, err
	}
	for i := range n {
		c := coins{r: r}
		for k := range items {
			b.Input(k*(vectors+1), i)[bits] = 1
			for v := range vectors {
				c.fill(b.Input(k*(vectors+1)+1+v, i)[:bits])
			}
		}
		asked := r.IntN(items - 1)
		b.Input(query, i)[bits+1] = 1
		b.Input(query+vectors+1, i)[bits+1] = 1
		for v := range vectors {
			copy(b.Input(query+1+v, i), b.Input(asked*(vectors+1)+1+v, i)[:bits])
			copy(b.Target(answer+v, i), b.Input((asked+1)*(vectors+1)+1+v, i)[:bits])
		}
	}
	for v := range vectors {
		b.score(answer + v)
	}
	return b, nil
}

// Print implements Task.
func (t *Recall) Print(w io.Writer, b *Batch, i int, predictions []float32) error {
	p, err := newPrinter(w, t, b, i, predictions)
	if err != nil {
		return err
	}
	p.heading(b.Sizes[i].String())
	p.both()
	return p.err
}
