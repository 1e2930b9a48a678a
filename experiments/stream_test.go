package experiments_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

const tinyStream = "stream={classes: 10, shot: 4, query: 2, asked: 5, streams: 8, slots: [4, 40]}"

func TestStream(t *testing.T) {
	before := tensor.Live()
	dir := t.TempDir()
	r := run(t, dir, tinyStream, "threads=1")
	assert.Equal(t, before, tensor.Live())
	require.Len(t, r.Figures, 1+2*14, "the episodes' figure, and two of each memory")
	by := map[string]results.Figure{}
	for _, f := range r.Figures[1:] {
		by[f.Name+": "+f.Metric] = f
		assert.Len(t, f.Scores.Values, 8)
	}
	whole := by["keyvalue: accuracy"]
	assert.Equal(t, results.Protocol{
		Dataset: "strokes", Split: "40/10/10", Rotations: "none", Classes: 10, Way: 10, Shot: 4, Query: 2, Episodes: 8, Norm: "inductive",
		Memory: "keyvalue", Asked: 5, TrainedOn: "strokes", TrainWay: 5, TrainShot: 1, Precision: "fp32",
	}, whole.Protocol)
	assert.Greater(t, whole.Value, 15.0, "of ten classes, after twelve steps")
	for _, kind := range []string{"lrua", "ntm", "dnc"} {
		small, large := by[kind+", 4 slots: accuracy"], by[kind+", 40 slots: accuracy"]
		assert.Equal(t, int64(4), small.Protocol.Slots)
		assert.InDelta(t, whole.Value, large.Value, 1e-9, "%s with a slot for each example holds what the unbounded memory does", kind)
		assert.InDelta(t, by["keyvalue: accuracy while passing"].Value, by[kind+", 40 slots: accuracy while passing"].Value, 1e-9)
		assert.LessOrEqual(t, small.Value, 40.0, "%s holds four classes of ten at most", kind)
		assert.Greater(t, by[kind+", 4 slots: accuracy while passing"].Value, small.Value, "%s: fewer classes are asked about at first", kind)
	}
	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	figures := again.Figures
	assert.Equal(t, r.Figures, figures)

	// A key-value memory uses its network's metric, and two runs compare memory by memory.
	other := t.TempDir()
	run(t, other, tinyStream, "threads=1", "network.kind=matchingnet")
	a, err := results.Read(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	b, err := results.Read(filepath.Join(other, "result.json"))
	require.NoError(t, err)
	pairs := results.Compare(a, b)
	assert.Len(t, pairs, 29)
	for _, p := range pairs {
		assert.Empty(t, p.Why, p.A.Name)
	}
}

func TestStreamMistakes(t *testing.T) {
	const good = "name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n"
	for text, want := range map[string]string{
		"stream: {memories: [lruaa]}\n":             `x.yaml:4: stream.memories.0: `,
		"stream: {memories: [lrua, lrua]}\n":        "x.yaml:4: stream.memories.1: lrua is there twice",
		"stream: {slots: [16, 32, 16]}\n":           "x.yaml:4: stream.slots.2: 16 is there twice",
		"stream: {slots: [0]}\n":                    "stream.slots.0: must be at least 1, got 0",
		"stream: {classes: 2, shot: 2, asked: 5}\n": "x.yaml:4: stream.asked: a stream of 4 examples can be asked about at most 4 times",
	} {
		_, err := tool.Parse("x.yaml", []byte(good+text))
		assert.ErrorContains(t, err, want)
	}
	_, err := tool.Parse("x.yaml", []byte("name: x\nnetwork: {kind: protonet, memory: {kind: prototype, metric: mahalanobis}}\ntest: [{way: 5, shot: 1}]\nstream: {}\n"))
	assert.ErrorContains(t, err, "x.yaml:2: network: stream: protonet compares by mahalanobis, which is learned and belongs to its own memory")

	_, err = tool.Parse("x.yaml", []byte(good+"stream: {memories: [keyvalue, kda]}\n"))
	assert.ErrorContains(t, err, "stream: memories.1: kda has parameters, and in a stream nothing trains them; leave it out")
	_, err = tool.Parse("x.yaml", []byte("name: x\nnetwork: {kind: protonet, memory: {kind: delta, gates: learned}}\ntest: [{way: 5, shot: 1}]\nstream: {memories: [delta]}\n"))
	assert.ErrorContains(t, err, "stream: memories.0: delta has parameters, and in a stream nothing trains them; leave it out")

	_, err = tool.Parse("x.yaml", []byte("name: x\nnetwork: {kind: matchingnet, context: full}\ntest: [{way: 5, shot: 1}]\nstream: {}\n"))
	assert.ErrorContains(t, err, "x.yaml:2: network: stream: matchingnet has context embeddings, which depend on a support set")
	_, err = tool.Parse("x.yaml", []byte("name: x\nnetwork: relationnet\ntest: [{way: 5, shot: 1}]\nstream: {}\n"))
	assert.ErrorContains(t, err, "compares by relation, which is learned")

	dir := filepath.Join(t.TempDir(), "run")
	_, err = tool.Run(t.Context(), config(t, "stream={classes: 11, shot: 4}"), experiments.Options{Out: dir})
	assert.ErrorContains(t, err, "stream: episode: 11-way episodes need 11 classes but the set has 10")
	assert.NoDirExists(t, dir)
}

// Distances do not change where all embeddings move, but a matrix, whose keys would all point the same way, then holds something.
func TestCenteredStream(t *testing.T) {
	accuracy := func(center string) map[string]float64 {
		out := map[string]float64{}
		r := run(t, t.TempDir(), "stream={classes: 10, shot: 4, query: 2, asked: 1, streams: 20, memories: [keyvalue, delta, linear-attention]"+center+"}", "threads=1")
		for _, f := range r.Figures[1:] {
			out[f.Name+": "+f.Metric] = f.Value
			if center != "" {
				assert.Equal(t, 3, f.Protocol.Center)
			}
		}
		return out
	}
	plain, centered := accuracy(""), accuracy(", center: 3")
	assert.InDelta(t, plain["keyvalue: accuracy"], centered["keyvalue: accuracy"], 1)
	assert.Greater(t, centered["delta: accuracy"], plain["delta: accuracy"]+2)
}
