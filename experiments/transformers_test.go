package experiments_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// publishedViT writes the weights of a small vision transformer of DINOv2's second form, as timm names them, in a model folder.
func publishedViT(t *testing.T) (folder string) {
	t.Helper()
	testkit.Enter(t)
	b := nn.NewBuilder(5, tensor.CPU)
	t.Cleanup(b.Params().Free)
	_, err := transformer.NewViT(b, transformer.ViTConfig{
		Size: transformer.Size{Width: 8, Layers: 2, Heads: 2, Hidden: 12}, Patch: 4, Grid: 5, Registers: 3, Scaled: true, Unplaced: true,
	})
	require.NoError(t, err)
	b.In("head").Param("weight", nn.FanInUniform, 10, 8)
	folder = t.TempDir()
	require.NoError(t, nn.Save(filepath.Join(folder, "model.safetensors"), b.Params().State(), nil))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "config.json"), []byte(`{"num_attention_heads": 2, "hidden_act": "relu", "layer_norm_eps": 0.001}`), 0o644))
	return folder
}

// Sizes and settings come from the weights and their folder, and a run that has begun needs neither.
func TestVisionTransformerFromPublishedWeights(t *testing.T) {
	folder := publishedViT(t)
	published := "network={kind: protonet, encoder: {kind: vit, weights: " + folder + "}}"
	c := config(t, published, "train.steps=0")
	assert.Equal(t, []string{"network.encoder: 1 tensors of " + folder + " are not used: head.weight"}, c.Notes)
	text, err := c.Encode()
	require.NoError(t, err)
	for _, line := range []string{"width: 8", "layers: 2", "heads: 2", "hidden: 12", "patch: 4", "grid: 5", "registers: 3", "unplaced: true", "layer_scale: true",
		"activation: relu", "interpolation: bicubic-smooth", "eps: 0.001", "mean: [0.485, 0.456, 0.406]"} {
		assert.Contains(t, string(text), "    "+line+"\n")
	}
	dir := t.TempDir()
	want, err := tool.Run(t.Context(), c, experiments.Options{Out: dir})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(folder))
	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, want.Figures, again.Figures)
}

// Adapters alone are trained, and saved with the rest.
func TestTransformerWithAdapters(t *testing.T) {
	folder := publishedViT(t)
	dir := t.TempDir()
	result := run(t, dir, "network={kind: protonet, encoder: {kind: vit, weights: "+folder+", lora: {rank: 2, on: [query, down]}}}")
	assert.EqualValues(t, 2*2*((8+8)+(12+8)), result.Training.Parameters)
	model, err := nn.Open(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	published, err := nn.Open(filepath.Join(folder, "model.safetensors"))
	require.NoError(t, err)
	testkit.Enter(t)
	trained, err := model.Sub("encoder.").Tensors(tensor.CPU)
	require.NoError(t, err)
	before, err := published.Tensors(tensor.CPU)
	require.NoError(t, err)
	values := map[string][]float64{}
	for _, b := range before {
		values[b.Name] = b.Tensor.Floats()
	}
	adapters := 0
	for _, a := range trained {
		if of, ok := values[a.Name]; ok {
			assert.Equal(t, of, a.Tensor.Floats(), a.Name)
			continue
		}
		adapters++
		assert.NotZero(t, a.Tensor.Abs().Sum().Float(), a.Name)
	}
	assert.Equal(t, 2*2*2, adapters)
}

func TestTransformersThatCannotBe(t *testing.T) {
	folder := publishedViT(t)
	for of, want := range map[string]string{
		"kind: vit-s16, weights: " + folder:         "cls_token has the shape [1 1 384] in the network, cls_token [1 1 8] in the file",
		"kind: vit, width: 10, heads: 3":            "heads: 3 heads do not divide the width 10",
		"kind: vit, lora: {on: [keys]}":             "lora.on",
		"kind: vit, weights: " + publishedResNet(t): "holds no vision transformer: there is no cls_token",
	} {
		_, err := tool.Parse("x.yaml", []byte(tiny), overrides(t, "network={kind: protonet, encoder: {"+of+"}}")...)
		assert.ErrorContains(t, err, want, of)
	}
	_, err := tool.Run(t.Context(), config(t, "network={kind: protonet, encoder: {kind: vit, patch: 5}}"), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "images of 16×16 pixels cannot be cut into patches of 5×5; give them sides that 5 divides")
}

// publishedBERT writes the weights of a small DistilBERT with cls pooling, and its tokenizer, in a model folder of
// sentence-transformers.
func publishedBERT(t *testing.T) (folder string) {
	t.Helper()
	testkit.Enter(t)
	vocabulary := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"
	for c := 'a'; c <= 'z'; c++ {
		vocabulary += string(c) + "\n##" + string(c) + "\n"
	}
	b := nn.NewBuilder(5, tensor.CPU)
	t.Cleanup(b.Params().Free)
	_, err := transformer.NewBERT(b.In("bert"), transformer.BERTConfig{
		Size: transformer.Size{Width: 8, Layers: 2, Heads: 2, Hidden: 12}, Vocabulary: 4 + 2*26, Positions: 40, Types: -1,
	})
	require.NoError(t, err)
	b.In("classifier").Param("weight", nn.FanInUniform, 3, 8)
	folder = t.TempDir()
	require.NoError(t, nn.Save(filepath.Join(folder, "model.safetensors"), b.Params().State(), nil))
	require.NoError(t, os.Mkdir(filepath.Join(folder, "1_Pooling"), 0o755))
	for name, text := range map[string]string{
		"vocab.txt": vocabulary, "tokenizer_config.json": `{"model_max_length": 30}`, "config.json": `{"n_heads": 2, "activation": "relu"}`,
		"1_Pooling/config.json": `{"pooling_mode_cls_token": true}`, "modules.json": `[{"type": "sentence_transformers.models.Normalize"}]`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	return folder
}

// Sizes, pooling and tokens come from the model folder; it works frozen, and with its last layer tuned.
func TestBERTFromPublishedWeights(t *testing.T) {
	folder := publishedBERT(t)
	texts := "dataset={kind: requests, train: 40, val: 10, test: 10, instances: 12}"
	published := "network={kind: protonet, encoder: {kind: bert, weights: " + folder + ", freeze: true}}"
	c := config(t, published, texts, "train.steps=0")
	assert.Equal(t, []string{"network.encoder: 1 tensors of " + folder + " are not used: classifier.weight"}, c.Notes)
	text, err := c.Encode()
	require.NoError(t, err)
	for _, line := range []string{"width: 8", "layers: 2", "heads: 2", "hidden: 12", "vocabulary: 56", "positions: 40", "segments: 0", "pool: cls", "unit: true", "activation: relu"} {
		assert.Contains(t, string(text), "    "+line+"\n")
	}
	assert.Regexp(t, `tokenizer: "?[0-9a-f]{64}`, string(text))
	dir := t.TempDir()
	want, err := tool.Run(t.Context(), c, experiments.Options{Out: dir})
	require.NoError(t, err)
	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, want.Figures, again.Figures)

	result := run(t, t.TempDir(), texts, "network={kind: protonet, encoder: {kind: bert, tune: 1, weights: "+folder+"}}")
	assert.EqualValues(t, 4*(8*8+8)+(8*12+12)+(12*8+8)+4*8, result.Training.Parameters)

	// Each of the last blocks, two layers and the embeddings before them, is tuned at its own rate.
	tests := ""
	for _, blocks := range []string{"blocks: 1", "blocks: 2", "blocks: 2, discount: 0.1", "blocks: 3"} {
		tests += "{way: 3, shot: 2, query: 4, episodes: 6, head: {kind: linear, epochs: 3, encoder_rate: 0.3, " + blocks + "}}, "
	}
	tuned := run(t, t.TempDir(), texts, "network={kind: transfer, encoder: {kind: bert, weights: "+folder+"}}", "train={batch: 8, steps: 0}", "validation.episodes=0", "test=["+tests+"]")
	require.Len(t, tuned.Figures, 4)
	errors := map[float64]bool{}
	for _, f := range tuned.Figures {
		errors[*f.CalibrationError] = true
	}
	assert.Len(t, errors, 4, "four ways of tuning give four sets of probabilities")

	for of, message := range map[string]string{
		"kind: bert, heads: 3":                           "heads: 3 heads do not divide the width 128",
		"kind: bert, weights: " + publishedViT(t):        "holds no BERT: there is no embeddings.word_embeddings.weight",
		"kind: bert, tokenizer: abc, weights: " + folder: "and not abc: it is another one than the run began with",
	} {
		_, err := tool.Parse("x.yaml", []byte(tiny), overrides(t, texts, "network={kind: protonet, encoder: {"+of+"}}")...)
		assert.ErrorContains(t, err, message, of)
	}
}
