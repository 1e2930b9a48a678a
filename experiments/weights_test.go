package experiments_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

var smallResNet = encoder.ResNetConfig{
	Channels: 3, Height: 28, Width: 28, Blocks: [4]int64{1, 1, 1, 1}, Filters: [4]int64{4, 4, 8, 8}, Large: true,
}

// publishedResNet writes the weights of a small ResNet for colour images, with a classifier, as torchvision names them.
func publishedResNet(t *testing.T) (path string) {
	t.Helper()
	testkit.Enter(t)
	b := nn.NewBuilder(5, tensor.CPU)
	t.Cleanup(b.Params().Free)
	_, err := encoder.NewResNet(b, smallResNet)
	require.NoError(t, err)
	b.In("fc").Param("weight", nn.FanInUniform, 10, 8)
	b.In("fc").Param("bias", nn.Constant(0), 10)
	path = filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, nn.Save(path, b.Params().State(), nil))
	return path
}

// notesOf keeps the notes of a run.
type notesOf struct {
	runner.Silent
	notes []string
}

func (n *notesOf) Note(line string) { n.notes = append(n.notes, line) }

// A test on classes that ImageNet has says so where an encoder begins with published weights, and only there.
func TestNoteOfClassesThatPreTrainingHasSeen(t *testing.T) {
	notes := func(sets ...string) []string { return config(t, sets...).Work.(runner.Noting).Notes() }
	published := "network={kind: transfer, encoder: {kind: resnet10, filters: [4, 4, 8, 8], weights: " + publishedResNet(t) + "}, head: mean}"
	got := notes(published, "dataset=cifar-fs", "test=[{way: 5, shot: 1}, {way: 5, shot: 5}, {way: 5, shot: 1, dataset: {kind: miniimagenet, size: 32}}]")
	require.Len(t, got, 2, "once for each data set")
	assert.Contains(t, got[0], "the test classes of cifar-fs are not new to weights trained on ImageNet, as published weights of this encoder usually are: it contains classes of the same name as many of them, with other images")
	assert.Contains(t, got[1], "the test classes of miniimagenet are not new to weights trained on ImageNet, as published weights of this encoder usually are: it contains the same classes and images")
	assert.Empty(t, notes(published, "dataset={kind: textures, size: 32}"))
	assert.Empty(t, notes("network={kind: transfer, encoder: resnet10, head: mean}", "dataset=cifar-fs"))
}

func TestRunFromPublishedWeights(t *testing.T) {
	path := publishedResNet(t)
	published := "network={kind: protonet, encoder: {kind: resnet10, filters: [4, 4, 8, 8], weights: " + path + "}}"
	c := config(t, published, "train.steps=0")
	skipped := "network.encoder: 2 tensors of " + path + " are not used: fc.bias, fc.weight"
	assert.Equal(t, []string{skipped}, c.Notes)

	dir, reporter := t.TempDir(), &notesOf{}
	want, err := tool.Run(t.Context(), c, experiments.Options{Out: dir, Reporter: reporter})
	require.NoError(t, err)
	assert.Contains(t, reporter.notes, skipped)
	text, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	require.NoError(t, err)
	assert.Regexp(t, `large: true\n(.*\n)*? +sha256: "?[0-9a-f]{64}"?\n(.*\n)*? +mean: \[0.485, 0.456, 0.406\]\n +std: \[0.229, 0.224, 0.225\]\n`, string(text))

	model, err := nn.Open(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	testkit.Enter(t)
	b := nn.NewBuilder(9, tensor.CPU)
	t.Cleanup(b.Params().Free)
	_, err = encoder.NewResNet(b, smallResNet)
	require.NoError(t, err)
	require.NoError(t, model.Sub("encoder.").CopyInto(b.Params().State()))
	file, err := weights.Open(path)
	require.NoError(t, err)
	for _, p := range b.Params().All() {
		published, err := file.Find(p.Name).Values()
		require.NoError(t, err)
		assert.Equal(t, published, tensor.Values[float32](p.Value()), p.Name)
	}

	// The weights are needed where training begins, and not afterwards.
	further, waiting := t.TempDir(), t.TempDir()
	trained := run(t, further, published)
	interrupted(t, config(t, published), 12, 5, trained)
	require.NoError(t, tool.Create(waiting, config(t, published)))
	require.NoError(t, os.Remove(path))
	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, want.Figures, again.Figures)
	_, err = tool.Resume(t.Context(), waiting, experiments.Options{})
	assert.ErrorContains(t, err, "no file "+path)
}

// A model folder says how images are normalised, and the file may say otherwise.
func TestWeightsOfAModelFolder(t *testing.T) {
	path := publishedResNet(t)
	folder := filepath.Dir(path)
	input := func(sets ...string) string {
		c := config(t, append([]string{"network={kind: protonet, encoder: {kind: resnet10, filters: [4, 4, 8, 8], weights: " + folder + "}}"}, sets...)...)
		text, err := c.Encode()
		require.NoError(t, err)
		return string(text)
	}
	write := func(name string, v any) {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o644))
	}
	assert.Contains(t, input(), "mean: [0.485, 0.456, 0.406]\n")
	write("config.json", map[string]any{"pretrained_cfg": map[string]any{"mean": []float64{.5, .5, .5}, "std": []float64{.25, .25, .25}}})
	assert.Contains(t, input(), "mean: [0.5, 0.5, 0.5]\n      std: [0.25, 0.25, 0.25]\n")
	write("preprocessor_config.json", map[string]any{"image_mean": []float64{.1, .2, .3}, "image_std": []float64{1, 1, 1}})
	assert.Contains(t, input(), "mean: [0.1, 0.2, 0.3]\n      std: [1, 1, 1]\n")
	assert.Contains(t, input("network.encoder.input={mean: [0], std: [1]}"), "mean: [0]\n      std: [1]\n")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), []byte("{"), 0o644))
	_, err := tool.Parse("x.yaml", []byte(tiny), overrides(t, "network={kind: protonet, encoder: {kind: resnet10, weights: "+folder+"}}")...)
	assert.ErrorContains(t, err, "network.encoder.weights: "+filepath.Join(folder, "config.json")+": unexpected end of JSON input")
}

func TestWeightsThatCannotBe(t *testing.T) {
	path := publishedResNet(t)
	for of, want := range map[string]string{
		"kind: resnet10, weights: " + path:                                            path + ": the weights do not fit the network:\nconv1.weight has the shape [64 3 7 7] in the network, conv1.weight [4 3 7 7] in the file\n",
		"kind: resnet18, filters: [4, 4, 8, 8], weights: " + path:                     "layer1.1.conv1.weight [4 4 3 3] has no counterpart in the file",
		"kind: resnet10, weights: nowhere.pt":                                         "no file nowhere.pt",
		"kind: resnet10, weights: " + t.TempDir():                                     "holds no weights: neither model.safetensors nor pytorch_model.bin",
		"kind: resnet10, filters: [4, 4, 8, 8], sha256: abc, weights: " + path:        "and not abc: it holds other weights than the run began with",
		"kind: resnet10, filters: [4, 4, 8, 8], from: " + path + ", weights: " + path: "leave out one of them",
		"kind: conv4, weights: " + path:                                               "block1.conv.weight [64 1 3 3] has no counterpart in the file",
	} {
		_, err := tool.Parse("x.yaml", []byte(tiny), overrides(t, "network={kind: protonet, encoder: {"+of+"}}")...)
		assert.ErrorContains(t, err, "network.encoder.", of)
		assert.ErrorContains(t, err, want, of)
	}
}
