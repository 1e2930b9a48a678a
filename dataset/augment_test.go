package dataset

import (
	"bytes"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/draw"

	"github.com/engram-go/engram/stream"
)

// colours is a set of random images of three channels.
func colours(t testing.TB, classes, instances, side int) *Images {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	pixels := make([]byte, classes*instances*3*side*side)
	for i := range pixels {
		pixels[i] = byte(r.IntN(256))
	}
	names, counts := make([]string, classes), make([]int, classes)
	for i := range names {
		names[i], counts[i] = string(rune('a'+i)), instances
	}
	set, err := NewImages(names, counts, 3, side, side, pixels)
	require.NoError(t, err)
	return set
}

func augmenter(t testing.TB, a Augmentation, set Set) *Augmenter {
	t.Helper()
	g, err := NewAugmenter(a, set)
	require.NoError(t, err)
	return g
}

func TestAugmentationCropsAndFlips(t *testing.T) {
	const side, pad = 5, 2
	set := colours(t, 1, 1, side)
	image := set.stored(0, 0)
	// padded is the value of the image with its border, flipped or not.
	padded := func(c, y, x int) byte {
		if y < 0 || x < 0 || y >= side || x >= side {
			return 0
		}
		return image[(c*side+y)*side+x]
	}
	g, r := augmenter(t, Augmentation{Pad: pad, Flip: .5}, set), stream.New(1, "test", 0)
	seen := map[[3]int]int{}
	dst := make([]byte, len(image))
	for range 5000 {
		g.Image(dst, 0, 0, 0, r)
		found := 0
		for top := -pad; top <= pad; top++ {
			for left := -pad; left <= pad; left++ {
				for flip := range 2 {
					same := true
					for i, v := range dst {
						c, y, x := i/(side*side), i/side%side, i%side
						if flip == 1 {
							x = side - 1 - x
						}
						same = same && v == padded(c, y+top, x+left)
					}
					if same {
						found++
						seen[[3]int{top, left, flip}]++
					}
				}
			}
		}
		require.Equal(t, 1, found, "a crop is a crop of the image with its border")
	}
	require.Len(t, seen, 50, "every crop is drawn, flipped and not")
	for which, n := range seen {
		assert.InDelta(t, 100, n, 45, "%v is drawn as often as the others", which)
	}
}

// A resized crop is what the library's triangle filter makes of it, which is as wide as the reduction.
func TestAugmentationScalesAsTheLibraryDoes(t *testing.T) {
	for _, c := range [][3]int{{24, 24, 24}, {24, 9, 24}, {24, 24, 10}, {40, 31, 12}, {24, 1, 8}, {24, 2, 8}, {7, 7, 24}} {
		whole, part, size := c[0], c[1], c[2]
		set := colours(t, 1, 1, whole)
		pixels := set.stored(0, 0)
		cut, err := Prepare(set, Preparation{Height: min(size, whole), Width: min(size, whole)})
		require.NoError(t, err)
		g := augmenter(t, Augmentation{Area: .5}, cut)
		if size > whole {
			g.height, g.width = size, size
			g.rows = make([]uint16, whole*size)
		}
		copy(g.image, pixels)
		dst := make([]byte, 3*size*size)
		top, left := (whole-part)/2, whole-part
		g.scale(dst, top, left, part, part)

		from := image.NewRGBA(image.Rect(0, 0, part, part))
		for y := range part {
			for x := range part {
				for k := range 3 {
					from.Pix[from.PixOffset(x, y)+k] = pixels[(k*whole+top+y)*whole+left+x]
				}
				from.Pix[from.PixOffset(x, y)+3] = 255
			}
		}
		to := image.NewRGBA(image.Rect(0, 0, size, size))
		draw.BiLinear.Scale(to, to.Bounds(), from, from.Bounds(), draw.Src, nil)
		for i, v := range dst {
			k, y, x := i/(size*size), i/size%size, i%size
			require.InDelta(t, to.Pix[to.PixOffset(x, y)+k], v, 2, "%v: channel %d at %d, %d", c, k, y, x)
		}
	}
}

func TestAugmentationDrawsBoxes(t *testing.T) {
	a, r := Augmentation{Area: .08}, stream.New(1, "test", 0)
	smallest, largest, wide := 1., 0., 0
	for range 2000 {
		top, left, h, w := a.box(r, 84, 84)
		require.True(t, top >= 0 && left >= 0 && h >= 1 && w >= 1 && top+h <= 84 && left+w <= 84)
		ratio, area := float64(w)/float64(h), float64(h*w)/(84*84)
		require.InDelta(t, 0, math.Log(ratio), math.Log(4./3)+.05)
		smallest, largest = min(smallest, area), max(largest, area)
		if w > h {
			wide++
		}
	}
	assert.InDelta(t, .08, smallest, .02)
	assert.Greater(t, largest, .9)
	assert.InDelta(t, 1000, wide, 150)
	for _, size := range [][2]int{{10, 100}, {100, 10}, {1, 1}} { // that no drawn box may fit
		for range 100 {
			top, left, h, w := a.box(r, size[0], size[1])
			require.True(t, top >= 0 && left >= 0 && h >= 1 && w >= 1 && top+h <= size[0] && left+w <= size[1])
		}
	}
}

func TestAugmentationJitters(t *testing.T) {
	set := colours(t, 1, 1, 16)
	before := set.stored(0, 0)
	luma := func(b []byte, i int) float64 {
		return .299*float64(b[i]) + .587*float64(b[256+i]) + .114*float64(b[512+i])
	}
	mean := 0.
	for i := range 256 {
		mean += luma(before, i) / 256
	}
	g, r := augmenter(t, Augmentation{Brightness: .4}, set), stream.New(1, "test", 0)
	dst := make([]byte, len(before))
	apply := func(what func()) {
		copy(dst, before)
		what()
	}
	for _, f := range []float64{.6, .9, 1, 1.3} {
		apply(func() { g.blend(dst, 0, f) })
		for i, v := range dst {
			require.InDelta(t, min(255, f*float64(before[i])), v, .51, "brightness")
		}
		apply(func() { g.blend(dst, math.Floor(g.meanLuma(dst)+.5), f) })
		for i, v := range dst {
			require.InDelta(t, max(0, min(255, mean+f*(float64(before[i])-mean))), v, 1.1, "contrast")
		}
		apply(func() { g.saturate(dst, f) })
		for i, v := range dst {
			l := luma(before, i%256)
			require.InDelta(t, max(0, min(255, l+f*(float64(before[i])-l))), v, 1.1, "saturation")
		}
	}
	for _, a := range []Augmentation{{Brightness: .4}, {Contrast: .4}, {Saturation: .4}, {Hue: .4}, {Brightness: .4, Contrast: .4, Saturation: .4, Hue: .1}} {
		g = augmenter(t, a, set)
		g.Image(dst, 0, 0, 0, r)
		assert.NotEqual(t, before, dst)
	}
	grey, err := NewImages([]string{"a"}, []int{1}, 1, 16, 16, before[:256])
	require.NoError(t, err)
	augmenter(t, Augmentation{Brightness: .4, Contrast: .4}, grey).Image(dst[:256], 0, 0, 0, r)
	for _, a := range []Augmentation{{Saturation: .4}, {Hue: .1}} {
		_, err = NewAugmenter(a, grey)
		assert.ErrorContains(t, err, "the images have 1 channels")
	}
	assert.ErrorContains(t, Augmentation{Hue: .6}.Check(), "hue is 0.6, and must be between 0 and 0.5")
}

func TestAugmentationTurnsHues(t *testing.T) {
	set := colours(t, 1, 1, 16)
	before := set.stored(0, 0)
	copy(before[:3], []byte{255, 0, 7}) // and 0 after that: pure colours
	g, dst := augmenter(t, Augmentation{Hue: .5}, set), make([]byte, len(before))
	for _, by := range []float64{-.5, -.2, 0, 1. / 3, .5} {
		copy(dst, before)
		g.turn(dst, float32(by))
		for i := range 256 {
			var rgb [3]float64
			for c := range rgb {
				rgb[c] = float64(before[256*c+i]) / 255
			}
			high, low := slices.Max(rgb[:]), slices.Min(rgb[:])
			if high == low {
				continue
			}
			hue := 0.
			for c, v := range rgb {
				if v == high {
					hue = (2*float64(c) + (rgb[(c+1)%3]-rgb[(c+2)%3])/(high-low)) / 6
					break
				}
			}
			want := hsv(hue+by, (high-low)/high, high)
			for c, v := range want {
				require.InDelta(t, 255*v, dst[256*c+i], .51, "%v turned by %g", rgb, by)
			}
		}
	}
	for i := range before { // grey
		before[i] = byte(i % 256)
	}
	copy(dst, before)
	g.turn(dst, .3)
	assert.Equal(t, before, dst)
}

func TestAugmentationErases(t *testing.T) {
	const side = 20
	set := colours(t, 1, 1, side)
	before := set.stored(0, 0)
	for i, v := range before { // that no value is the filling's
		before[i] = v/2 + 100
	}
	g, r := augmenter(t, Augmentation{Erase: .5, Fill: []byte{1, 2, 3}}, set), stream.New(1, "test", 0)
	dst, erased := make([]byte, len(before)), 0
	for range 1000 {
		g.Image(dst, 0, 0, 0, r)
		top, left, bottom, right, n := side, side, 0, 0, 0
		for i, v := range dst {
			c, y, x := i/(side*side), i/side%side, i%side
			if v == before[i] {
				continue
			}
			require.EqualValues(t, c+1, v)
			top, left, bottom, right, n = min(top, y), min(left, x), max(bottom, y+1), max(right, x+1), n+1
		}
		if n > 0 {
			erased++
			require.Equal(t, 3*(bottom-top)*(right-left), n, "a rectangle, in all channels")
			require.InDelta(t, .175, float64(n)/(3*side*side), .2) // and what rounding adds
		}
	}
	assert.InDelta(t, 500, erased, 60)
}

// The same numbers give the same image, whatever was augmented before by whom.
func TestAugmentationIsRepeatable(t *testing.T) {
	set := colours(t, 2, 3, 20)
	cut, err := Prepare(set, Preparation{Height: 16, Width: 16})
	require.NoError(t, err)
	for _, a := range []Augmentation{
		{Pad: 2, Flip: .5, Brightness: .4, Contrast: .4, Saturation: .4, Erase: .5}, {Area: .08, Flip: .5, Brightness: .4, Contrast: .4, Saturation: .4}, {Flip: 1},
	} {
		one, other := augmenter(t, a, cut), augmenter(t, a, cut)
		first, second := make([]byte, 3*16*16), make([]byte, 3*16*16)
		for i := range uint64(20) {
			one.Image(first, int(i%2), int(i%3), int(i%4), stream.New(1, "test", i))
		}
		other.Image(second, 1, 1, 3, stream.New(1, "test", 19))
		assert.Equal(t, first, second)
		assert.False(t, bytes.Equal(second, set.stored(1, 1)[:len(second)]))
	}
}

func TestAugmentationRefuses(t *testing.T) {
	set := colours(t, 1, 1, 8)
	for says, a := range map[string]Augmentation{
		"flip is 1.5": {Flip: 1.5}, "erase is NaN": {Erase: math.NaN()}, "a border of -1": {Pad: -1}, "choose pad or area": {Pad: 1, Area: .5}, "2 values to fill 3": {Erase: 1, Fill: []byte{1, 2}},
	} {
		_, err := NewAugmenter(a, set)
		assert.ErrorContains(t, err, says)
	}
	_, err := NewAugmenter(Augmentation{Flip: 1}, struct{ Set }{set})
	assert.ErrorContains(t, err, "works on sets of bytes")
}

// The whole usual augmentation, on one core: the images per second of two are twice as many.
func BenchmarkAugment(b *testing.B) {
	set := colours(b, 4, 4, 84)
	jitter := Augmentation{Flip: .5, Brightness: .4, Contrast: .4, Saturation: .4, Erase: .5}
	for name, a := range map[string]Augmentation{"pad": jitter, "area": jitter} {
		b.Run(name, func(b *testing.B) {
			if a.Pad = 8; name == "area" {
				a.Pad, a.Area = 0, .08
			}
			g, dst, r := augmenter(b, a, set), make([]byte, 3*84*84), stream.New(1, "bench", 0)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				g.Image(dst, n%4, n/4%4, 0, r)
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
