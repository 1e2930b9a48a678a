package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlot(t *testing.T) {
	file, dir := tinyFile(t), t.TempDir()
	for _, seed := range []string{"1", "2"} {
		code, _, stderr := engram(t.Context(), []string{
			"run", file, "--out", filepath.Join(dir, seed), "-q", "--seed", seed, "--set", "threads=1", "--set", "name=tiny/way=5"})
		require.Equal(t, exitOK, code, stderr)
	}
	one := filepath.Join(dir, "1")
	require.NoError(t, os.RemoveAll(filepath.Join(one, "plots")))
	code, stdout, stderr := engram(t.Context(), []string{"plot", dir})
	require.Equal(t, exitOK, code, stderr)
	assert.Empty(t, stderr)
	for _, name := range []string{"1/plots/learning-curve.svg", "1/plots/episode.png", "1/plots/embeddings.svg", "plots/learning-curve-tiny-way=5.svg"} {
		assert.Contains(t, stdout, filepath.Join(dir, name)+"\n")
		assert.FileExists(t, filepath.Join(dir, name))
	}

	// Without the model there is still the learning curve, and it says so.
	require.NoError(t, os.Remove(filepath.Join(one, "model.safetensors")))
	out := t.TempDir()
	code, stdout, stderr = engram(t.Context(), []string{"plot", one, "--out", out})
	assert.Equal(t, exitOK, code)
	assert.Equal(t, filepath.Join(out, "learning-curve.svg")+"\n"+filepath.Join(out, "learning-curve.png")+"\n", stdout)
	assert.Contains(t, stderr, one+": not all can be drawn: "+one+" is the record of a finished run without its model")

	code, _, stderr = engram(t.Context(), []string{"plot", out})
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "is not a run folder")
}
