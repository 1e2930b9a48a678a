package episode

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

func TestLabelled(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 5, Val: 1, Test: 1, Instances: 3, Size: 8})
	require.NoError(t, err)
	s, err := NewLabelled(set, LabelledSpec{}, 1, "train")
	require.NoError(t, err)
	seen, image := map[int64]int{}, make([]float32, 64)
	step := uint64(3)
	for b := range s.Batches(t.Context(), step, 40, 2) {
		var again LabelledBatch
		s.Fill(&again, step, 40)
		assert.Equal(t, again, *b, "a batch depends only on its step")
		for i, label := range b.Labels {
			seen[label]++
			found := false
			for k := range 3 {
				set.Image(image, int(label), k, 0)
				found = found || assert.ObjectsAreEqual(image, b.Images.Slice(64*i, 64*i+64).Floats())
			}
			assert.True(t, found, "an image of the label's class")
		}
		if step++; step == 13 {
			break
		}
	}
	require.Len(t, seen, set.Classes())
	for class, n := range seen {
		assert.InDelta(t, 400./7, n, 30, "class %d", class)
	}
	bent, err := NewLabelled(set, LabelledSpec{Distort: dataset.Distortion{Rotate: 10, Chance: 1}}, 1, "train")
	require.NoError(t, err)
	var a, b LabelledBatch
	bent.Fill(&a, 0, 5)
	bent.Fill(&b, 0, 5)
	assert.Equal(t, a, b)
	s.Fill(&b, 0, 5)
	assert.NotEqual(t, a.Images.Floats(), b.Images.Floats())
	assert.NotEmpty(t, b.Images.Bytes)

	for want, rotation := range map[string]dataset.Rotation{"is drawn per episode": dataset.RotateEpisode, "needs a set with one class per rotation": dataset.RotateClasses} {
		_, err = NewLabelled(set, LabelledSpec{Rotation: rotation}, 1, "train")
		assert.ErrorContains(t, err, want)
	}
	one, err := dataset.Subset(set, []int{0})
	require.NoError(t, err)
	_, err = NewLabelled(one, LabelledSpec{}, 1, "train")
	assert.ErrorContains(t, err, "needs at least 2 classes, but the set has 1")
}

// A distortion that changes nothing, as experiment files have it by default, leaves bytes as they are and draws the numbers of one
// that does.
func TestDistortionWithoutEffect(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 9, Instances: 6, Size: 8})
	require.NoError(t, err)
	idle, some := dataset.Distortion{Chance: .5}, dataset.Distortion{Shift: 1e-300, Chance: .5}
	var a, b LabelledBatch
	for spec, into := range map[dataset.Distortion]*LabelledBatch{idle: &a, some: &b} {
		s, err := NewLabelled(set, LabelledSpec{Distort: spec}, 1, "train")
		require.NoError(t, err)
		s.Fill(into, 3, 20)
	}
	assert.NotEmpty(t, a.Images.Bytes)
	assert.NotEmpty(t, b.Images.Values)
	assert.Equal(t, b.Labels, a.Labels)
	assert.Equal(t, b.Images.Values, a.Images.Floats())

	spec := Spec{Way: 3, Shot: 1, Query: 2, Distort: idle}
	one := sampler(t, set, spec, 1, "train").Batch(0, 2)
	assert.NotEmpty(t, one.Support.Bytes)
	spec.Distort = some
	other := sampler(t, set, spec, 1, "train").Batch(0, 2)
	assert.Equal(t, other.QueryImages.Values, one.QueryImages.Floats())
	pairs, err := NewPairs(set, PairSpec{Distort: idle}, 1, "train")
	require.NoError(t, err)
	assert.NotEmpty(t, pairs.Batch(0, 2).Left.Bytes)
}
