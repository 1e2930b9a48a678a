package encoder

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// resnet12Blocks is the number of residual blocks, of three convolutions each.
const resnet12Blocks = 4

// resnet12Slope is the slope of the leaky ReLU below zero.
const resnet12Slope = .1

// A ResNet12Form is one of the published variants of ResNet-12.
type ResNet12Form string

// The forms of ResNet-12.
const (
	// LeeForm has 64, 160, 320 and 640 filters and returns its feature maps: Lee et al. 2019 (MetaOptNet) and its code.
	LeeForm ResNet12Form = "lee"
	// TADAMForm has 64, 128, 256 and 512 filters and returns the mean over positions: Oreshkin et al. 2018 (TADAM).
	TADAMForm ResNet12Form = "tadam"
)

// ResNet12Forms lists the forms, the default first.
func ResNet12Forms() []ResNet12Form { return []ResNet12Form{LeeForm, TADAMForm} }

// ResNet12Config configures [NewResNet12].
type ResNet12Config struct {
	Channels      int64 // of the images; default 1
	Height, Width int64 // of the images
	// Form is the published variant; default [LeeForm].
	Form ResNet12Form
	// Filters is the number of filters of each block; the default is the form's.
	Filters [resnet12Blocks]int64
	// Mean makes the embedding the mean of the last feature maps over their positions, whatever the form: 640 numbers with the
	// filters of [LeeForm], as in RFS (Tian et al. 2020) and FEAT.
	Mean bool
	// Drop is the probability that dropout zeroes an activation after a block, in training; Lee et al. have 0.1.
	Drop float64
	// DropBlock, where it is not zero, is the side of the regions that are dropped after the last two blocks instead of single
	// activations: Ghiasi et al. 2018. Lee et al. have 5, and 2 for images of 32 pixels, and let the probability rise from zero
	// over the first 40,000 steps, which this encoder does not.
	DropBlock int64
	// BFloat16 is as in [Conv4Config].
	BFloat16 bool
}

// WithDefaults returns the configuration with its zero values replaced by the defaults. An unknown form has no filters.
func (c ResNet12Config) WithDefaults() ResNet12Config {
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Form == "" {
		c.Form = LeeForm
	}
	if c.Filters == [resnet12Blocks]int64{} {
		switch c.Form {
		case LeeForm:
			c.Filters = [resnet12Blocks]int64{64, 160, 320, 640}
		case TADAMForm:
			c.Filters = [resnet12Blocks]int64{64, 128, 256, 512}
		}
	}
	return c
}

// ResNet12 is the residual network of the few-shot literature: Oreshkin et al. 2018 (TADAM), section 4.1, and Lee et al. 2019
// (MetaOptNet), section 4.1 and its code. A block has three 3×3 convolutions without bias, each followed by batch norm, the
// first two also by a leaky ReLU of slope 0.1; a shortcut of a 1×1 convolution and batch norm; a leaky ReLU of the sum; and
// 2×2 max pooling. Convolutions are initialised as in He et al. 2015.
type ResNet12 struct {
	blocks                  []*resnet12Block
	channels, height, width int64 // of the maps
	pool                    bool
	drop                    float64
	dropBlock               int64
	half                    bool
}

type resnet12Block struct {
	convs [3]convNorm // 3×3
	short convNorm    // 1×1
}

// NewResNet12 makes the network. It returns an error for an unknown form, a block without filters, or images smaller
// than 16×16 pixels, of which pooling would leave nothing.
func NewResNet12(b *nn.Builder, c ResNet12Config) (*ResNet12, error) {
	c = c.WithDefaults()
	if !slices.Contains(ResNet12Forms(), c.Form) {
		return nil, fmt.Errorf("encoder: ResNet-12 has no form %q; the forms are %q", c.Form, ResNet12Forms())
	}
	for i, n := range c.Filters {
		if n < 1 {
			return nil, fmt.Errorf("encoder: ResNet-12 with %d filters in block %d: every block needs at least one", n, i+1)
		}
	}
	if c.Drop < 0 || c.Drop >= 1 {
		return nil, fmt.Errorf("encoder: ResNet-12 with dropout probability %g: it must be at least 0 and below 1", c.Drop)
	}
	const least = 1 << resnet12Blocks
	if c.Height < least || c.Width < least {
		return nil, fmt.Errorf("encoder: ResNet-12 needs images of at least %d×%d pixels, got %d×%d", least, least, c.Height, c.Width)
	}
	if c.DropBlock < 0 {
		return nil, fmt.Errorf("encoder: ResNet-12 with regions of side %d for DropBlock: it must be at least 0", c.DropBlock)
	}
	e := &ResNet12{pool: c.Form == TADAMForm || c.Mean, drop: c.Drop, dropBlock: c.DropBlock, half: c.BFloat16, height: c.Height, width: c.Width}
	in := c.Channels
	for i, out := range c.Filters {
		inner, block := b.In(fmt.Sprintf("block%d", i+1)), &resnet12Block{}
		for j := range block.convs {
			width := out
			if j == 0 {
				width = in
			}
			block.convs[j] = newConvNorm(inner, fmt.Sprintf("conv%d", j+1), fmt.Sprintf("norm%d", j+1), width, out, 3, 1)
		}
		block.short = newConvNorm(inner.In("shortcut"), "conv", "norm", in, out, 1, 1)
		e.blocks = append(e.blocks, block)
		in, e.height, e.width = out, e.height/2, e.width/2
	}
	e.channels = in
	if e.pool {
		e.height, e.width = 1, 1
	}
	return e, nil
}

// Width implements [Encoder].
func (e *ResNet12) Width() int64 { return e.channels * e.height * e.width }

// Precision returns the precision of the convolutions; see [Precision].
func (e *ResNet12) Precision() string { return precision(e.half) }

// Maps implements [Mapper].
func (e *ResNet12) Maps() (channels, height, width int64) { return e.channels, e.height, e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *ResNet12) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return inParts(p, x, e.blocks[0].convs[0].conv.Value().Dim(0), partBytes, func(x *tensor.Tensor) *tensor.Tensor { return e.forward(p, x) })
}

func (e *ResNet12) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	input := x.DType()
	x = then(x.ChannelsLast(), func(x *tensor.Tensor) *tensor.Tensor { return halved(p, x, e.half) })
	for i, b := range e.blocks {
		x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return b.forward(p, x) })
		x = then(x, func(x *tensor.Tensor) *tensor.Tensor {
			if e.dropBlock > 0 && i >= resnet12Blocks/2 {
				return nn.DropBlock(p, x, e.drop, e.dropBlock)
			}
			return nn.Dropout(p, x, e.drop)
		})
	}
	x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return x.To(input) })
	if e.pool {
		return then(x, globalMean)
	}
	return then(x, func(x *tensor.Tensor) *tensor.Tensor { return x.Flatten(1, -1) })
}

func (b *resnet12Block) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	leaky := nn.Activation{Slope: resnet12Slope}
	y := b.convs[0].activate(p, x, leaky)
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return b.convs[1].activate(p, y, leaky) })
	short, norm := b.short.convolve(p, x)
	end := nn.Activation{Shortcut: short, ShortcutNorm: norm, Slope: resnet12Slope, Window: 2}
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return b.convs[2].activate(p, y, end) })
	short.Free()
	return y
}

var _ Mapper = (*ResNet12)(nil)
