package cli

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const tiny = `
name: tiny
network: {kind: matchingnet, encoder: {kind: conv4, filters: 4}}
dataset: {kind: strokes, train: 20, val: 10, test: 10, instances: 6, size: 16}
train: {way: 5, query: 2, steps: 6}
validation: {way: 5, query: 2, episodes: 4, every: 3}
test: [{way: 5, shot: 1, query: 3, episodes: 10}]
`

func tinyFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tiny.yaml")
	require.NoError(t, os.WriteFile(file, []byte(tiny), 0o644))
	return file
}

func TestRunPrintsTableAndKeepsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	code, out, stderr := engram(t.Context(), []string{"run", tinyFile(t), "--out", dir, "--seed", "7"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `tiny +7 +strokes 5-way 1-shot +10 +accuracy \d+\.\d\d ± \d+\.\d\d % +split 20/10/10, rotations none, inductive, 3 queries per class`, out)
	assert.Contains(t, stderr, "validation")
	for _, name := range []string{"config.yaml", "metrics.jsonl", "checkpoint.safetensors", "model.safetensors", "result.json"} {
		assert.FileExists(t, filepath.Join(dir, name))
	}

	code, again, stderr := engram(t.Context(), []string{"eval", dir, "--quiet"})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out, again)
	assert.Empty(t, stderr)

	code, other, stderr := engram(t.Context(), []string{"eval", dir, "-q", "--set", "test.0.norm=transductive"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, other, "transductive")

	code, _, stderr = engram(t.Context(), []string{"run", tinyFile(t), "--out", dir})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, dir+" holds a finished run, of tiny with seed 7: choose another --out")
}

func TestInterruptedRunSaysHowToGoOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(1500*time.Millisecond, cancel)
	code, out, stderr := engram(ctx, []string{"run", tinyFile(t), "--out", dir, "--set", "train.steps=100000", "--set", "validation.episodes=0"})
	assert.Equal(t, exitSignal+int(syscall.SIGINT), code)
	assert.Empty(t, out)
	assert.Contains(t, stderr, "engram: interrupted; everything is saved, continue with: engram resume "+dir+"\n")
	assert.FileExists(t, filepath.Join(dir, "checkpoint.safetensors"))
}

func TestResumeOfAFinishedRunPrintsItsResult(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	_, out, _ := engram(t.Context(), []string{"run", tinyFile(t), "--out", dir, "-q"})
	code, again, stderr := engram(t.Context(), []string{"resume", dir})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out, again)
}

func TestRunMistakes(t *testing.T) {
	file := tinyFile(t)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"run"}, exitUsage, "FILE... is missing"},
		{[]string{"run", "none.yaml"}, exitFailure, "experiment file: open none.yaml"},
		{[]string{"run", file, "--set", "train.wya=5"}, exitFailure, `--set train.wya=5: unknown key "wya"; did you mean "way"?`},
		{[]string{"run", file, "--set", "train"}, exitUsage, `train`},
		{[]string{"run", file, "--seed", "x"}, exitUsage, `--seed: want a whole number of at least 0, got "x"`},
		{[]string{"run", file, file, "--out", "x"}, exitUsage, "--out is the folder of one run"},
		{[]string{"run", file, "--data", "/nowhere", "--set", "dataset=omniglot"}, exitFailure, "/nowhere"},
		{[]string{"resume", "/nowhere"}, exitFailure, "is not a run folder"},
		{[]string{"eval", "/nowhere"}, exitFailure, "is not a run folder"},
		{[]string{"data", "fetch", "omniglott"}, exitFailure, "omniglott"},
		{[]string{"data", "fetch"}, exitUsage, "NAME is missing"},
	} {
		code, _, stderr := engram(t.Context(), c.args)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, c.args)
	}
}
