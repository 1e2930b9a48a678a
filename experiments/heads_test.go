package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// tinyEpisodic trains an encoder through a head in a second.
const tinyEpisodic = `
name: tiny-episodic
network: {kind: episodic, encoder: {kind: conv4, filters: 8}, head: ridge}
dataset: {kind: strokes, train: 12, val: 6, test: 6, instances: 6, size: 16}
train: {way: 4, shot: 2, query: 2, batch: 2, steps: 12, report: 2, save: 4}
validation: {way: 4, shot: 1, query: 3, episodes: 6, every: 4}
test:
  - {way: 3, shot: 2, query: 2, episodes: 6}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: tim}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: {kind: simpleshot, form: cl2n}}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: {kind: linear, epochs: 2, blocks: 1}}
threads: 1
`

// An encoder is trained through each head that can be trained through, resumes bit for bit, and is tested under others.
func TestEpisodicTrainsResumesAndReports(t *testing.T) {
	before := tensor.Live()
	for _, head := range []string{
		"ridge", "{kind: ridge, form: metaoptnet}", "svm", "simpleshot", "feat", "{kind: mean, metric: cosine, learned: true}", "mean",
	} {
		t.Run(head, func(t *testing.T) {
			set := "network.head=" + head
			want, err := tool.Run(t.Context(), parse(t, tinyEpisodic, set), experiments.Options{Out: t.TempDir()})
			require.NoError(t, err)
			require.Len(t, want.Figures, 4)
			var how []string
			for _, f := range want.Figures {
				how = append(how, f.Protocol.Adapted)
				assert.Equal(t, want.Figures[0].Scores.On, f.Scores.On, "every head on the same episodes")
				assert.Equal(t, 4, f.Protocol.TrainWay)
			}
			assert.Equal(t, []string{"", "TIM, 150 alternating steps, transductive", "SimpleShot cl2n", "linear head from means, 2 epochs at 0.01, last 1 blocks at 0.001 × 0.4 a block"}, how)
			interrupted(t, parse(t, tinyEpisodic, set), 12, 6, want)
		})
	}
	assert.Equal(t, before, tensor.Live())
}

// What a head learns is part of the model.
func TestHeadsParametersAreSaved(t *testing.T) {
	dir := t.TempDir()
	_, err := tool.Run(t.Context(), parse(t, tinyEpisodic, "network.head={kind: mean, metric: cosine, learned: true, scale: 10}"), experiments.Options{Out: dir})
	require.NoError(t, err)
	state, err := nn.Open(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	assert.Contains(t, state.Names(), "head.scale")
}

// Every head of the table can be the head of a test of a transfer network, but for the one that has parameters.
func TestEveryHeadTests(t *testing.T) {
	var tests string
	for _, head := range tool.Parts().Heads.Names() {
		if head != "feat" {
			tests += "{way: 3, shot: 2, query: 2, episodes: 6, head: " + head + "}, "
		}
	}
	r, err := tool.Run(t.Context(), parse(t, tinyTransfer, "test=["+tests+"]", "train.steps=3"), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Len(t, r.Figures, len(tool.Parts().Heads.Names())-1)
}

// A recipe of classifier pre-training goes on from a checkpoint bit for bit; then another run begins with its encoder, and a
// third one learns from it.
func TestRecipes(t *testing.T) {
	before := tensor.Live()
	recipe := []string{
		"network.smoothing=0.1", "optimizer={kind: sgd, rate: 0.05, momentum: 0.9, nesterov: true, decay: 5e-4, decay_on: weights}",
		"schedule={kind: multi-step, at: [6, 9], warm_up: 3}", "average={kind: ema, decay: 0.8}", "test=[{way: 3, shot: 2, query: 2, episodes: 6, head: mean}]",
	}
	want, err := tool.Run(t.Context(), parse(t, tinyTransfer, recipe...), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	first := interrupted(t, parse(t, tinyTransfer, recipe...), 12, 5, want)
	plain, err := tool.Run(t.Context(), parse(t, tinyTransfer, append(recipe, "average=none")...), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.NotEqual(t, plain.Training.Validation, want.Training.Validation)

	// Meta-Baseline: the encoder is tuned on episodes, which begins where the classifier ended.
	begin := "network.encoder={kind: conv4, filters: 8, from: " + first + "}"
	tuned := []string{begin, "network.head={kind: mean, metric: cosine, learned: true}", "test=[{way: 3, shot: 2, query: 2, episodes: 6, head: mean}]"}
	untrained, err := tool.Run(t.Context(), parse(t, tinyEpisodic, append(tuned, "train.steps=0", "validation.episodes=0")...), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, want.Figures[0].Value, untrained.Figures[0].Value)
	assert.Contains(t, untrained.Config, "sha256: ")
	after, err := tool.Run(t.Context(), parse(t, tinyEpisodic, tuned...), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	interrupted(t, parse(t, tinyEpisodic, tuned...), 12, 6, after)

	// Self-distillation.
	distil := append(recipe, "network.distil={from: "+first+"}")
	student, err := tool.Run(t.Context(), parse(t, tinyTransfer, distil...), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.NotEqual(t, want.Training.Validation, student.Training.Validation)
	second := interrupted(t, parse(t, tinyTransfer, distil...), 12, 6, student)
	teacher, err := nn.Open(filepath.Join(first, "model.safetensors"))
	require.NoError(t, err)
	state, err := nn.Open(filepath.Join(second, "model.safetensors"))
	require.NoError(t, err)
	for _, name := range teacher.Names() {
		assert.Contains(t, state.Names(), "teacher."+name)
	}
	// The student's encoder can be the start of another run, whatever else its file holds.
	again := "network.encoder={kind: conv4, filters: 8, from: " + second + "}"
	_, err = tool.Run(t.Context(), parse(t, tinyEpisodic, again, "train.steps=0", "validation.episodes=0"), experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)

	// Other parameters than the run began with are refused, and so are those of another network.
	model := filepath.Join(first, "model.safetensors")
	other, err := os.ReadFile(filepath.Join(second, "model.safetensors"))
	require.NoError(t, err)
	c := parse(t, tinyEpisodic, begin)
	text, err := c.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(model, other, 0o644))
	_, err = tool.Parse("x.yaml", text)
	assert.ErrorContains(t, err, "network.encoder.from: "+model+" has the SHA-256")
	_, err = tool.Run(t.Context(), parse(t, tinyEpisodic, "network.encoder={kind: conv4, filters: 6, from: "+first+"}"), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "is of another network than the one configured here")
	assert.Equal(t, before, tensor.Live())
}

func TestHeadMistakes(t *testing.T) {
	file := func(network, test string) string {
		return "name: x\nnetwork: " + network + "\ndataset: {kind: strokes, size: 16}\ntest: [" + test + "]\n"
	}
	plain := "{way: 5, shot: 1}"
	twice := func(input string) string {
		return strings.Replace(file("{kind: protonet, encoder: {kind: conv4, input: "+input+"}}", plain), "{kind: strokes, size: 16}", "{kind: textures, normalize: train}", 1)
	}
	for text, want := range map[string]string{
		file("{kind: transfer, head: feat}", plain):                                                     "x.yaml:2: network.head: feat has parameters of its own",
		file("{kind: transfer, head: {kind: simpleshot, form: cl2n}}", plain):                           "give it as the head of a test",
		file("{kind: episodic, head: {kind: simpleshot, form: cl2n}}", plain):                           "which training changes; use another form",
		file("{kind: episodic, head: tim}", plain):                                                      "tim is for tests on a trained encoder and cannot be trained through",
		file("{kind: episodic, head: linear}", plain):                                                   "linear is trained on each support set by gradient descent",
		file("{kind: episodic, head: {kind: ridge, lambda: 0}}", plain):                                 "network.head.lambda",
		file("episodic", "{way: 5, shot: 1, head: feat}"):                                               "x.yaml:4: test.0.head: feat has parameters of its own",
		file("episodic", "{way: 5, shot: 1, norm: transductive, head: {kind: simpleshot, form: cl2n}}"): "use norm: inductive",
		file("episodic", "{way: 5, shot: 1, head: mean, fine_tune: {steps: 3}}"):                        "leave fine_tune out",
		file("episodic", "{kind: verification}"):                                                        "episodic classifies and compares no pairs",
		file("{kind: transfer, head: {kind: tim, marginal: 0, conditional: 0}}", plain):                 "nothing of the loss depends on the queries",
		file("{kind: transfer, head: {kind: tim, cross_entropy: 0}}", plain):                            "adm divides by it",
		file("{kind: transfer, distil: {from: nowhere}}", plain):                                        "network.distil.from: open nowhere: no such file or directory; give the folder of a run",
		file("{kind: protonet, encoder: {kind: conv4, from: nowhere}}", plain):                          "network.encoder.from: open nowhere",
		file("{kind: protonet, encoder: {kind: conv4, sha256: abc}}", plain):                            "network.encoder.sha256: is of the parameters of from",
		file("protonet", plain) + "schedule: {kind: multi-step, at: [5, 5]}\n":                          "schedule.at: 5 comes after 5",
		file("protonet", plain) + "schedule: {kind: multi-step, at: [5], factors: [1, 2]}\n":            "schedule.factors: there are 2 for 1 steps",
		file("protonet", plain) + "average: {kind: swa}\n":                                              `average: missing key "from"`,
		file("protonet", plain) + "optimizer: {kind: sgd, decay_on: norms}\n":                           "optimizer.decay_on",
		twice("{mean: [0.5]}"):    "x.yaml:2: network.encoder: it normalises images that dataset.normalize has normalised already",
		twice("{inverted: true}"): "input: {mean: [0], std: [1]} where it is trained on the data set's normalisation",
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want, text)
	}
	_, err := tool.Parse("x.yaml", []byte(twice("{mean: [0], std: [1]}")))
	assert.NoError(t, err)
}
