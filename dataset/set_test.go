package dataset

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbered is a set of classes a, b, … with distinct values: v/255 for the v-th byte.
func numbered(t *testing.T, classes, instances, channels, side int) *Images {
	t.Helper()
	names, counts := make([]string, classes), make([]int, classes)
	for i := range names {
		names[i], counts[i] = string(rune('a'+i)), instances
	}
	pixels := make([]byte, classes*instances*channels*side*side)
	for i := range pixels {
		pixels[i] = byte(i)
	}
	set, err := NewImages(names, counts, channels, side, side, pixels)
	require.NoError(t, err)
	return set
}

func imageOf(set Set, class, instance, quarter int) []float32 {
	c, h, w := set.Shape()
	dst := make([]float32, c*h*w)
	set.Image(dst, class, instance, quarter)
	return dst
}

func TestImagesAreOrderedByClass(t *testing.T) {
	pixels := []byte{0, 51, 102, 153, 204, 255}
	set, err := NewImages([]string{"x", "y"}, []int{1, 2}, 1, 1, 2, pixels)
	require.NoError(t, err)
	assert.Equal(t, 2, set.Classes())
	assert.Equal(t, "y", set.Class(1))
	assert.Equal(t, 2, set.Instances(1))
	assert.Equal(t, []float32{0, 0.2}, imageOf(set, 0, 0, 0))
	assert.Equal(t, []float32{0.8, 1}, imageOf(set, 1, 1, 0), "ink is exactly 1")
	assert.Equal(t, []float32{1, 0.8}, imageOf(set, 1, 1, 2), "two quarters do not require a square")
	ramp, want := make([]byte, 19), make([]float32, 19)
	for i := range ramp {
		ramp[i], want[i] = byte(13*i), float32(13*i)/255
	}
	long, err := NewImages([]string{"x"}, []int{1}, 1, 1, 19, ramp)
	require.NoError(t, err)
	assert.Equal(t, want, imageOf(long, 0, 0, 0))
	assert.Panics(t, func() { imageOf(set, 0, 1, 0) }, "not the next class's image")
	assert.Panics(t, func() { imageOf(set, 0, -1, 0) })
	assert.Error(t, SquareError(set))
}

func TestNewImagesRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		names  []string
		counts []int
		h      int
		bytes  int
		says   string
	}{
		"counts":   {[]string{"x"}, []int{1, 1}, 1, 2, "one count per class"},
		"empty":    {[]string{"x"}, []int{0}, 1, 0, "at least one"},
		"twice":    {[]string{"x", "x"}, []int{1, 1}, 1, 2, "must differ"},
		"too few":  {[]string{"x", "y"}, []int{1, 1}, 1, 1, "which take 2"},
		"absurd":   {[]string{"x"}, []int{1 << 62}, 1, 1, "1 values in all"},
		"overflow": {[]string{"x"}, []int{1}, 1 << 62, 1, "must not exceed"},
		"no shape": {[]string{"x"}, []int{1}, 0, 1, "must be positive"},
	} {
		_, err := NewImages(c.names, c.counts, 1, c.h, 1, make([]byte, c.bytes))
		assert.ErrorContains(t, err, c.says, name)
	}
}

func TestQuartersRotateCounterClockwise(t *testing.T) {
	const channels, side = 2, 5
	set := numbered(t, 1, 2, channels, side)
	plain := imageOf(set, 0, 1, 0)
	want := plain
	for quarter := range 9 {
		assert.Equal(t, want, imageOf(set, 0, 1, quarter), "%d quarters", quarter)
		// One more quarter: the top right corner moves to the top left, so out[y][x] = in[x][side-1-y].
		next := make([]float32, len(want))
		for c := range channels {
			for y := range side {
				for x := range side {
					next[(c*side+y)*side+x] = want[(c*side+x)*side+side-1-y]
				}
			}
		}
		want = next
	}
	assert.Equal(t, imageOf(set, 0, 1, 3), imageOf(set, 0, 1, -1))
}

// own is a set that embeds one of this package but has its own Image.
type own struct{ *Images }

func (s own) Image(dst []float32, _, _, _ int) { clear(dst) }

// withParts returns a set of at least 4 classes of 3 images, and sets derived from it.
func withParts(t *testing.T, set Set) []Set {
	t.Helper()
	some, err := Subset(set, []int{3, 1})
	require.NoError(t, err)
	last, err := Drawers(some, 1, 2)
	require.NoError(t, err)
	turned, err := WithRotations(last)
	require.NoError(t, err)
	part, err := Subset(turned, []int{6, 1, 3})
	require.NoError(t, err)
	return []Set{set, some, last, turned, part}
}

// Bytes writes the same values as Image, for every kind of set and any number of quarters.
func TestBytesAreTheValues(t *testing.T) {
	set := numbered(t, 4, 3, 2, 5)
	drawn := func(cache int) Set {
		return strokes(t, 1, DrawnOptions{Train: 4, Instances: 3, Size: 9, CacheBytes: cache})
	}
	for name, whole := range map[string]Set{
		"images": set, "omniglot": &Omniglot{Images: set}, "folder": &Folder{Images: set}, "strokes": drawn(-1), "cached strokes": drawn(0),
	} {
		for k, s := range withParts(t, whole) {
			write := Bytes(s)
			require.NotNil(t, write, "%s %d", name, k)
			channels, height, width := s.Shape()
			size := channels * height * width
			for class := range s.Classes() {
				for instance := range s.Instances(class) {
					for quarter := -1; quarter < 5; quarter++ {
						dst := make([]byte, size+1)
						write(dst, class, instance, quarter)
						assert.Zero(t, dst[size], "no more than the image")
						got := make([]float32, size)
						for i := range got {
							got[i] = float32(dst[i]) / 255
						}
						require.Equal(t, imageOf(s, class, instance, quarter), got, "%s %d: class %d, image %d, %d quarters", name, k, class, instance, quarter)
					}
				}
			}
			assert.Panics(t, func() { write(make([]byte, size), 0, s.Instances(0), 0) }, "%s %d", name, k)
			assert.Panics(t, func() { write(make([]byte, size), 0, -1, 0) }, "%s %d", name, k)
			assert.Panics(t, func() { write(make([]byte, size-1), 0, 0, 0) }, "%s %d: dst is too short", name, k)
		}
	}
	for name, whole := range map[string]Set{"of another package": struct{ Set }{set}, "with images of its own": own{set}} {
		for k, s := range withParts(t, whole) {
			assert.Nil(t, Bytes(s), "%s %d", name, k)
		}
	}
}

func TestSubsetAndSelect(t *testing.T) {
	set := numbered(t, 4, 2, 1, 3)
	some, err := Select(set, []string{"d", "b"})
	require.NoError(t, err)
	assert.Equal(t, 2, some.Classes())
	assert.Equal(t, "d", some.Class(0))
	assert.Equal(t, 2, some.Instances(1))
	assert.Equal(t, imageOf(set, 1, 1, 1), imageOf(some, 1, 1, 1))

	_, err = Select(set, []string{"a", "nobody", "none"})
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	assert.Equal(t, []string{"nobody", "none"}, missing.Names)
	assert.ErrorContains(t, err, "nobody, none")

	_, err = Subset(set, []int{4})
	assert.ErrorContains(t, err, "class 4 of a set of 4 classes")
	_, err = Subset(set, []int{1, 1})
	assert.ErrorContains(t, err, "twice")
}

func TestWithRotationsMakesFourClasses(t *testing.T) {
	set := numbered(t, 3, 2, 1, 4)
	turned, err := WithRotations(set)
	require.NoError(t, err)
	assert.Equal(t, 12, turned.Classes())
	assert.Equal(t, "b/rot270", turned.Class(7))
	assert.Equal(t, "a/rot000", turned.Class(0))
	assert.Equal(t, 2, turned.Instances(11))
	for class := range 12 {
		assert.Equal(t, imageOf(set, class/4, 1, class%4), imageOf(turned, class, 1, 0))
		assert.Equal(t, imageOf(set, class/4, 1, class%4+3), imageOf(turned, class, 1, 3))
	}
	assert.False(t, Rotated(set))
	assert.True(t, Rotated(turned))
	part, err := Subset(turned, []int{5})
	require.NoError(t, err)
	assert.True(t, Rotated(part), "a part of a rotated set is rotated")
	_, err = WithRotations(part)
	assert.ErrorContains(t, err, "rotated already")

	oblong, err := NewImages([]string{"x"}, []int{1}, 1, 1, 2, make([]byte, 2))
	require.NoError(t, err)
	_, err = WithRotations(oblong)
	assert.ErrorContains(t, err, "1x2")
}

func TestParseRotation(t *testing.T) {
	for _, want := range Rotations() {
		got, err := ParseRotation(string(want))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	got, err := ParseRotation("")
	require.NoError(t, err)
	assert.Equal(t, RotateNone, got)
	_, err = ParseRotation("sideways")
	assert.ErrorContains(t, err, "per-class")
}
