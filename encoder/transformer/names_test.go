package transformer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// values returns the values of a tensor, and its shape.
func values(t *testing.T, f *weights.File, name string) ([]float32, []int64) {
	t.Helper()
	of := f.Find(name)
	require.NotNil(t, of, name)
	v, err := of.Values()
	require.NoError(t, err)
	return v, of.Shape
}

// OpenCLIP's weights of both towers are Hugging Face's under other names, with the last linear map transposed.
func TestNamesOfOpenCLIP(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	r := readFixture(t).of(t, "clip")
	names := strings.NewReplacer("vision_model.", "visual.", "embeddings.class_embedding", "class_embedding",
		"embeddings.position_embedding.weight", "positional_embedding", "embeddings.patch_embedding.", "conv1.", "pre_layrnorm", "ln_pre",
		"post_layernorm", "ln_post", "encoder.layers.", "transformer.resblocks.", "layer_norm1", "ln_1", "layer_norm2", "ln_2",
		"self_attn.out_proj", "attn.out_proj", "mlp.fc1", "mlp.c_fc", "mlp.fc2", "mlp.c_proj")
	openCLIP := func() *weights.File {
		f := r.file(t, names.Replace)
		out := &weights.File{}
		for _, of := range f.Tensors {
			if prefix, kind, ok := strings.Cut(of.Name, "self_attn.q_proj."); ok {
				var all []float32
				shape := slices.Clone(of.Shape)
				for _, part := range []string{"q", "k", "v"} {
					v, _ := values(t, f, prefix+"self_attn."+part+"_proj."+kind)
					all = append(all, v...)
				}
				shape[0] *= 3
				out.Tensors = append(out.Tensors, weights.NewTensor(prefix+"attn.in_proj_"+kind, all, shape...))
			} else if of.Name == "visual_projection.weight" {
				v, shape := values(t, f, of.Name)
				turned := tensor.New(v, shape...).Transpose(0, 1).Contiguous()
				out.Tensors = append(out.Tensors, weights.NewTensor("visual.proj", tensor.Values[float32](turned), turned.Shape()...))
			} else if !strings.Contains(of.Name, "self_attn.") {
				out.Tensors = append(out.Tensors, of)
			}
		}
		for _, text := range []string{"positional_embedding", "text_projection", "transformer.resblocks.0.attn.in_proj_weight", "token_embedding.weight", "logit_scale"} {
			out.Tensors = append(out.Tensors, weights.NewTensor(text, []float32{1}, 1))
		}
		return out
	}
	c := transformer.ViTConfig{Size: transformer.Size{Heads: 3}, Activation: transformer.QuickGELU, Eps: 1e-5}
	require.NoError(t, c.Measure(openCLIP()))
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := transformer.NewViT(b, c)
	require.NoError(t, err)
	require.NoError(t, transformer.ViTLayout(c).Load(openCLIP(), b.Params().All(), ""))
	near(t, slices.Concat(r.Inputs[0].Embeddings...), e.Forward(&nn.Pass{}, r.input(t, 0)).Floats(), "clip")
}

// The authors' weights of DINOv2 with registers have a position for the first token, which timm adds to the token; and a token for
// masks, which nothing uses.
func TestNamesOfDINOv2(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	r := readFixture(t).of(t, "timm-registers")
	authors := func() *weights.File {
		f := r.file(t, strings.NewReplacer("reg_token", "register_tokens").Replace)
		for i, of := range f.Tensors {
			switch v, shape := values(t, f, of.Name); of.Name {
			case "cls_token":
				for i := range v {
					v[i] -= .25
				}
				f.Tensors[i] = weights.NewTensor(of.Name, v, shape...)
			case "pos_embed":
				first := make([]float32, shape[2])
				for i := range first {
					first[i] = .25
				}
				f.Tensors[i] = weights.NewTensor(of.Name, append(first, v...), 1, shape[1]+1, shape[2])
			}
		}
		f.Tensors = append(f.Tensors, weights.NewTensor("mask_token", make([]float32, 24), 1, 24))
		return f
	}
	c := transformer.ViTConfig{Size: transformer.Size{Heads: 3}, Interpolation: transformer.BicubicSmooth}
	require.NoError(t, c.Measure(authors()))
	assert.Equal(t, transformer.ViTConfig{
		Size: transformer.Size{Width: 24, Layers: 2, Heads: 3, Hidden: 96}, Channels: 3, Patch: 8, Grid: 3, Interpolation: transformer.BicubicSmooth,
		Registers: 4, Scaled: true,
	}, c)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	e, err := transformer.NewViT(b, c)
	require.NoError(t, err)
	require.NoError(t, transformer.ViTLayout(c).Load(authors(), b.Params().All(), ""))
	for i := range r.Inputs {
		near(t, slices.Concat(r.Inputs[i].Embeddings...), e.Forward(&nn.Pass{}, r.input(t, i)).Floats(), "DINOv2")
	}
}

// A classifier is left out, and a linear map behind CLIP's first norm is not.
func TestMeasureViT(t *testing.T) {
	f := &weights.File{Tensors: []*weights.Tensor{
		weights.NewTensor("cls_token", make([]float32, 128), 1, 1, 128),
		weights.NewTensor("pos_embed", make([]float32, 5*128), 1, 5, 128),
		weights.NewTensor("patch_embed.proj.weight", make([]float32, 128*3*4), 128, 3, 2, 2),
		weights.NewTensor("head.weight", make([]float32, 128), 1, 128),
	}}
	var c transformer.ViTConfig
	require.NoError(t, c.Measure(f))
	assert.EqualValues(t, 2, c.Grid)
	assert.Zero(t, c.Projection)
	assert.Contains(t, transformer.ViTLayout(c).Skip, "head.*")

	f.Tensors = append(f.Tensors, weights.NewTensor("norm_pre.weight", make([]float32, 128), 128))
	require.NoError(t, c.Measure(f))
	assert.EqualValues(t, 1, c.Projection)
	assert.NotContains(t, transformer.ViTLayout(c).Skip, "head.*")
}

// A file of another family is refused by what it lacks.
func TestWeightsOfAnotherFamily(t *testing.T) {
	resnet := func() *weights.File {
		return &weights.File{Tensors: []*weights.Tensor{weights.NewTensor("conv1.weight", make([]float32, 3), 1, 3, 1, 1)}}
	}
	assert.ErrorContains(t, new(transformer.BERTConfig).Measure(resnet()), "no embeddings.word_embeddings.weight")
	assert.ErrorContains(t, new(transformer.ViTConfig).Measure(resnet()), "no cls_token")

	// The keys of a layer are missing.
	f := &weights.File{Tensors: []*weights.Tensor{weights.NewTensor("encoder.layer.0.attention.attention.query.weight", make([]float32, 4), 2, 2)}}
	assert.ErrorContains(t, new(transformer.ViTConfig).Measure(f), "blocks.0.attn.key.weight is missing")
}
