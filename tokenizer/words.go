package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"
)

// WordsOptions are the settings of [BuildWords].
type WordsOptions struct {
	Max   int // the most tokens of a row; at least 1
	Most  int // the most words of the vocabulary; 0 for no bound
	Least int // the fewest times that a word occurs in the training texts; 0 is 1
}

// Words numbers the words of a vocabulary, which is that of training texts: normalised as by an uncased BERT, split at white space
// and punctuation. Token 1 stands for all other words; words follow from 2 on.
type Words struct {
	normalizer
	words []string
	ids   map[string]int32
	max   int
}

// unknownWord is the token of words outside a vocabulary.
const unknownWord = 1

func uncased() normalizer { return normalizer{clean: true, chinese: true, accents: true, lower: true} }

// BuildWords makes the vocabulary of texts: their words, the most frequent ones first, and in alphabetical order among equally
// frequent ones.
func BuildWords(texts iter.Seq[string], o WordsOptions) (*Words, error) {
	counts := map[string]int{}
	n := uncased()
	for text := range texts {
		words(n.normalize(text), func(word string) bool {
			if utf8.RuneCountInString(word) <= wordLimit {
				counts[strings.Clone(word)]++
			}
			return true
		})
	}
	var list []string
	for word, count := range counts {
		if count >= o.Least {
			list = append(list, word)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(counts[b]-counts[a], strings.Compare(a, b)) })
	most := maxPieces
	if o.Most > 0 {
		most = min(most, o.Most)
	}
	if len(list) == 0 {
		return nil, errors.New("tokenizer: the training texts have no words")
	}
	return newWords(list[:min(len(list), most)], o.Max)
}

func newWords(list []string, most int) (*Words, error) {
	if most < 1 || most > maxTokens {
		return nil, fmt.Errorf("tokenizer: rows of %d tokens: use 1 to %d", most, maxTokens)
	}
	w := &Words{normalizer: uncased(), words: list, ids: make(map[string]int32, len(list)), max: most}
	for i, word := range list {
		w.ids[word] = int32(i) + unknownWord + 1
	}
	return w, nil
}

// ParseWords reads what [Words.Bytes] returned, for rows of at most max tokens.
func ParseWords(text []byte, max int) (*Words, error) {
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("tokenizer: a vocabulary of more than %d bytes", maxFileBytes)
	}
	list := strings.Split(string(text), "\n")
	if len(list) > maxPieces {
		return nil, fmt.Errorf("tokenizer: the vocabulary has more than %d words", maxPieces)
	}
	seen := make(map[string]bool, len(list))
	for i, word := range list {
		if word == "" || !utf8.ValidString(word) || seen[word] {
			return nil, fmt.Errorf("tokenizer: word %d of the vocabulary, %q, is empty, damaged or there twice", i+1, word)
		}
		seen[word] = true
	}
	return newWords(list, max)
}

// Bytes is the vocabulary, a word a line.
func (w *Words) Bytes() []byte { return []byte(strings.Join(w.words, "\n")) }

// Encode implements [Tokenizer].
func (w *Words) Encode(text string) (tokens []int32, cut bool) {
	words(w.normalize(text), func(word string) bool {
		if cut = len(tokens) == w.max; cut {
			return false
		}
		id, ok := w.ids[word]
		if !ok {
			id = unknownWord
		}
		tokens = append(tokens, id)
		return true
	})
	if len(tokens) == 0 {
		tokens = append(tokens, unknownWord)
	}
	return tokens, cut
}

// Size implements [Tokenizer].
func (w *Words) Size() int { return len(w.words) + unknownWord + 1 }

// Max implements [Tokenizer].
func (w *Words) Max() int { return w.max }

// Unknown implements [Tokenizer].
func (w *Words) Unknown() int32 { return unknownWord }

// Describe implements [Tokenizer].
func (w *Words) Describe() string {
	return fmt.Sprintf("%d words of the training texts, at most %d tokens", len(w.words), w.max)
}

var _ Tokenizer = (*Words)(nil)
