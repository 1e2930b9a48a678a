package transformer

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// ViTConfig configures [NewViT]. The zero value is ViT-S/16.
type ViTConfig struct {
	Size           // default 384, 12, 6 and four times Width
	Channels int64 // of the images; default 3
	Patch    int64 // side of a patch; default 16
	// Grid is the number of patches along a side of the square images that the network has positions for: 224 pixels are a grid of
	// 14 patches of 16. Positions are interpolated for images of other sizes. Default 14.
	Grid          int64
	Interpolation Interpolation // default Bicubic
	// Registers is the number of tokens beside the patches that only collect: Darcet et al. 2024.
	Registers int64
	// Unplaced leaves the first token without a position: timm's weights of networks with registers.
	Unplaced   bool
	Scaled     bool       // each sublayer's output is multiplied by learned numbers (layer scale): Touvron et al. 2021, eq. 8
	Early      bool       // layer norm before the first layer, and patches without a bias: CLIP
	Projection int64      // width of embeddings where the result is projected, as CLIP's is; 0 for no projection
	Eps        float64    // of layer norm; default 1e-6
	Activation Activation // default GELU
	Pooling    Pooling    // FirstToken, the default, or MeanTokens: the mean over patches
	Normalize  bool       // an embedding is divided by its Euclidean length
	Training   Training
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c ViTConfig) WithDefaults() ViTConfig {
	or(&c.Width, 384)
	or(&c.Layers, 12)
	or(&c.Heads, 6)
	or(&c.Hidden, 4*c.Width)
	or(&c.Channels, 3)
	or(&c.Patch, 16)
	or(&c.Grid, 14)
	or(&c.Interpolation, Bicubic)
	or(&c.Eps, 1e-6)
	or(&c.Activation, GELU)
	or(&c.Pooling, FirstToken)
	return c
}

// ViT is the vision transformer of Dosovitskiy et al. 2021, section 3.1: an image is cut into patches, each a token, behind a first
// token that no patch belongs to. A layer adds self-attention and a multilayer perceptron to its input, with layer norm before each
// (pre-norm). With other settings it is the network of DeiT (Touvron et al. 2021), DINO (Caron et al. 2021), DINOv2 (Oquab et al.
// 2024) and the image tower of CLIP (Radford et al. 2021).
type ViT struct {
	config           ViTConfig
	first, positions *nn.Param // [1, 1, width], [1, tokens, width]
	registers        *nn.Param // [1, registers, width]; nil for none
	patch, patchBias *nn.Param // [width, channels, patch, patch], [width]; no bias with Early
	early            *nn.LayerNorm
	layers           []vitLayer
	norm             *nn.LayerNorm
	projection       *nn.Param // [projection, width]; nil for none
	blocks           [][]*nn.Param
}

type vitLayer struct {
	attentionNorm, mlpNorm   *nn.LayerNorm
	attention                attention
	mlp                      mlp
	attentionScale, mlpScale *nn.Param // [width]; nil without Scaled
}

// NewViT makes the network.
func NewViT(b *nn.Builder, c ViTConfig) (*ViT, error) {
	c = c.WithDefaults()
	if err := errors.Join(c.Size.check(), c.Activation.check(), c.Pooling.check(), c.Interpolation.check(), c.Training.check()); err != nil {
		return nil, err
	}
	if c.Channels < 1 || c.Patch < 1 || c.Grid < 1 || c.Registers < 0 || c.Projection < 0 {
		return nil, fmt.Errorf("transformer: %d channels, patches of %d pixels, a grid of %d, %d registers, a projection to %d: none can be so small",
			c.Channels, c.Patch, c.Grid, c.Registers, c.Projection)
	}
	blocks := c.Training.blocks(b)
	e := &ViT{config: c}
	in := blocks.next()
	placed := c.Grid * c.Grid
	if !c.Unplaced {
		placed++
	}
	e.first = in.table("cls_token", 1, 1, c.Width)
	e.positions = in.table("pos_embed", 1, placed, c.Width)
	if c.Registers > 0 {
		e.registers = in.table("reg_token", 1, c.Registers, c.Width)
	}
	proj := in.in("patch_embed").in("proj")
	e.patch = proj.table("weight", c.Width, c.Channels, c.Patch, c.Patch)
	if c.Early {
		e.early = in.norm("norm_pre", c.Width, c.Eps)
	} else {
		e.patchBias = proj.param("bias", nn.Constant(0), c.Width)
	}
	for i := range c.Layers {
		in = blocks.next().in("blocks").in(fmt.Sprint(i))
		l := vitLayer{
			attentionNorm: in.norm("norm1", c.Width, c.Eps),
			attention: attention{
				heads: c.Heads,
				qkv:   []*linear{in.in("attn").linear("qkv", c.Width, 3*c.Width, Query, Key, Value)},
				out:   in.in("attn").linear("proj", c.Width, c.Width, Out),
			},
			mlpNorm: in.norm("norm2", c.Width, c.Eps),
			mlp: mlp{
				up:   in.in("mlp").linear("fc1", c.Width, c.Hidden, Up),
				down: in.in("mlp").linear("fc2", c.Hidden, c.Width, Down),
				act:  c.Activation,
			},
		}
		if c.Scaled {
			l.attentionScale = in.in("ls1").param("gamma", nn.Constant(1), c.Width)
			l.mlpScale = in.in("ls2").param("gamma", nn.Constant(1), c.Width)
		}
		e.layers = append(e.layers, l)
	}
	e.norm = in.whole().norm("norm", c.Width, c.Eps) // in the last layer's block
	if c.Projection > 0 {
		e.projection = in.whole().in("head").table("weight", c.Projection, c.Width)
	}
	e.blocks = blocks.trained()
	return e, nil
}

// Width implements [encoder.Encoder].
func (e *ViT) Width() int64 {
	if e.projection != nil {
		return e.config.Projection
	}
	return e.config.Width
}

// Blocks returns the trained parameters in blocks, from input to output: those of the embeddings and of each layer.
func (e *ViT) Blocks() [][]*nn.Param { return e.blocks }

// HasDropout implements [encoder.HasDropout].
func (e *ViT) HasDropout() bool { return e.config.Training.hasDropout() }

// UsesBatchStatistics implements [encoder.UsesBatchStatistics].
func (e *ViT) UsesBatchStatistics() bool { return false }

// Fits refuses images of a size that patches of a side do not fill.
func Fits(patch, height, width int64) error {
	if height < patch || width < patch || height%patch != 0 || width%patch != 0 {
		return fmt.Errorf("transformer: images of %d×%d pixels cannot be cut into patches of %d×%d; give them sides that %d divides", height, width, patch, patch, patch)
	}
	return nil
}

// Forward maps images [n, channels, height, width] of any size that patches fill to embeddings [n, Width].
func (e *ViT) Forward(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	if images.Rank() != 4 || images.Dim(1) != e.config.Channels || Fits(e.config.Patch, images.Dim(2), images.Dim(3)) != nil {
		panic(&tensor.Error{Op: "ViT.Forward", Shapes: [][]int64{images.Shape()}, Msg: fmt.Sprintf("want images [n, %d, height, width] of sides that %d divides", e.config.Channels, e.config.Patch)})
	}
	time := images.Dim(2) / e.config.Patch * (images.Dim(3) / e.config.Patch)
	return inParts(p, images, time, e.config.Size, func(images *tensor.Tensor) *tensor.Tensor { return e.forward(p, images) })
}

func (e *ViT) forward(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	x := tensor.Eval(func() *tensor.Tensor { return e.embed(p, images) })
	for _, l := range e.layers {
		x = replace(x, func() *tensor.Tensor { return l.forward(p, x, e.config.Training.Dropout) })
	}
	return replace(x, func() *tensor.Tensor { return e.pool(p, x) })
}

// embed returns the vectors of the first token, the registers and the patches, [n, tokens, width].
func (e *ViT) embed(p *nn.Pass, images *tensor.Tensor) *tensor.Tensor {
	c := e.config
	n, height, width := images.Dim(0), images.Dim(2)/c.Patch, images.Dim(3)/c.Patch
	var bias *tensor.Tensor
	if e.patchBias != nil {
		bias = p.Value(e.patchBias)
	}
	patches := tensor.Conv2d(images, p.Value(e.patch), bias, c.Patch, 0, 1).Flatten(2, 3).Transpose(1, 2)
	first, positions := p.Value(e.first), p.Value(e.positions).Squeeze(0)
	if !c.Unplaced {
		first = first.Add(positions.Narrow(0, 0, 1))
		positions = positions.Narrow(0, 1, c.Grid*c.Grid)
	}
	patches = patches.Add(c.Interpolation.resize(positions, height, width))
	tokens := []*tensor.Tensor{first.Expand(n, 1, c.Width)}
	if e.registers != nil {
		tokens = append(tokens, p.Value(e.registers).Expand(n, c.Registers, c.Width))
	}
	x := nn.Dropout(p, tensor.Cat(1, append(tokens, patches)...), c.Training.Dropout)
	if e.early != nil {
		x = e.early.Forward(p, x)
	}
	return x
}

func (l *vitLayer) forward(p *nn.Pass, x *tensor.Tensor, dropout float64) *tensor.Tensor {
	h := tensor.Eval(func() *tensor.Tensor {
		y := l.attention.forward(p, l.attentionNorm.Forward(p, x), nil)
		if l.attentionScale != nil {
			y = y.Mul(p.Value(l.attentionScale))
		}
		return x.Add(nn.Dropout(p, y, dropout))
	})
	y := l.mlp.forward(p, l.mlpNorm.Forward(p, h))
	if l.mlpScale != nil {
		y = y.Mul(p.Value(l.mlpScale))
	}
	return h.Add(nn.Dropout(p, y, dropout))
}

// pool makes embeddings [n, Width] of the vectors x [n, tokens, width].
func (e *ViT) pool(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if e.config.Pooling == MeanTokens {
		beside := 1 + e.config.Registers
		x = e.norm.Forward(p, x.Narrow(1, beside, x.Dim(1)-beside)).Mean(1)
	} else {
		x = e.norm.Forward(p, x.Select(1, 0))
	}
	if e.projection != nil {
		x = tensor.Linear(x, p.Value(e.projection), nil)
	}
	return unit(x, e.config.Normalize)
}

var _ encoder.Encoder = (*ViT)(nil)
