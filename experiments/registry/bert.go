package registry

import (
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tokenizer"
)

// bertConfig is the configuration of BERT and its family.
type bertConfig struct {
	Width      int64  `yaml:"width" min:"1" doc:"of a token's vector; weights bring this and the following sizes"`
	Layers     int64  `yaml:"layers" min:"1"`
	Heads      int64  `yaml:"heads" min:"1" doc:"of attention; as the model folder says, where weights name one"`
	Hidden     int64  `yaml:"hidden" min:"1" doc:"units of a layer's multilayer perceptron"`
	Vocabulary int64  `yaml:"vocabulary" min:"0" doc:"tokens; 0 for those of the tokenizer"`
	Positions  int64  `yaml:"positions" min:"1" doc:"tokens of the longest text"`
	Segments   int64  `yaml:"segments" min:"0" doc:"of which a text is the first; DistilBERT has none"`
	Pool       string `yaml:"pool" enum:"auto,mean,cls" doc:"mean: the mean over tokens; cls: the vector of the first; auto: as a model folder of sentence-transformers says, else the mean"`
	Unit       bool   `yaml:"unit" doc:"embeddings are divided by their lengths; set where a model folder of sentence-transformers says so"`

	Activation string  `yaml:"activation" enum:"auto,gelu,relu" doc:"auto: as the model folder says, else gelu"`
	Eps        float64 `yaml:"eps" above:"0" doc:"added to the variance by layer norm"`

	Tokenizer string `yaml:"tokenizer" doc:"SHA-256 of the tokenizer's files in the model folder; filled in where it is left out"`

	trainedTransformer `yaml:",inline"`
	initial            `yaml:",inline"`
}

func berts() []Part[Encoder] {
	return []Part[Encoder]{{"bert", "BERT, MiniLM or DistilBERT: a transformer on the pieces of words", "Devlin et al. 2019", Config(
		bertConfig{Width: 128, Layers: 2, Heads: 4, Hidden: 512, Positions: 128, Segments: 2, Pool: auto, Activation: auto, Eps: 1e-12}, (*bertConfig).plan)}}
}

// folder reads the settings of the model folder other than the sizes.
func (c *bertConfig) folder() error {
	var file transformerFile
	if _, err := c.modelConfig("config.json", &file); err != nil {
		return err
	}
	file.Activation += file.DistilActivation
	if heads := file.Heads + file.DistilHeads; heads > 0 {
		c.Heads = heads
	}
	if file.Eps > 0 {
		c.Eps = file.Eps
	}
	if file.Activation != "" && c.Activation == auto {
		a, err := activation(file.Activation)
		if err != nil {
			return schema.At("weights", err)
		}
		c.Activation = string(a)
	}
	if file.Padding != 0 {
		return schema.At("weights", fmt.Errorf("the model's config.json names %d as the token of padding; only 0 can be used", file.Padding))
	}
	var pooling struct {
		First bool `json:"pooling_mode_cls_token"`
		Mean  bool `json:"pooling_mode_mean_tokens"`
	}
	has, err := c.modelConfig("1_Pooling/config.json", &pooling)
	switch {
	case err != nil:
		return err
	case has && pooling.First == pooling.Mean:
		return schema.At("weights", fmt.Errorf("the model's 1_Pooling/config.json asks for neither the mean over tokens nor the first token alone; say which with pool"))
	case has && c.Pool == auto && pooling.First:
		c.Pool = string(transformer.FirstToken)
	}
	var modules []struct {
		Type string `json:"type"`
	}
	if _, err := c.modelConfig("modules.json", &modules); err != nil {
		return err
	}
	for _, m := range modules {
		c.Unit = c.Unit || m.Type == "sentence_transformers.models.Normalize"
	}
	return nil
}

// measure sets the sizes by the published weights, and returns the tokenizer of the model folder, or nil if it has none.
func (c *bertConfig) measure() (tokenizer.Tokenizer, error) {
	if c.Weights == "" {
		return nil, nil
	}
	f, err := c.open()
	if err != nil {
		return nil, nil // initializer says so
	}
	var m transformer.BERTConfig
	if err := m.Measure(f); err != nil {
		return nil, schema.At("weights", fmt.Errorf("%s %w", c.Weights, err))
	}
	c.Width, c.Layers, c.Hidden, c.Vocabulary, c.Positions, c.Segments = m.Width, m.Layers, m.Hidden, m.Vocabulary, m.Positions, max(m.Types, 0)
	c.Heads = bertHeads
	if err := c.folder(); err != nil {
		return nil, err
	}
	_, folder, err := weights.Locate(c.Weights)
	if err != nil || folder == "" {
		return nil, nil
	}
	t, err := tokenizer.OpenWordPiece(folder, tokenizer.WordPieceOptions{})
	switch {
	case err != nil:
		return nil, schema.At("weights", err)
	case c.Tokenizer == "":
		c.Tokenizer = t.Checksum()
	case c.Tokenizer != t.Checksum():
		return nil, schema.At("tokenizer", fmt.Errorf("the tokenizer of %s has the SHA-256 %s and not %s: it is another one than the run began with; put that one back, or leave out tokenizer", folder, t.Checksum(), c.Tokenizer))
	}
	return t, nil
}

// bertHeads is the number of heads of BERT-base, MiniLM and DistilBERT, which files of weights do not contain.
const bertHeads = 12

func (c *bertConfig) plan() (Encoder, error) {
	own, err := c.measure()
	if err != nil {
		return Encoder{}, err
	}
	for of, to := range map[*string]string{&c.Pool: string(transformer.MeanTokens), &c.Activation: string(transformer.GELU)} {
		if *of == auto {
			*of = to
		}
	}
	if c.Width%c.Heads != 0 {
		return Encoder{}, schema.At("heads", fmt.Errorf("%d heads do not divide the width %d", c.Heads, c.Width))
	}
	make := func(b *nn.Builder, vocabulary int64) (encoder.Encoder, error) {
		segments := c.Segments
		if segments == 0 {
			segments = -1
		}
		return transformer.NewBERT(b, transformer.BERTConfig{
			Size:       transformer.Size{Width: c.Width, Layers: c.Layers, Heads: c.Heads, Hidden: c.Hidden},
			Vocabulary: vocabulary, Positions: c.Positions, Types: segments, Eps: c.Eps, Activation: transformer.Activation(c.Activation),
			Pooling: transformer.Pooling(c.Pool), Normalize: c.Unit, Training: c.training(c.Layers),
		})
	}
	begin, err := c.initializer(transformer.BERTLayout(), func(b *nn.Builder) error {
		_, err := make(b, c.Vocabulary)
		return err
	})
	return c.frozen(Encoder{Text: true, Tokenizer: own, New: func(b *nn.Builder, in Shape) (encoder.Encoder, error) {
		vocabulary := c.Vocabulary
		if vocabulary == 0 {
			vocabulary = int64(in.Text.Tokenizer.Size())
		}
		if n := int64(in.Text.Tokenizer.Size()); n > vocabulary {
			return nil, fmt.Errorf("the tokenizer (%s) has %d tokens, and the encoder bert knows %d; use the tokenizer of its weights", in.Text.Tokenizer.Describe(), n, vocabulary)
		}
		if n := int64(in.Text.Tokenizer.Max()); n > c.Positions {
			return nil, fmt.Errorf("a text has up to %d tokens, and the encoder bert has %d positions; set the tokenizer's max_length", n, c.Positions)
		}
		before := len(b.Params().All())
		e, err := make(b, vocabulary)
		if err == nil && begin != nil {
			params := b.Params().All()[before:]
			b.Begin(func() error { return begin(params, encoderParams) })
		}
		return e, err
	}}), err
}
