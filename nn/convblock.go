package nn

import "github.com/engram-go/engram/tensor"

// ConvBlockConfig are the settings of [NewConvBlock].
type ConvBlockConfig struct {
	In, Out int64 // channels
	Window  int64 // of the max pooling; default 2, and 1 for no pooling
	Stride  int64 // of the convolution; default 1
	// Unpadded leaves out the padding by which the convolution keeps the size; it then takes two pixels off each side.
	Unpadded bool
}

// ConvBlock is a 3×3 convolution, batch norm, ReLU and max pooling: the block that Conv-4 is made of. It is computed in
// one pass where it can be, and in passes whose gradients are differentiated again ([Pass.HigherOrder]) by operations that can
// be. Its convolution and its result are of the type of what it is given, float32 or bfloat16; its parameters and batch norm are
// float32.
type ConvBlock struct {
	Conv   *Conv2d
	Norm   *BatchNorm
	window int64
	stride int64
	padded bool
}

// NewConvBlock makes a block with PyTorch's first values.
func NewConvBlock(b *Builder, c ConvBlockConfig) *ConvBlock {
	if c.Window == 0 {
		c.Window = 2
	}
	conv := Conv2dConfig{In: c.In, Out: c.Out, Kernel: 3, Padding: 1, Stride: c.Stride}
	if c.Unpadded {
		conv.Padding = 0
	}
	return &ConvBlock{
		Conv:   NewConv2d(b.In("conv"), conv),
		Norm:   NewBatchNorm(b.In("norm"), c.Out),
		window: c.Window,
		stride: max(c.Stride, 1),
		padded: !c.Unpadded,
	}
}

// Forward maps x [batch, in, height, width] to [batch, out, height/window, width/window], height and width being less by
// two where the block is unpadded, and divided by the stride, rounded up, where there is one.
func (l *ConvBlock) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	if !l.padded || l.stride > 1 {
		if !p.HigherOrder && x.Rank() == 4 {
			x = x.ChannelsLast()
		}
		return l.AfterConv(p, l.Conv.Forward(p, x))
	}
	block := tensor.ConvNormReLUPool
	if p.HigherOrder {
		block = tensor.ConvNormReLUPoolPlain
	}
	mean, variance, batch := l.Norm.statistics(p)
	return block(x, p.Value(l.Conv.Weight), p.Value(l.Conv.Bias), p.Value(l.Norm.Gain), p.Value(l.Norm.Bias),
		mean, variance, batch, batchNormMomentum, batchNormEps, l.window)
}

// Onto adds the block as it is by the batch's own statistics to a network, and its parameters to those: weight, gain and bias.
// The convolution's bias is left out, since batch norm takes it off again. It reports false where such a network cannot have
// the block.
func (l *ConvBlock) Onto(net *tensor.ConvNet, params *[]*Param) bool {
	net.Stride, net.Window, net.Eps = append(net.Stride, l.stride), append(net.Window, l.window), batchNormEps
	*params = append(*params, l.Conv.Weight, l.Norm.Gain, l.Norm.Bias)
	return l.padded
}

// AfterConv is what Forward does after the convolution, for callers that have its result [batch, out, height, width] in
// another way.
func (l *ConvBlock) AfterConv(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	return l.Norm.ReLUPool(p, x, l.window)
}
