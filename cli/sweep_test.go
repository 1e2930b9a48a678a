package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/sweep"
	"github.com/engram-go/engram/results"
)

// asEngram makes a process of this test binary behave as engram, which sweep starts as itself.
const asEngram = "ENGRAM_TEST_AS_ENGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asEngram) != "" {
		os.Exit(Main(registry.Standard()))
	}
	os.Exit(m.Run())
}

func TestSweep(t *testing.T) {
	t.Setenv(asEngram, "1")
	file, dir := tinyFile(t), filepath.Join(t.TempDir(), "out")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	// There are 20 classes, so that three of the runs cannot be.
	require.NoError(t, os.WriteFile(file, append(text, "matrix: {train.way: [4, 50], seed: [1, 2, 3]}\n"...), 0o644))

	code, out, stderr := engram(t.Context(), []string{"sweep", file, "--out", dir, "--dry-run"})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, 6, strings.Count(out, "\n"))
	assert.NoDirExists(t, dir)
	code, out, stderr = engram(t.Context(), []string{"sweep", file, "--dry-run", "--on", "slurm", "--gpus", "1"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "#SBATCH --array=0-5\n")
	assert.Contains(t, out, "# element 5: ")
	assert.Contains(t, out, "#SBATCH --gpus=1\n")
	assert.Contains(t, out, "#SBATCH --cpus-per-task=1\n")
	code, out, stderr = engram(t.Context(), []string{"sweep", file, "--dry-run", "--on", "slurm", "--time", "90", "--sbatch", "--exclusive",
		"--set", "slurm={partition: gpu, time: '10', gpus: 2, sbatch: [--account=lab]}"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "#SBATCH --partition=gpu\n#SBATCH --time=90\n#SBATCH --gpus=2\n#SBATCH --account=lab\n#SBATCH --exclusive\n")

	code, out, stderr = engram(t.Context(), []string{"sweep", file, "--dry-run", "--on", "slurm", "--array-limit", "4"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "#SBATCH --array=0-3\n")
	assert.Contains(t, out, "#SBATCH --array=0-1\n")

	code, out, stderr = engram(t.Context(), []string{"sweep", file, "--out", dir, "--workers", "2"})
	assert.Equal(t, exitFailure, code)
	assert.Regexp(t, `^rank +experiment +validation +metric +seeds +training +5-way 1-shot, accuracy\n1 \(best\) +tiny[^ ]* +\d+\.\d\d ± \d+\.\d\d \(s \d+\.\d\d\) +accuracy +3 +6 steps, 0 min +\d+\.\d\d ± `, out)
	assert.NotContains(t, out, "\n2 ", "one row for the seeds of one experiment")
	assert.Contains(t, stderr, "6 runs: 3 done, 3 failed\nengram: 3 of 6 runs failed; the same command again tries them again:\n")
	assert.Contains(t, stderr, "50-way episodes need 50 classes but the set has 20")
	done := filepath.Join(dir, "way=4", "seed-2", "result.json")
	before, err := os.Stat(done)
	require.NoError(t, err)

	// The runs that failed can be fixed or left out; those that are done are not done again.
	code, again, stderr := engram(t.Context(), []string{"sweep", file, "--out", dir, "--set", "train.way=4", "--json"})
	require.Equal(t, exitOK, code, stderr)
	var all []results.Result
	require.NoError(t, json.Unmarshal([]byte(again), &all))
	assert.Len(t, all, 3)
	after, err := os.Stat(done)
	require.NoError(t, err)
	assert.Equal(t, before.ModTime(), after.ModTime())

	code, _, stderr = engram(t.Context(), []string{"sweep", file, "--tests", "worst"})
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, stderr, "--tests worst: want none, best or all")
	code, none, _ := engram(t.Context(), []string{"sweep", file, "--out", dir, "--set", "train.way=4", "--tests", "none"})
	assert.Equal(t, exitOK, code)
	assert.NotContains(t, none, "5-way 1-shot")

	// The dry run refuses what the sweep refuses, and of Slurm leaves out what is finished.
	code, _, stderr = engram(t.Context(), []string{"sweep", file, "--out", dir, "--dry-run", "--set", "train.way=4", "--set", "optimizer=sgd"})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "holds a run of another configuration: choose another --out, or remove it")
	code, out, stderr = engram(t.Context(), []string{"sweep", file, "--out", dir, "--dry-run", "--on", "slurm"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "#SBATCH --array=0-2\n", "the runs that failed")

	// The same run by itself comes to the same.
	alone := filepath.Join(t.TempDir(), "alone")
	code, _, stderr = engram(t.Context(), []string{"run", file, "--out", alone, "-q", "--set", "train.way=4", "--set", "seed=2", "--set", "threads=1"})
	require.Equal(t, exitOK, code, stderr)
	a, err := os.ReadFile(filepath.Join(alone, "model.safetensors"))
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "way=4", "seed-2", "model.safetensors"))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(a, b), "the model of a sweep differs from that of a run")
}

// What a sweep shows on a terminal and elsewhere.
func TestOverview(t *testing.T) {
	runs := []sweep.Run{{Name: "way=4/seed-1"}, {Name: "way=4/seed-2"}}
	show := func(terminal bool) string {
		var w bytes.Buffer
		o := openOverview(&w, runs, terminal)
		o.watch(0, sweep.Status{State: sweep.Running, Step: 3, Steps: 10, Doing: "loss 0.5"})
		o.watch(1, sweep.Status{State: sweep.Running})
		o.watch(0, sweep.Status{State: sweep.Done})
		o.watch(1, sweep.Status{State: sweep.Failed, Err: errors.New("a: no\nb: neither")})
		o.end()
		return w.String()
	}
	assert.Equal(t, `way=4/seed-1: running
way=4/seed-2: running
way=4/seed-1: done
way=4/seed-2: failed: a: no
  b: neither
2 runs: 1 done, 1 failed
`, show(false))
	t.Setenv("NO_COLOR", "1")
	drawn := show(true)
	assert.Contains(t, drawn, "way=4/seed-2: failed: a: no\n  b: neither\n")
	assert.Contains(t, drawn, "2 runs: 1 done, 1 failed\n")
	assert.NotContains(t, drawn, "running\n")
}
