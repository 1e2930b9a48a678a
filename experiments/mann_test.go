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

// tinyMANN is a one-shot experiment that takes a second.
const tinyMANN = `
name: tiny-mann
dataset: {kind: strokes, train: 20, val: 8, test: 9, instances: 4, size: 16}
network: {kind: mann, controller: {kind: lstm, size: 16}, memory: {kind: lrua, slots: 8, width: 6, heads: 2}}
train: {way: 3, samples: 3, shift: 1, turn: 5, batch: 2, steps: 12, report: 2, save: 4}
validation: {episodes: 6, every: 4}
test: [{way: 3, samples: 4, episodes: 60}, {way: 2, samples: 2, episodes: 20, shift: 1.5}]
`

func TestMANNTrainsResumesAndReports(t *testing.T) {
	before := tensor.Live()
	whole := t.TempDir()
	want, err := tool.Run(t.Context(), parse(t, tinyMANN), experiments.Options{Out: whole})
	require.NoError(t, err)
	var names []string
	for _, f := range want.Figures {
		names = append(names, f.Name)
		assert.Equal(t, "accuracy", f.Metric)
		assert.Greater(t, f.Interval, 0.0)
	}
	assert.Equal(t, []string{
		"3 classes, instance 1", "3 classes, instance 2", "3 classes, instance 3", "3 classes, instance 4",
		"2 classes, moved by 1.5 pixels and 0 degrees, instance 1", "2 classes, moved by 1.5 pixels and 0 degrees, instance 2",
	}, names)
	assert.Equal(t, results.Protocol{
		Dataset: "strokes", Split: "20/8/9", Rotations: "none", Classes: 9, Way: 3, Episodes: 60, Labels: "one-hot", Samples: 4,
		Instance: 2, TrainedOn: "strokes", TrainWay: 3, Precision: "fp32",
	}, want.Figures[1].Protocol)

	for _, name := range []string{"learning-curve", "instances", "memory"} {
		assert.FileExists(t, filepath.Join(whole, "plots", name+".svg"))
	}
	drawn, err := os.ReadFile(filepath.Join(whole, "plots", "memory.svg"))
	require.NoError(t, err)
	for _, panel := range []string{"class of the image", "probability of the right label", "write weighting", "read weighting"} {
		assert.Contains(t, string(drawn), panel)
	}

	read, err := results.Read(filepath.Join(whole, "result.json"))
	require.NoError(t, err)
	for i, f := range read.Figures {
		require.NotNil(t, f.Scores)
		assert.Len(t, f.Scores.Values, f.Protocol.Episodes)
		var mean float64
		for _, v := range f.Scores.Values {
			assert.True(t, v >= 0 && v <= int64(f.Protocol.Way), "%d right answers of %d", v, f.Protocol.Way)
			mean += float64(v) / f.Scores.Per / float64(f.Protocol.Episodes)
		}
		assert.InDelta(t, want.Figures[i].Value, mean, 1e-9)
	}

	dir := interrupted(t, parse(t, tinyMANN), 12, 3, want)
	first, err := os.ReadFile(filepath.Join(whole, "model.safetensors"))
	require.NoError(t, err)
	second, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	assert.True(t, string(first) == string(second), "the two models differ")
	assert.Equal(t, before, tensor.Live())
}

// Every controller works with every memory, either kind of label, with and without an encoder, and a few steps lower
// the loss.
func TestEveryMANN(t *testing.T) {
	learns := func(sets ...string) {
		dir := t.TempDir()
		sets = append(sets, "train.steps=30", "train.report=1", "train.batch=8", "optimizer.rate=1e-2", "validation.episodes=0",
			"test=[{way: 2, samples: 2, episodes: 2}]")
		_, err := tool.Run(t.Context(), parse(t, tinyMANN, sets...), experiments.Options{Out: dir})
		require.NoError(t, err, sets)
		var first, last float64
		for _, m := range metrics(t, dir) {
			switch loss := m["loss"].(float64); {
			case m["step"].(float64) <= 10:
				first += loss
			case m["step"].(float64) > 20:
				last += loss
			}
		}
		assert.Less(t, last, first, sets)
	}
	for _, memory := range []string{
		"none", "{kind: ntm, slots: 8, width: 6}", "{kind: lrua, slots: 8, width: 6, heads: 2}", "{kind: dnc, slots: 8, width: 6}",
		"{kind: lrua, slots: 8, width: 6, heads: 2, add: true, strength: true, own_slots: true}",
	} {
		for _, controller := range []string{"lstm", "feedforward"} {
			learns("network.memory="+memory, "network.controller.kind="+controller)
		}
	}
	learns("labels=strings")
	learns("labels={kind: strings, length: 2, letters: 3}", "network.encoder={kind: conv4, filters: 4}")
}

func TestMANNMistakes(t *testing.T) {
	const good = "name: x\nnetwork: mann\n"
	for text, want := range map[string]string{
		"name: x\nnetwork: man\ntest: [{way: 5, shot: 1}]\n":                                 `x.yaml:2: network: unknown kind "man"; did you mean "mann"?`,
		good + "dataset: copy\ntest: [{way: 5}]\n":                                           "x.yaml:2: network: mann learns from images, and copy holds sequences; use one of strokes, omniglot, images,",
		good + "test: [{way: 5}]\nlabels: onehot\n":                                          `x.yaml:4: labels: unknown kind "onehot"; did you mean "one-hot"?`,
		good + "test: [{way: 5}]\nlabels: {kind: one-hot, length: 5}\n":                      `x.yaml:4: labels: unknown key "length" for kind "one-hot"`,
		good + "test: [{way: 5}]\nlabels: {kind: strings, length: 0}\n":                      "x.yaml:4: labels.length: must be at least 1",
		good + "test: [{way: 5}, {way: 6}]\n":                                                "labels: test.1.way: one-hot labels of 5 classes do not name 6: raise train.way, or use other labels",
		good + "test: [{way: 5}, {way: 5}]\n":                                                "x.yaml:3: test.1: the same test as an earlier one: 5 classes",
		good + "test: [{way: 5}]\ntrain: {shot: 1}\n":                                        `x.yaml:4: train: unknown key "shot"`,
		"name: x\nnetwork: {kind: mann, encoder: conv5}\ntest: [{way: 5}]\n":                 `x.yaml:2: network.encoder: unknown kind "conv5"; did you mean "conv4"?`,
		"name: x\nnetwork: {kind: mann, memory: {kind: lrua, reads: 4}}\ntest: [{way: 5}]\n": `x.yaml:2: network.memory: unknown key "reads" for kind "lrua"`,
		"name: x\nnetwork: {kind: mann, controller: {kind: lstn}}\ntest: [{way: 5}]\n":       `x.yaml:2: network.controller: unknown kind "lstn"; did you mean "lstm"?`,
		"name: x\nnetwork: {kind: mann, encoder: {kind: none, n: 1}}\ntest: [{way: 5}]\n":    `x.yaml:2: network.encoder: unknown key "n" for kind "none"`,
		good + "test: [{way: 5, turn: -1}]\n":                                                "x.yaml:3: test.0.turn: must be at least 0",
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want)
	}
}

func TestImpossibleMANNEpisodesAreRefusedBeforeTraining(t *testing.T) {
	for set, want := range map[string]string{
		"train.way=21":                "train: episode: 21-way",
		"train.samples=5":             "train: episode: ",
		"train.way=9":                 "validation: episode: 9-way",
		"test=[{way: 3, samples: 5}]": "test/3 classes: episode: ",
		"labels={kind: strings, length: 1, letters: 2}":             "train: episode: 3 classes, but only 2 different labels",
		"network.encoder={kind: conv4, filters: 4}|dataset.size=15": "needs images of at least 16×16 pixels",
	} {
		dir := filepath.Join(t.TempDir(), "run")
		_, err := tool.Run(t.Context(), parse(t, tinyMANN, strings.Split(set, "|")...), experiments.Options{Out: dir})
		assert.ErrorContains(t, err, want, set)
		assert.NoDirExists(t, dir)
	}
}
