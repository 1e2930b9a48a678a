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
	// Blocks is the number of blocks of each stage: 1, 1, 1, 1 for ResNet-10, 2, 2, 2, 2, the default, for ResNet-18, and 3, 4,
	// 6, 3 for ResNet-34 and ResNet-50.
	Blocks [ResNetStages]int64
	// Filters is the number of filters of each stage; default 64, 128, 256 and 512.
	Filters [ResNetStages]int64
	// Bottleneck makes blocks of three convolutions, 1×1, 3×3 and 1×1, of which the last has four times as many filters as the
	// others, as in ResNet-50: He et al. 2016, section 4.1. The 3×3 convolution has the stride, as in torchvision.
	Bottleneck bool
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

// ResNet is the residual network of He et al. 2016, section 4.1, with the mean over positions as the embedding. A convolution,
// batch norm, ReLU and 3×3 max pooling of stride 2 with padding come before four stages of blocks, of which all but the first
// begin with stride 2. A basic block has two 3×3 convolutions without bias, each followed by batch norm, and a shortcut, which is
// a 1×1 convolution with batch norm where sizes differ.
//
// Parameters have the names of torchvision's and timm's, so that their weights load without a map. Convolutions are initialised as
// in He et al. 2015, by the number of inputs. The blocks that are tuned together are the first convolution and the four stages.
type ResNet struct {
	stem   convNorm
	pooled bool
	stages [ResNetStages][]residualBlock
	width  int64
	blocks [][]*nn.Param
}

type residualBlock struct {
	convs []convNorm
	short *convNorm // nil for the identity
}

// bottleneckFactor is by how much a bottleneck's last convolution is wider than its others.
const bottleneckFactor = 4

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
	made := newBlocks(b)
	e := &ResNet{stem: newConvNorm(b, "conv1", "bn1", c.Channels, c.Filters[0], kernel, stride), pooled: !c.Unpooled}
	made.end()
	in := c.Filters[0]
	for i, filters := range c.Filters {
		stage := b.In(fmt.Sprintf("layer%d", i+1))
		for j := range c.Blocks[i] {
			stride := int64(1)
			if i > 0 && j == 0 {
				stride = 2
			}
			block := newResidualBlock(stage.In(fmt.Sprint(j)), in, filters, stride, c.Bottleneck)
			e.stages[i] = append(e.stages[i], block)
			in = block.width()
		}
		made.end()
	}
	e.width, e.blocks = in, made.all
	return e, nil
}

// newResidualBlock makes a basic block or a bottleneck, whose convolutions are followed by norms of the same number.
func newResidualBlock(b *nn.Builder, in, filters, stride int64, bottleneck bool) (block residualBlock) {
	add := func(in, out, kernel, stride int64) {
		n := len(block.convs) + 1
		block.convs = append(block.convs, newConvNorm(b, fmt.Sprintf("conv%d", n), fmt.Sprintf("bn%d", n), in, out, kernel, stride))
	}
	if bottleneck {
		add(in, filters, 1, 1)
		add(filters, filters, 3, stride)
		add(filters, bottleneckFactor*filters, 1, 1)
	} else {
		add(in, filters, 3, stride)
		add(filters, filters, 3, 1)
	}
	if out := block.width(); stride > 1 || in != out {
		short := newConvNorm(b.In("downsample"), "0", "1", in, out, 1, stride)
		block.short = &short
	}
	return block
}

// width is the number of channels of a block's maps.
func (b *residualBlock) width() int64 { return b.convs[len(b.convs)-1].conv.Value().Dim(0) }

// Width implements [Encoder].
func (e *ResNet) Width() int64 { return e.width }

// Blocks implements [Blocker].
func (e *ResNet) Blocks() [][]*nn.Param { return e.blocks }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *ResNet) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	stride := max(e.stem.config.Stride, 1)
	return inParts(p, x, e.stem.conv.Value().Dim(0), stride*stride*partBytes, func(x *tensor.Tensor) *tensor.Tensor { return e.forward(p, x) })
}

func (e *ResNet) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	x = then(x.ChannelsLast(), func(x *tensor.Tensor) *tensor.Tensor { return e.stem.activate(p, x, nn.Activation{}) })
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

func (b *residualBlock) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	last := len(b.convs) - 1
	y := b.convs[0].activate(p, x, nn.Activation{})
	for _, c := range b.convs[1:last] {
		y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return c.activate(p, y, nn.Activation{}) })
	}
	end := nn.Activation{Shortcut: x}
	if b.short != nil {
		end.Shortcut, end.ShortcutNorm = b.short.convolve(p, x)
	}
	y = then(y, func(y *tensor.Tensor) *tensor.Tensor { return b.convs[last].activate(p, y, end) })
	if b.short != nil {
		end.Shortcut.Free()
	}
	return y
}

var (
	_ Encoder = (*ResNet)(nil)
	_ Blocker = (*ResNet)(nil)
)
