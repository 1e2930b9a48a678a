package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// tinyTokens is an experiment on token sequences that takes a second.
const tinyTokens = `
name: tiny-tokens
dataset: {kind: mqar, vocabulary: 16, length: 16, pairs: 2, more: [{length: 20, pairs: 3}]}
network: {kind: blocks, width: 16, mixer: delta}
train: {batch: 8, steps: 12, report: 2, save: 4}
optimizer: {kind: adam, rate: 5e-3}
validation: {sequences: 20, every: 4}
test: [{length: 16, pairs: 2, sequences: 30}, {length: 40, pairs: 4, sequences: 10}]
threads: 1
`

func TestTokensTrainResumeAndReport(t *testing.T) {
	before := tensor.Live()
	want, err := tool.Run(t.Context(), parse(t, tinyTokens), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	require.Len(t, want.Figures, 4)
	for i, f := range want.Figures {
		assert.Equal(t, []string{"length 16, pairs 2", "length 16, pairs 2", "length 40, pairs 4", "length 40, pairs 4"}[i], f.Name)
		assert.Equal(t, []string{"accuracy", "whole sequences"}[i%2], f.Metric)
		assert.Equal(t, "%", f.Unit())
		assert.True(t, f.Value >= 0 && f.Value <= 100)
	}
	assert.GreaterOrEqual(t, want.Figures[0].Value, want.Figures[1].Value)
	assert.Equal(t, results.Protocol{Dataset: "mqar", Split: "fresh sequences", Sequences: 30, TrainedOn: "mqar", Precision: "fp32"}, want.Figures[0].Protocol)
	interrupted(t, parse(t, tinyTokens), 12, 3, want)
	assert.Equal(t, before, tensor.Live())
}

// Every layer, on every task: a few steps lower the loss.
func TestEveryMixerLearns(t *testing.T) {
	for _, mixer := range tool.Parts().Mixers.Names() {
		c := parse(t, tinyTokens, "network.mixer="+mixer, "network.positions=40", "train.steps=30", "train.report=1", "validation.sequences=0")
		t.Run(mixer, func(t *testing.T) { learnsTiny(t, c) })
	}
	for task, test := range map[string]string{
		"{kind: parity, max_length: 6}":                          "[{length: 8, sequences: 4}]",
		"{kind: permutations, length: 6}":                        "[{length: 12, sequences: 4}]",
		"{kind: selective-copy, length: 20, copied: 3}":          "[{length: 20, copied: 4, sequences: 4}]",
		"{kind: mqar, vocabulary: 32, length: 16, random: true}": "[{length: 16, pairs: 3, sequences: 4}]",
		"{kind: context-recall, length: 16}":                     "[{length: 20, sequences: 4}]",
		"{kind: context-recall, length: 16, noise: 0.2}":         "[{length: 20, sequences: 4}]",
		"{kind: fuzzy-recall, length: 24}":                       "[{length: 30, sequences: 4}]",
		"{kind: memorization, vocabulary: 16, length: 8}":        "[{length: 8, sequences: 4}]",
		"{kind: compression, vocabulary: 4, length: 8}":          "[{length: 8, sequences: 4}]",
	} {
		sets := []string{"dataset=" + task, "test=" + test, "train.steps=60", "train.report=1", "validation.sequences=0"}
		if strings.Contains(task, "compression") {
			sets = append(sets, "network.decoder=true")
		}
		c := parse(t, tinyTokens, sets...)
		t.Run(task, func(t *testing.T) { learnsTiny(t, c) })
	}
}

func TestTokensMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"network: {kind: blocks, width: 15}\ndataset: mqar\ntest: [{length: 64, pairs: 4}]":                         "network.mixer: 2 heads do not divide the width 15",
		"network: {kind: blocks, positions: 32}\ndataset: mqar\ntest: [{length: 64, pairs: 4}]":                     "the sequences have 64 tokens, and the network learns vectors of 32 positions",
		"network: blocks\ndataset: mqar\ntest: [{length: 64, pairs: 40}]":                                           "Pairs is 40: choose from 1 to 16",
		"network: blocks\ndataset: parity\ntest: [{length: 64, pairs: 4}]":                                          "this task has none, set it to 0",
		"network: {kind: blocks, mixer: {kind: linear-attention, rate: 2}}\ndataset: parity\ntest: [{length: 64}]":  "this memory has a fixed rate; leave it out",
		"network: {kind: blocks, mixer: {kind: gated-delta, mini_batch: 2}}\ndataset: parity\ntest: [{length: 64}]": "this memory takes gradients after its decay",
		"network: {kind: blocks, mixer: {kind: titans, key: 8, value: 4}}\ndataset: parity\ntest: [{length: 64}]":   "have the same width; leave it out",
		"network: protonet\ndataset: mqar\ntest: [{length: 64}]":                                                    "protonet learns from images, and mqar holds token sequences",
		"network: blocks\ndataset: compression\ntest: [{length: 32}]":                                               "use decoder: true",
		"network: {kind: blocks, decoder: true}\ndataset: parity\ntest: [{length: 32}]":                             "decoder: is for the task compression; leave it out",
		"network: blocks\ndataset: parity\ntest: [{length: 32}]\ntrain: {examples: 9}":                              "train.examples: the training sequences of parity have several sizes",
		"network: blocks\ndataset: {kind: context-recall, length: 9}\ntest: [{length: 32}]":                         "Length is 9: choose an even length",
		"network: {kind: blocks, positions: 64}\ndataset: parity\ntest: [{length: 64}]\nvalidation: {length: 80}":   "validation: the sequences have 80 tokens, and the network learns vectors of 64 positions",
		"network: blocks\ndataset: parity\ntest: [{length: 64}]\nvalidation: {length: 64, pairs: 4}":                "dataset: validation: token: parity: Pairs is 4: this task has none, set it to 0",
		"network: {kind: blocks}\ndataset: parity\ntest: [{length: 64}]\ntrain: {clip: {carried: 1}}":               "is for networks that run over a sequence",
	} {
		_, err := tool.Parse("x.yaml", []byte("name: x\n"+text+"\n"))
		assert.ErrorContains(t, err, want, text)
	}
}

// Validation is on the sizes of training, or on one that the file names, and takes other sequences than a test of that size.
func TestTokensValidateOnASize(t *testing.T) {
	run := func(sets ...string) *results.Result {
		sets = append(sets, "train.steps=4", "validation.sequences=400")
		r, err := tool.Run(t.Context(), parse(t, tinyTokens, append(sets, "test=[{length: 40, pairs: 4, sequences: 400}]")...), experiments.Options{Out: t.TempDir()})
		require.NoError(t, err)
		return r
	}
	r := run("validation.length=40", "validation.pairs=4")
	assert.InDelta(t, r.Figures[0].Value, r.Training.Validation, 3*r.Figures[0].Interval)
	assert.NotEqual(t, r.Figures[0].Value, r.Training.Validation)
	assert.NotEqual(t, run().Training.Validation, r.Training.Validation)
}

// A fixed number of training sequences repeats, epoch by epoch, also after an interruption; a task of MAD reports its macro
// accuracy, and the run folder holds samples and plots.
func TestTokensOfAFixedSet(t *testing.T) {
	sets := []string{"dataset={kind: memorization, vocabulary: 8, length: 8}", "train={batch: 3, examples: 4, steps: 12, report: 2, save: 4}", "test=[{length: 8, sequences: 30}]"}
	dir := t.TempDir()
	want, err := tool.Run(t.Context(), parse(t, tinyTokens, sets...), experiments.Options{Out: dir})
	require.NoError(t, err)
	require.Len(t, want.Figures, 3)
	assert.Equal(t, "macro accuracy", want.Figures[2].Metric)
	assert.True(t, want.Figures[2].Value >= 0 && want.Figures[2].Value <= 100)
	samples, err := os.ReadFile(filepath.Join(dir, "samples.txt"))
	require.NoError(t, err)
	assert.Contains(t, string(samples), "memorization of a map, length 8\n")
	assert.Contains(t, string(samples), "  target   . ")
	plots, err := filepath.Glob(filepath.Join(dir, "plots", "answers-length-8.*"))
	require.NoError(t, err)
	assert.NotEmpty(t, plots)
	interrupted(t, parse(t, tinyTokens, sets...), 12, 3, want)
}
