package episode

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
)

// foreign is a set of another package, without dataset.Bytes.
type foreign struct{ dataset.Set }

func TestBatchIsItsEpisodes(t *testing.T) {
	for _, set := range []dataset.Set{tagged(t, 20, 6, 3), foreign{tagged(t, 20, 6, 3)}} {
		testBatchIsItsEpisodes(t, set)
	}
}

func testBatchIsItsEpisodes(t *testing.T, set dataset.Set) {
	s := sampler(t, set, Spec{Way: 4, Shot: 2, Query: 3, Rotation: dataset.RotatePerClass}, 1, "train")
	b := s.Batch(10, 3)
	assert.Equal(t, []int{10, 3, 4, 2, 3, 1, 3, 3}, []int{int(b.First), b.Episodes, b.Way, b.Shot, b.Query, b.Channels, b.Height, b.Width})
	require.Equal(t, 3*4*2*9, b.Support.Len())
	require.Equal(t, 3*4*3*9, b.QueryImages.Len())
	image := make([]float32, 9)
	for i := range 3 {
		e := s.Episode(10 + uint64(i))
		assert.Equal(t, e.Classes, b.Classes[i*4:(i+1)*4])
		assert.Equal(t, slices.Concat(e.Support, e.Query), b.Items[i*20:(i+1)*20])
		for j, item := range e.Support {
			set.Image(image, item.Class, item.Instance, item.Quarter)
			assert.Equal(t, image, b.Support.Slice((i*8+j)*9, (i*8+j+1)*9).Floats())
			assert.EqualValues(t, item.Label, b.SupportLabels[i*8+j])
		}
		for j, item := range e.Query {
			set.Image(image, item.Class, item.Instance, item.Quarter)
			assert.Equal(t, image, b.QueryImages.Slice((i*12+j)*9, (i*12+j+1)*9).Floats())
			assert.EqualValues(t, item.Label, b.QueryLabels[i*12+j])
		}
	}
}

func TestFillReusesMemory(t *testing.T) {
	set := tagged(t, 20, 6, 3)
	s := sampler(t, set, Spec{Way: 4, Shot: 2, Query: 3}, 1, "train")
	b := s.Batch(0, 4)
	before := &b.Support.Bytes[0]
	s.Fill(b, 7, 2)
	assert.Equal(t, s.Batch(7, 2), b, "nothing remains of the previous batch")
	assert.Same(t, before, &b.Support.Bytes[0])
	allocs := testing.AllocsPerRun(20, func() { s.Fill(b, 9, 4) })
	assert.LessOrEqual(t, allocs, 4*6., "one generator per episode and no images")
	s.Fill(b, 0, -1)
	assert.Zero(t, b.Episodes)
	assert.Zero(t, b.Support.Len())

	values := sampler(t, foreign{set}, s.Spec(), 1, "train")
	c := values.Batch(0, 4)
	first := &c.Support.Values[0]
	values.Fill(c, 7, 2)
	assert.Same(t, first, &c.Support.Values[0])
	allocs = testing.AllocsPerRun(20, func() { values.Fill(c, 9, 4) })
	assert.LessOrEqual(t, allocs, 4*6.)
	s.Fill(c, 7, 2)
	assert.Empty(t, c.Support.Values, "also of a batch of values")
	assert.Equal(t, s.Batch(7, 2).Support.Bytes, c.Support.Bytes)

	support := sampler(t, set, Spec{Way: 4, Shot: 2}, 1, "train").Batch(0, 2)
	assert.Zero(t, support.QueryImages.Len())
	assert.Equal(t, 2*8*9, support.Support.Len())
}

// A batch holds bytes if the set does and images are not distorted; its values are the same.
func TestBatchOfBytesIsThatOfValues(t *testing.T) {
	drawn, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 12, Instances: 6, Size: 9})
	require.NoError(t, err)
	turn := func(set dataset.Set) dataset.Set {
		turned, err := dataset.WithRotations(set)
		require.NoError(t, err)
		return turned
	}
	part := func(set dataset.Set) dataset.Set {
		some, err := dataset.Subset(turn(set), []int{7, 2, 4, 9, 1})
		require.NoError(t, err)
		some, err = dataset.Drawers(some, 2, 4)
		require.NoError(t, err)
		return some
	}
	for _, c := range []struct {
		of    func(dataset.Set) dataset.Set
		spec  Spec
		bytes bool
	}{
		{nil, Spec{}, true},
		{nil, Spec{Rotation: dataset.RotateEpisode}, true},
		{nil, Spec{Rotation: dataset.RotatePerClass}, true},
		{turn, Spec{Rotation: dataset.RotateClasses}, true},
		{part, Spec{Rotation: dataset.RotateClasses}, true},
		{nil, Spec{Distort: dataset.Distortion{Rotate: 10, Shift: 1, Chance: .5}}, false},
	} {
		c.spec.Way, c.spec.Shot, c.spec.Query = 5, 1, 2
		batch := func(set dataset.Set) *Batch {
			if c.of != nil {
				set = c.of(set)
			}
			return sampler(t, set, c.spec, 1, "train").Batch(3, 4)
		}
		got, want := batch(drawn), batch(foreign{drawn})
		for _, p := range []Pixels{got.Support, got.QueryImages} {
			require.Equal(t, c.bytes, len(p.Bytes) > 0, "%+v", c.spec)
			require.Equal(t, c.bytes, len(p.Values) == 0, "%+v", c.spec)
		}
		require.Empty(t, want.Support.Bytes)
		require.Empty(t, want.QueryImages.Bytes)
		for _, b := range []*Batch{got, want} {
			b.Support, b.QueryImages = Pixels{Values: b.Support.Floats()}, Pixels{Values: b.QueryImages.Floats()}
		}
		assert.Equal(t, want, got, "%+v", c.spec)
	}
}

func TestPixels(t *testing.T) {
	all := make([]byte, 256)
	values := make([]float32, 256)
	for i := range all {
		all[i], values[i] = byte(i), float32(float64(i)/255)
	}
	for _, p := range []Pixels{{Bytes: all}, {Values: values}} {
		assert.Equal(t, 256, p.Len())
		assert.Equal(t, values, p.Floats())
		some := p.Slice(3, 7)
		assert.Equal(t, 4, some.Len())
		assert.Equal(t, values[3:7], some.Floats())
		some.Floats()[0] = 2
		assert.Equal(t, values[3:7], some.Floats(), "a copy")
	}
	assert.Zero(t, Pixels{}.Slice(0, 0).Len())
}

func TestBatchesFromManyGoroutines(t *testing.T) {
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 20})
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

// slow is a set that signals each request for an image.
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
		// While this step runs, the next three batches are prepared and no more.
		for range 4 {
			select {
			case <-set.asked:
			case <-time.After(5 * time.Second):
				t.Fatal("nothing is prepared ahead")
			}
		}
		time.Sleep(20 * time.Millisecond)
		assert.Empty(t, set.asked, "no further ahead than depth")
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
		t.Error("a cancelled context yields nothing")
	}
}

// omniglot returns Omniglot if its data are next to the repository, else strokes.
func omniglot(b *testing.B, size int) dataset.Set {
	root, err := dataset.Find(dataset.NameOmniglot, filepath.Join("..", "..", "shared", "data"))
	if err == nil {
		set, err := dataset.LoadOmniglot(b.Context(), root, dataset.OmniglotOptions{Size: size, NoCache: true})
		require.NoError(b, err)
		return set
	}
	set, err := dataset.NewStrokes(1, dataset.DrawnOptions{Size: size})
	require.NoError(b, err)
	return set
}

func BenchmarkBatch(b *testing.B) {
	plain := omniglot(b, 28)
	turned, err := dataset.WithRotations(plain)
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

// Augmented batches hold bytes, depend on their step only, and carry the set's normalisation; classes and items are those without.
func TestBatchesAreAugmented(t *testing.T) {
	pixels := make([]byte, 6*4*3*10*10)
	for i := range pixels {
		pixels[i] = byte(i * i)
	}
	images, err := dataset.NewImages([]string{"a", "b", "c", "d", "e", "f"}, []int{4, 4, 4, 4, 4, 4}, 3, 10, 10, pixels)
	require.NoError(t, err)
	norm := &dataset.Normalization{Mean: []float64{.5, .4, .3}, Std: []float64{.1, .2, .3}}
	set, err := dataset.Prepare(images, dataset.Preparation{Height: 8, Width: 8, Norm: norm})
	require.NoError(t, err)
	augment := dataset.Augmentation{Pad: 1, Flip: .5, Brightness: .4, Contrast: .4, Saturation: .4, Erase: .5}

	plain := sampler(t, set, Spec{Way: 3, Shot: 1, Query: 2}, 1, "train").Batch(5, 2)
	s := sampler(t, set, Spec{Way: 3, Shot: 1, Query: 2, Augment: augment}, 1, "train")
	b := s.Batch(5, 2)
	assert.Equal(t, []int{3, 8, 8}, []int{b.Channels, b.Height, b.Width})
	assert.Equal(t, plain.Items, b.Items)
	assert.Equal(t, plain.QueryLabels, b.QueryLabels)
	assert.Len(t, b.QueryImages.Bytes, 2*6*3*64)
	assert.NotEqual(t, plain.QueryImages.Bytes, b.QueryImages.Bytes)
	assert.Equal(t, b, s.Batch(5, 2), "drawn again, it is the same")
	assert.Equal(t, b.Support.Bytes[3*3*64:], s.Batch(6, 1).Support.Bytes, "in any batch")
	for _, p := range []Pixels{b.Support, b.QueryImages, plain.Support.Slice(3, 9), b.Support.Slice(0, 4)} {
		assert.Same(t, norm, p.Norm)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				assert.Equal(t, b, s.Batch(5, 2))
			}
		})
	}
	all.Wait()

	labelled, err := NewLabelled(set, LabelledSpec{Augment: augment}, 1, "train")
	require.NoError(t, err)
	pairs, err := NewPairs(set, PairSpec{Augment: augment}, 1, "train")
	require.NoError(t, err)
	var one, other LabelledBatch
	labelled.Fill(&one, 7, 5)
	labelled.Fill(&other, 8, 5)
	labelled.Fill(&other, 7, 5)
	assert.Equal(t, one, other)
	assert.Len(t, one.Images.Bytes, 5*3*64)
	assert.Equal(t, pairs.Batch(6, 3), pairs.Batch(6, 3))
	assert.Same(t, norm, pairs.Batch(6, 3).Left.Norm)
	assert.Same(t, norm, one.Images.Norm)

	for says, spec := range map[string]Spec{
		"use one of the two": {Way: 3, Shot: 1, Augment: augment, Distort: dataset.Distortion{Rotate: 1, Chance: 1}}, "flip is 2": {Way: 3, Shot: 1, Augment: dataset.Augmentation{Flip: 2}},
	} {
		_, err = New(set, spec, 1, "train")
		assert.ErrorContains(t, err, says)
	}
	_, err = New(foreign{images}, Spec{Way: 3, Shot: 1, Augment: augment}, 1, "train")
	assert.ErrorContains(t, err, "works on sets of bytes")
}

// Several batches are prepared at the same time: a step that is shorter than their preparation waits for the share of one
// processor only.
func TestPrefetchUsesTheProcessors(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("there is one processor")
	}
	var now, most atomic.Int32
	steps := uint64(0)
	for b := range prefetch(t.Context(), 10, 2, 4, func(b *uint64, first uint64, n int) {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
		*b = first
	}) {
		require.Equal(t, 10+2*steps, *b)
		if steps++; steps == 30 {
			break
		}
	}
	assert.Zero(t, now.Load(), "all goroutines have ended")
	assert.GreaterOrEqual(t, most.Load(), int32(2))
}

// The whole path of training images at 84×84: a batch of 5-way 5-shot episodes with full augmentation, prepared ahead by all
// processors.
func BenchmarkAugmentedEpisodes(b *testing.B) {
	const classes, instances, side = 20, 40, 84
	names, counts := make([]string, classes), make([]int, classes)
	for i := range names {
		names[i], counts[i] = strconv.Itoa(i), instances
	}
	pixels := make([]byte, classes*instances*3*side*side)
	for i := range pixels {
		pixels[i] = byte(i * i >> 3)
	}
	set, err := dataset.NewImages(names, counts, 3, side, side, pixels)
	require.NoError(b, err)
	jitter := dataset.Augmentation{Flip: .5, Brightness: .4, Contrast: .4, Saturation: .4, Erase: .5}
	for name, a := range map[string]dataset.Augmentation{"pad": jitter, "area": jitter} {
		if a.Pad = 8; name == "area" {
			a.Pad, a.Area = 0, .08
		}
		b.Run(name, func(b *testing.B) {
			s := sampler(b, set, Spec{Way: 5, Shot: 5, Query: 15, Augment: a}, 1, "train")
			n := 0
			for range s.Batches(b.Context(), 0, 1, 4) {
				if n++; n > b.N {
					break
				}
			}
			b.ReportMetric(float64(n*100)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
