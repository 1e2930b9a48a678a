package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// What was begun comes first, then what was never run, then the rest with the fewest seeds first; of these the longest. Unknown
// costs come last, and what is reached is not run.
func TestOrderOfReproductions(t *testing.T) {
	into := t.TempDir()
	finished := filepath.Join(into, "below", "seed-1")
	require.NoError(t, os.MkdirAll(finished, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(finished, results.FileName), nil, 0o644))
	begun := filepath.Join(into, "begun", "seed-1")
	require.NoError(t, os.MkdirAll(begun, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(begun, "config.yaml"), nil, 0o644))
	claim := func(name, status string, seeds int, minutes float64) results.Claim {
		return results.Claim{Experiment: name, File: name + ".yaml", Status: status, Seeds: seeds, CoreMinutes: minutes}
	}
	got := reproductions([]results.Claim{
		claim("unknown", results.NotRun, 0, 0), claim("reached", results.Reached, 1, 5), claim("below", results.Below, 1, 99),
		claim("short", results.NotRun, 0, 10), claim("long", results.NotRun, 0, 60), claim("begun", results.Below, 3, 1),
		claim("long", results.NotRun, 0, 60), {Method: "People", Status: results.NoExperiment},
	}, into)
	var names []string
	for _, r := range got {
		names = append(names, r.claim.Experiment)
	}
	assert.Equal(t, []string{"begun", "long", "short", "below", "unknown"}, names)
	assert.True(t, got[0].begun)
	assert.Equal(t, 2, got[3].seed, "the first seed without a result")
	assert.Equal(t, filepath.Join(into, "below", "seed-2"), got[3].dir)
}
