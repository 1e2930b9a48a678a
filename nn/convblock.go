package nn

import "github.com/engram-go/engram/tensor"

// ConvBlockConfig are the settings of [NewConvBlock].
type ConvBlockConfig struct {
	In, Out int64 // channels
	Window  int64 // of the pooling: 2, or 1 for none
}

// ConvBlock is a 3×3 convolution that keeps the size, batch norm, ReLU and max pooling: the block that Conv-4 is made
// of. It is computed in one pass where it can be, and operation by operation in passes whose gradients are
// differentiated again ([Pass.HigherOrder]).
type ConvBlock struct {
	Conv   *Conv2d
	Norm   *BatchNorm
	window int64
}

// NewConvBlock makes a block with PyTorch's first values.
func NewConvBlock(b *Builder, c ConvBlockConfig) *ConvBlock {
	return &ConvBlock{
		Conv:   NewConv2d(b.In("conv"), Conv2dConfig{In: c.In, Out: c.Out, Kernel: 3, Padding: 1}),
		Norm:   NewBatchNorm(b.In("norm"), c.Out),
		window: c.Window,
	}
}

// Forward maps x [batch, in, height, width] to [batch, out, height/window, width/window].
func (l *ConvBlock) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	block := tensor.ConvNormReLUPool
	if p.HigherOrder {
		block = tensor.ConvNormReLUPoolPlain
	}
	mean, variance, batch := l.Norm.statistics(p)
	return block(x, p.Value(l.Conv.Weight), p.Value(l.Conv.Bias), p.Value(l.Norm.Gain), p.Value(l.Norm.Bias),
		mean, variance, batch, batchNormMomentum, batchNormEps, l.window)
}
