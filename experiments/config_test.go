package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/schema"
)

func TestEveryExperimentFileIsValid(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		m, err := tool.Matrix(file)
		if assert.NoError(t, err) {
			assert.Equal(t, strings.TrimSuffix(file, ".yaml"), m.Name, "a file is called what its experiment is called")
			assert.NotEmpty(t, m.Runs[0].Config.About, "%s does not say what it reproduces", file)
		}
	}
}

func TestMistakesNamePlaceAndMend(t *testing.T) {
	const good = "name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n"
	for text, want := range map[string]string{
		good + "trian: {way: 5}\n":                            `x.yaml:4: unknown key "trian"; did you mean "train"?`,
		good + "train: {way: five}\n":                         `x.yaml:4: train.way: want an integer, got the text "five"`,
		good + "train: {way: 1}\n":                            `x.yaml:4: train.way: must be at least 2, got 1`,
		good + "optimizer: {kind: adma}\n":                    `x.yaml:4: optimizer: unknown kind "adma"; did you mean "adam"?`,
		good + "optimizer: {kind: adam, momentum: .9}\n":      `x.yaml:4: optimizer: unknown key "momentum" for kind "adam"`,
		good + "dataset: {kind: omniglot, split: vinylas}\n":  `x.yaml:4: dataset.split: `,
		good + "device: gpu\n":                                `x.yaml:4: device: tensor: device "gpu" is none of cpu, cuda, cuda:N, auto`,
		good + "schedule: {kind: step}\n":                     `x.yaml:4: schedule: missing key "every"`,
		"name: x\ntest: [{way: 5, shot: 1}]\n":                `x.yaml:1: missing key "network"`,
		"name: x\nnetwork: protonet\n":                        `x.yaml:1: missing key "test"`,
		"name: x\nnetwork: null\ntest: [{way: 5, shot: 1}]\n": `x.yaml:2: network: there is none to train; give its kind`,
		"name: x\nnetwork: {kind: protonet, memory: {kind: prototype, metric: cosin}}\ntest: [{way: 5, shot: 1}]\n":                `x.yaml:2: network.memory.metric: unknown kind "cosin"; did you mean "cosine"?`,
		"name: x\nnetwork: {kind: relationnet, memory: {kind: keyvalue, metric: cosine}}\ntest: [{way: 5, shot: 1}]\n":             `x.yaml:2: network.memory.metric: a relation network compares by a learned relation and by no other metric; leave metric out, or use protonet, which goes with cosine`,
		"name: x\nnetwork: {kind: relationnet, memory: {kind: lrua, scale: 5}}\ntest: [{way: 5, shot: 1}]\n":                       `x.yaml:2: network.memory: scale: sharpens a softmax, and with loss: mse there is none; leave it out, or use loss: cross-entropy`,
		"name: x\nnetwork: {kind: protonet, memory: {kind: prototype, merge: sum}}\ntest: [{way: 5, shot: 1}]\n":                   `x.yaml:2: network.memory.metric: a memory that sums a class's keys (merge: sum) grows with the examples of a class, which squared-euclidean takes for a distance; use merge: mean, or metric: relation`,
		"name: x\nnetwork: {kind: matchingnet, context: ful}\ntest: [{way: 5, shot: 1}]\n":                                         `x.yaml:2: network.context: unknown kind "ful"; did you mean "full"?`,
		"name: x\nnetwork: {kind: protonet, context: full}\ntest: [{way: 5, shot: 1}]\n":                                           `x.yaml:2: network: unknown key "context" for kind "protonet"`,
		"name: x\nnetwork: {kind: relationnet, loss: mean}\ntest: [{way: 5, shot: 1}]\n":                                           `x.yaml:2: network.loss: `,
		"name: x\nnetwork: {kind: relationnet, encoder: {kind: conv4, pools: 5}}\ntest: [{way: 5, shot: 1}]\n":                     `x.yaml:2: network.encoder.pools: must be at most 4, got 5`,
		"name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1, fine_tune: {steps: 5, rate: 0}}]\n":                                  `x.yaml:3: test.0.fine_tune.rate: must be above 0, got 0`,
		"name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1, fine_tune: {steps: 5}}, {way: 5, shot: 1, fine_tune: {steps: 5}}]\n": `x.yaml:3: test.1: the same test as an earlier one: 5-way 1-shot`,
		"name: x\nnetwork: protonet\nvalidation: {norm: both}\ntest: [{way: 5, shot: 1}]\n":                                        `x.yaml:3: validation.norm: `,
		"name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}, {way: 5, shot: 1}]\n":                                               `x.yaml:3: test.1: the same test as an earlier one: 5-way 1-shot`,
		"name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1, dataset: omniglott}]\n":                                              `x.yaml:3: test.0.dataset: unknown kind "omniglott"; did you mean "omniglot"?`,
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want)
	}
	_, err := tool.Load(filepath.Join(t.TempDir(), "none.yaml"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// One invocation reports every mistake, also those in sections.
func TestAllMistakesAtOnce(t *testing.T) {
	_, err := tool.Parse("x.yaml", []byte("name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\ntrain: {wya: 5}\noptimizer: {kind: adam, rte: 1}\n"))
	require.Error(t, err)
	assert.Equal(t, 2, strings.Count(err.Error(), "did you mean"), "%v", err)
}

func TestResolvedFileReadsBackTheSame(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		m, err := tool.Matrix(file)
		require.NoError(t, err)
		once, err := m.Runs[0].Config.Encode()
		require.NoError(t, err)
		again, err := tool.Parse("resolved", once)
		require.NoError(t, err, "%s", once)
		twice, err := again.Encode()
		require.NoError(t, err)
		assert.Equal(t, string(once), string(twice))
	}
}

// The README's experiment is valid, and so are the overrides next to it.
func TestReadmeExperimentIsValid(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```yaml\n")
	require.True(t, found)
	text, rest, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	require.Contains(t, rest, "--set optimizer.rate=5e-4")
	require.Contains(t, rest, "'test=[{way: 5, shot: 1, norm: transductive}]'")
	var overrides []schema.Override
	for _, o := range []string{"optimizer.rate=5e-4", "test=[{way: 5, shot: 1, norm: transductive}]"} {
		override, err := schema.ParseOverride(o)
		require.NoError(t, err)
		overrides = append(overrides, override)
	}
	_, err = tool.Parse("README.md", []byte(text), overrides...)
	assert.NoError(t, err)

	_, rest, _ = strings.Cut(rest, "```yaml\n")
	matrix, rest, _ := strings.Cut(rest, "```\n")
	m, err := tool.Matrix(written(t, "mine-memories.yaml", matrix, "mine.yaml", text))
	require.NoError(t, err)
	assert.Len(t, m.Runs, 18)
	assert.Contains(t, rest, "its 18 runs")
	assert.Contains(t, rest, "`"+m.Runs[0].Config.Name+"`")
}
