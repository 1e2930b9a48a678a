package episode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
)

// The images of a batch's items are those of the batch, as bytes and as values.
func TestImagesOfItems(t *testing.T) {
	strokes, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 8, Val: 1, Test: 1, Instances: 6, Size: 12})
	require.NoError(t, err)
	for _, set := range []dataset.Set{strokes, struct{ dataset.Set }{strokes}} {
		s, err := episode.New(set, episode.Spec{Way: 3, Shot: 2, Query: 1, Rotation: dataset.RotatePerClass}, 1, "test")
		require.NoError(t, err)
		b := s.Batch(3, 2)
		var support []episode.Item
		for i := range b.Episodes {
			support = append(support, b.Items[i*9:i*9+6]...)
		}
		var p episode.Pixels
		s.Images(&p, support)
		assert.Equal(t, b.Support.Floats(), p.Floats())
		assert.Equal(t, len(b.Support.Bytes), len(p.Bytes))
		assert.Equal(t, b.Support.Norm, p.Norm)
	}
}
