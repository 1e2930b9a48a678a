package transformer_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// reference is what a reference implementation computes with the weights of formula; testdata/parity.py writes it.
type reference struct {
	Name    string
	Tensors [][2]json.RawMessage // name, shape
	Inputs  []struct {
		Input      json.RawMessage // the shape of images, or tokens
		Embeddings [][]float64
		Gradients  map[string][2]float64 // norm, and product with the formula
	}
}

type fixture struct {
	Cases   []reference
	Resized map[string]map[transformer.Interpolation][]float64
}

func readFixture(t *testing.T) fixture {
	t.Helper()
	text, err := os.ReadFile("testdata/parity.json")
	require.NoError(t, err)
	var f fixture
	require.NoError(t, json.Unmarshal(text, &f))
	return f
}

func (f fixture) of(t *testing.T, name string) reference {
	t.Helper()
	for _, r := range f.Cases {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no case %s", name)
	return reference{}
}

// formula returns n numbers in [-½, ½) that depend on a name, as parity.py does.
func formula(name string, n int64) []float64 {
	seed := uint64(crc32.ChecksumIEEE([]byte(name)))
	out := make([]float64, n)
	for i := range out {
		h := (uint64(i)*0x9E3779B1 + seed) & math.MaxUint32
		h = (h ^ h>>16) * 0x85EBCA6B & math.MaxUint32
		h = (h ^ h>>13) * 0xC2B2AE35 & math.MaxUint32
		h ^= h >> 16
		out[i] = float64(h)/(1<<32) - .5
	}
	return out
}

func float32s(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// file returns the weights of a reference under its own names, changed by rename where that is not nil.
func (r reference) file(t *testing.T, rename func(string) string) *weights.File {
	t.Helper()
	f := &weights.File{}
	for _, named := range r.Tensors {
		var name string
		var shape []int64
		require.NoError(t, json.Unmarshal(named[0], &name))
		require.NoError(t, json.Unmarshal(named[1], &shape))
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		values := formula(name, n)
		for i, v := range values {
			values[i] = .5 * v
			if len(shape) == 1 && !strings.HasSuffix(name, "bias") && !strings.HasSuffix(name, "class_embedding") {
				values[i]++
			}
		}
		if rename != nil {
			name = rename(name)
		}
		f.Tensors = append(f.Tensors, weights.NewTensor(name, float32s(values), shape...))
	}
	return f
}

// input makes input i of a reference.
func (r reference) input(t *testing.T, i int) *tensor.Tensor {
	t.Helper()
	var tokens [][]int64
	if json.Unmarshal(r.Inputs[i].Input, &tokens) == nil {
		var all []int64
		for _, row := range tokens {
			all = append(all, row...)
		}
		return tensor.New(all, int64(len(tokens)), int64(len(tokens[0])))
	}
	var shape []int64
	require.NoError(t, json.Unmarshal(r.Inputs[i].Input, &shape))
	return tensor.New(float32s(formula("images", shape[0]*shape[1]*shape[2]*shape[3])), shape...)
}

// tolerance is the largest relative difference that rounding may cause.
const tolerance = 1e-4

func near(t *testing.T, want, got []float64, of string) {
	t.Helper()
	require.Len(t, got, len(want), of)
	var difference, size float64
	for i := range want {
		difference, size = difference+(want[i]-got[i])*(want[i]-got[i]), size+want[i]*want[i]
	}
	assert.LessOrEqual(t, math.Sqrt(difference), tolerance*math.Sqrt(size), of)
}

// agrees compares embeddings, and gradients where the reference has them, in evaluation and in training.
func (r reference) agrees(t *testing.T, e encoder.Encoder, ps *nn.Params, layout weights.Layout) {
	t.Helper()
	theirs, ours := r.file(t, nil), r.file(t, nil)
	require.NoError(t, layout.Convert(ours))
	for i, in := range r.Inputs {
		var want []float64
		for _, row := range in.Embeddings {
			want = append(want, row...)
		}
		x := r.input(t, i)
		near(t, want, e.Forward(&nn.Pass{}, x).Floats(), r.Name)
		y := e.Forward(&nn.Pass{Training: true}, x)
		near(t, want, y.Floats(), r.Name+" in training")
		if len(in.Gradients) == 0 {
			continue
		}
		loss := y.Mul(tensor.New(float32s(formula("loss", y.Numel())), y.Shape()...)).Sum()
		grads := map[string][]float64{}
		trained := ps.Trained()
		for j, g := range tensor.Grad(loss, ps.Tensors()...) {
			grads[trained[j].Name] = nil
			if g != nil {
				grads[trained[j].Name] = g.Floats()
			}
		}
		for j, named := range theirs.Tensors {
			want, ok := in.Gradients[named.Name]
			if !ok {
				continue
			}
			g := grads[ours.Tensors[j].Name]
			require.NotEmpty(t, g, named.Name)
			norm, product, along := 0., 0., formula("gradient", int64(len(g)))
			for k, v := range g {
				norm, product = norm+v*v, product+v*along[k]
			}
			// A key's bias shifts all scores of a query alike, so its gradient is rounding.
			least := 1e-5 * math.Sqrt(float64(len(g)))
			assert.InDelta(t, want[0], math.Sqrt(norm), tolerance*want[0]+least, named.Name)
			assert.InDelta(t, want[1], product, tolerance*want[0]+least, named.Name)
		}
	}
}

func bertConfig(t *testing.T, r reference, rename func(string) string) transformer.BERTConfig {
	t.Helper()
	c := transformer.BERTConfig{Size: transformer.Size{Heads: 3}, Normalize: true}
	require.NoError(t, c.Measure(r.file(t, rename)))
	return c
}

func newBERT(t *testing.T, c transformer.BERTConfig, r reference, rename func(string) string) (*transformer.BERT, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	e, err := transformer.NewBERT(b, c)
	require.NoError(t, err)
	t.Cleanup(b.Params().Free)
	require.NoError(t, transformer.BERTLayout().Load(r.file(t, rename), b.Params().All(), ""))
	return e, b.Params()
}

func TestBERTAgreesWithHuggingFace(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	all := readFixture(t)
	for name, config := range map[string]func(*transformer.BERTConfig){
		"bert":       func(*transformer.BERTConfig) {},
		"bert-cls":   func(c *transformer.BERTConfig) { c.Pooling, c.Normalize = transformer.FirstToken, false },
		"distilbert": func(*transformer.BERTConfig) {},
	} {
		r := all.of(t, name)
		c := bertConfig(t, r, nil)
		config(&c)
		e, ps := newBERT(t, c, r, nil)
		r.agrees(t, e, ps, transformer.BERTLayout())
	}
}

// Files of models for a task, of old versions and of sentence-transformers hold the same network under other names.
func TestNamesOfBERT(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	r := readFixture(t).of(t, "bert")
	old := strings.NewReplacer("LayerNorm.weight", "LayerNorm.gamma", "LayerNorm.bias", "LayerNorm.beta")
	for _, rename := range []func(string) string{
		func(name string) string { return "bert." + name },
		func(name string) string { return "model.bert." + old.Replace(name) },
		func(name string) string { return "0.auto_model." + name },
	} {
		c := bertConfig(t, r, rename)
		assert.Equal(t, transformer.BERTConfig{
			Size: transformer.Size{Width: 24, Layers: 2, Heads: 3, Hidden: 40}, Vocabulary: 13, Positions: 9, Types: 2, Normalize: true,
		}, c)
		e, _ := newBERT(t, c, r, rename)
		near(t, r.Inputs[1].Embeddings[0], e.Forward(&nn.Pass{}, r.input(t, 1)).Floats(), rename("embeddings"))
	}
}

func newViT(t *testing.T, r reference, set func(*transformer.ViTConfig), rename func(string) string) (*transformer.ViT, *nn.Params, transformer.ViTConfig) {
	t.Helper()
	c := transformer.ViTConfig{Size: transformer.Size{Heads: 3}}
	require.NoError(t, c.Measure(r.file(t, rename)))
	if set != nil {
		set(&c)
	}
	b := nn.NewBuilder(1, tensor.CPU)
	e, err := transformer.NewViT(b, c)
	require.NoError(t, err)
	t.Cleanup(b.Params().Free)
	require.NoError(t, transformer.ViTLayout(c).Load(r.file(t, rename), b.Params().All(), ""))
	return e, b.Params(), c
}

// Embeddings, gradients and interpolated positions are those of timm, and of Hugging Face's ViT, DINOv2 and CLIP.
func TestViTAgreesWithOthers(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	all := readFixture(t)
	for name, set := range map[string]func(*transformer.ViTConfig){
		"timm":               func(c *transformer.ViTConfig) { c.Interpolation = transformer.BicubicSmooth },
		"timm-registers":     func(c *transformer.ViTConfig) { c.Interpolation = transformer.BicubicSmooth },
		"vit-huggingface":    func(c *transformer.ViTConfig) { c.Interpolation = transformer.BicubicOffset },
		"dinov2-huggingface": func(c *transformer.ViTConfig) { c.Interpolation = transformer.BicubicOffset },
		"clip":               func(c *transformer.ViTConfig) { c.Activation, c.Eps = transformer.QuickGELU, 1e-5 },
	} {
		r := all.of(t, name)
		e, ps, c := newViT(t, r, set, nil)
		r.agrees(t, e, ps, transformer.ViTLayout(c))
	}
}

func TestInterpolationOfPositions(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	grid := tensor.New(formula("grid", 25), 25, 1)
	for to, results := range readFixture(t).Resized {
		var height, width int64
		_, err := fmt.Sscanf(to, "%dx%d", &height, &width)
		require.NoError(t, err)
		require.Len(t, results, len(transformer.Interpolations()))
		for m, want := range results {
			near(t, want, transformer.Resize(m, grid, height, width).Floats(), to+" "+string(m))
		}
	}
}
