package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// A search draws experiments, pauses all, chooses by validation and brings the chosen one to the same end as without a search.
// Started again it repeats nothing and says the same.
func TestSearch(t *testing.T) {
	t.Setenv(asEngram, "1")
	file, dir := tinyFile(t), filepath.Join(t.TempDir(), "out")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	text = append(text, "matrix: {optimizer.rate: {from: 1e-4, to: 1e-1, scale: log}, seed: [1, 2]}\n"...)
	require.NoError(t, os.WriteFile(file, text, 0o644))

	code, _, stderr := engram(t.Context(), []string{"sweep", file})
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "gives a range for optimizer.rate, from which --random N draws")
	code, shown, stderr := engram(t.Context(), []string{"show", file})
	assert.Equal(t, exitOK, code, stderr)
	assert.Contains(t, shown, "Of a range (optimizer.rate) the ends are shown")
	for flags, want := range map[string]string{
		"--random 0":                      "--random: want at least 1 experiment",
		"--random 4 --keep 0.5":           "--keep is for --halving",
		"--random 4 --halving 3 --keep 1": "want a share between 0 and 1 to keep",
		"--random 4 --halving 6":          "the first rung of 6 steps is as long as the runs",
		"--random 4 --halving 1":          "is validated for the first time after 3 steps (validation.every): want at least as many",
		"--search-seed 3 --set seed=1 -q": "--search-seed is for --random",
	} {
		code, _, stderr := engram(t.Context(), append([]string{"sweep", file, "--out", dir}, strings.Fields(flags)...))
		assert.Equal(t, exitUsage, code, flags)
		assert.Contains(t, stderr, want, flags)
		assert.NoDirExists(t, dir)
	}

	search := []string{"sweep", file, "--out", dir, "--random", "4", "--halving", "3", "--workers", "2"}
	code, out, stderr := engram(t.Context(), search)
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stderr, "8 runs: 4 done, 4 paused\n")
	assert.Regexp(t, `^experiment +validation, 3 steps +then\n`, out)
	assert.Equal(t, 2, strings.Count(out, "  trained to the end\n"), out)
	assert.Equal(t, 2, strings.Count(out, "  stopped\n"), out)
	done, err := filepath.Glob(filepath.Join(dir, "*", "*", "result.json"))
	require.NoError(t, err)
	assert.Len(t, done, 4)

	var record struct {
		Runs  []string
		Rungs []results.Rung
	}
	saved, err := os.ReadFile(filepath.Join(dir, "search.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(saved, &record))
	require.Len(t, record.Rungs, 1)
	entries := record.Rungs[0].Entries
	require.Len(t, entries, 4)
	for _, kept := range entries {
		for _, other := range entries {
			if kept.Kept && !other.Kept {
				assert.GreaterOrEqual(t, kept.Score.Mean, other.Score.Mean)
			}
		}
	}

	code, again, stderr := engram(t.Context(), search)
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out, again)
	repeated, err := os.ReadFile(filepath.Join(dir, "search.json"))
	require.NoError(t, err)
	assert.Equal(t, string(saved), string(repeated))

	// Paused and continued, a run has the bits of one that was not.
	kept := entries[slices.IndexFunc(entries, func(e results.RungEntry) bool { return e.Kept })].Name
	alone := filepath.Join(t.TempDir(), "alone")
	code, _, stderr = engram(t.Context(), []string{"run", file, "--out", alone, "-q", "--set", "optimizer." + kept, "--set", "seed=2", "--set", "threads=1"})
	require.Equal(t, exitOK, code, stderr)
	a, err := os.ReadFile(filepath.Join(alone, "model.safetensors"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(dir, kept, "seed-2", "model.safetensors"))
	require.NoError(t, err)
	assert.True(t, string(a) == string(b), "the model of a search differs from that of a run")
}
