package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/stream"
)

func strokes(t testing.TB, seed uint64, o DrawnOptions) *Strokes {
	s, err := NewStrokes(seed, o)
	require.NoError(t, err)
	return s
}

func TestStrokesDependOnSeedClassAndInstanceOnly(t *testing.T) {
	some := strokes(t, 7, DrawnOptions{Train: 30, Instances: 4, CacheBytes: -1})
	more := strokes(t, 7, DrawnOptions{Train: 5, Val: 40, Test: 5, Instances: 30})
	few := strokes(t, 7, DrawnOptions{Train: 30, Instances: 4, CacheBytes: 3 * 784}) // room for three images
	for range 2 {                                                                    // the second time from the cache, if any
		for class := 29; class >= 0; class-- {
			for instance := range 4 {
				want := imageOf(some, class, instance, 1)
				require.Equal(t, want, imageOf(more, class, instance, 1))
				require.Equal(t, want, imageOf(few, class, instance, 1))
			}
		}
	}
	kept := 0
	for i := range few.cache {
		if few.cache[i].Load() != nil {
			kept++
		}
	}
	assert.Equal(t, 3, kept, "the cache respects its limit")

	other := strokes(t, 8, DrawnOptions{Train: 1})
	assert.NotEqual(t, imageOf(some, 0, 0, 0), imageOf(other, 0, 0, 0))
	assert.NotEqual(t, imageOf(some, 0, 0, 0), imageOf(some, 0, 1, 0))
	assert.NotEqual(t, imageOf(some, 0, 0, 0), imageOf(some, 1, 0, 0))
}

// A change of these characters changes every result measured on them, so it must be intended.
func TestStrokesArePinned(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other processors may round differently")
	}
	set, sum := strokes(t, 1, DrawnOptions{Train: 10}), sha256.New()
	for class := range 10 {
		require.NoError(t, binary.Write(sum, binary.LittleEndian, imageOf(set, class, class, 0)))
	}
	assert.Equal(t, "ec610896602662fb", fmt.Sprintf("%.8x", sum.Sum(nil)))
}

func TestStrokesFromManyGoroutines(t *testing.T) {
	plain, set := strokes(t, 1, DrawnOptions{Train: 20, CacheBytes: -1}), strokes(t, 1, DrawnOptions{Train: 20})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for class := range 20 {
				assert.Equal(t, imageOf(plain, class, 3, 0), imageOf(set, class, 3, 0))
			}
		})
	}
	all.Wait()
}

func TestStrokesFillThePage(t *testing.T) {
	for _, size := range []int{8, 20, 28, 105} {
		set := strokes(t, 3, DrawnOptions{Train: 200, Size: size})
		for class := range set.Classes() {
			ink, most := 0.0, float32(0)
			for _, v := range imageOf(set, class, 0, 0) {
				require.True(t, v >= 0 && v <= 1)
				ink += float64(v)
				most = max(most, v)
			}
			share := ink / float64(size*size)
			require.True(t, share > 0.02 && share < 0.5, "class %d at %d: %.3f of the page is ink", class, size, share)
			require.Greater(t, most, float32(0.6), "class %d at %d", class, size)
		}
	}
}

func TestStrokesSplit(t *testing.T) {
	set := strokes(t, 1, DrawnOptions{})
	assert.Equal(t, 1623, set.Classes())
	assert.Equal(t, 20, set.Instances(0))
	p, err := set.Split().Parts(set, RotateClasses)
	require.NoError(t, err)
	assert.Equal(t, [3]int{4 * 1028, 4 * 172, 4 * 423}, [3]int{p.Train.Classes(), p.Val.Classes(), p.Test.Classes()})
	assert.Equal(t, "strokes/01200/rot000", p.Test.Class(0))
	assert.Panics(t, func() { set.Class(1623) })
	assert.Panics(t, func() { imageOf(set, 0, 20, 0) }, "not the first of the next class")
}

func TestStrokesRefuse(t *testing.T) {
	for _, c := range []struct {
		o    DrawnOptions
		says string
	}{
		{DrawnOptions{Train: -1}, "from 0"},
		{DrawnOptions{Instances: -1}, "from 0"},
		{DrawnOptions{Train: math.MaxInt, Val: 1}, "from 0"},
		{DrawnOptions{Size: 7}, "8 to 256"},
		{DrawnOptions{Train: 1 << 20, Instances: 1 << 20}, "images in all"},
		{DrawnOptions{Train: 1 << 24, Val: 1 << 24, Test: 1 << 24}, "images in all"},
	} {
		_, err := NewStrokes(1, c.o)
		assert.ErrorContains(t, err, c.says)
	}
}

// pixelNeighbour returns the 5-way 1-shot accuracy of the nearest neighbour by Euclidean distance of pixels.
func pixelNeighbour(set Set, episodes int) float64 {
	return neighbour(set, episodes, func(a, b []float32) float64 {
		var d float64
		for i := range a {
			d += float64((a[i] - b[i]) * (a[i] - b[i]))
		}
		return d
	})
}

func neighbour(set Set, episodes int, distance func(a, b []float32) float64) float64 {
	right := 0
	for e := range episodes {
		r := stream.New(1, "test/neighbour", uint64(e))
		classes := r.Perm(set.Classes())[:5]
		asked := r.IntN(5)
		query := imageOf(set, classes[asked], 1+r.IntN(set.Instances(classes[asked])-1), 0)
		distances := make([]float64, 5)
		for i, c := range classes {
			distances[i] = distance(imageOf(set, c, 0, 0), query)
		}
		if slices.Index(distances, slices.Min(distances)) == asked {
			right++
		}
	}
	return float64(right) / float64(episodes)
}

// Comparing pixels must fail, as on Omniglot (42 to 46 %), but the images must determine the classes, so a distance
// that tolerates shifts and small deformations must do much better.
func TestStrokesAreNeitherTrivialNorImpossible(t *testing.T) {
	set := strokes(t, 1, DrawnOptions{})
	pixels := pixelNeighbour(set, 2000)
	assert.Greater(t, pixels, 0.40, "chance is 0.20")
	assert.Less(t, pixels, 0.60)
	forgiving := neighbour(set, 400, forgivingDistance)
	assert.Greater(t, forgiving, 0.80)
	t.Logf("5-way 1-shot: pixels %.3f, forgiving %.3f", pixels, forgiving)
}

// forgivingDistance is the chamfer distance after aligning the centres of ink: the mean distance of each image's ink
// to the other's.
func forgivingDistance(a, b []float32) float64 {
	ink := func(img []float32) (pts [][2]float64) {
		var cx, cy float64
		for i, v := range img {
			if v > 0.5 {
				pts = append(pts, [2]float64{float64(i % 28), float64(i / 28)})
				cx, cy = cx+float64(i%28), cy+float64(i/28)
			}
		}
		for i := range pts {
			pts[i][0] -= cx / float64(len(pts))
			pts[i][1] -= cy / float64(len(pts))
		}
		return pts
	}
	p, q := ink(a), ink(b)
	oneWay := func(p, q [][2]float64) float64 {
		sum := 0.0
		for _, u := range p {
			best := math.Inf(1)
			for _, v := range q {
				best = min(best, (u[0]-v[0])*(u[0]-v[0])+(u[1]-v[1])*(u[1]-v[1]))
			}
			sum += math.Sqrt(best)
		}
		return sum / float64(len(p))
	}
	return oneWay(p, q) + oneWay(q, p)
}

func BenchmarkStrokes(b *testing.B) {
	for name, o := range map[string]DrawnOptions{"drawn": {CacheBytes: -1}, "kept": {}} {
		b.Run(name, func(b *testing.B) {
			set := strokes(b, 1, o)
			dst := make([]float32, 28*28)
			for i := 0; b.Loop(); i++ {
				set.Image(dst, i%100, i/100%20, 0)
			}
		})
	}
}

func BenchmarkNewStrokes(b *testing.B) {
	for b.Loop() {
		strokes(b, 1, DrawnOptions{})
	}
}
