package dataset

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func textures(t testing.TB, seed uint64, o DrawnOptions) *Textures {
	t.Helper()
	set, err := NewTextures(seed, o)
	require.NoError(t, err)
	return set
}

func TestTexturesAreFunctionsOfTheirNumbers(t *testing.T) {
	set := textures(t, 1, DrawnOptions{})
	assert.Equal(t, 100, set.Classes())
	assert.Equal(t, 100, set.Instances(0))
	c, h, w := set.Shape()
	assert.Equal(t, []int{3, 32, 32}, []int{c, h, w})
	s := set.Split()
	assert.Equal(t, []int{64, 16, 20}, []int{len(s.Train), len(s.Val), len(s.Test)})
	_, err := s.Parts(set, RotateClasses)
	require.NoError(t, err)

	few := textures(t, 1, DrawnOptions{Train: 5, Instances: 4, CacheBytes: 3 * 3 * 32 * 32})
	want, got, values := make([]byte, 3*32*32), make([]byte, 3*32*32), make([]float32, 3*32*32)
	read := Bytes(set)
	var all sync.WaitGroup
	for class := range 5 {
		for i := range 4 {
			read(want, class, i, 1)
			for range 2 { // the second time from the cache, where there is room
				few.bytes(got, class, i, 1)
				require.Equal(t, want, got, "neither the number of classes nor that of instances matters")
			}
			set.Image(values, class, i, 1)
			for k, v := range values {
				require.Equal(t, float32(want[k])/255, v)
			}
			all.Go(func() {
				b := make([]byte, 3*32*32)
				few.bytes(b, class, i, 0)
			})
		}
	}
	all.Wait()
	other := textures(t, 2, DrawnOptions{})
	other.bytes(got, 4, 3, 1)
	assert.NotEqual(t, want, got)
	assert.Panics(t, func() { set.bytes(got, 0, 100, 0) })
	assert.Panics(t, func() { set.bytes(got, 100, 0, 0) })
	assert.Panics(t, func() { set.Class(-1) })
	for _, o := range []DrawnOptions{{Train: -1, Val: 2}, {Instances: 1 << 30}, {Train: 1 << 20, Instances: 1 << 10}, {Size: 7}, {Size: 257}} {
		_, err := NewTextures(1, o)
		assert.Error(t, err)
	}
}

// Images are coloured and fill their range, instances differ, and a class's images are more alike than others: a plain comparison
// of pixels finds the class far more often than chance, and far from always.
func TestTexturesAreLearnable(t *testing.T) {
	set := textures(t, 3, DrawnOptions{Train: 20, Val: 1, Test: 1, Instances: 12, Size: 16})
	size := 3 * 16 * 16
	image := func(class, i int) []float32 {
		b := make([]float32, size)
		set.Image(b, class, i, 0)
		return b
	}
	means := make([][]float32, 20)
	for c := range means {
		means[c] = make([]float32, size)
		for i := range 6 {
			for k, v := range image(c, i) {
				means[c][k] += v / 6
			}
		}
	}
	right, low, high := 0, float32(1), float32(0)
	for c := range means {
		for i := 6; i < 12; i++ {
			best, at := float32(1e9), 0
			img := image(c, i)
			for m, mean := range means {
				d := float32(0)
				for k, v := range img {
					d += (v - mean[k]) * (v - mean[k])
				}
				if d < best {
					best, at = d, m
				}
			}
			if at == c {
				right++
			}
			for _, v := range img {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	t.Logf("%d of 120 right", right)
	assert.Greater(t, right, 40)
	assert.Less(t, right, 115)
	assert.Less(t, low, float32(.1))
	assert.Greater(t, high, float32(.9))
}

// TestTexturesSheet writes a contact sheet, one class per row, where ENGRAM_SHEET names a file.
func TestTexturesSheet(t *testing.T) {
	file := os.Getenv("ENGRAM_SHEET")
	if file == "" {
		t.Skip("ENGRAM_SHEET names no file")
	}
	const side, rows, columns = 64, 12, 16
	set := textures(t, 1, DrawnOptions{Size: side})
	sheet := image.NewRGBA(image.Rect(0, 0, columns*side, rows*side))
	b := make([]byte, 3*side*side)
	for row := range rows {
		for column := range columns {
			set.bytes(b, row, column, 0)
			for i := range side * side {
				sheet.SetRGBA(column*side+i%side, row*side+i/side, color.RGBA{b[i], b[side*side+i], b[2*side*side+i], 255})
			}
		}
	}
	f, err := os.Create(file)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, sheet))
	require.NoError(t, f.Close())
}

func BenchmarkTextures(b *testing.B) {
	for _, size := range []int{32, 84} {
		b.Run(map[int]string{32: "32", 84: "84"}[size], func(b *testing.B) {
			set := textures(b, 1, DrawnOptions{Size: size, CacheBytes: -1})
			dst, n := make([]byte, 3*size*size), 0
			b.ReportAllocs()
			for b.Loop() {
				set.bytes(dst, n%100, n/100%100, 0)
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
