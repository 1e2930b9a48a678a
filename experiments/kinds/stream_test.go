package kinds

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// Examples of a class have one key, so that an answer is right where the class is still held. What each rule holds is
// counted by hand.
func TestStreamGoesThroughMemories(t *testing.T) {
	testkit.Enter(t)
	arrived := [][]int64{{0, 1, 2, 0, 3, 3}, {3, 3, 3, 2, 1, 0}}
	s := &embeddedStreams{arrived: arrived, asked: [][]int64{{0, 1, 2, 3}, {3, 2, 1, 0}}, classes: 4, examples: 6, streams: 2}
	oneHot := func(rows [][]int64) *tensor.Tensor {
		var flat []int64
		for _, row := range rows {
			flat = append(flat, row...)
		}
		return tensor.New(flat, int64(len(rows)), int64(len(rows[0]))).OneHot(4)
	}
	s.values, s.queries = oneHot(arrived), oneHot(s.asked)
	s.keys = s.values.MulScalar(3)
	parts := registry.Standard()
	like, err := parts.Memories.Default("keyvalue")
	require.Error(t, err, "a memory has no metric of its own: its network gives the default")
	squared, err := parts.Metrics.Default("squared-euclidean")
	require.NoError(t, err)
	section := schema.NewSection("squared-euclidean", nil)
	section.Resolve(&struct{}{})
	like = registry.Memory{Metric: &squared, Section: &section, Scale: 1}
	for _, c := range []struct {
		kind  string
		slots int64
		want  [][]float64 // asked after 2, 4 and 6 examples, by stream
	}{
		{"keyvalue", 0, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		{"prototype", 0, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		// The last two: 0 1, 2 0, 3 3; and 3 3, 3 2, 1 0. Seen are 0 1, 0 1 2, all; and 3, 3 2, all.
		{"ntm", 2, [][]float64{{1, 1}, {2. / 3, 1}, {1. / 4, 2. / 4}}},
		{"ntm", 6, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		{"dnc", 6, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
		{"lrua", 6, [][]float64{{1, 1}, {1, 1}, {1, 1}}},
	} {
		before := tensor.Live()
		planned, err := parts.Like(c.kind, &like, c.slots)
		require.NoError(t, err)
		got, held, err := s.run(t.Context(), planned, 3)
		require.NoError(t, err)
		assert.Equal(t, before, tensor.Live(), "%s, %d slots: states left behind", c.kind, c.slots)
		require.Len(t, got, 3)
		assert.Positive(t, held)
		for i, want := range c.want {
			assert.InDeltaSlice(t, want, got[i], 1e-12, "%s, %d slots, asked for the %dth time", c.kind, c.slots, i+1)
		}
	}
}
