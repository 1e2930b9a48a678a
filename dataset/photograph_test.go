package dataset

import (
	"image/color"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLooksLikePhotographs(t *testing.T) {
	smooth := func(x, y int) color.Color { return color.RGBA{uint8(2 * x), uint8(2 * y), uint8(255 - x - y), 255} }
	grey := func(x, y int) color.Color { return color.Gray{uint8(x + y)} }
	ink := func(x, y int) color.Color { // blue strokes with soft edges on paper
		v := uint8(min(255, 40*(x%20)))
		return color.RGBA{v, v, 255, 255}
	}
	for _, c := range []struct {
		images []func(x, y int) color.Color
		want   bool
	}{
		{[]func(x, y int) color.Color{smooth, smooth, grey}, true},
		{[]func(x, y int) color.Color{smooth, grey, ink}, false},
		{[]func(x, y int) color.Color{ink, ink}, false},
		{[]func(x, y int) color.Color{grey}, false},
	} {
		root, all := t.TempDir(), map[string][]byte{}
		for i, at := range c.images {
			all["a/"+string(rune('0'+i))+".jpg"] = painted(t, 120, 120, asJPEG, at)
		}
		unpack(t, root, all)
		got, err := load(t, root).LooksLikePhotographs()
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	_, err := (&Folder{Files: []string{"gone.png"}}).LooksLikePhotographs()
	assert.ErrorContains(t, err, "gone.png")
}
