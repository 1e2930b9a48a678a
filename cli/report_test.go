package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "x.html")
	run := filepath.Join("..", "results", "runs", "ntm-copy")
	code, stdout, stderr := engram(t.Context(), []string{"report", run, filepath.Join(run, "seed-1"), "--out", out})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out+"\n", stdout)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	assert.Contains(t, string(text), "5 runs, ", "a run that is given twice is counted once")

	assert.NotContains(t, string(text), "not run", "models of the paper that are not among the runs")

	code, stdout, stderr = engram(t.Context(), []string{"report", run, "-o", "-"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, "<title>Engram: results</title>")

	code, _, stderr = engram(t.Context(), []string{"report", t.TempDir(), "--out", out})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "there is no result.json")
}
