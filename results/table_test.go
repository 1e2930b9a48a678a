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

// Rows of a method stand together: published, independent re-runs, ours; a method that nobody has published comes last.
func TestMANNTable(t *testing.T) {
	run := func(seed uint64, memory string, labels string, way int) results.Run {
		r := results.Run{Path: "p", Result: &results.Result{
			Name: "mann", Network: "mann", Seed: seed, Training: results.Training{Steps: 100, BestStep: 50, Seconds: 120},
			Config: "network: {controller: {kind: lstm}, memory: {kind: " + memory + "}, encoder: {kind: none}}\ntrain: {batch: 16, shift: 2, turn: 10}\n",
		}}
		for i, instance := range []int{1, 2, 3, 4, 5, 10} {
			r.Figures = append(r.Figures, results.Figure{Name: "x", Metric: "accuracy", Value: float64(10*i) + .04, Interval: .25, Protocol: results.Protocol{
				Dataset: "omniglot", TrainedOn: "omniglot", Split: "random-1200", Rotations: "classes", Classes: 1692, Episodes: 1000,
				Labels: labels, Way: way, Instance: instance, TrainWay: 5, Precision: "fp32",
			}})
		}
		return r
	}
	moved := run(5, "lrua", "one-hot", 5)
	for i := range moved.Figures {
		moved.Figures[i].Protocol.Shift = 2
	}
	text, err := results.MANN([]results.Run{run(1, "dnc", "one-hot", 5), run(2, "lrua", "one-hot", 5), run(3, "none", "strings", 15), run(4, "ntm", "strings", 15), moved})
	require.NoError(t, err)
	assert.Contains(t, string(text), `
| MANN, LSTM controller | published | 36.4 | 82.8 | 91.0 | 92.6 | 94.9 | 98.1 |
| MANN, LSTM controller | re-run: snowkylin/ntm README | 35.6 | 88.8 | 95.0 | 96.5 | 97.3 | 97.6 |
| MANN, LSTM controller | Engram, [seed 2](p) | **0.0** ± 0.2 | **10.0** ± 0.2 | **20.0** ± 0.2 | **30.0** ± 0.2 | **40.0** ± 0.2 | **50.0** ± 0.2 |
| MANN, LSTM controller, DNC addressing | Engram, [seed 1](p) |`)
	assert.Contains(t, string(text), `
| MANN, LSTM controller, NTM addressing | published | 0.0 | 35.4 | 61.2 | 71.7 | 77.7 | 88.4 |
| MANN, LSTM controller, NTM addressing | Engram, [seed 4](p) |`)
	assert.Regexp(t, `(?s)Labels of five letters, 15 classes.*\| LSTM \| published \|[^\n]*\n\| LSTM \| Engram, \[seed 3\]`, string(text))
	assert.Contains(t, string(text), "| [mann, seed 2](p) | split random-1200, between alphabets, rotations: classes (1692 test classes), 1000 test episodes, images as they are; trained on 5 classes, images moved by up to 2 pixels and 10 degrees, fp32 | 1600 episodes, best at 800, 2 min |")
	assert.NotContains(t, string(text), "| Engram, [seed 5]", "test images that were moved are another protocol")
	assert.NotContains(t, string(text), "One-hot labels, 15 classes")
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
