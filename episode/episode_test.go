package episode

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

// tagged is a set whose images are identifiable: the first value is the class, the second the instance, in 255ths.
// The number of instances differs between classes; the first has least.
func tagged(t testing.TB, classes, least, side int) dataset.Set {
	t.Helper()
	names, counts := make([]string, classes), make([]int, classes)
	var pixels []byte
	for c := range classes {
		names[c], counts[c] = fmt.Sprintf("class%03d", c), least+c%3
		for i := range counts[c] {
			image := make([]byte, side*side)
			image[0], image[1] = byte(c), byte(i)
			pixels = append(pixels, image...)
		}
	}
	set, err := dataset.NewImages(names, counts, 1, side, side, pixels)
	require.NoError(t, err)
	return set
}

func sampler(t testing.TB, set dataset.Set, spec Spec, seed uint64, stream string) *Sampler {
	t.Helper()
	s, err := New(set, spec, seed, stream)
	require.NoError(t, err)
	return s
}

func TestEpisodeIsAPureFunction(t *testing.T) {
	set := tagged(t, 30, 6, 2)
	spec := Spec{Way: 5, Shot: 2, Query: 3, Rotation: dataset.RotatePerClass}
	s := sampler(t, set, spec, 1, "train")
	forwards := make([]Episode, 50)
	for i := range forwards {
		forwards[i] = s.Episode(uint64(i))
	}
	again := sampler(t, set, spec, 1, "train")
	for i := len(forwards) - 1; i >= 0; i-- {
		assert.Equal(t, forwards[i], again.Episode(uint64(i)), "backwards")
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range forwards {
				assert.Equal(t, forwards[i], s.Episode(uint64(i)), "concurrently")
			}
		})
	}
	all.Wait()
	for name, other := range map[string]*Sampler{
		"seed":   sampler(t, set, spec, 2, "train"),
		"stream": sampler(t, set, spec, 1, "test"),
	} {
		assert.NotEqual(t, forwards[0], other.Episode(0), "another %s", name)
	}
	assert.NotEqual(t, forwards[0], forwards[1])
	s.Episode(math.MaxUint64)
}

// A change of the draws changes every result, so it must be intended.
func TestEpisodesArePinned(t *testing.T) {
	e := sampler(t, tagged(t, 30, 6, 2), Spec{Way: 3, Shot: 1, Query: 1, Rotation: dataset.RotatePerClass}, 1, "train").Episode(7)
	assert.Equal(t, Episode{
		Classes: []int{0, 17, 13},
		Support: []Item{{0, 2, 1, 0}, {17, 2, 3, 1}, {13, 0, 3, 2}},
		Query:   []Item{{0, 4, 1, 0}, {17, 5, 3, 1}, {13, 5, 3, 2}},
	}, e)
}

func TestEpisodeHoldsWhatItShould(t *testing.T) {
	set := tagged(t, 12, 5, 2)
	for _, spec := range []Spec{
		{Way: 5, Shot: 1, Query: 4},
		{Way: 12, Shot: 2, Query: 3}, // every class, and every image of the smallest
		{Way: 1, Shot: 1},
		{Way: 4, Shot: 3, Query: 1, Rotation: dataset.RotateEpisode},
		{Way: 4, Shot: 3, Query: 1, Rotation: dataset.RotatePerClass},
		{Way: 4, Shot: 3, Query: 1, Rotation: dataset.RotateTrainClasses},
	} {
		s := sampler(t, set, spec, 3, "test")
		for step := range uint64(200) {
			e := s.Episode(step)
			require.Len(t, e.Classes, spec.Way)
			require.Len(t, e.Support, spec.Way*spec.Shot)
			require.Len(t, e.Query, spec.Way*spec.Query)
			classes := slices.Clone(e.Classes)
			slices.Sort(classes)
			require.Len(t, slices.Compact(classes), spec.Way, "classes differ")
			seen := make(map[[2]int]bool)
			check := func(items []Item, each int) {
				for i, item := range items {
					require.Equal(t, i/each, item.Label, "ordered by class")
					require.Equal(t, e.Classes[item.Label], item.Class)
					require.True(t, item.Instance >= 0 && item.Instance < set.Instances(item.Class))
					image := [2]int{item.Class, item.Instance}
					require.False(t, seen[image], "image %v twice", image)
					seen[image] = true
				}
			}
			check(e.Support, spec.Shot)
			check(e.Query, max(spec.Query, 1))
		}
	}
}

// Each class, image and label is equally likely, which does not hold for Floyd's algorithm without its shuffle.
// Chi-squared against the 1e-6 quantile; seeds are fixed, so the test is deterministic.
func TestDrawsAreUniform(t *testing.T) {
	const classes, way, steps = 20, 5, 8000
	set := tagged(t, classes, 8, 2)
	s := sampler(t, set, Spec{Way: way, Shot: 1, Query: 2}, 4, "train")
	byLabel := make([]float64, classes*way) // class and label
	shots := make([]float64, 8)             // of class 0, instance of the support image
	queries := make([]float64, 8)           // instance of the last query image
	for step := range uint64(steps) {
		e := s.Episode(step)
		for label, class := range e.Classes {
			byLabel[class*way+label]++
			if class == 0 {
				shots[e.Support[label].Instance]++
				queries[e.Query[2*label+1].Instance]++
			}
		}
	}
	assert.Less(t, chiSquared(byLabel), 180., "99 degrees of freedom: classes by label")
	assert.Less(t, chiSquared(shots), 42., "7 degrees of freedom: support images")
	assert.Less(t, chiSquared(queries), 42., "7 degrees of freedom: query images")
}

func chiSquared(counts []float64) float64 {
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	want, chi := sum/float64(len(counts)), 0.0
	for _, n := range counts {
		chi += (n - want) * (n - want) / want
	}
	return chi
}

func TestRotations(t *testing.T) {
	set := tagged(t, 12, 5, 2)
	turned, err := dataset.WithRotations(set)
	require.NoError(t, err)
	for _, c := range []struct {
		rotation dataset.Rotation
		set      dataset.Set
	}{
		{dataset.RotateNone, set}, {dataset.RotateEpisode, set}, {dataset.RotatePerClass, set},
		{dataset.RotateClasses, turned}, {dataset.RotateTrainClasses, turned}, {dataset.RotateTrainClasses, set},
	} {
		s := sampler(t, c.set, Spec{Way: 5, Shot: 2, Query: 2, Rotation: c.rotation}, 5, "train")
		quarters, mixed := make([]float64, 4), 0
		for step := range uint64(400) {
			e := s.Episode(step)
			inEpisode := make(map[int]bool)
			byLabel := make([]int, 5)
			for _, item := range e.Support {
				byLabel[item.Label] = item.Quarter
				inEpisode[item.Quarter] = true
			}
			for _, item := range append(e.Support, e.Query...) {
				require.Equal(t, byLabel[item.Label], item.Quarter, "support and query of a class have the same rotation")
			}
			quarters[byLabel[0]]++
			if len(inEpisode) > 1 {
				mixed++
			}
		}
		switch c.rotation {
		case dataset.RotateEpisode:
			assert.Zero(t, mixed, "one rotation per episode")
			assert.Less(t, chiSquared(quarters), 31., "3 degrees of freedom")
		case dataset.RotatePerClass:
			assert.Greater(t, mixed, 350, "a rotation a class")
			assert.Less(t, chiSquared(quarters), 31.)
		default:
			assert.Equal(t, []float64{400, 0, 0, 0}, quarters, "the set rotates, not the sampler")
		}
	}
}

func TestNewRefuses(t *testing.T) {
	set := tagged(t, 6, 4, 2)
	turned, err := dataset.WithRotations(set)
	require.NoError(t, err)
	oblong, err := dataset.NewImages([]string{"x"}, []int{3}, 1, 1, 2, make([]byte, 6))
	require.NoError(t, err)
	for _, c := range []struct {
		set  dataset.Set
		spec Spec
		says []string
	}{
		{nil, Spec{Way: 1, Shot: 1}, []string{"no set"}},
		{set, Spec{}, []string{"way 0, shot 0"}},
		{set, Spec{Way: 5, Shot: 1, Query: -1}, []string{"query -1"}},
		{set, Spec{Way: 7, Shot: 1}, []string{"7 classes", "has 6"}},
		{set, Spec{Way: 2, Shot: 1, Query: 4}, []string{"shot 1 and query 4", "class000 has 4"}},
		{set, Spec{Way: 2, Shot: math.MaxInt, Query: math.MaxInt}, []string{"class000 has 4"}},
		{set, Spec{Way: 2, Shot: 1, Query: math.MaxInt}, []string{"class000 has 4"}},
		{set, Spec{Way: 2, Shot: 1, Rotation: "sideways"}, []string{"sideways", "per-class"}},
		{set, Spec{Way: 2, Shot: 1, Rotation: dataset.RotateClasses}, []string{"one class per rotation"}},
		{turned, Spec{Way: 2, Shot: 1}, []string{"classes", "none"}},
		{turned, Spec{Way: 2, Shot: 1, Rotation: dataset.RotateEpisode}, []string{"rotated already"}},
		{oblong, Spec{Way: 1, Shot: 1, Rotation: dataset.RotatePerClass}, []string{"1x2"}},
	} {
		_, err := New(c.set, c.spec, 1, "train")
		require.Error(t, err)
		for _, says := range c.says {
			assert.ErrorContains(t, err, says)
		}
	}
	_, err = New(oblong, Spec{Way: 1, Shot: 1, Query: 2}, 1, "train")
	assert.NoError(t, err, "images that are not rotated need not be square")
}
