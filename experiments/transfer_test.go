package experiments_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// tinyTransfer is a transfer experiment that takes a second.
const tinyTransfer = `
name: tiny-transfer
network: {kind: transfer, encoder: {kind: conv4, filters: 8}}
dataset: {kind: strokes, train: 12, val: 6, test: 6, instances: 6, size: 16}
train: {batch: 16, steps: 12, report: 2, save: 4}
validation: {way: 5, shot: 1, query: 3, episodes: 6, every: 4}
test:
  - {way: 3, shot: 2, query: 2, episodes: 6}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: {kind: cosine, epochs: 5}}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: mean}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: {kind: mean, metric: cosine}}
  - {way: 3, shot: 2, query: 2, episodes: 6, head: {kind: linear, epochs: 3, blocks: 2, encoder_rate: 0.01}}
threads: 1
`

func TestTransferTrainsResumesAndReports(t *testing.T) {
	before := tensor.Live()
	dir := t.TempDir()
	want, err := tool.Run(t.Context(), parse(t, tinyTransfer), experiments.Options{Out: dir})
	require.NoError(t, err)
	require.Len(t, want.Figures, 5)
	var how []string
	for _, f := range want.Figures {
		how = append(how, f.Protocol.Adapted)
		assert.Equal(t, want.Figures[0].Scores.On, f.Scores.On, "every adaptation on the same episodes")
	}
	assert.Equal(t, []string{
		"linear head from means, 100 epochs at 0.01", "cosine head from means, 5 epochs at 0.01", "nearest class mean, squared-euclidean", "nearest class mean, cosine",
		"linear head from means, 3 epochs at 0.01, last 2 blocks at 0.01 × 0.4 a block",
	}, how)
	assert.Equal(t, results.Protocol{
		Dataset: "strokes", Split: "12/6/6", Rotations: "none", Classes: 6, Way: 3, Shot: 2, Query: 2, Episodes: 6, Norm: "inductive", TrainedOn: "strokes",
		Precision: "fp32", Adapted: how[2],
	}, want.Figures[2].Protocol)

	interrupted(t, parse(t, tinyTransfer), 12, 6, want)
	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	figures := again.Figures
	assert.Equal(t, want.Figures, figures)
	assert.Equal(t, before, tensor.Live())
}

// Each encoder resumes from a checkpoint bit for bit, also with noise in training.
func TestEncodersResume(t *testing.T) {
	for _, encoder := range []string{
		"{kind: resnet12, filters: [4, 4, 4, 6], drop: 0.2}",
		"{kind: resnet12, filters: [4, 4, 4, 6], drop: 0.2, drop_block: 2, mean: true}",
		"{kind: resnet10, filters: [4, 4, 4, 6]}",
		"{kind: resnet18, filters: [4, 4, 4, 6], unpooled: true}",
		"{kind: wrn, depth: 10, factor: 1, drop: 0.2}",
		"{kind: torchscript, path: ../encoder/testdata/resnet.pt, repeat: 3, train: true, mean: [0.5, 0.5, 0.5]}",
	} {
		sets := []string{"network.encoder=" + encoder, "train.steps=3", "validation.every=3", "validation.episodes=3", "train.batch=6", "test=[{way: 3, shot: 1, query: 2, episodes: 4}, {way: 3, shot: 1, query: 2, episodes: 4, head: {kind: linear, epochs: 2, blocks: 1}}]"}
		want, err := tool.Run(t.Context(), parse(t, tinyTransfer, sets...), experiments.Options{Out: t.TempDir()})
		require.NoError(t, err)
		interrupted(t, parse(t, tinyTransfer, sets...), 3, 1, want)
		assert.NotEqual(t, want.Figures[0].Value, 0.)
	}
}

// A frozen module does not change, and its file's checksum is in the run's configuration.
func TestFrozenTorchScript(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "net.pt")
	module, err := os.ReadFile("../encoder/testdata/resnet.pt")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, module, 0o644))
	set := "network.encoder={kind: torchscript, path: " + path + ", repeat: 3}"
	run := filepath.Join(dir, "run")
	r, err := tool.Run(t.Context(), parse(t, tinyTransfer, set, "test=[{way: 3, shot: 1, query: 2, episodes: 4, norm: transductive}]"), experiments.Options{Out: run})
	require.NoError(t, err)
	assert.Contains(t, r.Config, "sha256: ")
	assert.Equal(t, "inductive", r.Figures[0].Protocol.Norm, "a frozen module normalises by its running statistics")
	assert.Equal(t, int64(12*16+12), r.Training.Parameters, "the head's alone are trained")
	state, err := nn.Open(filepath.Join(run, "model.safetensors"))
	require.NoError(t, err)
	assert.Contains(t, state.Names(), "encoder.layer1.bn1.running_mean", "and the module's are saved with them")

	other, err := os.ReadFile("../encoder/testdata/sequence.pt")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, other, 0o644))
	_, err = tool.RunConfig(run)
	assert.ErrorContains(t, err, "it is another file than the run began with")
}

// The layers of an exported detector, model.0 to model.7, are blocks that are tuned one by one; more of them than there are tune all.
func TestBlocksOfAnExportedDetector(t *testing.T) {
	r, err := tool.Run(t.Context(), parse(t, tinyTransfer, "network.encoder={kind: torchscript, path: ../encoder/testdata/yolo.pt, repeat: 3, train: true}",
		"dataset={kind: strokes, train: 12, val: 6, test: 6, instances: 6, size: 32}", "train.steps=2",
		"test=[{way: 3, shot: 2, query: 2, episodes: 4, head: {kind: linear, epochs: 2, blocks: 2}}, {way: 3, shot: 2, query: 2, episodes: 4, head: {kind: linear, epochs: 2, blocks: 20}}]"),
		experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Contains(t, r.Figures[0].Protocol.Adapted, "last 2 blocks")
	assert.Contains(t, r.Figures[1].Protocol.Adapted, "20 blocks")
}

func TestTransferMistakes(t *testing.T) {
	file := func(network, test string) string {
		return "name: x\nnetwork: " + network + "\ndataset: {kind: strokes, size: 16}\ntest: [" + test + "]\n"
	}
	plain := "{way: 5, shot: 1}"
	for text, want := range map[string]string{
		file("{kind: transfer, head: quadratic}", plain):                                                                         `x.yaml:2: network.head: unknown kind "quadratic"`,
		file("{kind: transfer, head: {kind: linear, scale: 3}}", plain):                                                          `network.head: unknown key "scale" for kind "linear"`,
		file("protonet", "{way: 5, shot: 1, head: mean}"):                                                                        "x.yaml:4: test.0.head: only transfer and episodic networks have a head that a test can replace",
		file("transfer", "{way: 5, shot: 1, fine_tune: {steps: 3}}"):                                                             "network: test.0: transfer is adapted by its head; leave fine_tune out",
		file("transfer", plain+", "+plain):                                                                                       "the same test as an earlier one",
		file("transfer", plain) + "stream: {}\n":                                                                                 "transfer has no memory that a stream could be written to",
		file("{kind: transfer, encoder: pixels, head: {kind: linear, blocks: 1}}", plain):                                        "the encoder is the image itself and has no blocks to tune",
		file("{kind: transfer, encoder: {kind: torchscript}}", plain):                                                            `network.encoder: missing key "path"`,
		file("{kind: transfer, encoder: {kind: torchscript, path: none.pt}}", plain):                                             "network.encoder.path: open none.pt: no such file or directory; a relative path begins at the working directory",
		file("{kind: transfer, encoder: {kind: resnet12, filters: [1, 2]}}", plain):                                              "network.encoder.filters",
		file("{kind: transfer, encoder: {kind: resnet12, form: wide}}", plain):                                                   "network.encoder.form",
		file("{kind: transfer, encoder: {kind: resnet18, filters: [1]}}", plain):                                                 "network.encoder.filters: want one number for each of the four stages",
		file("{kind: transfer, encoder: {kind: wrn, depth: 27}}", plain):                                                         "network.encoder.depth: 27 is not 6n + 4",
		"name: x\nnetwork: transfer\ndataset: {kind: images}\ntest: [" + plain + "]\n":                                           `dataset: missing key "root"`,
		"name: x\nnetwork: transfer\ndataset: {kind: images, root: a, split: half}\ntest: [{}]\n":                                `dataset.split: unknown kind "half"`,
		"name: x\nnetwork: transfer\ndataset: {kind: images, root: a, ink: blue}\ntest: [{}]\n":                                  "dataset.ink",
		"name: x\nnetwork: transfer\ndataset: {kind: images, root: a, split: {kind: share, train: 0.9, val: 0.2}}\ntest: [{}]\n": "train and val are 1.1 of the classes together",
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want)
	}
	for set, want := range map[string]string{
		"network.encoder={kind: torchscript, path: ../encoder/testdata/resnet.pt}":            "expected input[2, 1, 16, 16] to have 3 channels",
		"network.encoder={kind: torchscript, path: ../encoder/testdata/resnet.pt, repeat: 3}": "test.4: head.blocks: the encoder has nothing to train",
		"dataset.rotations=episode":             "train: episode: rotation",
		"dataset={kind: images, root: nowhere}": "looked in\n  nowhere",
	} {
		_, err := tool.Run(t.Context(), parse(t, tinyTransfer, set), experiments.Options{Out: t.TempDir()})
		assert.ErrorContains(t, err, want, set)
	}
}
