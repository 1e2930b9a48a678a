package dataset

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/draw"
)

func greyPNG(t *testing.T, name string) *image.Gray {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "resize", name))
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	grey, ok := img.(*image.Gray)
	require.True(t, ok, "%s is %T", name, img)
	return grey
}

// testdata/resize/make.py draws with Pillow what the filters are to give.
func TestFiltersMatchPillow(t *testing.T) {
	drawing, err := os.ReadFile(filepath.Join("testdata", "resize", "drawing.png"))
	require.NoError(t, err)
	file := imageFile{at: "drawing.png", read: func() ([]byte, error) { return drawing, nil }}
	for _, filter := range Filters() {
		for _, size := range []int{28, 20} {
			name := fmt.Sprintf("%s-%d.png", filter, size)
			want, got := greyPNG(t, name), make([]byte, size*size)
			require.NoError(t, file.decode(got, filter.drawings(size), image.NewRGBA(image.Rect(0, 0, size, size))))
			apart := 0. // bits or levels
			if filter == FilterBilinear {
				apart = 1 // Pillow rounds between its two passes
			}
			for i, v := range got {
				require.InDelta(t, 255-want.Pix[i], v, apart, "%s, pixel %d", name, i)
			}
		}
	}
}

// Images that predict reads are scaled by the same filters, channel by channel.
func TestImagesAreReadWithTheFilterOfTheirSet(t *testing.T) {
	path := filepath.Join("testdata", "resize", "drawing.png")
	for _, filter := range Filters() {
		want, err := ReadImage(path, ImageOptions{Filter: filter})
		require.NoError(t, err)
		colour, err := ReadImage(path, ImageOptions{Filter: filter, Colour: true})
		require.NoError(t, err)
		for c := range 3 {
			assert.Equal(t, want, colour[c*28*28:(c+1)*28*28], "%s, channel %d", filter, c)
		}
		if filter != FilterBilinear {
			expected := greyPNG(t, string(filter)+"-28.png")
			for i, v := range want {
				require.InDelta(t, float64(255-expected.Pix[i])/255, v, 1e-6, "%s, pixel %d", filter, i)
			}
		}
	}
	_, err := ReadImage(path, ImageOptions{Filter: "cubic"})
	assert.ErrorContains(t, err, `unknown way of resizing "cubic": use one of bilinear, area, nearest, lanczos`)
	_, err = LoadOmniglot(t.Context(), t.TempDir(), OmniglotOptions{Filter: "cubic"})
	assert.ErrorContains(t, err, `unknown way of resizing "cubic"`)
	_, err = LoadOneShotRuns(t.TempDir(), 28, "cubic")
	assert.ErrorContains(t, err, `unknown way of resizing "cubic"`)
}

// Every filter keeps an even image even, in reduction and enlargement, and writes nothing but its rectangle.
func TestFiltersKeepAnEvenImage(t *testing.T) {
	src := image.NewRGBA(image.Rect(0, 0, 17, 9))
	draw.Draw(src, src.Bounds(), image.White, image.Point{}, draw.Src)
	for _, filter := range Filters() {
		dst := image.NewRGBA(image.Rect(0, 0, 30, 30))
		for _, into := range []image.Rectangle{image.Rect(3, 4, 8, 7), image.Rect(0, 10, 30, 28)} {
			filter.scaler().Scale(dst, into, src, src.Bounds(), draw.Src, nil)
		}
		for y := range 30 {
			for x := range 30 {
				inside := image.Pt(x, y).In(image.Rect(3, 4, 8, 7)) || image.Pt(x, y).In(image.Rect(0, 10, 30, 28))
				require.Equal(t, map[bool]byte{true: 255}[inside], dst.Pix[dst.PixOffset(x, y)], "%s at %d, %d", filter, x, y)
			}
		}
	}
}

// Images of one filter are not taken from the cache of another.
func TestFiltersHaveTheirOwnCache(t *testing.T) {
	root, cache := t.TempDir(), t.TempDir()
	back, eval := tiny()
	drawing, err := os.ReadFile(filepath.Join("testdata", "resize", "drawing.png"))
	require.NoError(t, err)
	back["images_background/Alpha/character01/0000_00.png"] = drawing
	writeZips(t, root, back, eval)
	seen := map[string]Filter{}
	for _, filter := range Filters() {
		for range 2 {
			set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{CacheDir: cache, Size: 28, Filter: filter})
			require.NoError(t, err)
			key := fmt.Sprint(imageOf(set, 0, 0, 0))
			other, ok := seen[key]
			assert.True(t, !ok || other == filter, "%s has the images of %s", filter, other)
			seen[key] = filter
		}
	}
	assert.Len(t, seen, len(Filters()))
}
