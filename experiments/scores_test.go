package experiments_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// Two methods are tested on the same episodes, and their scores show it; a figure is the mean of its scores.
func TestScoresOfTwoMethodsPair(t *testing.T) {
	a, b, other := t.TempDir(), t.TempDir(), t.TempDir()
	run(t, a)
	run(t, b, "network.kind=matchingnet", "seed=7", "train.way=6")
	run(t, other, "dataset.seed=1")
	read := func(dir string) *results.Result {
		r, err := results.Read(filepath.Join(dir, "result.json"))
		require.NoError(t, err)
		return r
	}
	for _, dir := range []string{a, b} {
		f := read(dir).Figures[0]
		require.NotNil(t, f.Scores)
		require.Len(t, f.Scores.Values, 20)
		assert.Equal(t, .15, f.Scores.Per, "right answers of 15")
		var mean float64
		for _, v := range f.Scores.Values {
			assert.True(t, v >= 0 && v <= 15, "%d right answers of 15", v)
			mean += float64(v) / .15 / 20
		}
		assert.InDelta(t, f.Value, mean, 1e-5)
	}
	got := results.Compare(read(a), read(b))
	require.Len(t, got, 1)
	assert.Empty(t, got[0].Why)
	assert.InDelta(t, read(a).Figures[0].Value-read(b).Figures[0].Value, got[0].Difference, 1e-5)
	assert.False(t, math.IsNaN(got[0].Interval))

	got = results.Compare(read(a), read(other))
	require.Len(t, got, 1)
	assert.Contains(t, got[0].Why, "other examples were drawn", "other characters under the same protocol")
}
