package experiments_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
)

// killFolder passes the run folder to a process that TestKilledRunsEndAsOthers starts and kills.
const killFolder = "ENGRAM_TEST_KILL_FOLDER"

// TestKilledChild is such a process: it starts or resumes the run.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv(killFolder)
	if dir == "" {
		t.Skip("runs in a process that TestKilledRunsEndAsOthers starts")
	}
	var err error
	if _, missing := os.Stat(filepath.Join(dir, "config.yaml")); missing != nil {
		_, err = tool.Run(t.Context(), config(t, "train.save=1", "train.steps=40"), experiments.Options{Out: dir})
	} else {
		_, err = tool.Resume(t.Context(), dir, experiments.Options{})
	}
	require.NoError(t, err)
}

// Runs that are killed at any moment, also while writing, and resumed end like undisturbed ones.
func TestKilledRunsEndAsOthers(t *testing.T) {
	start := func(dir string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), killFolder+"="+dir)
		return cmd
	}
	undisturbed := t.TempDir()
	began := time.Now()
	out, err := start(undisturbed).CombinedOutput()
	require.NoError(t, err, string(out))
	whole := time.Since(began)
	want, err := results.Read(filepath.Join(undisturbed, "result.json"))
	require.NoError(t, err)

	r := rand.New(rand.NewPCG(1, 0))
	dir := t.TempDir()
	for kills := 0; kills < 50; {
		cmd := start(dir)
		require.NoError(t, cmd.Start())
		kill := time.AfterFunc(whole/4+time.Duration(r.Int64N(int64(whole/2))), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if err != nil {
			require.EqualError(t, err, "signal: killed")
			kills++
			continue
		}
		got, err := results.Read(filepath.Join(dir, "result.json"))
		require.NoError(t, err)
		sameOutcome(t, want, got)
		for _, name := range []string{"model.safetensors", "scores.json"} {
			a, err := os.ReadFile(filepath.Join(undisturbed, name))
			require.NoError(t, err)
			b, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			assert.True(t, string(a) == string(b), "%s differs after %d kills", name, kills)
		}
		dir = t.TempDir()
	}
}
