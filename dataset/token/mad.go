package token

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// The tasks of this file are those of Poli et al. 2024 ("Mechanistic Design and Scaling of Hybrid Architectures"), section 3.1
// and appendix B, as their public code draws them. With [Copy] there are six.

// ContextRecallOptions configure [NewContextRecall].
type ContextRecallOptions struct {
	// Vocabulary counts all tokens, those of the noise too; default 16, or 32 with noise.
	Vocabulary int
	Length     int     // of a sequence with the token that follows its last position; default 128
	Noise      float64 // the share of pairs that are replaced by two noise tokens; the paper's noisy recall has 0.2
	NoiseWords int     // the last tokens of the vocabulary, which are noise; default 16 with noise
}

// ContextRecall is in-context recall, and with noise noisy in-context recall. A sequence is pairs of a key, from the first half
// of the vocabulary, and a value, from the second; a key has the same value in the whole sequence. Training scores every next
// token; tests score the value of a key that was there before. The last pair repeats a key.
type ContextRecall struct{ options ContextRecallOptions }

// NewContextRecall returns the task; an error names the setting that is out of range.
func NewContextRecall(o ContextRecallOptions) (*ContextRecall, error) {
	o.Length = cmp.Or(o.Length, 128)
	if o.Noise > 0 {
		o.Vocabulary, o.NoiseWords = cmp.Or(o.Vocabulary, 32), cmp.Or(o.NoiseWords, 16)
	}
	o.Vocabulary = cmp.Or(o.Vocabulary, 16)
	t := &ContextRecall{o}
	if !(o.Noise >= 0 && o.Noise < 1) {
		return nil, fmt.Errorf("token: %s: Noise is %v: choose from 0 to below 1", t.Name(), o.Noise)
	}
	words := setting.None("NoiseWords", o.NoiseWords)
	if o.Noise > 0 {
		words = setting.In("NoiseWords", o.NoiseWords, 1, o.Vocabulary-2)
	}
	if err := room.Check(t.Name(), setting.In("Vocabulary", o.Vocabulary, 2, maxVocabulary), words); err != nil {
		return nil, err
	}
	return t, t.check(t.Sizes()[0])
}

func (t *ContextRecall) check(s Size) error {
	if err := room.Check(t.Name(), setting.None("Pairs", s.Pairs), setting.None("Copied", s.Copied), setting.In("Length", s.Length, 4, maxLength)); err != nil {
		return err
	}
	if s.Length%2 != 0 {
		return fmt.Errorf("token: %s: Length is %d: choose an even length", t.Name(), s.Length)
	}
	return nil
}

// MacroAveraged implements [MacroAveraged].
func (t *ContextRecall) MacroAveraged() {}

// Name implements [Task].
func (t *ContextRecall) Name() string {
	if t.options.Noise > 0 {
		return "noisy in-context recall"
	}
	return "in-context recall"
}

// Tokens implements [Task].
func (t *ContextRecall) Tokens() int { return t.options.Vocabulary }

// Classes implements [Task].
func (t *ContextRecall) Classes() int { return t.options.Vocabulary }

// Sizes implements [Task].
func (t *ContextRecall) Sizes() []Size { return []Size{{Length: t.options.Length}} }

// Batch implements [Task]: every next token is scored.
func (t *ContextRecall) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.draw(r, n, t.Sizes()[0], true))
}

// Sized implements [Task]: values of repeated keys are scored.
func (t *ContextRecall) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	return t.draw(r, n, size, false)
}

func (t *ContextRecall) draw(r *rand.Rand, n int, size Size, training bool) (*Batch, error) {
	if err := t.check(size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length-1, size)
	if err != nil {
		return nil, err
	}
	o := t.options
	words := o.Vocabulary - o.NoiseWords
	half := int64(words / 2)
	pairs := size.Length / 2
	for i := range n {
		d := dialogue{held: map[string][]int64{}}
		clean := r.IntN(pairs - 1) // a pair that is no noise; the code draws it from all, and fails where there is none
		for j := range pairs - 1 {
			if o.Noise > 0 && j != clean && r.Float64() < o.Noise {
				d.filler(int64(words)+r.Int64N(int64(o.NoiseWords)), int64(words)+r.Int64N(int64(o.NoiseWords)))
				continue
			}
			d.pair([]int64{r.Int64N(half)}, func() []int64 { return []int64{half + r.Int64N(int64(words)-half)} })
		}
		d.pair(d.keys[r.IntN(len(d.keys))], nil)
		b.predict(i, d.tokens, d.scored, training)
	}
	return b, nil
}

// A dialogue is a sequence of keys and values, and the values that a test scores.
type dialogue struct {
	tokens []int64
	scored []bool
	held   map[string][]int64 // the value of each key
	keys   [][]int64          // that were there, in the order of their first showing
}

// filler appends tokens that are not scored.
func (d *dialogue) filler(tokens ...int64) {
	for _, v := range tokens {
		d.tokens, d.scored = append(d.tokens, v), append(d.scored, false)
	}
}

// pair appends a key and its value, which value draws where the key is new.
func (d *dialogue) pair(key []int64, value func() []int64) {
	d.filler(key...)
	name := fmt.Sprint(key)
	v, known := d.held[name]
	if !known {
		v = value()
		d.held[name], d.keys = v, append(d.keys, key)
	}
	for _, token := range v {
		d.tokens, d.scored = append(d.tokens, token), append(d.scored, known)
	}
}

// predict fills sequence i with tokens, of which each position has the next one as its target: in training all of them, and
// else those that are scored.
func (b *Batch) predict(i int, tokens []int64, scored []bool, training bool) {
	inputs, targets := b.row(i)
	copy(inputs, tokens)
	for j := range targets {
		if training || scored[j+1] {
			targets[j] = tokens[j+1]
		}
	}
}

// FuzzyRecallOptions configure [NewFuzzyRecall].
type FuzzyRecallOptions struct {
	Vocabulary int // tokens, of which the last is padding; default 16
	Length     int // of a sequence; default 128
	KeySize    int // the most tokens of a key; default 3
	ValueSize  int // the most tokens of a value; default 3
}

// FuzzyRecall is fuzzy in-context recall: [ContextRecall] of keys and values of one to three tokens, which are different within
// a key or value. Keys of tests always have the most tokens. A sequence is padded at its beginning. The last pair repeats one
// that the sequence holds; in the public code a few sequences lack it.
type FuzzyRecall struct{ options FuzzyRecallOptions }

// NewFuzzyRecall returns the task; an error names the setting that is out of range.
func NewFuzzyRecall(o FuzzyRecallOptions) (*FuzzyRecall, error) {
	o.Vocabulary, o.Length = cmp.Or(o.Vocabulary, 16), cmp.Or(o.Length, 128)
	o.KeySize, o.ValueSize = cmp.Or(o.KeySize, 3), cmp.Or(o.ValueSize, 3)
	t := &FuzzyRecall{o}
	half := (o.Vocabulary - 1) / 2
	if err := room.Check(t.Name(), setting.In("Vocabulary", o.Vocabulary, 3, maxVocabulary), setting.In("KeySize", o.KeySize, 1, half),
		setting.In("ValueSize", o.ValueSize, 1, half)); err != nil {
		return nil, err
	}
	return t, t.check(t.Sizes()[0])
}

func (t *FuzzyRecall) check(s Size) error {
	least := 3*(t.options.KeySize+t.options.ValueSize) + 1
	return room.Check(t.Name(), setting.None("Pairs", s.Pairs), setting.None("Copied", s.Copied), setting.In("Length", s.Length, least, maxLength))
}

// MacroAveraged implements [MacroAveraged].
func (t *FuzzyRecall) MacroAveraged() {}

// Name implements [Task].
func (t *FuzzyRecall) Name() string { return "fuzzy in-context recall" }

// Tokens implements [Task].
func (t *FuzzyRecall) Tokens() int { return t.options.Vocabulary }

// Classes implements [Task].
func (t *FuzzyRecall) Classes() int { return t.options.Vocabulary }

// Sizes implements [Task].
func (t *FuzzyRecall) Sizes() []Size { return []Size{{Length: t.options.Length}} }

// Batch implements [Task]: every next token is scored.
func (t *FuzzyRecall) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.draw(r, n, t.Sizes()[0], true))
}

// Sized implements [Task]: values of repeated keys are scored.
func (t *FuzzyRecall) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	return t.draw(r, n, size, false)
}

func (t *FuzzyRecall) draw(r *rand.Rand, n int, size Size, training bool) (*Batch, error) {
	if err := t.check(size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	o := t.options
	half := (o.Vocabulary - 1) / 2
	motif := func(first, of, most int, vary bool) []int64 {
		count := most
		if vary {
			count = 1 + r.IntN(most)
		}
		out := make([]int64, count)
		for j, v := range distinct(r, of, count) {
			out[j] = int64(first + v)
		}
		return out
	}
	key := func() []int64 { return motif(0, half, o.KeySize, training) }
	value := func() []int64 { return motif(half, o.Vocabulary-1-half, o.ValueSize, true) }
	for i := range n {
		d := dialogue{held: map[string][]int64{}}
		asked, answer := key(), value()
		last := len(asked) + len(answer)
		end := size.Length - last - o.KeySize - o.ValueSize
		// The asked pair comes at the first place from this one on, which the pairs before it cannot overshoot.
		at, shown := r.IntN(min(size.Length-2*last, end-o.KeySize-o.ValueSize+1)), false
		for len(d.tokens) < end {
			k, draw := asked, func() []int64 { return answer }
			if shown || len(d.tokens) < at {
				if k = key(); !slices.Equal(k, asked) {
					draw = value
				}
			}
			shown = shown || slices.Equal(k, asked)
			d.pair(k, draw)
		}
		d.pair(asked, nil)
		padding := max(size.Length+1-len(d.tokens), 0)
		tokens := append(slices.Repeat([]int64{int64(o.Vocabulary - 1)}, padding), d.tokens...)
		b.predict(i, tokens, append(make([]bool, padding), d.scored...), training)
	}
	return b, nil
}

// MemorizationOptions configure [NewMemorization].
type MemorizationOptions struct {
	Vocabulary int // tokens, of which the last asks for a value; default 256
	Length     int // of a sequence; default 32
	// Seed is that of the map from keys to values; default 12345, the number of the public code, whose map is another.
	Seed uint64
}

// Memorization asks for values that no sequence holds: one map from keys to values holds for all sequences, and a network must
// learn it by heart. A sequence is keys, each followed by the token V-1, where the answer is the key's value. Keys are the first
// half of the vocabulary without its last token, and values the second.
type Memorization struct {
	options MemorizationOptions
	values  []int64 // of each key
}

// NewMemorization returns the task; an error names the setting that is out of range.
func NewMemorization(o MemorizationOptions) (*Memorization, error) {
	o.Vocabulary, o.Length, o.Seed = cmp.Or(o.Vocabulary, 256), cmp.Or(o.Length, 32), cmp.Or(o.Seed, 12345)
	t := &Memorization{options: o}
	if err := room.Check(t.Name(), setting.In("Vocabulary", o.Vocabulary, 4, maxVocabulary)); err != nil {
		return nil, err
	}
	if err := t.check(t.Sizes()[0]); err != nil {
		return nil, err
	}
	words := o.Vocabulary - 1
	keys := words / 2
	for _, v := range rand.New(rand.NewPCG(o.Seed, 0)).Perm(words - keys)[:keys] {
		t.values = append(t.values, int64(keys+v))
	}
	return t, nil
}

func (t *Memorization) check(s Size) error {
	if err := room.Check(t.Name(), setting.None("Pairs", s.Pairs), setting.None("Copied", s.Copied), setting.In("Length", s.Length, 2, maxLength)); err != nil {
		return err
	}
	if s.Length%2 != 0 {
		return fmt.Errorf("token: %s: Length is %d: choose an even length", t.Name(), s.Length)
	}
	return nil
}

// MacroAveraged implements [MacroAveraged].
func (t *Memorization) MacroAveraged() {}

// Name implements [Task].
func (t *Memorization) Name() string { return "memorization of a map" }

// Tokens implements [Task].
func (t *Memorization) Tokens() int { return t.options.Vocabulary }

// Classes implements [Task].
func (t *Memorization) Classes() int { return t.options.Vocabulary }

// Sizes implements [Task].
func (t *Memorization) Sizes() []Size { return []Size{{Length: t.options.Length}} }

// Batch implements [Task].
func (t *Memorization) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, t.Sizes()[0]))
}

// Sized implements [Task].
func (t *Memorization) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := t.check(size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	for i := range n {
		inputs, targets := b.row(i)
		for j := 0; j < len(inputs); j += 2 {
			key := r.IntN(len(t.values))
			inputs[j], inputs[j+1], targets[j+1] = int64(key), int64(t.options.Vocabulary-1), t.values[key]
		}
	}
	return b, nil
}

// CompressionOptions configure [NewCompression].
type CompressionOptions struct {
	Vocabulary int // tokens, of which the last ends a sequence; default 16
	Length     int // of a sequence; default 32
}

// Compression asks for the whole sequence from the vector of its last position. A sequence is random tokens and the token V-1.
type Compression struct{ options CompressionOptions }

// NewCompression returns the task; an error names the setting that is out of range.
func NewCompression(o CompressionOptions) (*Compression, error) {
	o.Vocabulary, o.Length = cmp.Or(o.Vocabulary, 16), cmp.Or(o.Length, 32)
	t := &Compression{o}
	return t, room.Check(t.Name(), setting.In("Vocabulary", o.Vocabulary, 2, maxVocabulary), setting.In("Length", o.Length, 2, maxLength))
}

// Compresses implements [Compressor].
func (t *Compression) Compresses() {}

// MacroAveraged implements [MacroAveraged].
func (t *Compression) MacroAveraged() {}

// Name implements [Task].
func (t *Compression) Name() string { return "compression of a sequence" }

// Tokens implements [Task].
func (t *Compression) Tokens() int { return t.options.Vocabulary }

// Classes implements [Task].
func (t *Compression) Classes() int { return t.options.Vocabulary }

// Sizes implements [Task].
func (t *Compression) Sizes() []Size { return []Size{{Length: t.options.Length}} }

// Batch implements [Task].
func (t *Compression) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, t.Sizes()[0]))
}

// Sized implements [Task].
func (t *Compression) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := checkLength(t, size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	end := int64(t.options.Vocabulary - 1)
	for i := range n {
		inputs, targets := b.row(i)
		for j := range inputs {
			inputs[j] = r.Int64N(end)
		}
		inputs[len(inputs)-1] = end
		copy(targets, inputs)
	}
	return b, nil
}
