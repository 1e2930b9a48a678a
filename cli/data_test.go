package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
)

// Files of the cache are listed and removed by kind or by name; what else lies in the folder stays.
func TestDataCache(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ENGRAM_CACHE", dir)
	code, out, stderr := engram(t.Context(), []string{"data", "cache"})
	assert.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "0 files, 0.0 MB, in "+dir+"\n", out)

	// The embeddings of a support set of 1,400 images, which predict keeps.
	model, err := experiments.Standard().Open("../models/quickstart-protonet")
	require.NoError(t, err)
	defer model.Close()
	support, err := dataset.NewStrokes(1, dataset.DrawnOptions{Train: 28, Instances: 50, Size: 28})
	require.NoError(t, err)
	query := make([]float32, 28*28)
	support.Image(query, 3, 2, 0)
	classify := func() [][]float64 {
		p, err := model.Classify(t.Context(), support, [][]float32{query}, "")
		require.NoError(t, err)
		return p
	}
	kept := classify()
	assert.Equal(t, kept, classify())
	t.Setenv("ENGRAM_EMBEDDINGS_LIMIT", "0")
	assert.InDeltaSlice(t, classify()[0], kept[0], 1e-4)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.images"), []byte("x"), 0o644))
	old := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "broken.images"), old, old))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other.images.1.tmp"), []byte("x"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "mine.txt"), []byte("x"), 0o644))
	_, out, _ = engram(t.Context(), []string{"data", "cache"})
	assert.Regexp(t, `(?m)^embeddings/[0-9a-f]{32}\.embeddings +0\.4 MB  .*1400 embeddings of 64 values by conv4 \(weights [0-9a-f]{8}\) of images of 28×28$`, out)
	assert.Regexp(t, `(?m)^broken\.images +0\.0 MB  2026-01-02 03:04  cannot be used: it is no file of this version$`, out)
	assert.Regexp(t, `(?m)^other\.images\.1\.tmp .* unfinished$`, out)
	assert.NotContains(t, out, "mine.txt")
	assert.Contains(t, out, "3 files, 0.4 MB, in "+dir)

	_, _, stderr = engram(t.Context(), []string{"data", "clear", "mine.txt"})
	assert.Contains(t, stderr, "mine.txt is no file of the cache; engram data cache lists them")
	_, _, stderr = engram(t.Context(), []string{"data", "clear", "--images", "broken.images"})
	assert.Contains(t, stderr, "give files, or --embeddings and --images, not both")
	_, out, _ = engram(t.Context(), []string{"data", "clear", "broken.images"})
	assert.Equal(t, "removed 1 file, 0.0 MB\n", out)
	_, out, _ = engram(t.Context(), []string{"data", "clear", "--embeddings"})
	assert.Equal(t, "removed 1 file, 0.4 MB\n", out)
	_, out, _ = engram(t.Context(), []string{"data", "clear"})
	assert.Equal(t, "removed 1 file, 0.0 MB\n", out)
	assert.FileExists(t, filepath.Join(dir, "mine.txt"))
}
