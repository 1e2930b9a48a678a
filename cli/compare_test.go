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
	assert.Regexp(t, `test +tiny \(network.kind=matchingnet\), seed 1 +tiny \(network.kind=protonet\), seed 2 +difference`, out)
	assert.Contains(t, out, "It does not include the variation of training")
	assert.Regexp(t, `5-way 1-shot, accuracy +\d+\.\d\d ± \d+\.\d\d +\d+\.\d\d ± \d+\.\d\d +[+-]\d+\.\d\d ± \d+\.\d\d, 10 pairs`, out)

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

// Experiments are compared over seeds, paired by seed; seeds of one experiment are not.
func TestCompareExperiments(t *testing.T) {
	runs := filepath.Join("..", "results", "runs")
	code, out, stderr := engram(t.Context(), []string{"compare", filepath.Join(runs, "ntm-copy"), filepath.Join(runs, "lstm-copy")})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `test +ntm-copy, 5 seeds +lstm-copy, 2 seeds +difference`, out)
	assert.Regexp(t, `length 30, bits +1\.75 ± 4\.84 +174\.52 ± \d+\.\d\d +-\d+\.\d\d ± \d+\.\d\d, 2 pairs of seeds`, out)
	assert.Contains(t, out, "includes the\nvariation of training")

	code, out, stderr = engram(t.Context(), []string{"compare", filepath.Join(runs, "ntm-copy", "seed-1"), filepath.Join(runs, "ntm-copy", "seed-2")})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "not compared: two seeds of one experiment")
	assert.NotContains(t, out, "pairs")
	code, _, stderr = engram(t.Context(), []string{"compare", filepath.Join(runs, "ntm-copy"), filepath.Join(runs, "ntm-copy")})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "hold runs of one experiment, ntm-copy")
	code, _, stderr = engram(t.Context(), []string{"compare", runs, filepath.Join(runs, "ntm-copy")})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "name the folder of one")

	// Runs that differ in precision are compared on the same episodes.
	code, out, stderr = engram(t.Context(), []string{"compare", filepath.Join(runs, "protonet-bf16"), filepath.Join(runs, "protonet-euclidean")})
	require.Equal(t, exitOK, code, stderr)
	assert.NotContains(t, out, "protocols differ")
	assert.Regexp(t, `5-way 1-shot, accuracy .* ± \d+\.\d\d, 1000 pairs`, out)
}
