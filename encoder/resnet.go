package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// ResNetStages is the number of stages of a [ResNet].
const ResNetStages = 4

// ResNetLargeKernel is the side of the first convolution's kernel of a large [ResNet].
const ResNetLargeKernel = 7

// ResNetConfig configures [NewResNet].
type ResNetConfig struct {
	Channels      int64 // of the images; default 1
	Height, Width int64 // of the images
	// Blocks is the number of basic blocks of each stage: 1, 1, 1, 1 for ResNet-10 and 2, 2, 2, 2, the default, for ResNet-18.
	Blocks [ResNetStages]int64
	// Filters is the number of filters of each stage; default 64, 128, 256 and 512.
	Filters [ResNetStages]int64
	// Large begins with a 7×7 convolution of stride 2, as He et al. do for images of 224 pixels and Chen et al. 2019 do for
	// any. Otherwise the first convolution is 3×3 of stride 1, as in the code of SimpleShot, LaplacianShot and TIM.
	Large bool
	// Unpooled leaves out the max pooling after the first convolution, as is usual for images of 32 pixels.
	Unpooled bool
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c ResNetConfig) WithDefaults() ResNetConfig {
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Blocks == [ResNetStages]int64{} {
		c.Blocks = [ResNetStages]int64{2, 2, 2, 2}
	}
	if c.Filters == [ResNetStages]int64{} {
		c.Filters = [ResNetStages]int64{64, 128, 256, 512}
	}
	return c
}

// ResNet is the residual network of basic blocks: He et al. 2016, section 4.1, with the mean over positions as the embedding. A
// convolution, batch norm, ReLU and 3×3 max pooling of stride 2 with padding come before four stages of blocks, of which all but
// the first begin with stride 2. A block has two 3×3 convolutions without bias, each followed by batch norm, and a shortcut, which
// is a 1×1 convolution with batch norm where sizes differ.
//
// Parameters have the names of torchvision's, so that its weights load without a map. Convolutions are initialised as in He et al.
// 2015, by the number of inputs.
type ResNet struct {
	stem   convNorm
	pooled bool
	stages [ResNetStages][]basicBlock
	width  int64
}

type basicBlock struct {
	first, second convNorm
	short         *convNorm // nil for the identity
}

// NewResNet makes the network. A stage without blocks or filters is an error.
func NewResNet(b *nn.Builder, c ResNetConfig) (*ResNet, error) {
	c = c.WithDefaults()
	for i := range ResNetStages {
		if c.Blocks[i] < 1 || c.Filters[i] < 1 {
			return nil, fmt.Errorf("encoder: ResNet with %d blocks of %d filters in stage %d: every stage needs at least one of both", c.Blocks[i], c.Filters[i], i+1)
		}
	}
	if c.Height < 1 || c.Width < 1 {
		return nil, fmt.Errorf("encoder: ResNet needs images of at least 1×1 pixels, got %d×%d", c.Height, c.Width)
	}
	kernel, stride := int64(3), int64(1)
	if c.Large {
		kernel, stride = ResNetLargeKernel, 2
	}
	e := &ResNet{stem: newConvNorm(b, "conv1", "bn1", c.Channels, c.Filters[0], kernel, stride), pooled: !c.Unpooled, width: c.Filters[ResNetStages-1]}
	in := c.Filters[0]
	for i, out := range c.Filters {
		stage := b.In(fmt.Sprintf("layer%d", i+1))
		for j := range c.Blocks[i] {
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			inner := stage.In(fmt.Sprint(j))
			block := basicBlock{
				first:  newConvNorm(inner, "conv1", "bn1", in, out, 3, stride),
				second: newConvNorm(inner, "conv2", "bn2", out, out, 3, 1),
			}
			if stride > 1 || in != out {
				short := newConvNorm(inner.In("downsample"), "0", "1", in, out, 1, stride)
				block.short = &short
			}
			e.stages[i] = append(e.stages[i], block)
			in = out
		}
	}
	return e, nil
}

// Width implements [Encoder].
func (e *ResNet) Width() int64 { return e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *ResNet) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	return inParts(p, x, e.stem.conv.Value().Dim(0), partBytes, func(x *tensor.Tensor) *tensor.Tensor { return e.forward(p, x) })
}

func (e *ResNet) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	x = then(x.ChannelsLast(), func(x *tensor.Tensor) *tensor.Tensor { return e.stem.forward(p, x) })
	x = then(x, relu)
	if e.pooled {
		x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return tensor.MaxPool2dPadded(x, 3, 2, 1) })
	}
	for _, stage := range e.stages {
		for _, b := range stage {
			x = then(x, func(x *tensor.Tensor) *tensor.Tensor { return b.forward(p, x) })
		}
	}
	return then(x, globalMean)
}

func (b *basicBlock) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	y := then(b.first.forward(p, x), relu)
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return b.second.forward(p, y) })
	if b.short != nil {
		y = plus(y, b.short.forward(p, x))
	} else {
		y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return y.Add(x) })
	}
	return then(y, relu)
}

var _ Encoder = (*ResNet)(nil)
