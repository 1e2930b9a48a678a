package kinds

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/cachefile"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// noted is progress that keeps the notes.
type noted struct{ notes []string }

func (n *noted) Testing(string, int) {}
func (n *noted) Tested(int)          {}
func (n *noted) Note(line string)    { n.notes = append(n.notes, line) }

func (n *noted) take() string {
	all := strings.Join(n.notes, "\n")
	n.notes = nil
	return all
}

// counted counts the images that are embedded.
type counted struct {
	fewshot.FeatureNetwork
	images *atomic.Int64
}

func (c counted) Encode(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	c.images.Add(images.Dim(0))
	return c.FeatureNetwork.Encode(p, images)
}

// worthKeeping is a data set whose embeddings are kept.
const worthKeeping = "{kind: strokes, train: 6, val: 5, test: 40, instances: 30, size: 32}"

// inCache returns the files of embeddings in the cache folder.
func inCache(t *testing.T) []string {
	t.Helper()
	dir, err := cachefile.Dir()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dir, EmbeddingsFolder, "*"))
	require.NoError(t, err)
	return files
}

// A test gives the same results, to the bit, without the cache, when it fills the cache, and from the cache; a file that is cut off
// or changed is computed again, with a note; and what other embeddings follow from is kept apart.
func TestEmbeddingsAreKept(t *testing.T) {
	t.Setenv("ENGRAM_CACHE", t.TempDir())
	w := workOf(t, "{kind: transfer, encoder: {kind: conv4, filters: 4}}", "{way: 5, shot: 1, query: 15, episodes: 40, head: mean}", worthKeeping)
	net, _, err := w.measured(t.Context(), w.tests[0], tensor.CPU, nil)
	require.NoError(t, err)
	var images atomic.Int64
	var p noted
	evaluate := func(set dataset.Set) []episodeScore {
		s, err := episode.New(set, episode.Spec{Way: 5, Shot: 1, Query: 15, Rotation: w.data.Rotation}, evaluationSeed, "test")
		require.NoError(t, err)
		images.Store(0)
		of := counted{net.(fewshot.FeatureNetwork), &images}
		scores, err := w.evaluate(t.Context(), of, s, 40, nn.RunningStats, evaluation{trained: true, list: true}, tensor.CPU, &p)
		require.NoError(t, err)
		return scores
	}
	const all = 40 * 30

	t.Setenv(EmbeddingsLimit, "0")
	want := evaluate(w.parts.Test)
	assert.Empty(t, p.take())
	assert.Empty(t, inCache(t))

	t.Setenv(EmbeddingsLimit, "")
	assert.Equal(t, want, evaluate(w.parts.Test))
	assert.EqualValues(t, all+1, images.Load(), "each image once, and one to learn the width")
	assert.Regexp(t, `^embeddings of 1200 images, 0\.1 MB, computed in .* and kept in `, p.take())
	files := inCache(t)
	require.Len(t, files, 1)

	assert.Equal(t, want, evaluate(w.parts.Test))
	assert.Zero(t, images.Load())
	assert.Equal(t, "embeddings of 1200 images, 0.1 MB, mapped from "+files[0], p.take())

	info, err := os.Stat(files[0])
	require.NoError(t, err)
	for name, damage := range map[string]func() error{
		"cut off":  func() error { return os.Truncate(files[0], info.Size()-4096) },
		"empty":    func() error { return os.Truncate(files[0], 0) },
		"a header": func() error { return os.Truncate(files[0], 100) },
		"changed": func() error {
			b, err := os.ReadFile(files[0])
			if err != nil {
				return err
			}
			b[len(b)-100]++
			return os.WriteFile(files[0], b, 0o644)
		},
	} {
		require.NoError(t, damage())
		assert.Equal(t, want, evaluate(w.parts.Test), name)
		assert.EqualValues(t, all+1, images.Load(), name)
		assert.Contains(t, p.take(), "the cached embeddings in "+files[0]+" cannot be used and are computed again: it is ", name)
		evaluate(w.parts.Test)
		assert.Zero(t, images.Load(), name)
		p.take()
	}

	prepared, err := dataset.Prepare(w.parts.Test, dataset.Preparation{Norm: &dataset.Normalization{Mean: []float64{.7}, Std: []float64{.1}}})
	require.NoError(t, err)
	assert.NotEqual(t, want, evaluate(prepared))
	assert.EqualValues(t, all+1, images.Load(), "another normalisation")
	smaller, err := dataset.Drawers(w.parts.Test, 1, 29)
	require.NoError(t, err)
	evaluate(smaller)
	assert.EqualValues(t, 40*29+1, images.Load(), "other images")
	weight := w.params.All()[0]
	require.NoError(t, tensor.Do(func() error { weight.Value().Assign(weight.Value().MulScalar(1.5)); return nil }))
	assert.NotEqual(t, want, evaluate(w.parts.Test))
	assert.EqualValues(t, all+1, images.Load(), "another weight")
	assert.Len(t, inCache(t), 4)
}

// Processes that need the same embeddings at the same time compute them once; those that do not fit are removed, and so is what a
// killed process has left.
func TestEmbeddingsAreComputedOnceAndBounded(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ENGRAM_CACHE", dir)
	w := workOf(t, "{kind: protonet, encoder: {kind: conv4, filters: 4}}", "{way: 5, shot: 1, query: 15, episodes: 40}", worthKeeping)
	var images atomic.Int64
	of := counted{w.net.(fewshot.FeatureNetwork), &images}
	all := func(set dataset.Set, p *noted) {
		e, err := w.embedding(of, set, nn.RunningStats, tensor.CPU)
		if assert.NoError(t, err) {
			table, err := e.all(t.Context(), 1, p)
			if assert.NoError(t, err) {
				assert.Len(t, table.row(episode.Item{Class: 39, Instance: 28}), 16)
			}
		}
	}
	_, err := w.programChecksum()
	require.NoError(t, err)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() { all(w.parts.Test, &noted{}) })
	}
	running.Wait()
	assert.EqualValues(t, 1201, images.Load())
	files := inCache(t)
	require.Len(t, files, 1, "neither locks nor halves are left")

	left := filepath.Join(dir, EmbeddingsFolder, "x.embeddings.123.tmp")
	require.NoError(t, os.WriteFile(left, make([]byte, 50_000), 0o644))
	old := time.Now().Add(-48 * time.Hour)
	require.NoError(t, os.Chtimes(left, old, old))
	require.NoError(t, os.Chtimes(files[0], old, old))
	t.Setenv(EmbeddingsLimit, "90kB")
	smaller, err := dataset.Drawers(w.parts.Test, 1, 29)
	require.NoError(t, err)
	var p noted
	all(smaller, &p)
	assert.Contains(t, p.take(), "removed "+files[0]+": all cached embeddings may take 0.1 MB (ENGRAM_EMBEDDINGS_LIMIT)")
	assert.NoFileExists(t, files[0])
	assert.NoFileExists(t, left)
	assert.Len(t, inCache(t), 1)

	t.Setenv(EmbeddingsLimit, "10kB")
	all(w.parts.Test, &p)
	assert.Contains(t, p.take(), "the embeddings of 1200 images are not kept: no cache: they take 0.1 MB, and all cached embeddings may take 0.0 MB")
	t.Setenv(EmbeddingsLimit, "")
	t.Setenv("ENGRAM_CACHE", filepath.Join(left, "below a file"))
	require.NoError(t, os.WriteFile(left, nil, 0o644))
	all(w.parts.Test, &p)
	assert.Contains(t, p.take(), "are not kept: no cache")
}

// The embeddings of a large support set are kept, those of a small one are not.
func TestSupport(t *testing.T) {
	t.Setenv("ENGRAM_CACHE", t.TempDir())
	w := workOf(t, "{kind: protonet, encoder: {kind: conv4, filters: 4}}", "{way: 5, shot: 1, query: 15, episodes: 40}", worthKeeping)
	net, values, width, err := w.Support(t.Context(), w.parts.Test, nn.RunningStats, tensor.CPU, nil)
	require.NoError(t, err)
	assert.Equal(t, w.net, net)
	assert.Len(t, values, 40*30*width)
	assert.Len(t, inCache(t), 1)
	for _, why := range []struct {
		set  dataset.Set
		norm nn.Norm
	}{{w.parts.Val, nn.RunningStats}, {w.parts.Test, nn.BatchStats}} {
		net, _, _, err = w.Support(t.Context(), why.set, why.norm, tensor.CPU, nil)
		require.NoError(t, err)
		assert.Nil(t, net)
	}
}

func TestEmbeddingsLimit(t *testing.T) {
	for text, want := range map[string]int64{"": 20e9, "0": 0, "50GB": 50e9, "1.5 GB": 15e8, "200mb": 2e8, "7": 7, "3B": 3} {
		t.Setenv(EmbeddingsLimit, text)
		got, err := embeddingsLimit()
		assert.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"-1", "GB", "1TB", "much", "1e40", "NaN"} {
		t.Setenv(EmbeddingsLimit, text)
		_, err := embeddingsLimit()
		assert.EqualError(t, err, EmbeddingsLimit+"="+text+": want a size such as 50GB, or 0", text)
	}
}

// A frozen encoder embeds the images that it is trained on once; the loss is that on the images themselves, and training leaves its
// parameters and statistics as they are.
func TestFrozenEncodersEmbedOnce(t *testing.T) {
	t.Setenv("ENGRAM_CACHE", t.TempDir())
	const conv4 = "encoder: {kind: conv4, filters: 4, freeze: true}"
	for _, network := range []string{
		"{kind: episodic, " + conv4 + "}", "{kind: transfer, " + conv4 + "}", "{kind: siamese, " + conv4 + "}", "{kind: relationnet, " + conv4 + "}", "{kind: maml, " + conv4 + "}",
	} {
		t.Run(network, func(t *testing.T) {
			w := built(t, network, "{way: 3, shot: 2, query: 3, episodes: 4}")
			for _, p := range w.params.Trained() {
				assert.False(t, strings.HasPrefix(p.Name, encoderPrefix), p.Name)
			}
			require.NotEmpty(t, w.params.Trained())
			before, err := w.encoderChecksum()
			require.NoError(t, err)
			var losses []float64
			step := func() {
				for b := range w.source.batches(t.Context(), 5) {
					require.NoError(t, tensor.Do(func() error {
						loss, _ := b.Loss(&nn.Pass{Training: true}, tensor.CPU)
						losses = append(losses, loss.Float())
						return nil
					}))
					break
				}
			}
			step()
			require.NoError(t, w.Prepare(t.Context(), tensor.CPU, nil))
			step()
			assert.InDelta(t, losses[0], losses[1], 1e-4*max(1, losses[0]))
			after, err := w.encoderChecksum()
			require.NoError(t, err)
			assert.Equal(t, before, after)
			if s, ok := w.source.(*episodes); ok {
				channels, height, width := s.drawn.Set().Shape()
				assert.Equal(t, !w.planned.ByTask, registry.Embedding(width) == registry.Shape{Channels: channels, Height: height, Width: width})
			}
		})
	}
	// Where images change from step to step they are embedded in each.
	for _, train := range []string{"distort: {rotate: 10}", "augment: {flip: 0.5}"} {
		w := built(t, "{kind: episodic, "+conv4+"}", "{way: 3, shot: 2, query: 3, episodes: 4}")
		switch {
		case strings.HasPrefix(train, "distort"):
			w.file.Train.Distort.Rotate = 10
		default:
			w.file.Train.Augment.Flip = .5
		}
		source := w.source
		require.NoError(t, w.Prepare(t.Context(), tensor.CPU, nil))
		assert.Same(t, source, w.source, fmt.Sprint(train))
	}
}
