// Package transformer holds transformer encoders with the architectures of published weights: the BERT family for text, and
// vision transformers.
//
// Parameters have the names of the publications: those of Hugging Face's BertModel for [BERT], those of timm for [ViT]. [Layout]
// tells how the names of other libraries correspond to them.
package transformer

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Size is the size of a stack of layers.
type Size struct {
	Width  int64 // of a token's vector
	Layers int64
	Heads  int64 // of attention; they divide Width
	Hidden int64 // units of a layer's multilayer perceptron
}

func (s Size) check() error {
	if s.Width < 1 || s.Layers < 1 || s.Heads < 1 || s.Hidden < 1 {
		return fmt.Errorf("transformer: width %d, layers %d, heads %d, hidden %d: all must be at least 1", s.Width, s.Layers, s.Heads, s.Hidden)
	}
	if s.Width%s.Heads != 0 {
		return fmt.Errorf("transformer: %d heads do not divide the width %d", s.Heads, s.Width)
	}
	return nil
}

// Activation is the nonlinearity of a multilayer perceptron.
type Activation string

// The activations.
const (
	GELU      Activation = "gelu"       // exact: x·Φ(x)
	QuickGELU Activation = "quick_gelu" // x·σ(1.702x), of OpenAI's CLIP
	ReLU      Activation = "relu"
)

func (a Activation) check() error {
	switch a {
	case GELU, QuickGELU, ReLU:
		return nil
	}
	return fmt.Errorf("transformer: no activation %q; there are %q", a, []Activation{GELU, QuickGELU, ReLU})
}

func (a Activation) of(x *tensor.Tensor) *tensor.Tensor {
	switch a {
	case QuickGELU:
		return x.Mul(x.MulScalar(1.702).Sigmoid())
	case ReLU:
		return x.ReLU()
	}
	return x.GELU()
}

// Training is how a transformer is trained. The zero value trains all its parameters, without dropout.
type Training struct {
	// Frozen is the number of blocks, from the input on, that stay as they are: the embeddings are the first block, each layer is a
	// further one. A number above that of the blocks freezes all.
	Frozen int64
	// LoRA adds adapters to the layers that are not frozen, and keeps everything else as it is.
	LoRA LoRA
	// Dropout is the chance that a value is zeroed in training, after the embeddings and after each sublayer; BERT was
	// pre-trained with 0.1.
	Dropout float64
}

func (t Training) check() error {
	if t.Frozen < 0 {
		return fmt.Errorf("transformer: %d frozen blocks: there cannot be fewer than none", t.Frozen)
	}
	if t.Dropout < 0 || t.Dropout >= 1 {
		return fmt.Errorf("transformer: dropout %g; it must be at least 0 and below 1", t.Dropout)
	}
	return t.LoRA.check()
}

func (t Training) hasDropout() bool { return t.Dropout > 0 || t.LoRA.Dropout > 0 }

// blocks makes the blocks of a transformer, one after another, and keeps their trained parameters.
type blocks struct {
	*nn.Builder
	training Training
	starts   []int // the numbers of parameters before each block
}

func (t Training) blocks(b *nn.Builder) *blocks { return &blocks{Builder: b, training: t} }

// next begins the next block.
func (b *blocks) next() parts {
	frozen := int64(len(b.starts)) < b.training.Frozen
	b.starts = append(b.starts, len(b.Params().All()))
	lora := b.training.LoRA
	p := parts{Builder: b.Builder, constant: frozen || lora.Rank > 0, root: b.Builder}
	if !frozen {
		p.lora = lora
	}
	return p
}

// trained returns the trained parameters of the blocks that have any, from input to output.
func (b *blocks) trained() (out [][]*nn.Param) {
	all := b.Params().All()
	for i, from := range b.starts {
		to := len(all)
		if i+1 < len(b.starts) {
			to = b.starts[i+1]
		}
		var block []*nn.Param
		for _, p := range all[from:to] {
			if !p.Buffer {
				block = append(block, p)
			}
		}
		if len(block) > 0 {
			out = append(out, block)
		}
	}
	return out
}

// parts makes the parameters of one block.
type parts struct {
	*nn.Builder
	constant bool // the parameters are not trained; adapters are
	lora     LoRA
	root     *nn.Builder // of the whole network
}

func (b parts) in(name string) parts {
	b.Builder = b.In(name)
	return b
}

// whole names parameters as those of the whole network, in the same block.
func (b parts) whole() parts {
	b.Builder = b.root
	return b
}

func (b parts) param(name string, init nn.Init, shape ...int64) *nn.Param {
	if b.constant {
		return b.Buffer(name, init, shape...)
	}
	return b.Param(name, init, shape...)
}

// initialStd is the standard deviation of initial weights: Devlin et al. 2019, their code.
const initialStd = .02

func (b parts) table(name string, shape ...int64) *nn.Param {
	return b.param(name, nn.Normal(0, initialStd), shape...)
}

func (b parts) norm(name string, width int64, eps float64) *nn.LayerNorm {
	in := b.in(name)
	return nn.LayerNormOf(in.param("weight", nn.Constant(1), width), in.param("bias", nn.Constant(0), width), eps)
}

// linear makes a linear layer whose output has the named parts, of the same width; adapters are added to those that LoRA lists.
func (b parts) linear(name string, in, out int64, of ...Layer) *linear {
	inner := b.in(name)
	l := &linear{weight: inner.table("weight", out, in), bias: inner.param("bias", nn.Constant(0), out)}
	for _, part := range of {
		prefix := ""
		if len(of) > 1 {
			prefix = string(part) + "_"
		}
		l.adapters = append(l.adapters, b.lora.adapter(inner.Builder, part, prefix, in, out/int64(len(of))))
	}
	return l
}

// attention is multi-head self-attention.
type attention struct {
	heads int64
	qkv   []*linear // one for all three, or one for each
	out   *linear
}

// forward maps x [batch, time, width] to the same shape. mask is that of [nn.Attention].
func (a *attention) forward(p *nn.Pass, x, mask *tensor.Tensor) *tensor.Tensor {
	return a.out.forward(p, a.read(p, x, mask))
}

// read is forward without the last linear map.
func (a *attention) read(p *nn.Pass, x, mask *tensor.Tensor) *tensor.Tensor {
	qkv := joined(p, x, a.qkv)
	return nn.MultiHead(p, qkv[0], qkv[1], qkv[2], mask, a.heads)
}

// partBytes bounds the largest vectors of the rows that are evaluated at the same time.
const partBytes = 64 << 20

// inParts is [nn.InParts] for rows of so many tokens, in passes that do not train.
func inParts(p *nn.Pass, x *tensor.Tensor, time int64, s Size, f func(x *tensor.Tensor) *tensor.Tensor) *tensor.Tensor {
	if p.Training {
		return f(x)
	}
	const queriesKeysValues = 3
	return nn.InParts(x, partBytes/(4*time*max(s.Hidden, queriesKeysValues*s.Width)), f)
}

// mlp is the multilayer perceptron of a layer.
type mlp struct {
	up, down *linear
	act      Activation
}

func (m *mlp) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return m.down.forward(p, m.hidden(p, x))
}

// hidden is forward without the last linear map.
func (m *mlp) hidden(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if m.act == GELU {
		return m.up.gelu(p, x)
	}
	h := m.up.forward(p, x)
	return replace(h, func() *tensor.Tensor { return m.act.of(h) })
}

// Pooling makes one vector of the vectors of all tokens.
type Pooling string

// The poolings.
const (
	MeanTokens Pooling = "mean" // the mean over tokens
	FirstToken Pooling = "cls"  // the vector of the first token
)

func (m Pooling) check() error {
	if m == MeanTokens || m == FirstToken {
		return nil
	}
	return fmt.Errorf("transformer: no pooling %q of tokens; there are %q", m, []Pooling{MeanTokens, FirstToken})
}

// smallestLength keeps the gradient of the length of a zero vector finite; PyTorch's normalize has it too.
const smallestLength = 1e-12

// unit divides vectors x [n, width] by their lengths, if asked to.
func unit(x *tensor.Tensor, asked bool) *tensor.Tensor {
	if !asked {
		return x
	}
	return x.Div(x.Square().SumKeep(-1).ClampMin(smallestLength * smallestLength).Sqrt())
}

// or sets a zero value to its default.
func or[V comparable](v *V, to V) {
	var zero V
	if *v == zero {
		*v = to
	}
}

// replace returns what f makes of x, and frees x and all that f made beside: in a pass without gradients their memory is free at
// once, and not only when the caller leaves its scope.
func replace(x *tensor.Tensor, f func() *tensor.Tensor) *tensor.Tensor {
	y := tensor.Eval(f)
	if y != x {
		x.Free()
	}
	return y
}
