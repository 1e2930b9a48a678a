package encoder

import (
	"fmt"

	"github.com/engram-go/engram/tensor"
)

// A WordEncoding makes the vector of a sentence out of those of its words, m = Σⱼ lⱼ ∘ A·xⱼ: Sukhbaatar et al. 2015,
// section 4.1. There A·xⱼ is the vector of word j of J, and lⱼ is as wide as it, with the elements l_kj, k from 1 to the
// width d.
type WordEncoding int

const (
	// BagOfWords has l_kj = 1: the order of the words is lost.
	BagOfWords WordEncoding = iota
	// PositionEncoding has l_kj = (1 − j/J) − (k/d)·(1 − 2j/J), the paper's.
	PositionEncoding
	// ReleasedPositionEncoding has l_kj = 1 + 4·(k/d − (d+1)/2d)·(j/J − (J+1)/2J), which is what the authors' code computes, with
	// J the length of the longest sentence for all of them: some twice the paper's (facebookarchive/MemNN, issue 13).
	ReleasedPositionEncoding
)

// Every encoding is l_kj = aⱼ + bⱼ·c_k, so that a sentence is Σⱼ aⱼ·A·xⱼ + c ∘ Σⱼ bⱼ·A·xⱼ, and no vector of a single word
// is ever made.

// word returns a and b of word j, counted from 1, of n, in data whose longest sentence has so many.
func (e WordEncoding) word(j, n, longest int) (a, b float32) {
	switch e {
	case PositionEncoding:
		share := float32(j) / float32(n)
		return 1 - share, 2*share - 1
	case ReleasedPositionEncoding:
		return 1, 4 * (float32(j) - float32(longest+1)/2) / float32(longest)
	}
	return 1, 0
}

// element returns c of element k, counted from 1, of d.
func (e WordEncoding) element(k, d int64) float32 {
	if e == ReleasedPositionEncoding {
		return (float32(k) - float32(d+1)/2) / float32(d)
	}
	return float32(k) / float32(d)
}

// Sentences are sentences as [Sentences.Embed] takes them.
type Sentences struct {
	encoding WordEncoding
	timed    bool
	indices  *tensor.Tensor // of a table that holds A over c ∘ A over the vectors of times
	weights  *tensor.Tensor // a, b and 1, one an index
	offsets  *tensor.Tensor // where each sentence begins
}

// Sentences lays out sentences, each the numbers of its words in a vocabulary of so many words. A negative number is a word
// without a vector, which keeps its place. Times are the sentences' own, whose vectors their words' are added to: section 4.1,
// temporal encoding; nil where they have none, and negative for one that has none. The length of the longest sentence is that of
// the data, not of those at hand; only [ReleasedPositionEncoding] asks for it.
func (e WordEncoding) Sentences(sentences [][]int, times []int, words int64, longest int, on tensor.Device) Sentences {
	most := len(sentences)
	for _, s := range sentences {
		most += 2 * len(s)
	}
	indices, weights := make([]int64, 0, most), make([]float32, 0, most)
	add := func(index int64, weight float32) { indices, weights = append(indices, index), append(weights, weight) }
	whole := words // the rows of the table that words take
	if e != BagOfWords {
		whole *= 2
	}
	offsets := make([]int64, len(sentences))
	for i, s := range sentences {
		offsets[i] = int64(len(indices))
		for j, w := range s {
			if int64(w) >= words {
				panic(&tensor.Error{Op: "Sentences", Msg: fmt.Sprintf("word %d of a vocabulary of %d", w, words)})
			}
			if w < 0 {
				continue
			}
			a, b := e.word(j+1, len(s), longest)
			add(int64(w), a)
			if e != BagOfWords {
				add(int64(w)+words, b)
			}
		}
		if times != nil && times[i] >= 0 {
			add(whole+int64(times[i]), 1)
		}
	}
	n := int64(len(indices))
	return Sentences{e, times != nil, tensor.New(indices, n).On(on), tensor.New(weights, n).On(on), tensor.New(offsets, int64(len(offsets))).On(on)}
}

// Embed returns the vectors of the sentences under tables of word vectors [words, width], one table's beside another's:
// [sentences, tables·width]. Beside each table lies one of the vectors of times, [times, width], where the sentences have them.
func (s Sentences) Embed(tables, times []*tensor.Tensor) *tensor.Tensor {
	table, width := tables[0], tables[0].Dim(1)
	if len(tables) > 1 {
		table = tensor.Cat(1, tables...)
	}
	parts := []*tensor.Tensor{table}
	if s.encoding != BagOfWords {
		c := make([]float32, table.Dim(1))
		for i := range c {
			c[i] = s.encoding.element(int64(i)%width+1, width)
		}
		parts = append(parts, table.Mul(tensor.New(c, int64(len(c))).To(table.DType()).On(table.Device())))
	}
	if s.timed {
		parts = append(parts, tensor.Cat(1, times...))
	}
	if len(parts) > 1 {
		table = tensor.Cat(0, parts...)
	}
	return tensor.EmbeddingBag(table, s.indices, s.offsets, s.weights.To(table.DType()))
}
