package experiments

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/tensor"
)

// Examples of a class have one key, so that an answer is right where the class is still held. What each rule holds is
// counted by hand.
func TestStreamGoesThroughMemories(t *testing.T) {
	testkit.Enter(t)
	arrived := [][]int64{{0, 1, 2, 0, 3, 3}, {3, 3, 3, 2, 1, 0}}
	s := &passing{arrived: arrived, asked: [][]int64{{0, 1, 2, 3}, {3, 2, 1, 0}}, classes: 4, examples: 6, streams: 2}
	oneHot := func(rows [][]int64) *tensor.Tensor {
		var flat []int64
		for _, row := range rows {
			flat = append(flat, row...)
		}
		return tensor.New(flat, int64(len(rows)), int64(len(rows[0]))).OneHot(4)
	}
	s.values, s.queries = oneHot(arrived), oneHot(s.asked)
	s.keys = s.values.MulScalar(3)
	for _, c := range []struct {
		held
		want [][]float64 // asked after 2, 4 and 6 examples, by stream
	}{
		{held{"keyvalue", 0}, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		{held{"prototype", 0}, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		// The last two: 0 1, 2 0, 3 3; and 3 3, 3 2, 1 0. Seen are 0 1, 0 1 2, all; and 3, 3 2, all.
		{held{"ntm", 2}, [][]float64{{1, 1}, {2. / 3, 1}, {1. / 4, 2. / 4}}},
		{held{"ntm", 6}, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		{held{"dnc", 6}, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		{held{"lrua", 6}, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
	} {
		before := tensor.Live()
		got, err := s.through(t.Context(), c.make(metric.SquaredEuclidean{}, 1), 3)
		require.NoError(t, err)
		assert.Equal(t, before, tensor.Live(), "%v: states left behind", c.held)
		require.Len(t, got, 3)
		for i, want := range c.want {
			assert.InDeltaSlice(t, want, got[i], 1e-12, "%v, asked for the %dth time", c.held, i+1)
		}
	}
}
