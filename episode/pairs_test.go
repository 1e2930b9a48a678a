package episode

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

// alphabets is a set of alphabets of the given sizes, with n identifiable images of 2×2 per class.
func alphabets(t testing.TB, n int, sizes ...int) dataset.Set {
	t.Helper()
	var names []string
	var counts []int
	var pixels []byte
	for a, size := range sizes {
		for c := range size {
			for i := range n {
				pixels = append(pixels, byte(len(names)), byte(i), 0, 0)
			}
			names, counts = append(names, fmt.Sprintf("alphabet%d/character%02d", a, c)), append(counts, n)
		}
	}
	set, err := dataset.NewImages(names, counts, 1, 2, 2, pixels)
	require.NoError(t, err)
	return set
}

func TestEpisodesWithinAnAlphabet(t *testing.T) {
	set := alphabets(t, 4, 3, 9, 5, 4)
	s := sampler(t, set, Spec{Way: 4, Shot: 1, Query: 2, Within: true}, 1, "test")
	of := make(map[int]int)
	for a, classes := range dataset.Alphabets(set) {
		for _, c := range classes {
			of[c] = a
		}
	}
	drawn := make([]float64, 4)
	inSecond := make([]float64, 9)
	for step := range uint64(3000) {
		e := s.Episode(step)
		drawn[of[e.Classes[0]]]++
		for _, c := range e.Classes {
			require.Equal(t, of[e.Classes[0]], of[c])
			if of[c] == 1 {
				inSecond[c-3]++
			}
		}
	}
	assert.Zero(t, drawn[0], "too few classes")
	assert.Less(t, chiSquared(drawn[1:]), 28., "2 degrees of freedom: alphabets equally often, for any size")
	assert.Less(t, chiSquared(inSecond), 43., "8 degrees of freedom")

	_, err := New(set, Spec{Way: 10, Shot: 1, Query: 2, Within: true}, 1, "test")
	assert.ErrorContains(t, err, "need one of 10 classes but the largest has 9")
}

// Distortion changes the images of an episode but not the draw; each image has its own distortion.
func TestEpisodesAreDistorted(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 6, Instances: 4, Size: 16})
	require.NoError(t, err)
	spec := Spec{Way: 3, Shot: 1, Query: 2}
	plain := sampler(t, set, spec, 1, "train").Batch(5, 2)
	spec.Distort = dataset.Distortion{Shift: 3, Chance: 1}
	s := sampler(t, set, spec, 1, "train")
	bent := s.Batch(5, 2)
	assert.Equal(t, plain.Classes, bent.Classes)
	assert.Equal(t, plain.QueryLabels, bent.QueryLabels)
	assert.Equal(t, bent, s.Batch(5, 2), "drawn again, it is the same")
	assert.Equal(t, bent.Support.Values[3*256:], s.Batch(6, 1).Support.Values, "in any batch")
	for i := range 6 {
		assert.NotEqual(t, plain.Support.Slice(i*256, (i+1)*256).Floats(), bent.Support.Slice(i*256, (i+1)*256).Floats())
	}

	// The same image everywhere: its distorted copies differ.
	one, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 1, Instances: 2, Size: 16})
	require.NoError(t, err)
	b := sampler(t, one, Spec{Way: 1, Shot: 1, Distort: spec.Distort}, 1, "train").Batch(0, 2)
	assert.NotEqual(t, b.Support.Values[:256], b.Support.Values[256:])

	spec.Distort.Shear = 2
	_, err = New(set, spec, 1, "train")
	assert.ErrorContains(t, err, "a shear of 2")
}

func TestPairsAreSameOrDifferent(t *testing.T) {
	set := alphabets(t, 3, 2, 6, 4)
	for _, within := range []bool{false, true} {
		s, err := NewPairs(set, PairSpec{Within: within}, 1, "train")
		require.NoError(t, err)
		of := func(c int) string { return set.Class(c)[:9] }
		left := make(map[string]float64)
		byImage := make([]float64, 3)
		apart := 0
		for number := range uint64(6000) {
			p := s.Pair(number)
			same := p.Left.Class == p.Right.Class
			require.Equal(t, number%2 == 0, same)
			require.Equal(t, same, p.Left.Label == p.Right.Label)
			if same {
				require.NotEqual(t, p.Left.Instance, p.Right.Instance)
			} else if of(p.Left.Class) != of(p.Right.Class) {
				apart++
			}
			left[of(p.Left.Class)]++
			byImage[p.Right.Instance]++
		}
		assert.Less(t, chiSquared([]float64{left["alphabet0"], left["alphabet1"], left["alphabet2"]}), 28., "alphabets equally often")
		assert.Less(t, chiSquared(byImage), 28.)
		assert.Equal(t, within, apart == 0)
	}
}

func TestPairBatchIsItsPairs(t *testing.T) {
	set := alphabets(t, 3, 2, 6)
	s, err := NewPairs(set, PairSpec{}, 1, "train")
	require.NoError(t, err)
	b := s.Batch(7, 4)
	assert.Equal(t, []float32{0, 1, 0, 1}, b.Same)
	image := make([]float32, 4)
	for i := range 4 {
		p := s.Pair(7 + uint64(i))
		set.Image(image, p.Left.Class, p.Left.Instance, 0)
		assert.Equal(t, image, b.Left.Slice(i*4, (i+1)*4).Floats())
		set.Image(image, p.Right.Class, p.Right.Instance, 0)
		assert.Equal(t, image, b.Right.Slice(i*4, (i+1)*4).Floats())
	}
	before := &b.Left.Bytes[0]
	s.Fill(b, 3, 2)
	assert.Equal(t, s.Batch(3, 2), b, "nothing remains of the previous batch")
	assert.Same(t, before, &b.Left.Bytes[0])
	assert.Empty(t, s.Batch(0, -1).Same)

	number := uint64(20)
	for got := range s.Batches(t.Context(), number, 6, 2) {
		require.Equal(t, s.Batch(number, 6), got)
		if number += 6; number > 60 {
			break
		}
	}

	// Distortion draws from the pair's own stream, after the pair, so the pair does not change.
	distorted, err := NewPairs(set, PairSpec{Distort: dataset.Distortion{Shift: .5, Chance: 1}}, 1, "train")
	require.NoError(t, err)
	assert.Equal(t, s.Pair(9), distorted.Pair(9))
	bent := distorted.Batch(7, 4)
	assert.NotEqual(t, s.Batch(7, 4).Left.Floats(), bent.Left.Floats())
	assert.Equal(t, bent.Left.Values[4:8], distorted.Batch(8, 1).Left.Values[:4])
}

func TestNewPairsRefuses(t *testing.T) {
	set := alphabets(t, 3, 2, 1)
	turned, err := dataset.WithRotations(set)
	require.NoError(t, err)
	for want, c := range map[string]struct {
		set  dataset.Set
		spec PairSpec
	}{
		"no set":                            {nil, PairSpec{}},
		`rotation "episode" is drawn per`:   {set, PairSpec{Rotation: dataset.RotateEpisode}},
		"sideways":                          {set, PairSpec{Rotation: "sideways"}},
		`but the rotation is "none"`:        {turned, PairSpec{}},
		"alphabet1/character00 has one":     {set, PairSpec{Within: true}},
		"need two images, but class":        {alphabets(t, 1, 2), PairSpec{}},
		"need two classes, but the set has": {alphabets(t, 2, 1), PairSpec{}},
		"a chance of 3":                     {set, PairSpec{Distort: dataset.Distortion{Chance: 3}}},
	} {
		_, err := NewPairs(c.set, c.spec, 1, "train")
		assert.ErrorContains(t, err, want)
	}
	_, err = NewPairs(turned, PairSpec{Rotation: dataset.RotateClasses, Within: true}, 1, "train")
	assert.NoError(t, err, "the rotations of one character are enough classes")
}
