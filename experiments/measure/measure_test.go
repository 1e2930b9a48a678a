package measure_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/tensor"
)

func TestEvaluateCutsTheLastBatch(t *testing.T) {
	batches := slices.Values([][]int{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}})
	scored := 0
	got, err := measure.Evaluate(t.Context(), batches, 5, nil, func(b []int) ([]int, error) {
		scored++
		return b, nil
	})
	require.NoError(t, err)
	assert.Equal(t, []int{1, 2, 3, 4, 5}, got)
	assert.Equal(t, 2, scored, "batches beyond the last example are not scored")

	_, err = measure.Evaluate(t.Context(), batches, 10, nil, func(b []int) ([]int, error) { return b, nil })
	assert.EqualError(t, err, "the data ended after 9 of 10 examples")
}

func TestEvaluateStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	scored := 0
	_, err := measure.Evaluate(ctx, slices.Values([]int{1, 2, 3}), 3, nil, func(i int) ([]int, error) {
		scored++
		cancel()
		return []int{i}, nil
	})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, scored)
}

func TestEvaluateNamesTheExampleThatIsNotFinite(t *testing.T) {
	_, err := measure.Evaluate(t.Context(), slices.Values([]float64{1, 2, math.NaN()}), 3, nil, func(v float64) ([]float64, error) {
		return []float64{v}, measure.Finite(tensor.New([]float64{0, v}, 2), "check the encoder")
	})
	assert.ErrorIs(t, err, measure.ErrNotFinite)
	assert.EqualError(t, err, "example 3: the network returned values that are not finite; check the encoder")

	failed := errors.New("failed")
	_, err = measure.Evaluate(t.Context(), slices.Values([]int{1}), 1, nil, func(int) ([]int, error) { return nil, failed })
	assert.Equal(t, failed, err, "other errors stay as they are")
}

func TestChecksumTellsEpisodesApart(t *testing.T) {
	drawn, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 12, Instances: 6, Size: 9})
	require.NoError(t, err)
	spec := episode.Spec{Way: 4, Shot: 2, Query: 3}
	sum := func(set dataset.Set, stream string, n, batch int) string {
		s, err := episode.New(set, spec, 1, stream)
		require.NoError(t, err)
		c := measure.NewChecksum(set, n)
		for first := 0; first < n; first += batch {
			c.Add(s.Batch(uint64(first), batch).Items, spec.Way*(spec.Shot+spec.Query))
		}
		return c.String()
	}
	want := sum(drawn, "test", 6, 1)
	assert.Equal(t, want, sum(drawn, "test", 6, 4), "independent of the batch size")
	assert.NotEqual(t, want, sum(drawn, "test", 5, 1), "fewer episodes")
	assert.NotEqual(t, want, sum(drawn, "other", 6, 1), "other episodes")
	other, err := dataset.NewStrokes(2, dataset.DrawnOptions{Train: 12, Instances: 6, Size: 9})
	require.NoError(t, err)
	assert.NotEqual(t, want, sum(other, "test", 6, 1), "the same draws of other images")
}
