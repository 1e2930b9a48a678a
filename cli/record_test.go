package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// recordOf copies a committed run to a folder of its own.
func recordOf(t *testing.T, run string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("..", "results", "runs", run))))
	return dir
}

// A committed run without its model gets the same message from every command that needs the model, before any data is looked
// for, and is left as it is.
func TestRecordsWithoutAModel(t *testing.T) {
	images, stories := recordOf(t, "protonet-omniglot/seed-1"), recordOf(t, "babi-joint-1k/seed-1")
	before, err := os.ReadFile(filepath.Join(images, "config.yaml"))
	require.NoError(t, err)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, args := range [][]string{
		{"eval", images, "--data", nowhere},
		{"eval", images, "--data", nowhere, "--set", "test.0.query=5"},
		{"resume", images, "--data", nowhere, "--set", "test.0.query=5"},
		{"export", images, filepath.Join(nowhere, "x.safetensors")},
		{"predict", "--run", images, "--support", nowhere, "--query", nowhere},
		{"explain", stories, "--data", nowhere},
	} {
		run := images
		if args[0] == "explain" {
			run = stories
		}
		code, stdout, stderr := engram(t.Context(), args)
		assert.Equal(t, exitFailure, code, args)
		assert.Empty(t, stdout, args)
		assert.Equal(t, "engram: "+run+" is the record of a finished run without its model, as the folders below results/runs are: "+
			"train it again with: engram run "+filepath.Join(run, "config.yaml")+"\n", stderr, args)
	}
	after, err := os.ReadFile(filepath.Join(images, "config.yaml"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	assert.NoFileExists(t, filepath.Join(images, ".lock"))

	// What needs no model works, and says the same of the rest.
	code, stdout, stderr := engram(t.Context(), []string{"plot", images, "--data", nowhere})
	assert.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, "learning-curve.svg")
	assert.Contains(t, stderr, "not all can be drawn: "+images+" is the record of a finished run without its model")
	code, stdout, _ = engram(t.Context(), []string{"resume", images})
	assert.Equal(t, exitOK, code)
	assert.Contains(t, stdout, "98.63 ± 0.16 %")
}
