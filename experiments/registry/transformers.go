package registry

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
)

// auto leaves a setting to the weights, or to the usual value.
const auto = "auto"

// loraConfig are the adapters of a transformer.
type loraConfig struct {
	Rank  int64    `yaml:"rank" min:"1" doc:"of the products that are added to the weights"`
	Alpha float64  `yaml:"alpha" above:"0" doc:"the products are multiplied by alpha / rank"`
	On    []string `yaml:"on" enum:"query,key,value,out,up,down" minlen:"1" doc:"the linear layers that get one: of attention, or the two of the multilayer perceptron"`
	Drop  float64  `yaml:"drop" min:"0" below:"1" doc:"the probability that a value of an adapter's input is dropped in training"`
}

// SetDefaults implements [schema.Defaulter].
func (c *loraConfig) SetDefaults() {
	*c = loraConfig{Rank: 8, Alpha: 16, On: []string{string(transformer.Query), string(transformer.Value)}}
}

// trainedTransformer are the keys about the training of a transformer.
type trainedTransformer struct {
	Drop float64     `yaml:"drop" min:"0" below:"1" doc:"the probability that a value is dropped after the embeddings and after each sublayer in training; BERT was pre-trained with 0.1"`
	Tune *int64      `yaml:"tune" min:"0" doc:"how many of its last layers are trained, or get adapters; the others stay as they are. Left out or null: all, and the embeddings too"`
	LoRA *loraConfig `yaml:"lora" doc:"low-rank adapters: only they are trained, and the weights stay as they are (Hu et al. 2022)"`
}

// training returns the training settings of a transformer with so many layers.
func (c *trainedTransformer) training(layers int64) transformer.Training {
	out := transformer.Training{Dropout: c.Drop}
	if c.Tune != nil {
		out.Frozen = 1 + max(layers-*c.Tune, 0)
	}
	if c.LoRA != nil {
		out.LoRA = transformer.LoRA{Rank: c.LoRA.Rank, Alpha: c.LoRA.Alpha, Dropout: c.LoRA.Drop}
		for _, on := range c.LoRA.On {
			out.LoRA.On = append(out.LoRA.On, transformer.Layer(on))
		}
	}
	return out
}

// transformerFile is what config.json of a model folder says about a transformer, other than its sizes.
type transformerFile struct {
	Type       string  `json:"model_type"`
	Heads      int64   `json:"num_attention_heads"`
	Activation string  `json:"hidden_act"`
	Eps        float64 `json:"layer_norm_eps"`
	Padding    int64   `json:"pad_token_id"`

	Vision *transformerFile `json:"vision_config"` // of CLIP

	// DistilBERT's names.
	DistilHeads      int64  `json:"n_heads"`
	DistilActivation string `json:"activation"`
}

// activation returns the activation of a model folder.
func activation(name string) (transformer.Activation, error) {
	known := []transformer.Activation{transformer.GELU, transformer.QuickGELU, transformer.ReLU}
	if a := transformer.Activation(name); slices.Contains(known, a) {
		return a, nil
	}
	return "", fmt.Errorf("the model's config.json names the activation %q; there are %q", name, known)
}

// vitConfig is the configuration of vision transformers.
type vitConfig struct {
	Width     int64  `yaml:"width" min:"1" doc:"of a token's vector"`
	Layers    int64  `yaml:"layers" min:"1"`
	Heads     int64  `yaml:"heads" min:"0" doc:"of attention; 0: as the model folder says, else the width divided by 64"`
	Hidden    int64  `yaml:"hidden" min:"1" doc:"units of a layer's multilayer perceptron"`
	Patch     int64  `yaml:"patch" min:"1" doc:"side of a patch in pixels; it must divide those of the images"`
	Grid      int64  `yaml:"grid" min:"0" doc:"patches along a side of the images that there are positions for; others are interpolated; 0 for those of weights, else of the data's images"`
	Registers int64  `yaml:"registers" min:"0" doc:"tokens that belong to no patch (Darcet et al. 2024); weights bring theirs"`
	Unplaced  bool   `yaml:"unplaced" doc:"the first token has no position; set where weights have none"`
	Scaled    bool   `yaml:"layer_scale" doc:"sublayers' outputs are multiplied by learned numbers; set where weights have them"`
	Early     bool   `yaml:"early_norm" doc:"layer norm before the first layer, as CLIP has it; set where weights have it"`
	Project   int64  `yaml:"projection" min:"0" doc:"width of a linear map of the result, as CLIP has it; 0 for none; weights bring theirs"`
	Pool      string `yaml:"pool" enum:"cls,mean" doc:"cls: the vector of the first token; mean: the mean over patches"`
	Unit      bool   `yaml:"unit" doc:"embeddings are divided by their lengths"`

	Activation    string  `yaml:"activation" enum:"auto,gelu,quick_gelu,relu" doc:"auto: as the model folder says, else quick_gelu with early_norm (OpenAI's CLIP) and gelu"`
	Interpolation string  `yaml:"interpolation" enum:"auto,bicubic,bicubic-offset,bicubic-smooth" doc:"of positions. bicubic: Hugging Face's, bicubic-offset: DINO and DINOv2, bicubic-smooth: timm and DINOv2 with registers. auto: that of DINOv2 with registers, CLIP's is bicubic, else DINO's"`
	Eps           float64 `yaml:"eps" min:"0" doc:"added to the variance by layer norm; 0: as the model folder says, else 1e-5 with early_norm and 1e-6"`

	trainedTransformer `yaml:",inline"`
	begun              `yaml:",inline"`
}

// vits are the rows of vision transformers.
func vits() []Part[Encoder] {
	const paper = "Dosovitskiy et al. 2021"
	row := func(name, doc string, c vitConfig) Part[Encoder] {
		c.Hidden, c.Pool, c.Activation, c.Interpolation = 4*c.Width, string(transformer.FirstToken), auto, auto
		own := name == kindViT
		return Part[Encoder]{name, doc, paper, Config(c, func(c *vitConfig) (Encoder, error) { return c.plan(own) })}
	}
	return []Part[Encoder]{
		row(kindViT, "a vision transformer of the size of its weights (timm, DeiT, DINO, DINOv2, CLIP), or of any", vitConfig{Width: 192, Layers: 4, Patch: 4}),
		row("vit-s16", "ViT-S/16, the small vision transformer", vitConfig{Width: 384, Layers: 12, Patch: 16}),
		row("vit-b16", "ViT-B/16, the base vision transformer", vitConfig{Width: 768, Layers: 12, Patch: 16}),
	}
}

// clipImages are the statistics of the images that CLIP was trained on: Radford et al. 2021, their code.
func clipImages(f publishedImages) publishedImages {
	f.Mean, f.Std = []float64{.48145466, .4578275, .40821073}, []float64{.26862954, .26130258, .27577711}
	f.ImageNet = false
	return f
}

// measure sets the sizes by the published weights; own is a network whose sizes weights may set.
func (c *vitConfig) measure(own bool) error {
	if c.Weights == "" {
		return nil
	}
	f, err := c.open()
	if err != nil {
		return nil // initializer says so
	}
	var m transformer.ViTConfig
	if err := m.Measure(f); err != nil {
		return schema.At("weights", fmt.Errorf("%s %w", c.Weights, err))
	}
	var folder transformerFile
	if _, err := c.modelConfig("config.json", &folder); err != nil {
		return err
	}
	if folder.Vision != nil {
		folder = *folder.Vision
	}
	if own {
		c.Width, c.Layers, c.Hidden, c.Patch = m.Width, m.Layers, m.Hidden, m.Patch
	}
	c.Grid, c.Registers, c.Unplaced, c.Scaled, c.Early, c.Project = m.Grid, m.Registers, m.Unplaced, m.Scaled, m.Early, m.Projection
	if c.Heads == 0 {
		c.Heads = folder.Heads
	}
	if folder.Activation != "" && c.Activation == auto {
		a, err := activation(folder.Activation)
		if err != nil {
			return schema.At("weights", err)
		}
		c.Activation = string(a)
	}
	if c.Eps == 0 {
		c.Eps = folder.Eps
	}
	return nil
}

func (c *vitConfig) plan(own bool) (Encoder, error) {
	if err := c.measure(own); err != nil {
		return Encoder{}, err
	}
	c.settle()
	config := transformer.ViTConfig{
		Size:  transformer.Size{Width: c.Width, Layers: c.Layers, Heads: c.Heads, Hidden: c.Hidden},
		Patch: c.Patch, Grid: c.Grid, Registers: c.Registers, Unplaced: c.Unplaced, Scaled: c.Scaled, Early: c.Early, Projection: c.Project,
		Interpolation: transformer.Interpolation(c.Interpolation), Activation: transformer.Activation(c.Activation), Eps: c.Eps,
		Pooling: transformer.Pooling(c.Pool), Normalize: c.Unit, Training: c.training(c.Layers),
	}
	if c.Width%c.Heads != 0 {
		return Encoder{}, schema.At("heads", fmt.Errorf("%d heads do not divide the width %d", c.Heads, c.Width))
	}
	family := imageNet(transformer.ViTLayout(config))
	if c.Early {
		family = clipImages(family)
	}
	e, err := c.begins(Encoder{New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		config := config
		config.Channels = int64(in.Channels)
		if config.Grid == 0 {
			config.Grid = max(int64(max(in.Height, in.Width))/c.Patch, 1)
		}
		return transformer.NewViT(b, config)
	}}, family)
	bare := e.New
	e.New = func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		if err := transformer.Fits(c.Patch, int64(in.Height), int64(in.Width)); err != nil {
			return nil, err
		}
		return bare(b, in)
	}
	return e, err
}

// settle decides the settings that were left to the weights.
func (c *vitConfig) settle() {
	set := func(v *string, to string) {
		if *v == auto {
			*v = to
		}
	}
	switch {
	case c.Early:
		set(&c.Activation, string(transformer.QuickGELU))
		set(&c.Interpolation, string(transformer.Bicubic))
		if c.Eps == 0 {
			c.Eps = 1e-5
		}
	case c.Registers > 0:
		set(&c.Interpolation, string(transformer.BicubicSmooth))
	}
	if c.Heads == 0 {
		c.Heads = max(c.Width/64, 1)
	}
	set(&c.Activation, string(transformer.GELU))
	set(&c.Interpolation, string(transformer.BicubicOffset))
	if c.Eps == 0 {
		c.Eps = 1e-6
	}
}
