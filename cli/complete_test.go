package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

// The shell is offered experiment files where one is wanted, folders where a run is, and nothing where there is nothing to say.
func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", ""}, "yaml\n:8\n"}, // file names that end so
		{[]string{"sweep", ""}, "yaml\n:8\n"},
		{[]string{"resume", ""}, ":16\n"}, // folders
		{[]string{"doctor", ""}, ":4\n"},  // no files
	} {
		code, out, _ := engram(t.Context(), append([]string{"__complete"}, c.args...))
		assert.Equal(t, exitOK, code)
		assert.Equal(t, c.want, out, c.args)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, out, stderr := engram(t.Context(), []string{"completion", shell})
		assert.Equal(t, exitOK, code, stderr)
		assert.Contains(t, out, "engram")
	}
}

// There is a page for every command, and writing them again changes nothing.
func TestManualPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	code, _, stderr := engram(t.Context(), []string{"man", dir})
	require.Equal(t, exitOK, code, stderr)
	for _, c := range newRoot(experiments.Standard(), "engram", nil, nil, nil).Commands() {
		if c.IsAvailableCommand() {
			assert.FileExists(t, filepath.Join(dir, "engram-"+c.Name()+".1"))
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "engram-run.1"))
	require.NoError(t, err)
	assert.Contains(t, string(page), "quickstart")
	_, _, _ = engram(t.Context(), []string{"man", dir})
	again, err := os.ReadFile(filepath.Join(dir, "engram-run.1"))
	require.NoError(t, err)
	assert.Equal(t, string(page), string(again))

	code, _, stderr = engram(t.Context(), []string{"man", filepath.Join(dir, "engram.1", "x")})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "engram: man: ")
}
