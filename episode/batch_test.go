package episode

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

func TestBatchIsItsEpisodes(t *testing.T) {
	set := tagged(t, 20, 6, 3)
	s := sampler(t, set, Spec{Way: 4, Shot: 2, Query: 3, Rotation: dataset.RotatePerClass}, 1, "train")
	b := s.Batch(10, 3)
	assert.Equal(t, []int{10, 3, 4, 2, 3, 1, 3, 3}, []int{int(b.First), b.Episodes, b.Way, b.Shot, b.Query, b.Channels, b.Height, b.Width})
	require.Len(t, b.Support, 3*4*2*9)
	require.Len(t, b.QueryImages, 3*4*3*9)
	image := make([]float32, 9)
	for i := range 3 {
		e := s.Episode(10 + uint64(i))
		assert.Equal(t, e.Classes, b.Classes[i*4:(i+1)*4])
		for j, item := range e.Support {
			set.Image(image, item.Class, item.Instance, item.Quarter)
			assert.Equal(t, image, b.Support[(i*8+j)*9:(i*8+j+1)*9])
			assert.EqualValues(t, item.Label, b.SupportLabels[i*8+j])
		}
		for j, item := range e.Query {
			set.Image(image, item.Class, item.Instance, item.Quarter)
			assert.Equal(t, image, b.QueryImages[(i*12+j)*9:(i*12+j+1)*9])
			assert.EqualValues(t, item.Label, b.QueryLabels[i*12+j])
		}
	}
}

func TestFillUsesMemoryAgain(t *testing.T) {
	set := tagged(t, 20, 6, 3)
	s := sampler(t, set, Spec{Way: 4, Shot: 2, Query: 3}, 1, "train")
	b := s.Batch(0, 4)
	before := &b.Support[0]
	s.Fill(b, 7, 2)
	assert.Equal(t, s.Batch(7, 2), b, "nothing of the former batch is left")
	assert.Same(t, before, &b.Support[0])
	allocs := testing.AllocsPerRun(20, func() { s.Fill(b, 9, 4) })
	assert.LessOrEqual(t, allocs, 4*6., "a generator an episode and no images")
	s.Fill(b, 0, -1)
	assert.Zero(t, b.Episodes)
	assert.Empty(t, b.Support)

	support := sampler(t, set, Spec{Way: 4, Shot: 2}, 1, "train").Batch(0, 2)
	assert.Empty(t, support.QueryImages)
	assert.Len(t, support.Support, 2*8*9)
}

func TestBatchesFromManyGoroutines(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.StrokesOptions{Train: 20})
	require.NoError(t, err)
	s := sampler(t, set, Spec{Way: 5, Shot: 1, Query: 2, Rotation: dataset.RotateEpisode}, 1, "train")
	want := s.Batch(3, 4)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				assert.Equal(t, want, s.Batch(3, 4))
			}
		})
	}
	all.Wait()
}

func TestPrefetchKeepsTheOrder(t *testing.T) {
	set := tagged(t, 20, 6, 3)
	s := sampler(t, set, Spec{Way: 4, Shot: 2, Query: 1}, 1, "train")
	for _, depth := range []int{-1, 1, 3} {
		step := uint64(100)
		for b := range s.Batches(t.Context(), step, 2, depth) {
			require.Equal(t, s.Batch(step, 2), b, "depth %d, step %d", depth, step)
			step += 2
			if step > 150 {
				break
			}
		}
		assert.EqualValues(t, 152, step)
	}
}

// slow is a set that tells when an image is asked for.
type slow struct {
	dataset.Set
	asked chan struct{}
}

func (s slow) Image(dst []float32, class, instance, quarter int) {
	s.asked <- struct{}{}
	s.Set.Image(dst, class, instance, quarter)
}

func TestPrefetchWorksAheadAndEnds(t *testing.T) {
	set := slow{tagged(t, 20, 6, 3), make(chan struct{}, 1000)}
	s := sampler(t, set, Spec{Way: 1, Shot: 1}, 1, "train")
	for range s.Batches(t.Context(), 0, 1, 3) {
		// While this step runs, the next three batches are made and no more.
		for range 4 {
			select {
			case <-set.asked:
			case <-time.After(5 * time.Second):
				t.Fatal("nothing is made ahead")
			}
		}
		time.Sleep(20 * time.Millisecond)
		assert.Empty(t, set.asked, "no further ahead than asked")
		break
	}
	n := len(set.asked)
	time.Sleep(20 * time.Millisecond)
	assert.Len(t, set.asked, n, "the goroutine has ended with the loop")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	for range s.Batches(ctx, 0, 1, 2) {
		if steps++; steps == 3 {
			cancel()
		}
	}
	assert.Equal(t, 3, steps)
	for range s.Batches(ctx, 0, 1, 2) {
		t.Error("a cancelled context gives nothing")
	}
}

// omniglot is the real one when it lies beside the repository, else strokes.
func omniglot(b *testing.B, size int) dataset.Set {
	root, err := dataset.Find(dataset.NameOmniglot, filepath.Join("..", "..", "shared", "data"))
	if err == nil {
		set, err := dataset.LoadOmniglot(b.Context(), root, dataset.OmniglotOptions{Size: size, NoCache: true})
		require.NoError(b, err)
		return set
	}
	set, err := dataset.NewStrokes(1, dataset.StrokesOptions{Size: size})
	require.NoError(b, err)
	return set
}

func BenchmarkBatch(b *testing.B) {
	plain := omniglot(b, 28)
	turned, err := dataset.Turn(plain)
	require.NoError(b, err)
	for _, c := range []struct {
		name string
		set  dataset.Set
		spec Spec
	}{
		{"5-way-1-shot-15-query", plain, Spec{Way: 5, Shot: 1, Query: 15, Rotation: dataset.RotateNone}},
		{"20-way-5-shot-15-query", plain, Spec{Way: 20, Shot: 5, Query: 15, Rotation: dataset.RotateNone}},
		{"20-way-5-shot-15-query/classes", turned, Spec{Way: 20, Shot: 5, Query: 15, Rotation: dataset.RotateClasses}},
		{"60-way-5-shot-5-query/classes", turned, Spec{Way: 60, Shot: 5, Query: 5, Rotation: dataset.RotateClasses}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := sampler(b, c.set, c.spec, 1, "train")
			batch := new(Batch)
			b.ReportAllocs()
			for step := uint64(0); b.Loop(); step++ {
				s.Fill(batch, step, 1)
			}
		})
	}
}
