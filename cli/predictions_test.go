package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

func TestPredictions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	code, _, stderr := engram(t.Context(), []string{"run", tinyFile(t), "--out", dir, "-q"})
	require.Equal(t, exitOK, code, stderr)
	out := t.TempDir()
	list, matrix := filepath.Join(out, "p.csv"), filepath.Join(out, "c.csv")
	code, stdout, stderr := engram(t.Context(), []string{"predictions", dir, "-q", "--out", list, "--confusion", matrix, "--mistakes", "2"})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `^strokes 5-way 1-shot: accuracy \d+\.\d\d ± \d+\.\d\d % over 150 queries, calibration error \d+\.\d\d %\n`, stdout)
	assert.Regexp(t, `\nclass +accuracy +right +queries\nstrokes/`, stdout)
	assert.Contains(t, stdout, "and 8 classes with a higher accuracy\n")
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	assert.Equal(t, 151, strings.Count(string(text), "\n"))
	assert.True(t, strings.HasPrefix(string(text), "episode,query,class,prediction,probability,class_probability,image\n1,1,strokes/"), string(text[:200]))
	text, err = os.ReadFile(matrix)
	require.NoError(t, err)
	assert.Equal(t, 11, strings.Count(string(text), "\n"))

	full := filepath.Join(out, "p.json")
	code, stdout, stderr = engram(t.Context(), []string{"predictions", dir, "--json", "--out", full})
	require.Equal(t, exitOK, code, stderr)
	var printed struct {
		Metric  string
		Queries []results.QueryPrediction
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &printed))
	assert.Equal(t, "accuracy", printed.Metric)
	text, err = os.ReadFile(full)
	require.NoError(t, err)
	var queries []results.QueryPrediction
	require.NoError(t, json.Unmarshal(text, &queries))
	require.Len(t, queries, 150)
	assert.Equal(t, printed.Queries, queries)
	assert.Len(t, queries[0].Probabilities, 5)

	for _, args := range [][]string{{"--out", "x.txt"}, {"--confusion", "x.json"}, {"--test", "-2"}} {
		code, _, _ := engram(t.Context(), append([]string{"predictions", dir}, args...))
		assert.Equal(t, exitUsage, code, args)
	}
}

func TestFeatures(t *testing.T) {
	out := filepath.Join(t.TempDir(), "f.npy")
	code, stdout, stderr := engram(t.Context(), []string{"features", "../models/quickstart-protonet", "-q", "--images", "../examples/letters/support", "-o", out})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "10 images of 5 classes, 64 values each: "+out+", "+strings.TrimSuffix(out, ".npy")+".labels.csv\n", stdout)
	for _, args := range [][]string{nil, {"-o", "x.txt"}, {"-o", "x.csv", "--split", "none"}, {"-o", "x.csv", "--ink", "dark"}, {"-o", "x.csv", "--images", "x", "--fit", "round"}, {"-o", "x.csv", "--images", "x", "--split", "test"}} {
		code, _, stderr := engram(t.Context(), append([]string{"features", "../models/quickstart-protonet"}, args...))
		assert.Equal(t, exitUsage, code, "%v: %s", args, stderr)
	}
	code, _, stderr = engram(t.Context(), []string{"features", "../models/quickstart-protonet", "-o", "x.csv", "--images", "/nowhere"})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "no folder /nowhere")
}
