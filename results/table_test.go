package results_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// The committed tables are what the committed results generate.
func TestTablesAreUpToDate(t *testing.T) {
	runs, err := results.ReadRuns(os.DirFS("."))
	require.NoError(t, err)
	require.NotEmpty(t, runs)
	documents, err := results.Documents(runs)
	require.NoError(t, err)
	for _, want := range documents {
		have, err := os.ReadFile(filepath.Join("..", want.Path))
		require.NoError(t, err)
		assert.Equal(t, string(want.Text), string(have), "run: make tables")
	}

	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	again, err := results.Readme(readme, runs)
	require.NoError(t, err)
	assert.Equal(t, string(again), string(readme), "run: make tables")
}

// Committed figures are of committed code.
func TestCommittedRunsAreOfCommittedCode(t *testing.T) {
	runs, err := results.ReadRuns(os.DirFS("."))
	require.NoError(t, err)
	for _, r := range runs {
		assert.Len(t, r.Build.Commit, 40, r.Path)
		assert.False(t, r.Build.Modified, r.Path)
	}
}

func sample() *results.Result {
	protocol := results.Protocol{
		Dataset: "omniglot", Split: "vinyals", Rotations: "classes", Classes: 1692, Way: 5, Shot: 1, Query: 15, Episodes: 1000,
		Norm: "inductive", TrainedOn: "omniglot", TrainWay: 60, TrainShot: 1, Precision: "fp32",
	}
	return &results.Result{
		Name: "x", Network: "protonet", Seed: 3,
		Figures:  []results.Figure{{Name: "5-way 1-shot", Metric: "accuracy", Value: 98.765, Interval: .1234, Protocol: protocol}},
		Training: results.Training{Steps: 9000, Seconds: 1200},
		Build:    results.Build{Commit: strings.Repeat("a", 40)},
	}
}

func TestOmniglotTable(t *testing.T) {
	text, err := results.Omniglot([]results.Run{{Path: "runs/x/result.json", Result: sample()}})
	require.NoError(t, err)
	assert.Contains(t, string(text), "| Prototypical network | 98.8 | 98.2, 98.4 | **98.77** ± 0.12 | | | | 3 | 9000 steps, 20 min |")
	assert.Contains(t, string(text), "[x](runs/x/result.json) | split vinyals, between alphabets, rotations: classes (1692 test classes), batch norm inductive, 15 queries a class, 1000 episodes; trained 60-way 1-shot, fp32 | aaaaaaaaaaaa |")
	assert.NotContains(t, string(text), "†")
}

func TestFigureOfAnotherProtocolIsMarked(t *testing.T) {
	r := sample()
	r.Figures[0].Protocol.Norm = "transductive"
	text, err := results.Omniglot([]results.Run{{Path: "p", Result: r}})
	require.NoError(t, err)
	assert.Contains(t, string(text), "**98.77** ± 0.12 † |")
	assert.Contains(t, string(text), "† measured under other")
}

func TestNTMTableCountsTheSeedsThatFail(t *testing.T) {
	seed := func(n uint64, validation float64) results.Run {
		p := results.Protocol{Dataset: "copy", TrainedOn: "copy", Split: "fresh sequences", Sequences: 200}
		return results.Run{Path: "p", Result: &results.Result{
			Name: "ntm-copy", About: "copy", Seed: n, Config: "train:\n  batch: 16\n",
			Figures:  []results.Figure{{Name: "length 10", Metric: "bits", Value: validation, Interval: .01, Protocol: p}, {Name: "length 10", Metric: "wrong bits", Value: 12.34, Interval: 1.2, Protocol: p}},
			Training: results.Training{Steps: 100, BestStep: 50, Validation: validation, Seconds: 60},
		}}
	}
	text, err := results.NTM([]results.Run{seed(1, .02), seed(2, 80)})
	require.NoError(t, err)
	assert.Contains(t, string(text), "| [1](p) | 0.020 bits | 800 | 0.02 ± 0.01 | 12.3 ± 1.2 % | 1600 sequences, 1 min |")
	assert.Contains(t, string(text), "| [2](p) | 80.000 bits | 800 |")
	assert.Contains(t, string(text), "Under 1 bit on validation: 1 of 2 seeds.")
}

func TestFigureOfAnotherDataSetIsLeftOut(t *testing.T) {
	r := sample()
	r.Figures[0].Protocol.TrainedOn = "strokes"
	text, err := results.Omniglot([]results.Run{{Path: "p", Result: r}})
	require.NoError(t, err)
	assert.NotContains(t, string(text), "98.77")
}

func TestDamagedResultNamesItsFile(t *testing.T) {
	for text, want := range map[string]string{
		`{"name": `:       "runs/x/result.json is damaged",
		`{"nmae": "x"}`:   `unknown field "nmae"`,
		`{"seed": "one"}`: "runs/x/result.json is damaged",
	} {
		_, err := results.ReadRuns(fstest.MapFS{"runs/x/result.json": {Data: []byte(text)}})
		assert.ErrorContains(t, err, want)
	}
}

func TestReadmeWithoutItsMarksIsRefused(t *testing.T) {
	_, err := results.Readme([]byte("# x"), nil)
	assert.ErrorContains(t, err, "lacks the lines")
}

func TestMeanInterval(t *testing.T) {
	mean, half := results.MeanInterval([]float64{.2, .4, .6, .8})
	assert.InDelta(t, .5, mean, 1e-12)
	assert.InDelta(t, 1.96*0.2581988897/2, half, 1e-9) // 1.96·s/√n with the unbiased s
}
