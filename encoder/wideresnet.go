package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// WideResNetConfig configures [NewWideResNet].
type WideResNetConfig struct {
	Channels      int64 // of the images; default 1
	Height, Width int64 // of the images
	Depth         int64 // 6n + 4 layers, for n blocks per stage; default 28
	Factor        int64 // by which stages are wider than 16, 32 and 64 filters; default 10
	// Drop is the probability that dropout zeroes an activation between the convolutions of a block, in training.
	Drop float64
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c WideResNetConfig) WithDefaults() WideResNetConfig {
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Depth == 0 {
		c.Depth = 28
	}
	if c.Factor == 0 {
		c.Factor = 10
	}
	return c
}

// WideResNet is the wide residual network WRN-depth-factor of Zagoruyko and Komodakis 2016, section 3 and table 1: a 3×3
// convolution to 16 maps, three stages of pre-activated blocks, the last two of stride 2, batch norm, ReLU, and the mean over
// positions as the embedding. A block is batch norm, ReLU and a 3×3 convolution, twice, with dropout before the second one; where
// the number of filters changes, the shortcut is a 1×1 convolution of the first activation. No convolution has a bias.
//
// Few-shot networks of WRN-28-10 have 640-wide embeddings. Convolutions are initialised as in He et al. 2015.
type WideResNet struct {
	first  *nn.Param
	blocks []wideBlock
	last   *nn.BatchNorm
	width  int64
	drop   float64
}

type wideBlock struct {
	norm1, norm2 *nn.BatchNorm
	conv1, conv2 *nn.Param
	short        *nn.Param // nil for the identity
	stride       int64
}

// NewWideResNet makes the network. A depth that is not 6n + 4 with n from 1 on is an error.
func NewWideResNet(b *nn.Builder, c WideResNetConfig) (*WideResNet, error) {
	c = c.WithDefaults()
	if c.Depth < 10 || (c.Depth-4)%6 != 0 {
		return nil, fmt.Errorf("encoder: WRN with depth %d: it must be 6n + 4, such as 16, 22 or 28", c.Depth)
	}
	if c.Factor < 1 {
		return nil, fmt.Errorf("encoder: WRN with a widening factor of %d: it must be at least 1", c.Factor)
	}
	if c.Drop < 0 || c.Drop >= 1 {
		return nil, fmt.Errorf("encoder: WRN with dropout probability %g: it must be at least 0 and below 1", c.Drop)
	}
	if c.Height < 1 || c.Width < 1 {
		return nil, fmt.Errorf("encoder: WRN needs images of at least 1×1 pixels, got %d×%d", c.Height, c.Width)
	}
	e := &WideResNet{first: newConv(b.In("conv1"), c.Channels, 16, 3), drop: c.Drop}
	in := int64(16)
	for stage := range int64(3) {
		out := (16 << stage) * c.Factor
		for j := range (c.Depth - 4) / 6 {
			inner := b.In(fmt.Sprintf("block%d", stage+1)).In(fmt.Sprint(j))
			block := wideBlock{
				norm1: nn.NewBatchNorm(inner.In("norm1"), in), conv1: newConv(inner.In("conv1"), in, out, 3),
				norm2: nn.NewBatchNorm(inner.In("norm2"), out), conv2: newConv(inner.In("conv2"), out, out, 3),
				stride: 1,
			}
			if j == 0 && stage > 0 {
				block.stride = 2
			}
			if in != out {
				block.short = newConv(inner.In("shortcut"), in, out, 1)
			}
			e.blocks = append(e.blocks, block)
			in = out
		}
	}
	e.last, e.width = nn.NewBatchNorm(b.In("norm"), in), in
	return e, nil
}

// Width implements [Encoder].
func (e *WideResNet) Width() int64 { return e.width }

// HasDropout implements [HasDropout].
func (e *WideResNet) HasDropout() bool { return e.drop > 0 }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *WideResNet) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return inParts(p, x, e.blocks[0].conv1.Value().Dim(0), partBytes, func(x *tensor.Tensor) *tensor.Tensor { return e.forward(p, x) })
}

func (e *WideResNet) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	x = then(x.ChannelsLast(), func(x *tensor.Tensor) *tensor.Tensor {
		return nn.Convolve(p, x, e.first, nil, nn.Conv2dConfig{Padding: 1})
	})
	for _, b := range e.blocks {
		x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return b.forward(p, x, e.drop) })
	}
	return then(then(x, func(x *tensor.Tensor) *tensor.Tensor { return e.last.Activate(p, x, nn.Activation{}) }), globalMean)
}

func (b *wideBlock) forward(p *nn.Pass, x *tensor.Tensor, drop float64) *tensor.Tensor {
	active := b.norm1.Activate(p, x, nn.Activation{})
	y := nn.Convolve(p, active, b.conv1, nil, nn.Conv2dConfig{Stride: b.stride, Padding: 1})
	short := x
	if b.short != nil {
		short = nn.Convolve(p, active, b.short, nil, nn.Conv2dConfig{Stride: b.stride})
	}
	active.Free()
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return b.norm2.Activate(p, y, nn.Activation{}) })
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return nn.Dropout(p, y, drop) })
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor {
		return nn.Convolve(p, y, b.conv2, nil, nn.Conv2dConfig{Padding: 1})
	})
	if b.short != nil {
		return plus(y, short)
	}
	return then(y, func(y *tensor.Tensor) *tensor.Tensor { return y.Add(x) })
}

var _ Encoder = (*WideResNet)(nil)
