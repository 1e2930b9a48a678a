package token

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// lengths are sizes of a range of lengths.
func lengths(low, high int) (out []Size) {
	for n := low; n <= high; n++ {
		out = append(out, Size{Length: n})
	}
	return out
}

// ParityOptions configure [NewParity].
type ParityOptions struct {
	MinLength, MaxLength int // of training sequences; default 3 and 40: Grazzi et al. 2025, table 3
}

// Parity is the parity task in the form of the public code of xLSTM (Beck et al. 2024), which Grazzi et al. 2025 use: tokens 1
// and 2 in random order, and a last token 0, at which the answer is 1 where the number of twos is even and 2 where it is odd.
type Parity struct{ options ParityOptions }

// NewParity returns the task; an error names the setting that is out of range.
func NewParity(o ParityOptions) (*Parity, error) {
	if o.MinLength == 0 {
		o.MinLength = 3
	}
	if o.MaxLength == 0 {
		o.MaxLength = 40
	}
	t := &Parity{o}
	return t, room.Check(t.Name(), setting.In("MaxLength", o.MaxLength, 2, maxLength), setting.In("MinLength", o.MinLength, 2, o.MaxLength))
}

// Name implements [Task].
func (t *Parity) Name() string { return "parity" }

// Tokens implements [Task].
func (t *Parity) Tokens() int { return 3 }

// Classes implements [Task].
func (t *Parity) Classes() int { return 3 }

// Sizes implements [Task].
func (t *Parity) Sizes() []Size { return lengths(t.options.MinLength, t.options.MaxLength) }

// Batch implements [Task].
func (t *Parity) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, Size{Length: t.options.MinLength + r.IntN(t.options.MaxLength-t.options.MinLength+1)}))
}

// Sized implements [Task].
func (t *Parity) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := checkLength(t, size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	for i := range n {
		inputs, targets := b.row(i)
		last := len(inputs) - 1
		var odd int64
		for j := range last {
			bit := r.Int64N(2)
			inputs[j], odd = 1+bit, odd^bit
		}
		targets[last] = 1 + odd
	}
	return b, nil
}

// WordsOptions configure [NewWords].
type WordsOptions struct {
	Elements int // of the permutations, 2 to 6; default 3, the group S3
	Length   int // of training sequences with their first token; default 128: Siems et al. 2025
	// Swaps draws only permutations that exchange two elements, and the identity: Grazzi et al. 2025, section 5.2.
	Swaps bool
}

// Words is the word problem of a symmetric group: Grazzi et al. 2025, section 5.2; Siems et al. 2025, section 4. A sequence is a
// token that begins it and then permutations; the answer at each of these is the product of all so far, the first applied
// first. Permutations are numbered in lexicographic order, and the first token has the number after the last one's.
type Words struct {
	options WordsOptions
	perms   [][]int
	drawn   []int // numbers of the permutations that are drawn
}

// NewWords returns the task; an error names the setting that is out of range.
func NewWords(o WordsOptions) (*Words, error) {
	if o.Elements == 0 {
		o.Elements = 3
	}
	if o.Length == 0 {
		o.Length = 128
	}
	t := &Words{options: o}
	if err := room.Check(t.Name(), setting.In("Elements", o.Elements, 2, 6), setting.In("Length", o.Length, 2, maxLength)); err != nil {
		return nil, err
	}
	t.perms = permutations(o.Elements)
	for i, p := range t.perms {
		moved := 0
		for j, v := range p {
			if j != v {
				moved++
			}
		}
		if !o.Swaps || moved <= 2 {
			t.drawn = append(t.drawn, i)
		}
	}
	return t, nil
}

// permutations lists the permutations of n elements in lexicographic order.
func permutations(n int) (out [][]int) {
	var grow func(p []int)
	grow = func(p []int) {
		if len(p) == n {
			out = append(out, slices.Clone(p))
			return
		}
		for v := range n {
			if !slices.Contains(p, v) {
				grow(append(p, v))
			}
		}
	}
	grow(nil)
	return out
}

// Name implements [Task].
func (t *Words) Name() string { return fmt.Sprintf("word problem of S%d", t.options.Elements) }

// Tokens implements [Task].
func (t *Words) Tokens() int { return len(t.perms) + 1 }

// Classes implements [Task].
func (t *Words) Classes() int { return len(t.perms) }

// Sizes implements [Task].
func (t *Words) Sizes() []Size { return []Size{{Length: t.options.Length}} }

// Batch implements [Task].
func (t *Words) Batch(r *rand.Rand, n int) *Batch { return setting.Must(t.Sized(r, n, t.Sizes()[0])) }

// Sized implements [Task].
func (t *Words) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := checkLength(t, size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	for i := range n {
		inputs, targets := b.row(i)
		inputs[0] = int64(len(t.perms))
		product := slices.Clone(t.perms[0])
		for j := 1; j < len(inputs); j++ {
			drawn := t.drawn[r.IntN(len(t.drawn))]
			for k, v := range product {
				product[k] = t.perms[drawn][v]
			}
			inputs[j], targets[j] = int64(drawn), int64(t.number(product))
		}
	}
	return b, nil
}

// number returns the number of a permutation.
func (t *Words) number(p []int) int {
	at, _ := slices.BinarySearchFunc(t.perms, p, slices.Compare[[]int])
	return at
}

// CopyOptions configure [NewCopy].
type CopyOptions struct {
	Vocabulary     int // tokens, of which two mark blanks and the question; default 16
	Length, Copied int // of a training sequence; default 256 and 16: Poli et al. 2024, MAD
}

// Copy is selective copying: Poli et al. 2024 (MAD), after Gu and Dao 2023. Copied tokens stand among blanks, of which each
// comes before a token drawn at random, as in the public code; after a marker come as many blanks as there were tokens, at which
// the answers are the tokens in their order. Tokens are 0 to V-3, the blank V-2 and the marker V-1. The length counts all of this.
type Copy struct{ options CopyOptions }

// NewCopy returns the task; an error names the setting that is out of range.
func NewCopy(o CopyOptions) (*Copy, error) {
	if o.Vocabulary == 0 {
		o.Vocabulary = 16
	}
	if o.Length == 0 {
		o.Length = 256
	}
	if o.Copied == 0 {
		o.Copied = 16
	}
	t := &Copy{o}
	if err := room.Check(t.Name(), setting.In("Vocabulary", o.Vocabulary, 3, maxVocabulary)); err != nil {
		return nil, err
	}
	return t, t.check(t.Sizes()[0])
}

func (t *Copy) check(s Size) error {
	return room.Check(t.Name(), setting.None("Pairs", s.Pairs), setting.In("Length", s.Length, 3, maxLength), setting.In("Copied", s.Copied, 1, (s.Length-1)/2))
}

// MacroAveraged implements [MacroAveraged].
func (t *Copy) MacroAveraged() {}

// Name implements [Task].
func (t *Copy) Name() string { return "selective copying" }

// Tokens implements [Task].
func (t *Copy) Tokens() int { return t.options.Vocabulary }

// Classes implements [Task].
func (t *Copy) Classes() int { return t.options.Vocabulary }

// Sizes implements [Task].
func (t *Copy) Sizes() []Size {
	return []Size{{Length: t.options.Length, Copied: t.options.Copied}}
}

// Batch implements [Task].
func (t *Copy) Batch(r *rand.Rand, n int) *Batch { return setting.Must(t.Sized(r, n, t.Sizes()[0])) }

// Sized implements [Task].
func (t *Copy) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := t.check(size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	blank, marker := int64(t.options.Vocabulary-2), int64(t.options.Vocabulary-1)
	shown := size.Length - size.Copied - 1
	for i := range n {
		inputs, targets := b.row(i)
		for j := range inputs {
			inputs[j] = blank
		}
		inputs[shown] = marker
		before := make([]int, size.Copied) // blanks before each token
		for range shown - size.Copied {
			before[r.IntN(size.Copied)]++
		}
		at := 0
		for j, blanks := range before {
			v := r.Int64N(blank)
			at += blanks
			inputs[at], targets[shown+1+j] = v, v
			at++
		}
	}
	return b, nil
}
