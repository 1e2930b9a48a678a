package tokenizer

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWordsNumbersTheFrequentOnesFirst(t *testing.T) {
	w, err := BuildWords(slices.Values([]string{"My card, my CARD!", "a card is lost", "café"}), WordsOptions{Max: 4})
	require.NoError(t, err)
	assert.Equal(t, "card\nmy\n!\n,\na\ncafe\nis\nlost", string(w.Bytes()))
	assert.Equal(t, 10, w.Size())
	tokens, cut := w.Encode("my stolen card")
	assert.Equal(t, []int32{3, 1, 2}, tokens)
	assert.False(t, cut)
	tokens, cut = w.Encode("my card is lost!")
	assert.Equal(t, []int32{3, 2, 8, 9}, tokens)
	assert.True(t, cut)
	tokens, cut = w.Encode("  ")
	assert.Equal(t, []int32{1}, tokens, "a row is never empty")
	assert.False(t, cut)

	again, err := ParseWords(w.Bytes(), 4)
	require.NoError(t, err)
	assert.Equal(t, w, again)
}

func TestWordsKeepsToItsBounds(t *testing.T) {
	texts := slices.Values([]string{"b b a a a c", "d"})
	w, err := BuildWords(texts, WordsOptions{Max: 9, Most: 1})
	require.NoError(t, err)
	assert.Equal(t, "a", string(w.Bytes()))
	w, err = BuildWords(texts, WordsOptions{Max: 9, Least: 2})
	require.NoError(t, err)
	assert.Equal(t, "a\nb", string(w.Bytes()))
	_, err = BuildWords(texts, WordsOptions{Max: 9, Least: 4})
	assert.ErrorContains(t, err, "no words")
	_, err = BuildWords(texts, WordsOptions{})
	assert.ErrorContains(t, err, "rows of 0 tokens")
	_, err = ParseWords([]byte("a\n\nb"), 9)
	assert.ErrorContains(t, err, "word 2")
	_, err = ParseWords([]byte("a\na"), 9)
	assert.ErrorContains(t, err, "word 2")
}
