package episode

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

func sequences(t testing.TB, set dataset.Set, spec SequenceSpec) *SequenceSampler {
	t.Helper()
	s, err := NewSequences(set, spec, 1, "train")
	require.NoError(t, err)
	return s
}

func TestSequenceIsItsEpisodeInAnotherOrder(t *testing.T) {
	set := tagged(t, 30, 6, 2)
	s := sequences(t, set, SequenceSpec{Way: 5, Samples: 4, Length: 1, Letters: 5, Rotation: dataset.RotatePerClass, Shift: 2, Turn: 10})
	few := sampler(t, set, Spec{Way: 5, Shot: 4, Rotation: dataset.RotatePerClass}, 1, "train")
	inOrder, angles, shifts := 0, 0., 0.
	for step := range uint64(200) {
		q, e := s.Sequence(step), few.Episode(step)
		assert.Equal(t, q, s.Sequence(step), "a pure function")
		assert.Equal(t, e.Classes, q.Classes)
		assert.ElementsMatch(t, e.Support, q.Items)
		if slices.Equal(e.Support, q.Items) {
			inOrder++
		}
		assert.ElementsMatch(t, []int{0, 1, 2, 3, 4}, q.Names, "every label once")
		require.Len(t, q.Moves, 20)
		for _, m := range q.Moves {
			angles, shifts = max(angles, math.Abs(m.Angle)), max(shifts, math.Abs(m.Right), math.Abs(m.Down))
		}
	}
	assert.Zero(t, inOrder)
	assert.InDelta(t, 10*math.Pi/180, angles, .01)
	assert.InDelta(t, 2, shifts, .01)
	assert.LessOrEqual(t, angles, 10*math.Pi/180)
	assert.LessOrEqual(t, shifts, 2.)
}

// Labels are independent of class and position, and every image is equally likely at every time.
func TestSequenceIsEven(t *testing.T) {
	s := sequences(t, tagged(t, 3, 4, 2), SequenceSpec{Way: 3, Samples: 2, Length: 1, Letters: 4})
	const n = 4000
	var name [3][4]int  // by class and label
	var place [3][6]int // by class and time
	for step := range uint64(n) {
		q := s.Sequence(step)
		for label, class := range q.Classes {
			name[class][q.Names[label]]++
		}
		for at, item := range q.Items {
			place[item.Class][at]++
		}
	}
	for class := range name {
		for label, got := range name[class] {
			assert.InDelta(t, n/4, got, 150, "class %d, label %d", class, label)
		}
		for at, got := range place[class] {
			assert.InDelta(t, n/3, got, 150, "class %d, time %d", class, at)
		}
	}
}

// Batches against a plain loop over the sequences: images, labels letter by letter, and instances.
func TestSequenceBatchIsItsSequences(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 20, Val: 1, Test: 1, Instances: 5, Size: 8})
	require.NoError(t, err)
	for _, spec := range []SequenceSpec{
		{Way: 4, Samples: 3, Length: 1, Letters: 4},
		{Way: 7, Samples: 2, Length: 3, Letters: 2, Rotation: dataset.RotateEpisode},
		{Way: 3, Samples: 5, Length: 5, Letters: 5, Rotation: dataset.RotatePerClass, Shift: 1.5, Turn: 20},
		{Way: 1, Samples: 1, Length: 2, Letters: 1, Shift: 1},
	} {
		s := sequences(t, set, spec)
		const n = 3
		time := spec.Way * spec.Samples
		b := s.Batch(10, n)
		assert.Equal(t, []int{10, time, n, spec.Length, spec.Letters, 1, 8, 8},
			[]int{int(b.First), b.Time, b.Sequences, b.Length, b.Letters, b.Channels, b.Height, b.Width})
		require.Equal(t, time*n*64, b.Images.Len())
		require.Len(t, b.Labels, time*n*spec.Length)
		require.Len(t, b.Instances, time*n)
		plain, image := make([]float32, 64), make([]float32, 64)
		for i := range n {
			q := s.Sequence(10 + uint64(i))
			assert.Equal(t, q.Items, b.Items[i*time:(i+1)*time])
			for at, item := range q.Items {
				k := at*n + i
				set.Image(plain, item.Class, item.Instance, item.Quarter)
				m := q.Moves[at]
				dataset.Warp(image, plain, 1, 8, 8, m.Angle, m.Right, m.Down)
				assert.Equal(t, image, b.Images.Values[k*64:][:64])
				name := 0
				for _, letter := range b.Labels[k*spec.Length:][:spec.Length] {
					name = name*spec.Letters + int(letter)
				}
				assert.Equal(t, q.Names[item.Label], name)
				earlier := 0
				for _, other := range q.Items[:at] {
					if other.Class == item.Class {
						earlier++
					}
				}
				assert.Equal(t, earlier+1, b.Instances[k])
			}
		}
	}
}

func TestSequenceBatchReusesMemory(t *testing.T) {
	s := sequences(t, tagged(t, 20, 6, 3), SequenceSpec{Way: 4, Samples: 3, Length: 2, Letters: 3, Shift: 1})
	b := s.Batch(0, 4)
	before := &b.Images.Values[0]
	s.Fill(b, 7, 2)
	assert.Equal(t, s.Batch(7, 2), b, "nothing remains of the previous batch")
	assert.Same(t, before, &b.Images.Values[0])
	s.Fill(b, 0, -1)
	assert.Zero(t, b.Sequences)
	assert.Zero(t, b.Images.Len())
	step := uint64(3)
	for got := range s.Batches(t.Context(), step, 2, 2) {
		require.Equal(t, s.Batch(step, 2), got)
		if step += 2; step > 20 {
			break
		}
	}
}

func TestImpossibleSequencesAreRefused(t *testing.T) {
	set := tagged(t, 10, 6, 2)
	good := SequenceSpec{Way: 5, Samples: 6, Length: 1, Letters: 5}
	_, err := NewSequences(set, good, 1, "train")
	require.NoError(t, err)
	for want, change := range map[string]func(*SequenceSpec){
		"11-way episodes need 11 classes":         func(s *SequenceSpec) { s.Way, s.Letters = 11, 11 },
		"shot 7":                                  func(s *SequenceSpec) { s.Samples = 7 },
		"5 classes, but only 4 different labels":  func(s *SequenceSpec) { s.Length, s.Letters = 2, 2 },
		"5 classes, but only 1 different labels":  func(s *SequenceSpec) { s.Length, s.Letters = 20, 1 },
		"labels of 0 letters":                     func(s *SequenceSpec) { s.Length = 0 },
		"labels of 21 letters":                    func(s *SequenceSpec) { s.Length = 21 },
		"labels of 1 letters of an alphabet of 0": func(s *SequenceSpec) { s.Letters = 0 },
		"more than 1048576 labels":                func(s *SequenceSpec) { s.Length, s.Letters = 2, 1<<40 },
		"shift is -1 pixels":                      func(s *SequenceSpec) { s.Shift = -1 },
		"turn NaN degrees":                        func(s *SequenceSpec) { s.Turn = math.NaN() },
		"turn +Inf degrees":                       func(s *SequenceSpec) { s.Turn = math.Inf(1) },
		`rotation "classes" needs a set with one class per rotation`: func(s *SequenceSpec) { s.Rotation = dataset.RotateClasses },
	} {
		spec := good
		change(&spec)
		_, err := NewSequences(set, spec, 1, "train")
		assert.ErrorContains(t, err, want)
	}
}

func BenchmarkSequences(b *testing.B) {
	turned, err := dataset.WithRotations(omniglot(b, 20))
	require.NoError(b, err)
	s := sequences(b, turned, SequenceSpec{Way: 5, Samples: 10, Length: 1, Letters: 5, Rotation: dataset.RotateClasses, Shift: 2, Turn: 10})
	batch := new(SequenceBatch)
	b.ReportAllocs()
	for step := uint64(0); b.Loop(); step++ {
		s.Fill(batch, step, 1)
	}
}
