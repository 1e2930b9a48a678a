package transformer

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// BERTConfig configures [NewBERT]. The zero value is BERT-base, uncased, with the mean over tokens.
type BERTConfig struct {
	Size                  // default 768, 12, 12, 3072
	Vocabulary int64      // tokens; default 30522
	Positions  int64      // the longest row of tokens; default 512
	Types      int64      // of segments, of which only the first is used; default 2, negative for none (DistilBERT)
	Padding    int64      // the token at the end of shorter rows, which is ignored; default 0
	Eps        float64    // of layer norm; default 1e-12
	Activation Activation // default GELU
	Pooling    Pooling    // default MeanTokens
	Normalize  bool       // an embedding is divided by its Euclidean length, as those of sentence encoders are
	Training   Training
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c BERTConfig) WithDefaults() BERTConfig {
	or(&c.Width, 768)
	or(&c.Layers, 12)
	or(&c.Heads, 12)
	or(&c.Hidden, 4*c.Width)
	or(&c.Vocabulary, 30522)
	or(&c.Positions, 512)
	or(&c.Types, 2)
	or(&c.Eps, 1e-12)
	or(&c.Activation, GELU)
	or(&c.Pooling, MeanTokens)
	return c
}

// BERT is the transformer encoder of Devlin et al. 2019, section 3: the sum of the vectors of tokens, positions and the segment,
// layer norm, and layers of self-attention and a multilayer perceptron, each followed by the sum with its input and layer norm
// (post-norm). MiniLM (Wang et al. 2020) has its architecture, DistilBERT (Sanh et al. 2019) has it without segments. Its input are
// rows of tokens; where text comes from, package tokenizer.
//
// The embedding of a row without any token but padding is zero for the mean, and never NaN.
type BERT struct {
	config           BERTConfig
	words, positions *nn.Param // [vocabulary, width], [positions, width]
	types            *nn.Param // [types, width]; nil for none
	norm             *nn.LayerNorm
	layers           []bertLayer
	blocks           [][]*nn.Param
}

type bertLayer struct {
	attention             attention
	mlp                   mlp
	attentionNorm, output *nn.LayerNorm
}

// NewBERT makes the network.
func NewBERT(b *nn.Builder, c BERTConfig) (*BERT, error) {
	c = c.WithDefaults()
	if err := errors.Join(c.Size.check(), c.Activation.check(), c.Pooling.check(), c.Training.check()); err != nil {
		return nil, err
	}
	if c.Vocabulary < 1 || c.Positions < 1 {
		return nil, fmt.Errorf("transformer: %d tokens and %d positions: both must be at least 1", c.Vocabulary, c.Positions)
	}
	blocks := c.Training.blocks(b)
	e := &BERT{config: c}
	in := blocks.next().in("embeddings")
	e.words = in.in("word_embeddings").table("weight", c.Vocabulary, c.Width)
	e.positions = in.in("position_embeddings").table("weight", c.Positions, c.Width)
	if c.Types > 0 {
		e.types = in.in("token_type_embeddings").table("weight", c.Types, c.Width)
	}
	e.norm = in.norm("LayerNorm", c.Width, c.Eps)
	for i := range c.Layers {
		in := blocks.next().in("encoder").in("layer").in(fmt.Sprint(i))
		self := in.in("attention").in("self")
		e.layers = append(e.layers, bertLayer{
			attention: attention{
				heads: c.Heads,
				qkv: []*linear{
					self.linear("query", c.Width, c.Width, Query),
					self.linear("key", c.Width, c.Width, Key),
					self.linear("value", c.Width, c.Width, Value),
				},
				out: in.in("attention").in("output").linear("dense", c.Width, c.Width, Out),
			},
			attentionNorm: in.in("attention").in("output").norm("LayerNorm", c.Width, c.Eps),
			mlp: mlp{
				up:   in.in("intermediate").linear("dense", c.Width, c.Hidden, Up),
				down: in.in("output").linear("dense", c.Hidden, c.Width, Down),
				act:  c.Activation,
			},
			output: in.in("output").norm("LayerNorm", c.Width, c.Eps),
		})
	}
	e.blocks = blocks.trained()
	return e, nil
}

// Width implements [encoder.Encoder].
func (e *BERT) Width() int64 { return e.config.Width }

// Vocabulary is the number of tokens: those of an input lie in [0, Vocabulary).
func (e *BERT) Vocabulary() int64 { return e.config.Vocabulary }

// Positions is the length of the longest row of tokens.
func (e *BERT) Positions() int64 { return e.config.Positions }

// Blocks returns the trained parameters in blocks, from input to output: those of the embeddings and of each layer.
func (e *BERT) Blocks() [][]*nn.Param { return e.blocks }

// HasDropout implements [encoder.HasDropout].
func (e *BERT) HasDropout() bool { return e.config.Training.hasDropout() }

// UsesBatchStatistics implements [encoder.UsesBatchStatistics].
func (e *BERT) UsesBatchStatistics() bool { return false }

// Forward maps rows of tokens [n, time] (int64), with padding at their ends, to embeddings [n, Width]. Padding changes no embedding.
func (e *BERT) Forward(p *nn.Pass, tokens *tensor.Tensor) *tensor.Tensor {
	if tokens.Rank() != 2 || tokens.DType() != tensor.Int64 || tokens.Dim(1) < 1 || tokens.Dim(1) > e.config.Positions {
		panic(&tensor.Error{Op: "BERT.Forward", Shapes: [][]int64{tokens.Shape()}, Msg: fmt.Sprintf("want tokens [n, time] of int64 with a time from 1 to %d", e.config.Positions)})
	}
	return inParts(p, tokens, tokens.Dim(1), e.config.Size, func(tokens *tensor.Tensor) *tensor.Tensor { return e.forward(p, tokens) })
}

func (e *BERT) forward(p *nn.Pass, tokens *tensor.Tensor) *tensor.Tensor {
	attended, mask := e.attended(p, tokens)
	x := tensor.Eval(func() *tensor.Tensor { return e.embed(p, tokens) })
	for _, l := range e.layers {
		x = replace(x, func() *tensor.Tensor { return l.forward(p, x, mask, e.config.Training.Dropout) })
	}
	return replace(x, func() *tensor.Tensor { return e.pool(x, attended) })
}

// attended returns 1 for each token and 0 for padding [n, 1, time], and the mask of [nn.Attention]; both are nil without padding.
func (e *BERT) attended(p *nn.Pass, tokens *tensor.Tensor) (attended, mask *tensor.Tensor) {
	padding := tokens.Eq(tensor.Full(float64(e.config.Padding), tensor.Int64, tokens.Device())).To(p.Value(e.words).DType()).Unsqueeze(1)
	if padding.Sum().Float() == 0 {
		return nil, nil
	}
	return padding.Neg().AddScalar(1), padding.MulScalar(nn.Hidden).Unsqueeze(1)
}

// embed returns the vectors of tokens, [n, time, width].
func (e *BERT) embed(p *nn.Pass, tokens *tensor.Tensor) *tensor.Tensor {
	n, time := tokens.Dim(0), tokens.Dim(1)
	fixed := p.Value(e.positions).Narrow(0, 0, time)
	if e.types != nil {
		fixed = fixed.Add(p.Value(e.types).Narrow(0, 0, 1))
	}
	x := p.Value(e.words).IndexSelect(0, tokens.Reshape(-1)).Reshape(n, time, e.config.Width).Add(fixed)
	return nn.Dropout(p, e.norm.Forward(p, x), e.config.Training.Dropout)
}

func (l *bertLayer) forward(p *nn.Pass, x, mask *tensor.Tensor, dropout float64) *tensor.Tensor {
	h := tensor.Eval(func() *tensor.Tensor {
		return l.attention.out.normalized(p, l.attention.read(p, x, mask), x, l.attentionNorm, dropout)
	})
	return l.mlp.down.normalized(p, l.mlp.hidden(p, h), h, l.output, dropout)
}

// pool makes embeddings [n, width] of the vectors x [n, time, width].
func (e *BERT) pool(x, attended *tensor.Tensor) *tensor.Tensor {
	switch {
	case e.config.Pooling == FirstToken:
		x = x.Select(1, 0)
	case attended == nil:
		x = x.Mean(1)
	default:
		x = attended.MatMul(x).Squeeze(1).Div(attended.Sum(-1).ClampMin(1e-9))
	}
	return unit(x, e.config.Normalize)
}

var _ encoder.Encoder = (*BERT)(nil)
