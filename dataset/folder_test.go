package dataset

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	"golang.org/x/image/tiff"
)

// painted returns an encoded image.
func painted(t testing.TB, width, height int, encode func(*bytes.Buffer, image.Image) error, at func(x, y int) color.Color) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, at(x, y))
		}
	}
	var b bytes.Buffer
	require.NoError(t, encode(&b, img))
	return b.Bytes()
}

func asPNG(b *bytes.Buffer, img image.Image) error { return png.Encode(b, img) }
func asJPEG(b *bytes.Buffer, img image.Image) error {
	return jpeg.Encode(b, img, &jpeg.Options{Quality: 100})
}

func flat(c color.Color) func(x, y int) color.Color { return func(int, int) color.Color { return c } }

// A folder of Omniglot's own files yields the same images as LoadOmniglot.
func TestFolderReadsAsOmniglot(t *testing.T) {
	root := t.TempDir()
	back, eval := tiny()
	unpack(t, root, back)
	unpack(t, root, eval)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "__MACOSX"))) // next to the folders
	want, err := LoadOmniglot(t.Context(), root, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	got, err := LoadFolder(t.Context(), filepath.Join(root, "images_background"), ImageOptions{})
	require.NoError(t, err)
	assert.Equal(t, []string{"Alpha/character01", "Alpha/character10", "Zend/character02"}, got.names)
	assert.Equal(t, []int{0, 2, 4, 6}, got.start)
	for c, name := range got.names {
		other := slices.Index(want.names, name)
		a, b := make([]float32, 28*28), make([]float32, 28*28)
		for i := range 2 {
			want.Image(a, other, i, 0)
			got.Image(b, c, i, 0)
			assert.Equal(t, a, b, name)
		}
	}
	require.Len(t, got.Files, 6)
	one, err := ReadImage(got.Files[5], ImageOptions{})
	require.NoError(t, err)
	last := make([]float32, 28*28)
	got.Image(last, 2, 1, 0)
	assert.Equal(t, last, one)
}

func TestFolderOfAnySizeAndKind(t *testing.T) {
	root := t.TempDir()
	half := func(left, right color.Color, width int) func(x, y int) color.Color {
		return func(x, _ int) color.Color {
			if x < width/2 {
				return left
			}
			return right
		}
	}
	unpack(t, root, map[string][]byte{
		"a/1.png":   painted(t, 64, 64, asPNG, half(color.Black, color.White, 64)),
		"a/2.JPG":   painted(t, 80, 40, asJPEG, flat(color.Black)),
		"a/3.jpeg":  painted(t, 40, 80, asJPEG, flat(color.Gray{128})),
		"b/x.png":   painted(t, 16, 16, asPNG, flat(color.Transparent)),
		"b/red.png": painted(t, 8, 8, asPNG, flat(color.RGBA{255, 0, 0, 255})),
		"b/.x.png":  []byte("hidden"), "b/notes.txt": nil, ".git/x": nil, "__MACOSX/b/x.png": nil,
	})
	get := func(o ImageOptions, class, instance int) []float32 {
		t.Helper()
		f, err := LoadFolder(t.Context(), root, o)
		require.NoError(t, err)
		assert.Equal(t, []string{"a", "b"}, f.names)
		c, h, w := f.Shape()
		out := make([]float32, c*h*w)
		f.Image(out, class, instance, 0)
		return out
	}
	o := ImageOptions{Height: 8, Width: 8}
	row := get(o, 0, 0)[:8]
	assert.Equal(t, []float32{1, 1, 1}, row[:3], "dark pixels are ink")
	assert.Equal(t, []float32{0, 0, 0}, row[5:])
	assert.Equal(t, make([]float32, 64), get(o, 1, 1), "transparent pixels are paper")
	wide := get(o, 0, 1)
	for y := range 8 {
		ink := float32(0)
		if y >= 2 && y < 6 {
			ink = 1
		}
		for x := range 8 {
			assert.InDelta(t, ink, wide[8*y+x], .02, "a wide image has paper above and below")
		}
	}
	for _, fit := range []Fit{FitCrop, FitStretch} {
		for i, v := range get(ImageOptions{Height: 8, Width: 8, Fit: fit}, 0, 1) {
			assert.InDelta(t, 1, v, .02, "%s, pixel %d", fit, i)
		}
	}
	for i, v := range get(ImageOptions{Height: 8, Width: 8, Fit: FitCrop, Ink: InkLight}, 0, 2) {
		assert.InDelta(t, .5, v, .02, "pixel %d", i)
	}
	assert.Equal(t, []float32{0, 0, 0}, get(ImageOptions{Height: 8, Width: 8, Ink: InkLight}, 0, 0)[:3])
	red := get(ImageOptions{Height: 2, Width: 2, Ink: InkLight, Colour: true}, 1, 0)
	assert.Equal(t, []float32{1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, red, "ordered by channel")

	// Crop keeps the centre, pad keeps everything.
	for _, c := range []struct {
		w, h       int
		fit        Fit
		from, into image.Rectangle
	}{
		{30, 10, FitPad, image.Rect(0, 0, 30, 10), image.Rect(0, 2, 8, 5)},
		{10, 30, FitPad, image.Rect(0, 0, 10, 30), image.Rect(2, 0, 5, 8)},
		{30, 10, FitCrop, image.Rect(10, 0, 20, 10), image.Rect(0, 0, 8, 8)},
		{10, 30, FitCrop, image.Rect(0, 10, 10, 20), image.Rect(0, 0, 8, 8)},
		{10000, 1, FitPad, image.Rect(0, 0, 10000, 1), image.Rect(0, 3, 8, 4)},
		{1, 10000, FitCrop, image.Rect(0, 4999, 1, 5000), image.Rect(0, 0, 8, 8)},
	} {
		from, into := ImageOptions{Height: 8, Width: 8, Fit: c.fit}.place(image.Rect(0, 0, c.w, c.h))
		assert.Equal(t, [2]image.Rectangle{c.from, c.into}, [2]image.Rectangle{from, into}, c)
	}
}

// All formats yield the same image, with any extension; of a GIF the first frame is read.
func TestFolderFormats(t *testing.T) {
	const side = 16
	at := func(x, _ int) color.Color {
		if x < side/2 {
			return color.Black
		}
		return color.White
	}
	asGIF := func(b *bytes.Buffer, img image.Image) error {
		palette := color.Palette{color.Black, color.White}
		first, second := image.NewPaletted(img.Bounds(), palette), image.NewPaletted(img.Bounds(), palette)
		draw.Draw(first, first.Bounds(), img, image.Point{}, draw.Src)
		return gif.EncodeAll(b, &gif.GIF{Image: []*image.Paletted{first, second}, Delay: []int{1, 1}})
	}
	asBMP := func(b *bytes.Buffer, img image.Image) error { return bmp.Encode(b, img) }
	asTIFF := func(b *bytes.Buffer, img image.Image) error { return tiff.Encode(b, img, nil) }
	root := t.TempDir()
	webp, err := base64.StdEncoding.DecodeString("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==") // one pixel
	require.NoError(t, err)
	unpack(t, root, map[string][]byte{
		"a/1.png": painted(t, side, side, asPNG, at), "a/2.gif": painted(t, side, side, asGIF, at), "a/3.bmp": painted(t, side, side, asBMP, at),
		"a/4.TIF": painted(t, side, side, asTIFF, at), "a/5.tiff": painted(t, side, side, asTIFF, at), "b/1.webp": webp,
	})
	f, err := LoadFolder(t.Context(), root, ImageOptions{Height: 8, Width: 8})
	require.NoError(t, err)
	assert.Equal(t, []int{0, 5, 6}, f.start)
	for i := range 5 {
		assert.Equal(t, f.pixels[:64], f.pixels[64*i:64*i+64], f.Files[i])
	}
	assert.Equal(t, []byte{255, 255, 255}, f.pixels[:3])
}

func TestFolderErrors(t *testing.T) {
	good := drawing(20, 20, func(x, _ int) bool { return x < 5 })
	huge := bytes.Clone(good)
	copy(huge[16:], []byte{0, 0, 0x40, 1}) // the width in the header, which invalidates its checksum
	for _, c := range []struct {
		files map[string][]byte
		want  string
	}{
		{nil, "is empty: it needs a folder of PNG, JPEG, WebP, GIF, BMP or TIFF images for each class"},
		{map[string][]byte{"a/1.png": good, "loose.png": good}, "loose.png is in no class: put it in a folder of"},
		{map[string][]byte{"a/1.png": good, "b/notes.txt": nil}, "class b has no images: put PNG, JPEG, WebP, GIF, BMP or TIFF files in"},
		{map[string][]byte{"x/a/1.png": good, "x/b/notes.txt": nil}, "class x/b has no images"},
		{map[string][]byte{"a/1.png": good, "a/2.png": good[:len(good)-20]}, "2.png is truncated or damaged: "},
		{map[string][]byte{"a/1.png": []byte("text")}, "1.png is not a PNG, JPEG, WebP, GIF, BMP or TIFF image, despite its name"},
		{map[string][]byte{"a/1.gif": []byte("GIF89a")}, "1.gif is truncated or damaged"},
		{map[string][]byte{"a/1.jpg": nil}, "1.jpg is empty"},
		{map[string][]byte{"a/1.png": huge}, "1.png is truncated or damaged"},
	} {
		root := t.TempDir()
		unpack(t, root, c.files)
		_, err := LoadFolder(t.Context(), root, ImageOptions{})
		assert.ErrorContains(t, err, c.want)
	}
	root := t.TempDir()
	unpack(t, root, map[string][]byte{"a/1.png": good})
	_, err := LoadFolder(t.Context(), filepath.Join(root, "none"), ImageOptions{})
	assert.ErrorIs(t, err, ErrNotFound)
	_, err = LoadFolder(t.Context(), filepath.Join(root, "a", "1.png"), ImageOptions{})
	assert.ErrorContains(t, err, "is a file: give a folder")
	for want, o := range map[string]ImageOptions{"choose sides from 1": {Height: -1}, "unknown ink": {Ink: "red"}, "unknown fit": {Fit: "fill"}} {
		_, err = LoadFolder(t.Context(), root, o)
		assert.ErrorContains(t, err, want)
		_, err = ReadImage(filepath.Join(root, "a", "1.png"), o)
		assert.ErrorContains(t, err, want)
	}
	_, err = ReadImage(root, ImageOptions{})
	assert.ErrorContains(t, err, "is not a regular file")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = LoadFolder(ctx, root, ImageOptions{})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestInkedEdges(t *testing.T) {
	root := t.TempDir()
	unpack(t, root, map[string][]byte{
		"a/1.png": drawing(20, 20, func(x, y int) bool { return x == 10 }),
		"b/1.png": drawing(20, 20, func(x, y int) bool { return y == 10 }),
	})
	for ink, want := range map[Ink]bool{InkDark: false, InkLight: true} {
		f, err := LoadFolder(t.Context(), root, ImageOptions{Ink: ink})
		require.NoError(t, err)
		assert.Equal(t, want, InkedEdges(f))
	}
}

func classes(t *testing.T, n int) Set {
	t.Helper()
	names, counts := make([]string, n), make([]int, n)
	for i := range n {
		names[i], counts[i] = fmt.Sprintf("c%02d", i), 1
	}
	set, err := NewImages(names, counts, 1, 1, 1, make([]byte, n))
	require.NoError(t, err)
	return set
}

func TestShareSplit(t *testing.T) {
	set := classes(t, 20)
	s, err := ShareSplit(set, .6, .2, 1)
	require.NoError(t, err)
	assert.Equal(t, []int{12, 4, 4}, []int{len(s.Train), len(s.Val), len(s.Test)})
	assert.ElementsMatch(t, set.(*Images).names, slices.Concat(s.Train, s.Val, s.Test))
	again, err := ShareSplit(set, .6, .2, 1)
	require.NoError(t, err)
	assert.Equal(t, s, again)
	other, err := ShareSplit(set, .6, .2, 2)
	require.NoError(t, err)
	assert.NotEqual(t, s.Train, other.Train)
	for _, c := range []struct {
		classes    int
		train, val float64
		want       []int
	}{{3, .6, .2, []int{1, 1, 1}}, {3, .8, .1, []int{1, 1, 1}}, {4, .9, 0, []int{3, 0, 1}}, {5, 1, 0, []int{5, 0, 0}}, {5, 0, 0, []int{0, 0, 5}}} {
		s, err := ShareSplit(classes(t, c.classes), c.train, c.val, 1)
		require.NoError(t, err)
		assert.Equal(t, c.want, []int{len(s.Train), len(s.Val), len(s.Test)}, c)
	}
	_, err = ShareSplit(classes(t, 2), .5, .3, 1)
	assert.ErrorContains(t, err, "2 classes are too few")
	_, err = ShareSplit(set, .8, .3, 1)
	assert.ErrorContains(t, err, "or sum to more than 1")
}

func TestListAndCSVSplits(t *testing.T) {
	root := t.TempDir()
	unpack(t, root, map[string][]byte{
		"train.txt": []byte("a\n\n b \n"), "val.csv": []byte("filename,label\nx.jpg,c\ny.jpg,c\n"), "test.txt": []byte("d\r\ne"),
		"twice.txt": []byte("a\na\n"), "empty.txt": []byte("\n"), "both.txt": []byte("a\n"), "no.csv": []byte("name,file\n"), "short.csv": []byte("class,split\na\n"),
		"all.csv": []byte("\ufeffsplit, class\ntrain,a\nval,\"b,c\"\ntest,d\ntest,d\n"), "wrong.csv": []byte("class,split\na,train\nb,valid\n"), "none.csv": nil,
	})
	at := func(name string) string { return filepath.Join(root, name) }
	s, err := ListSplit(at("train.txt"), at("val.csv"), at("test.txt"))
	require.NoError(t, err)
	assert.Equal(t, Split{"lists", []string{"a", "b"}, []string{"c"}, []string{"d", "e"}}, s)
	s, err = ListSplit(at("train.txt"), "", at("test.txt"))
	require.NoError(t, err)
	assert.Empty(t, s.Val)
	s, err = CSVSplit(at("all.csv"))
	require.NoError(t, err)
	assert.Equal(t, Split{"csv", []string{"a"}, []string{"b,c"}, []string{"d"}}, s)
	for file, want := range map[string]string{
		"twice.txt": `line 2: "a" is listed twice`, "empty.txt": "names no class", "gone.txt": "reading a split list", "no.csv": "has no column class or label: its first line names name, file",
		"none.csv": "is empty: its first line names the columns",
	} {
		_, err := ListSplit(at(file), "", "")
		assert.ErrorContains(t, err, want)
	}
	_, err = ListSplit(at("train.txt"), "", at("both.txt"))
	assert.ErrorContains(t, err, "has a in train and in test")
	_, err = CSVSplit(at("wrong.csv"))
	assert.ErrorContains(t, err, `wrong.csv, line 3: unknown split "valid": use train, val or test`)
	_, err = CSVSplit(at("short.csv"))
	assert.ErrorContains(t, err, "wrong number of fields")
}
