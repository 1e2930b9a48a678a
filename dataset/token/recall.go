package token

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/engram-go/engram/dataset/internal/setting"
)

// RecallOptions configure [NewRecall].
type RecallOptions struct {
	Vocabulary int    // tokens; default 8192
	Sizes      []Size // length and pairs of training sequences; default (64, 4), of the paper's figure 2
	Random     bool   // fill with random tokens and not with the token 0, as the released code does by default
}

// Recall is multi-query associative recall: Arora et al. 2023 ("Zoology"), section 4 and the generator of its public code. The
// first 2·pairs tokens are keys, each followed by its value. Then each key is asked once, without its value, at every other
// position at the earliest; the answer there is its value. Keys are drawn from 1 to V/2-1, values from V/2 to V-1, both without
// replacement. The i-th of the places for questions, counted from 1, is drawn with a probability proportional to i^(-0.99), so
// that questions come early. A random filling, of any token, may repeat a key by chance.
type Recall struct{ options RecallOptions }

// recallPower is the exponent of the places, plus one: the code's power_a.
const recallPower = .01

// NewRecall returns the task; an error names the setting that is out of range.
func NewRecall(o RecallOptions) (*Recall, error) {
	if o.Vocabulary == 0 {
		o.Vocabulary = 8192
	}
	if o.Sizes == nil {
		o.Sizes = []Size{{Length: 64, Pairs: 4}}
	}
	t := &Recall{o}
	if err := room.Check(t.Name(), setting.In("Vocabulary", o.Vocabulary, 4, maxVocabulary)); err != nil {
		return nil, err
	}
	for _, s := range o.Sizes {
		if err := t.check(s); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Recall) check(s Size) error {
	if err := room.Check(t.Name(), setting.None("Copied", s.Copied), setting.In("Length", s.Length, 4, maxLength),
		setting.In("Pairs", s.Pairs, 1, min(s.Length/4, t.options.Vocabulary/2-1))); err != nil {
		return err
	}
	if s.Length%2 != 0 {
		return fmt.Errorf("token: %s: Length is %d: choose an even length", t.Name(), s.Length)
	}
	return nil
}

// Name implements [Task].
func (t *Recall) Name() string { return "multi-query associative recall" }

// Tokens implements [Task].
func (t *Recall) Tokens() int { return t.options.Vocabulary }

// Classes implements [Task].
func (t *Recall) Classes() int { return t.options.Vocabulary }

// Sizes implements [Task].
func (t *Recall) Sizes() []Size { return t.options.Sizes }

// Batch implements [Task].
func (t *Recall) Batch(r *rand.Rand, n int) *Batch {
	return setting.Must(t.Sized(r, n, t.options.Sizes[r.IntN(len(t.options.Sizes))]))
}

// Sized implements [Task].
func (t *Recall) Sized(r *rand.Rand, n int, size Size) (*Batch, error) {
	if err := t.check(size); err != nil {
		return nil, err
	}
	b, err := newBatch(t, n, size.Length, size)
	if err != nil {
		return nil, err
	}
	half := t.options.Vocabulary / 2
	for i := range n {
		inputs, targets := b.row(i)
		if t.options.Random {
			for j := range inputs {
				inputs[j] = r.Int64N(int64(t.options.Vocabulary))
			}
		}
		keys, values := distinct(r, half-1, size.Pairs), distinct(r, t.options.Vocabulary-half, size.Pairs)
		places := early(r, (size.Length-2*size.Pairs)/2, size.Pairs)
		for j := range size.Pairs {
			key, value := int64(1+keys[j]), int64(half+values[j])
			inputs[2*j], inputs[2*j+1] = key, value
			at := 2*size.Pairs + 2*places[j]
			inputs[at], targets[at] = key, value
		}
	}
	return b, nil
}

// distinct draws n different numbers from 0 to of-1.
func distinct(r *rand.Rand, of, n int) []int {
	if n > of/8 {
		return r.Perm(of)[:n]
	}
	out, seen := make([]int, 0, n), map[int]bool{}
	for len(out) < n {
		if v := r.IntN(of); !seen[v] {
			out, seen[v] = append(out, v), true
		}
	}
	return out
}

// early draws n different places from 0 to of-1 one after another, place i with a weight of (i+1)^(recallPower-1) among those
// that are left: those with the smallest of exponential times of these rates (Efraimidis and Spirakis 2006).
func early(r *rand.Rand, of, n int) []int {
	times, places := make([]float64, of), make([]int, of)
	for i := range places {
		places[i], times[i] = i, r.ExpFloat64()*math.Pow(float64(i+1), 1-recallPower)
	}
	slices.SortFunc(places, func(a, b int) int {
		if times[a] < times[b] {
			return -1
		}
		return 1
	})
	return places[:n]
}
