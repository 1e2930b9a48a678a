package encoder

import (
	"fmt"

	"github.com/engram-go/engram/tensor"
)

// A WordEncoding computes the vector of a sentence from its words' vectors, m = Σⱼ lⱼ ∘ A·xⱼ: Sukhbaatar et al. 2015,
// section 4.1. A·xⱼ is the vector of word j of J, and lⱼ has the same width d and the elements l_kj, for k from 1 to d.
type WordEncoding int

const (
	// BagOfWords has l_kj = 1 and ignores the order of the words.
	BagOfWords WordEncoding = iota
	// PositionEncoding is that of the paper, l_kj = (1 − j/J) − (k/d)·(1 − 2j/J).
	PositionEncoding
	// ReleasedPositionEncoding is that of the authors' code, l_kj = 1 + 4·(k/d − (d+1)/2d)·(j/J − (J+1)/2J), where J
	// is the length of the longest sentence of the data for every sentence. Its values are about twice the paper's
	// (facebookarchive/MemNN, issue 13).
	ReleasedPositionEncoding
)

// Every encoding has the form l_kj = aⱼ + bⱼ·c_k. A sentence is therefore Σⱼ aⱼ·A·xⱼ + c ∘ Σⱼ bⱼ·A·xⱼ, two weighted sums of
// table rows, and no vector of a single word is materialised.

// word returns a and b of the 1-based word j of n, in data whose longest sentence has longest words.
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

// element returns c for the 1-based element k of d.
func (e WordEncoding) element(k, d int64) float32 {
	if e == ReleasedPositionEncoding {
		return (float32(k) - float32(d+1)/2) / float32(d)
	}
	return float32(k) / float32(d)
}

// Sentences holds sentences in the form that [Sentences.Embed] needs.
type Sentences struct {
	encoding WordEncoding
	timed    bool
	indices  *tensor.Tensor // rows of a table that stacks A, c ∘ A and the vectors of times
	weights  *tensor.Tensor // one per index: a, b or 1
	offsets  *tensor.Tensor // index at which each sentence begins
}

// Sentences prepares sentences, given as word indices in a vocabulary of words words. A negative index is a word
// without a vector, which still takes a position. times holds the index of each sentence's time vector, which is
// added to its words' (temporal encoding, section 4.1): negative for a sentence without one, nil if no sentence has
// one. longest is the length of the longest sentence of the data set; only [ReleasedPositionEncoding] uses it.
// Sentences panics if a word is outside the vocabulary.
func (e WordEncoding) Sentences(sentences [][]int, times []int, words int64, longest int, on tensor.Device) Sentences {
	most := len(sentences)
	for _, s := range sentences {
		most += 2 * len(s)
	}
	indices, weights := make([]int64, 0, most), make([]float32, 0, most)
	add := func(index int64, weight float32) { indices, weights = append(indices, index), append(weights, weight) }
	whole := words // number of table rows for words
	if e != BagOfWords {
		whole *= 2
	}
	offsets := make([]int64, len(sentences))
	for i, s := range sentences {
		offsets[i] = int64(len(indices))
		for j, w := range s {
			if int64(w) >= words {
				panic(&tensor.Error{Op: "Sentences", Msg: fmt.Sprintf("word index %d is outside the vocabulary of %d words", w, words)})
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
	return Sentences{e, times != nil, tensor.Upload(indices, on, n), tensor.Upload(weights, on, n), tensor.Upload(offsets, on, int64(len(offsets)))}
}

// Embed returns the vectors of the sentences, [sentences, tables·width]: for each table of word vectors [words, width] one
// block of width columns. times holds one table of time vectors [times, width] per word table; it is ignored if the
// sentences have no times.
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
