package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompare(t *testing.T) {
	file, a, b := tinyFile(t), filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	for dir, sets := range map[string][]string{a: nil, b: {"--seed", "2", "--set", "network.kind=protonet"}} {
		code, _, stderr := engram(t.Context(), append([]string{"run", file, "--out", dir, "-q", "--set", "threads=1"}, sets...))
		require.Equal(t, exitOK, code, stderr)
	}
	code, out, stderr := engram(t.Context(), []string{"compare", a, filepath.Join(b, "result.json")})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `test +tiny, seed 1 +tiny, seed 2 +difference`, out)
	assert.Regexp(t, `5-way 1-shot, accuracy +\d+\.\d\d ± \d+\.\d\d +\d+\.\d\d ± \d+\.\d\d +[+-]\d+\.\d\d ± \d+\.\d\d, of 10 pairs`, out)

	require.NoError(t, os.Remove(filepath.Join(b, "scores.json")))
	code, out, _ = engram(t.Context(), []string{"compare", a, b})
	assert.Equal(t, exitOK, code)
	assert.Contains(t, out, "the scores were not kept")

	code, _, stderr = engram(t.Context(), []string{"compare", a, "/nowhere"})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "/nowhere")
	code, _, _ = engram(t.Context(), []string{"compare", a})
	assert.Equal(t, exitUsage, code)
}
