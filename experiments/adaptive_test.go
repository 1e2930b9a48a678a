package experiments_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// tinyMAML is an experiment that takes a second.
const tinyMAML = `
name: tiny-maml
network: {kind: maml, encoder: {kind: conv4, filters: 16, strided: true, mean: true}, test_steps: 3}
dataset: {kind: strokes, train: 40, val: 10, test: 10, instances: 12, size: 16}
train: {way: 5, shot: 1, query: 2, batch: 3, steps: 6, report: 2, save: 3}
validation: {way: 5, shot: 1, query: 2, episodes: 4, every: 3, norm: transductive}
test: [{way: 5, shot: 1, query: 3, episodes: 6, norm: transductive}, {way: 5, shot: 1, query: 3, episodes: 6, norm: inductive}]
threads: 2
`

// tinyReptile holds the settings that turn tinyMAML into Reptile.
var tinyReptile = []string{
	"network={kind: reptile, encoder: {kind: conv4, filters: 16, strided: true}, steps: 3, test_steps: 4, batch: 4, rate: 0.01}",
	"train.shot=3", "train.query=1", "optimizer={kind: sgd, rate: 1}", "schedule=linear",
}

func TestAdaptiveNetworksTrainResumeAndReport(t *testing.T) {
	for name, sets := range map[string][]string{
		"second order": nil, "first order": {"network.order=first", "network.steps=2"}, "learned rates": {"network.rates=learned"},
		"head only": {"network.inner=head"}, "reptile": tinyReptile,
	} {
		before := tensor.Live()
		dir := t.TempDir()
		want, err := tool.Run(t.Context(), parse(t, tinyMAML, sets...), experiments.Options{Out: dir})
		require.NoError(t, err, name)
		require.Len(t, want.Figures, 2)
		p := want.Figures[0].Protocol
		protocol := results.Protocol{
			Dataset: "strokes", Split: "40/10/10", Rotations: "none", Classes: 10, Way: 5, Shot: 1, Query: 3, Episodes: 6, Norm: "transductive",
			TrainedOn: "strokes", TrainWay: 5, TrainShot: 1, Precision: "fp32", InnerSteps: 3,
		}
		if name == "reptile" {
			protocol.TrainShot, protocol.InnerSteps = 3, 4
		}
		assert.Equal(t, protocol, p, name)
		assert.Equal(t, "inductive", want.Figures[1].Protocol.Norm)
		assert.NotEqual(t, want.Figures[0].Scores.Values, want.Figures[1].Scores.Values, "%s: batch norm by the episode and by training differ in some episode", name)
		assert.Equal(t, 2, want.Machine.Threads)

		// Another run on one core instead of two, interrupted and resumed, is equal to the bit.
		resumed := interrupted(t, parse(t, tinyMAML, append(sets, "threads=1")...), 6, 4, want)
		model := func(dir string) string {
			text, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
			require.NoError(t, err)
			return string(text)
		}
		assert.True(t, model(dir) == model(resumed), "%s: the two models differ", name)

		again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
		require.NoError(t, err)
		figures := again.Figures
		for i := range figures {
			assert.Equal(t, want.Figures[i].Value, figures[i].Value, name)
		}
		assert.Len(t, figures[0].Scores.Values, 6, "for paired differences")
		assert.Equal(t, before, tensor.Live(), name)
	}
}

// Metric-based networks are tested on the same episodes.
func TestAdaptiveNetworksMeetTheOthersEpisodes(t *testing.T) {
	on := func(sets ...string) string {
		r, err := tool.Run(t.Context(), parse(t, tinyMAML, append(sets, "train.steps=1")...), experiments.Options{Out: t.TempDir()})
		require.NoError(t, err)
		return r.Figures[0].Scores.On
	}
	want := on("network={kind: protonet, encoder: {kind: conv4, filters: 4}}")
	assert.Equal(t, want, on())
	assert.Equal(t, want, on(tinyReptile...))
}

func TestWhatDoesNotGoWithAdaptiveNetworks(t *testing.T) {
	for set, want := range map[string]string{
		"test.1.way=4":               "network: test.1: 4-way, but maml has an output for each of the 5 classes of train.way",
		"validation.way=4":           "network: validation: 4-way, but maml has an output",
		"test.0.fine_tune.steps=3":   "network: test.0: fine_tune: maml adapts to each episode by itself; leave it out, and set network.test_steps",
		"test=[{kind: lake-runs}]":   "network: test.0: 20-way, but maml has",
		"stream={slots: [4]}":        "network: stream: maml has no memory",
		"network.kind=reptile":       "reptile moves by sgd, whose rate is the paper's outer step; use {kind: sgd, rate: 1}",
		"network.order=third":        "order",
		"network.encoder.unpadded=1": "a strided Conv-4 pads all its blocks",
		"network.encoder={kind: resnet12, filters: [2, 2, 2, 2], drop: 0.1}": "the encoder has dropout",
	} {
		text := tinyMAML
		if set == "network.kind=reptile" {
			set = "network={kind: reptile}"
		}
		_, err := tool.Parse("tiny.yaml", []byte(text), overrides(t, set)...)
		if err == nil {
			_, err = tool.Run(t.Context(), parse(t, text, set), experiments.Options{Out: t.TempDir()})
		}
		assert.ErrorContains(t, err, want, set)
	}
}

// threads: 0 uses all cores.
func TestAdaptiveNetworksTakeAllCores(t *testing.T) {
	r, err := tool.Run(t.Context(), parse(t, tinyMAML, "threads=0", "train.steps=1"), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, runtime.NumCPU(), r.Machine.Threads)
}
