package tokenizer

import (
	"fmt"
	"hash/fnv"
)

// Hashed numbers words by a hash, without a vocabulary: Weinberger et al. 2009. Words are those of [Words]; some share a token. A
// word that no training text has keeps a token of its own, where [Words] has one for all of them.
type Hashed struct {
	normalizer
	buckets, max int
}

// NewHashed makes the tokenizer for a number of tokens, and rows of at most max.
func NewHashed(buckets, max int) (*Hashed, error) {
	if buckets < 1 || buckets > maxPieces || max < 1 || max > maxTokens {
		return nil, fmt.Errorf("tokenizer: rows of %d tokens of %d: use 1 to %d of 1 to %d", max, buckets, maxTokens, maxPieces)
	}
	return &Hashed{uncased(), buckets, max}, nil
}

// Encode implements [Tokenizer].
func (h *Hashed) Encode(text string) (tokens []int32, cut bool) {
	words(h.normalize(text), func(word string) bool {
		if cut = len(tokens) == h.max; cut {
			return false
		}
		sum := fnv.New64a()
		sum.Write([]byte(word))
		tokens = append(tokens, int32(sum.Sum64()%uint64(h.buckets))+unknownWord+1)
		return true
	})
	if len(tokens) == 0 {
		tokens = append(tokens, unknownWord)
	}
	return tokens, cut
}

// Size implements [Tokenizer].
func (h *Hashed) Size() int { return h.buckets + unknownWord + 1 }

// Max implements [Tokenizer].
func (h *Hashed) Max() int { return h.max }

// Unknown implements [Tokenizer]: it stands for a text without words.
func (h *Hashed) Unknown() int32 { return unknownWord }

// Describe implements [Tokenizer].
func (h *Hashed) Describe() string {
	return fmt.Sprintf("words hashed to %d, at most %d tokens", h.buckets, h.max)
}

var _ Tokenizer = (*Hashed)(nil)
