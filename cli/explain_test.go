package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

func TestExplain(t *testing.T) {
	file, dir := filepath.Join(t.TempDir(), "tiny.yaml"), filepath.Join(t.TempDir(), "out")
	require.NoError(t, os.WriteFile(file, []byte("name: tiny\nnetwork: {kind: memnet, hops: 2}\ndataset: {kind: stories, train: 50, test: 20}\ntrain: {epochs: 2}\n"), 0o644))
	code, out, stderr := engram(t.Context(), []string{"run", file, "--out", dir, "-q"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `tiny +1 +stories task 1 +20 +error \d+\.\d\d ± \d+\.\d\d % +50, test, networks: joint`, out)
	assert.Regexp(t, `tiny +1 +stories all tasks +40 +failed \d tasks? +50, test`, out)

	code, out, stderr = engram(t.Context(), []string{"explain", dir, "--task", "2", "--count", "2"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `^task 2, two supporting facts\n  hop 1  hop 2 \n([ *]  [01]\.\d\d   [01]\.\d\d   [a-z ]+\n)+   [01]\.\d\d   [01]\.\d\d   \(no sentence\)\nwhere is the \w+\? \w+ \(\d+ %\), (which is right|but the answer is \w+)\n\ntask 2, `, out)

	code, out, _ = engram(t.Context(), []string{"explain", dir, "--json", "--count", "1"})
	require.Equal(t, exitOK, code)
	var all []experiments.Explanation
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	assert.Len(t, all[0].Sentences[0].Weights, 2)

	for _, name := range []string{"a.svg", "a.png"} {
		image := filepath.Join(t.TempDir(), name)
		code, _, stderr = engram(t.Context(), []string{"explain", dir, "--plot", image})
		require.Equal(t, exitOK, code, stderr)
		assert.FileExists(t, image)
	}
	samples, err := os.ReadFile(filepath.Join(dir, "samples.txt"))
	require.NoError(t, err)
	assert.Regexp(t, `(?s)^task 1, single supporting fact\n.*\ntask 2, two supporting facts\n`, string(samples))
	assert.FileExists(t, filepath.Join(dir, "plots", "attention-task-02.svg"))

	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"explain"}, exitUsage, "RUN is missing"},
		{[]string{"explain", dir, "--count", "0"}, exitUsage, "--count: want at least 1"},
		{[]string{"explain", dir, "--plot", "a.gif"}, exitUsage, "--plot: a.gif: want a name that ends in .svg or .png"},
		{[]string{"explain", dir, "--task", "7"}, exitFailure, "there is no task 7"},
		{[]string{"explain", "/nowhere"}, exitFailure, "is not a run folder"},
	} {
		code, _, stderr := engram(t.Context(), c.args)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, c.args)
	}
}
