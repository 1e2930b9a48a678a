package experiments_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// tinyPairs is a Siamese experiment that takes a second.
const tinyPairs = `
name: tiny-pairs
network: {kind: siamese, encoder: {kind: conv4, filters: 8}, pairs: drawn}
dataset: {kind: strokes, train: 40, val: 10, test: 10, instances: 6, size: 16}
train: {batch: 16, steps: 12, report: 2, save: 4, within_alphabet: true, distort: {rotate: 10, shift: 1}}
validation: {way: 5, shot: 1, query: 3, episodes: 6, every: 4, within_alphabet: true}
test: [{way: 5, shot: 1, query: 3, episodes: 20}, {kind: verification, pairs: 101}, {way: 3, shot: 1, query: 3, episodes: 5, within_alphabet: true}]
`

func TestPairsTrainResumeAndReport(t *testing.T) {
	for _, pairs := range []string{"drawn", "all", "support-query"} {
		sets := []string{"network.pairs=" + pairs, "train.way=5", "train.query=2"}
		if pairs != "drawn" {
			sets = append(sets, "train.batch=2")
		}
		before := tensor.Live()
		want, err := tool.Run(t.Context(), parse(t, tinyPairs, sets...), experiments.Options{Out: t.TempDir()})
		require.NoError(t, err)
		var names []string
		for _, f := range want.Figures {
			names = append(names, f.Name)
		}
		assert.Equal(t, []string{"5-way 1-shot", "verification", "3-way 1-shot within alphabets"}, names)
		p := want.Figures[1].Protocol
		assert.Equal(t, results.Protocol{
			Dataset: "strokes", Split: "40/10/10", Rotations: "none", Classes: 10, Pairs: 101, Norm: "inductive", TrainedOn: "strokes",
			TrainWay: p.TrainWay, TrainShot: p.TrainShot, Precision: "fp32",
		}, p)
		assert.Equal(t, pairs == "drawn", p.TrainWay == 0, "pairs that are drawn have no way")

		interrupted(t, parse(t, tinyPairs, sets...), 12, 3, want)
		assert.Equal(t, before, tensor.Live())
	}
}

// Every loss decreases in a few steps, with every encoder and memory.
func TestEveryLossEncoderAndMemory(t *testing.T) {
	learns := func(sets ...string) {
		dir := t.TempDir()
		sets = append([]string{"network.pairs=all", "train.batch=2", "train.way=5", "train.query=2", "train.within_alphabet=false", "train.steps=40",
			"train.report=1", "optimizer.rate=3e-3", "validation.episodes=0", "test=[{way: 5, shot: 1, query: 3, episodes: 2}]"}, sets...)
		_, err := tool.Run(t.Context(), parse(t, tinyPairs, sets...), experiments.Options{Out: dir})
		require.NoError(t, err)
		var first, last float64
		for _, m := range metrics(t, dir) {
			switch loss := m["loss"].(float64); {
			case m["step"].(float64) <= 10:
				first += loss
			case m["step"].(float64) > 30:
				last += loss
			}
		}
		assert.Less(t, last, first, "%v: the loss of the last ten steps is below the first ten's", sets)
	}
	for _, loss := range []string{"verification", "{kind: verification, different: 20}", "contrastive", "{kind: triplet, margin: 1}"} {
		learns("network.loss=" + loss)
	}
	for _, memory := range []string{"prototype", "{kind: lrua, slots: 8}", "{kind: ntm, slots: 8}", "{kind: dnc, slots: 8}"} {
		learns("network.memory=" + memory)
	}
	for _, metric := range []string{"euclidean", "manhattan", "cosine", "mahalanobis"} {
		learns("network.memory={kind: keyvalue, metric: " + metric + "}")
	}
	koch := "network.encoder={kind: koch, kernels: [3, 2, 2, 1], filters: [8, 8, 8, 8], embedding: 32"
	learns(koch + ", normalize: true}")
	learns(koch + ", normalize: true, precision: bf16}")
	learns("network.pairs=drawn", "train.batch=32")
}

func TestSiameseMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"name: x\nnetwork: {kind: siamese, loss: hinge}\ntest: [{way: 5, shot: 1}]\n":                                                  `x.yaml:2: network.loss: unknown kind "hinge"`,
		"name: x\nnetwork: {kind: siamese, loss: triplet, pairs: drawn}\ntest: [{way: 5, shot: 1}]\n":                                  "x.yaml:2: network.loss: a triplet is an anchor and two others",
		"name: x\nnetwork: {kind: siamese, loss: triplet}\ntest: [{kind: verification}]\n":                                             "network: test.0: siamese with the triplet loss has no distance",
		"name: x\nnetwork: {kind: siamese, loss: contrastive, memory: {kind: keyvalue, metric: cosine}}\ntest: [{way: 5, shot: 1}]\n":  "the contrastive loss needs a distance, and cosine is none",
		"name: x\nnetwork: {kind: siamese, memory: {kind: keyvalue, metric: modified-hausdorff}}\ntest: [{way: 5, shot: 1}]\n":         "network.memory.metric: modified-hausdorff compares images; use encoder: pixels",
		"name: x\nnetwork: {kind: protonet, memory: {kind: prototype, metric: modified-hausdorff}}\ntest: [{way: 5, shot: 1}]\n":       "network.memory.metric: modified-hausdorff compares images; use encoder: pixels",
		"name: x\nnetwork: protonet\ntest: [{kind: verification}]\n":                                                                   "x.yaml:2: network: test.0: protonet classifies and compares no pairs; use siamese",
		"name: x\nnetwork: protonet\ntest: [{kind: lake-runs}]\ndataset: {kind: omniglot, split: vinyals}\n":                           "x.yaml:4: dataset: test.0: the split vinyals trains on alphabets of Lake's runs; use koch or lake",
		"name: x\nnetwork: protonet\ntest: [{shot: 1}]\n":                                                                              "x.yaml:3: test.0.way: a test on episodes needs at least 2, got 0",
		"name: x\nnetwork: protonet\ntest: [{kind: lake-runs}, {kind: lake-runs}]\n":                                                   "test.1: the same test as an earlier one: Lake's runs",
		"name: x\nnetwork: protonet\ntest: [{kind: lake}]\n":                                                                           "x.yaml:3: test.0.kind: ",
		"name: x\nnetwork: {kind: protonet, encoder: {kind: koch, kernels: [3]}}\ntest: [{way: 5, shot: 1}]\n":                         "network.encoder.kernels: ",
		"name: x\nnetwork: {kind: siamese, encoder: cnov4}\ntest: [{way: 5, shot: 1}]\n":                                               `network.encoder: unknown kind "cnov4"; did you mean "conv4"?`,
		"name: x\nnetwork: {kind: siamese, memory: prototype, pair: all}\ntest: [{way: 5, shot: 1}]\ntrain: {distort: {shear: 1.5}}\n": `network: unknown key "pair" for kind "siamese"`,
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want)
	}
}

// A network without training steps can be tested.
func TestNothingToTrain(t *testing.T) {
	pixels := []string{"network={kind: matchingnet, encoder: pixels, memory: {kind: keyvalue, metric: cosine, scale: 10}}", "train.distort={rotate: 0}", "validation.episodes=0"}
	_, err := tool.Run(t.Context(), config(t, pixels...), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "the network has nothing to train; test it as it is with train.steps: 0")

	dir := t.TempDir()
	r, err := tool.Run(t.Context(), config(t, append(pixels, "train.steps=0")...), experiments.Options{Out: dir})
	require.NoError(t, err)
	assert.Zero(t, r.Training.Steps)
	assert.Greater(t, r.Figures[0].Value, 25., "better than chance")
	require.NoError(t, os.Remove(filepath.Join(dir, "result.json")))
	again, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, r, again)

	untrained, err := tool.Run(t.Context(), config(t, "train.steps=0"), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Zero(t, untrained.Training.BestStep)
}

// The modified Hausdorff baseline makes its 155 errors in Lake's 400 trials, as an ordinary experiment file. Trained
// networks are tested on the runs with small images, which take less time.
func TestLakesRuns(t *testing.T) {
	if _, err := os.Stat("../../shared/data/omniglot/all_runs.zip"); err != nil {
		t.Skip("Lake's one-shot runs are not here")
	}
	t.Chdir("..") // where the data are looked for from
	c, err := tool.Load("experiments/lake-hausdorff.yaml")
	require.NoError(t, err)
	r, err := tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	require.Len(t, r.Figures, 1)
	f := r.Figures[0]
	assert.Equal(t, results.LakeRuns, f.Name)
	assert.Equal(t, []int{9, 7, 8, 5, 6, 3, 12, 7, 8, 11, 3, 14, 13, 7, 3, 5, 6, 8, 14, 6}, f.Errors)
	assert.InDelta(t, 61.25, f.Value, 1e-9)
	assert.Equal(t, results.Protocol{
		Dataset: "omniglot", Split: "koch", TrainedOn: "omniglot", Precision: "fp32", Rotations: "none", Way: 20, Shot: 1, Query: 1,
		Episodes: 20, Within: true, Norm: "inductive", Resize: "not at all",
	}, f.Protocol)

	strokes := parse(t, tinyPairs, "dataset.size=20", "train.steps=2", "test=[{kind: lake-runs}, {kind: lake-runs, norm: transductive}]")
	r, err = tool.Run(t.Context(), strokes, experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	for _, f := range r.Figures {
		wrong := 0
		for _, e := range f.Errors {
			wrong += e
		}
		assert.InDelta(t, 100-float64(wrong)/4, f.Value, 1e-9)
		assert.Equal(t, "bilinear", f.Protocol.Resize)
	}

	// A network that is trained on images of one filter is tested on the same, and reads images with it.
	var errors [][]int
	for _, resize := range []string{"bilinear", "nearest"} {
		set := "dataset={kind: omniglot, split: koch, rotations: none, size: 20, resize: " + resize + "}"
		run := parse(t, tinyPairs, set, "train.steps=0", "validation.episodes=0", "test=[{kind: lake-runs}, {way: 5, shot: 1, episodes: 4}]")
		out := t.TempDir()
		r, err = tool.Run(t.Context(), run, experiments.Options{Out: out})
		require.NoError(t, err)
		for _, f := range r.Figures {
			assert.Equal(t, resize, f.Protocol.Resize, f.Name)
		}
		errors = append(errors, r.Figures[0].Errors)
		model, err := tool.Open(out)
		require.NoError(t, err)
		assert.EqualValues(t, resize, model.Images().Filter)
		model.Close()
	}
	assert.NotEqual(t, errors[0], errors[1], "the runs are resized as the training images are")

	heads := parse(t, tinyTransfer, "dataset.size=20", "train.steps=2", "validation.episodes=0", "test=[{kind: lake-runs, head: mean}, {kind: lake-runs, head: {kind: mean, metric: cosine}}]")
	r, err = tool.Run(t.Context(), heads, experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, "nearest class mean, cosine", r.Figures[1].Protocol.Adapted)
	assert.NotEqual(t, r.Figures[0].Errors, r.Figures[1].Errors, "each test by its own head")
}

// If the runs are not on the machine, an optional test is skipped.
func TestLakesRunsAreNotHere(t *testing.T) {
	t.Setenv("ENGRAM_DATA", t.TempDir())
	t.Setenv("ENGRAM_CACHE", t.TempDir())
	t.Chdir(t.TempDir())
	notes := &notes{}
	c := parse(t, tinyPairs, "train.steps=2", "test=[{kind: lake-runs, optional: true}]")
	r, err := tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir(), Reporter: notes})
	require.NoError(t, err)
	assert.Empty(t, r.Figures)
	assert.Equal(t, []string{"Lake's runs on omniglot left out: the data set is not here (engram data fetch omniglot)"}, notes.lines)
}
