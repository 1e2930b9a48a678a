package transformer

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/engram-go/engram/nn/weights"
)

// BERTLayout is how published weights of BERT and DistilBERT become the parameters of a [BERT]: names of Hugging Face's library,
// with the prefixes of its models for a task and the old names of layer norm. What belongs to a task is left out.
func BERTLayout() weights.Layout {
	return weights.Layout{
		Convert: convertBERT,
		Skip:    []string{"pooler.*", "cls.*", "classifier.*", "qa_outputs.*", "pre_classifier.*", "vocab_*", "score.*"},
		Fresh:   adapterNames,
	}
}

// adapterNames match the parameters of adapters, which published weights lack.
var adapterNames = []string{"*lora_A", "*lora_B"}

// bertNames changes the names of DistilBERT and of old files to those of BERT.
var bertNames = strings.NewReplacer(
	".gamma", ".weight", ".beta", ".bias",
	"transformer.layer.", "encoder.layer.",
	".attention.q_lin.", ".attention.self.query.",
	".attention.k_lin.", ".attention.self.key.",
	".attention.v_lin.", ".attention.self.value.",
	".attention.out_lin.", ".attention.output.dense.",
	".sa_layer_norm.", ".attention.output.LayerNorm.",
	".ffn.lin1.", ".intermediate.dense.",
	".ffn.lin2.", ".output.dense.",
	".output_layer_norm.", ".output.LayerNorm.",
)

func convertBERT(f *weights.File) error {
	unprefixed(f, "embeddings.word_embeddings.weight")
	f.Rename(bertNames.Replace)
	return nil
}

// unprefixed removes what stands before the name of a tensor that every file of a family has, from all names that begin so. It
// reports whether the file has that tensor.
func unprefixed(f *weights.File, known string) bool {
	for _, t := range f.Tensors {
		if prefix, ok := strings.CutSuffix(t.Name, known); ok && (prefix == "" || strings.HasSuffix(prefix, ".")) {
			f.Rename(func(name string) string { return strings.TrimPrefix(name, prefix) })
			return true
		}
	}
	return false
}

// ViTLayout is how published weights of vision transformers become the parameters of a [ViT]: names of timm, DINO, DINOv2, CLIP and
// Hugging Face's library. Of CLIP the image tower and its projection are taken; of others the classifier is left out.
func ViTLayout(c ViTConfig) weights.Layout {
	l := weights.Layout{
		Convert: convertViT,
		Skip: []string{"mask_token", "pooler.*", "classifier.*", "head_dist.*",
			"text_model.*", "text_projection*", "logit_scale", "logit_bias", "transformer.*", "token_embedding.*", "positional_embedding", "ln_final.*"},
		Fresh: adapterNames,
	}
	if c.Projection == 0 {
		l.Skip = append(l.Skip, "head.*")
	}
	return l
}

// vitNames changes the names of vision transformers elsewhere to timm's.
var vitNames = strings.NewReplacer(
	// Hugging Face: ViT, DINOv2
	"embeddings.cls_token", "cls_token", "embeddings.mask_token", "mask_token", "embeddings.register_tokens", "reg_token",
	"embeddings.position_embeddings", "pos_embed", "embeddings.patch_embeddings.projection.", "patch_embed.proj.",
	"encoder.layer.", "blocks.", ".attention.attention.", ".attn.", ".attention.output.dense.", ".attn.proj.",
	".layernorm_before.", ".norm1.", ".layernorm_after.", ".norm2.",
	".intermediate.dense.", ".mlp.fc1.", ".output.dense.", ".mlp.fc2.",
	".layer_scale1.lambda1", ".ls1.gamma", ".layer_scale2.lambda1", ".ls2.gamma",
	// Hugging Face: CLIP
	"embeddings.class_embedding", "cls_token", "embeddings.position_embedding.weight", "pos_embed", "embeddings.patch_embedding.", "patch_embed.proj.",
	"pre_layrnorm.", "norm_pre.", "post_layernorm.", "norm.", "visual_projection.", "head.",
	"encoder.layers.", "blocks.", ".self_attn.q_proj.", ".attn.query.", ".self_attn.k_proj.", ".attn.key.", ".self_attn.v_proj.", ".attn.value.",
	".self_attn.out_proj.", ".attn.proj.", ".layer_norm1.", ".norm1.", ".layer_norm2.", ".norm2.",
	// CLIP and OpenCLIP
	"class_embedding", "cls_token", "conv1.", "patch_embed.proj.", "ln_pre.", "norm_pre.", "ln_post.", "norm.", "transformer.resblocks.", "blocks.",
	".attn.in_proj_", ".attn.qkv.", ".attn.out_proj.", ".attn.proj.", ".ln_1.", ".norm1.", ".ln_2.", ".norm2.",
	".mlp.c_fc.", ".mlp.fc1.", ".mlp.c_proj.", ".mlp.fc2.",
	// DINOv2
	"register_tokens", "reg_token",
)

// lastNorm is the layer norm after the layers in Hugging Face's names, which is a part of other names as well.
const lastNorm = "layernorm."

func convertViT(f *weights.File) error {
	const openCLIP = "visual."
	if f.Find(openCLIP+"class_embedding") != nil { // the text tower has names like those of other families
		f.Rename(func(name string) string {
			switch rest, ours := strings.CutPrefix(name, openCLIP); {
			case !ours:
				return "text_model." + name
			case rest == "positional_embedding":
				return "pos_embed"
			case rest == "proj":
				return projection
			default:
				return rest
			}
		})
	} else {
		_ = unprefixed(f, "embeddings.cls_token") || unprefixed(f, "embeddings.class_embedding") || unprefixed(f, "cls_token")
	}
	f.Rename(func(name string) string {
		if strings.HasPrefix(name, "text_model.") {
			return name
		}
		if rest, ok := strings.CutPrefix(name, lastNorm); ok {
			return "norm." + rest
		}
		return vitNames.Replace(name)
	})
	if err := joinQKV(f); err != nil {
		return err
	}
	return reshape(f)
}

// projection is OpenCLIP's last linear map, which is stored [width, projection].
const projection = "proj"

// queryOf matches the tensor of a layer's queries.
var queryOf = regexp.MustCompile(`^(blocks\.\d+\.attn\.)query\.(weight|bias)$`)

// joinQKV joins the three linear maps of attention to timm's one.
func joinQKV(f *weights.File) error {
	for i, t := range f.Tensors {
		m := queryOf.FindStringSubmatch(t.Name)
		if m == nil {
			continue
		}
		var all []float32
		for _, part := range []string{"query", "key", "value"} {
			from := f.Find(m[1] + part + "." + m[2])
			if from == nil || !slices.Equal(from.Shape, t.Shape) {
				return fmt.Errorf("%s%s.%s is missing, or has another shape than %s", m[1], part, m[2], t.Name)
			}
			v, err := from.Values()
			if err != nil {
				return err
			}
			all = append(all, v...)
		}
		shape := slices.Clone(t.Shape)
		shape[0] *= 3
		f.Tensors[i] = weights.NewTensor(m[1]+"qkv."+m[2], all, shape...)
	}
	f.Tensors = slices.DeleteFunc(f.Tensors, func(t *weights.Tensor) bool {
		part, _, ok := strings.Cut(t.Name, ".attn.")
		rest := strings.TrimPrefix(t.Name, part+".attn.")
		return ok && (strings.HasPrefix(rest, "key.") || strings.HasPrefix(rest, "value."))
	})
	return nil
}

// reshape gives CLIP's tensors the shapes of timm's.
func reshape(f *weights.File) error {
	for i, t := range f.Tensors {
		shape := t.Shape
		switch {
		case t.Name == "cls_token" && len(shape) == 1:
			shape = []int64{1, 1, shape[0]}
		case t.Name == "pos_embed" && len(shape) == 2:
			shape = []int64{1, shape[0], shape[1]}
		case t.Name != projection || len(shape) != 2:
			continue
		}
		v, err := t.Values()
		if err != nil {
			return err
		}
		if t.Name == projection {
			rows, columns := shape[0], shape[1]
			turned := make([]float32, len(v))
			for r := range rows {
				for c := range columns {
					turned[c*rows+r] = v[r*columns+c]
				}
			}
			f.Tensors[i] = weights.NewTensor("head.weight", turned, columns, rows)
			continue
		}
		f.Tensors[i] = weights.NewTensor(t.Name, v, shape...)
	}
	return nil
}

// sizes reads the sizes of a network from the shapes of its tensors.
type sizes struct{ f *weights.File }

// dim returns a size of a tensor; a negative one counts from the last. It is 0 where there is no such tensor.
func (s sizes) dim(name string, i int) int64 {
	t := s.f.Find(name)
	if t == nil {
		return 0
	}
	if i < 0 {
		i += len(t.Shape)
	}
	if i < 0 || i >= len(t.Shape) {
		return 0
	}
	return t.Shape[i]
}

// layers counts the layers for which there is a tensor of a name.
func (s sizes) layers(name string) (n int64) {
	for s.f.Find(fmt.Sprintf(name, n)) != nil {
		n++
	}
	return n
}

// Measure sets the sizes that can be read from published weights of a file that is not used yet, except the number of heads.
func (c *BERTConfig) Measure(f *weights.File) error {
	if err := convertBERT(f); err != nil {
		return err
	}
	s := sizes{f}
	c.Vocabulary, c.Width = s.dim("embeddings.word_embeddings.weight", 0), s.dim("embeddings.word_embeddings.weight", 1)
	if c.Width == 0 {
		return fmt.Errorf("holds no BERT: there is no embeddings.word_embeddings.weight")
	}
	c.Positions = s.dim("embeddings.position_embeddings.weight", 0)
	if c.Types = s.dim("embeddings.token_type_embeddings.weight", 0); c.Types == 0 {
		c.Types = -1
	}
	c.Layers = s.layers("encoder.layer.%d.output.dense.weight")
	c.Hidden = s.dim("encoder.layer.0.intermediate.dense.weight", 0)
	return nil
}

// Measure sets the sizes that can be read from published weights of a file that is not used yet, except the number of heads.
func (c *ViTConfig) Measure(f *weights.File) error {
	if err := convertViT(f); err != nil {
		return err
	}
	s := sizes{f}
	if c.Width = s.dim("cls_token", -1); c.Width == 0 {
		return fmt.Errorf("holds no vision transformer: there is no cls_token")
	}
	c.Channels, c.Patch = s.dim("patch_embed.proj.weight", 1), s.dim("patch_embed.proj.weight", 3)
	c.Registers = s.dim("reg_token", 1)
	c.Layers, c.Hidden = s.layers("blocks.%d.mlp.fc1.weight"), s.dim("blocks.0.mlp.fc1.weight", 0)
	c.Scaled = s.dim("blocks.0.ls1.gamma", 0) > 0
	if c.Early = s.dim("norm_pre.weight", 0) > 0; c.Early {
		c.Projection = s.dim("head.weight", 0)
	}
	placed := s.dim("pos_embed", 1)
	c.Grid = int64(math.Round(math.Sqrt(float64(placed))))
	if c.Unplaced = c.Grid*c.Grid == placed; !c.Unplaced {
		c.Grid = int64(math.Round(math.Sqrt(float64(placed - 1))))
	}
	return nil
}
