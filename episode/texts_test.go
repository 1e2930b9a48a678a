package episode_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
)

// tokens are invented requests with the length of each word as its token.
func tokens(t *testing.T) *dataset.Tokens {
	t.Helper()
	set, _, err := dataset.NewRequests(1, dataset.RequestsOptions{Train: 6, Val: 1, Test: 1, Instances: 8})
	require.NoError(t, err)
	return dataset.Tokenize(set, func(text string) (tokens []int32, cut bool) {
		for _, w := range strings.Fields(text) {
			tokens = append(tokens, int32(len(w)))
		}
		return tokens, false
	})
}

// rowsOf checks that rows hold the tokens of items and zeros behind them.
func rowsOf(t *testing.T, set *dataset.Tokens, p episode.Pixels, width int, items []episode.Item) {
	t.Helper()
	require.Len(t, p.Tokens, width*len(items))
	assert.Empty(t, p.Values)
	assert.Empty(t, p.Bytes)
	for i, item := range items {
		want := set.Row(item.Class, item.Instance)
		for k, got := range p.Tokens[i*width : (i+1)*width] {
			if k < len(want) {
				assert.EqualValues(t, want[k], got)
			} else {
				assert.Zero(t, got)
			}
		}
	}
}

// The rows of a batch are as long as its longest text, also where the batch's memory is used again.
func TestEpisodesOfTexts(t *testing.T) {
	set := tokens(t)
	s, err := episode.New(set, episode.Spec{Way: 3, Shot: 2, Query: 2}, 1, "test")
	require.NoError(t, err)
	b := new(episode.Batch)
	widths := map[int]bool{}
	for step := range uint64(20) {
		s.Fill(b, step, 1)
		longest := 0
		for _, item := range b.Items {
			longest = max(longest, len(set.Row(item.Class, item.Instance)))
		}
		assert.Equal(t, longest, b.Width)
		widths[b.Width] = true
		rowsOf(t, set, b.Support, b.Width, b.Items[:6])
		rowsOf(t, set, b.QueryImages, b.Width, b.Items[6:])
	}
	assert.Greater(t, len(widths), 1)
	assert.Equal(t, s.Episode(3), s.Episode(3))

	two := s.Batch(4, 2)
	rowsOf(t, set, two.Support, two.Width, append(append([]episode.Item{}, two.Items[:6]...), two.Items[12:18]...))

	var p episode.Pixels
	_, _, width := episode.NewReader(set).Images(&p, two.Items)
	rowsOf(t, set, p, width, two.Items)
}

func TestPairsAndLabelledTexts(t *testing.T) {
	set := tokens(t)
	pairs, err := episode.NewPairs(set, episode.PairSpec{}, 1, "train")
	require.NoError(t, err)
	b := pairs.Batch(0, 4)
	var left, right []episode.Item
	for i := range uint64(4) {
		pair := pairs.Pair(i)
		left, right = append(left, pair.Left), append(right, pair.Right)
	}
	rowsOf(t, set, b.Left, b.Width, left)
	rowsOf(t, set, b.Right, b.Width, right)
	assert.Equal(t, []float32{1, 0, 1, 0}, b.Same)

	labelled, err := episode.NewLabelled(set, episode.LabelledSpec{}, 1, "train")
	require.NoError(t, err)
	var l episode.LabelledBatch
	labelled.Fill(&l, 3, 5)
	require.Len(t, l.Images.Tokens, 5*l.Width)
	assert.Len(t, l.Labels, 5)
}

func TestTextsAreNoImages(t *testing.T) {
	set := tokens(t)
	_, err := episode.New(set, episode.Spec{Way: 2, Shot: 1, Augment: dataset.Augmentation{Flip: .5}}, 1, "train")
	assert.ErrorContains(t, err, "texts cannot be distorted or augmented")
	_, err = episode.NewSequences(set, episode.SequenceSpec{Way: 2, Samples: 2, Length: 1, Letters: 2}, 1, "train")
	assert.ErrorContains(t, err, "not of texts")
}
