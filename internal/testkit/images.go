package testkit

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

// WriteImages writes images of a set as PNG files, black ink on white, each pixel scale pixels wide and high: the
// instances from first to last of every class, to root/CLASS/N.png. It returns their paths, ordered by class.
func WriteImages(t testing.TB, root string, set dataset.Set, first, last, scale int) (files []string) {
	t.Helper()
	channels, height, width := set.Shape()
	require.Equal(t, 1, channels)
	pixels := make([]float32, height*width)
	for c := range set.Classes() {
		for i := first; i <= last; i++ {
			set.Image(pixels, c, i, 0)
			img := image.NewGray(image.Rect(0, 0, width*scale, height*scale))
			for y := range height * scale {
				for x := range width * scale {
					img.SetGray(x, y, color.Gray{uint8(255 - 255*pixels[y/scale*width+x/scale] + .5)})
				}
			}
			path := filepath.Join(root, filepath.FromSlash(set.Class(c)), string(rune('a'+i))+".png")
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			f, err := os.Create(path)
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, img))
			require.NoError(t, f.Close())
			files = append(files, path)
		}
	}
	return files
}
