package nn

import "github.com/engram-go/engram/tensor"

// ConvBlockConfig configures [NewConvBlock].
type ConvBlockConfig struct {
	In, Out int64 // channels
	Window  int64 // of the max pooling; default 2, and 1 for no pooling
	Stride  int64 // of the convolution; default 1
	// Unpadded omits the convolution's padding, so that each side loses two pixels.
	Unpadded bool
	// NoBias omits the convolution's bias, which batch norm cancels under batch statistics.
	NoBias bool
	// Whole pools incomplete windows at the right and lower edge too, so that sizes are rounded up.
	Whole bool
}

// ConvBlock is a 3×3 convolution, batch norm, ReLU and max pooling: the block of Conv-4. It is fused, except in
// passes with [Pass.HigherOrder]. The convolution and the result have the type of the input, float32 or bfloat16;
// parameters and batch norm are float32.
type ConvBlock struct {
	Conv   *Conv2d
	Norm   *BatchNorm
	window int64
	stride int64
	padded bool
	whole  bool
}

// NewConvBlock makes a block, initialised as in PyTorch.
func NewConvBlock(b *Builder, c ConvBlockConfig) *ConvBlock {
	if c.Window == 0 {
		c.Window = 2
	}
	conv := Conv2dConfig{In: c.In, Out: c.Out, Kernel: 3, Padding: 1, Stride: c.Stride, NoBias: c.NoBias}
	if c.Unpadded {
		conv.Padding = 0
	}
	return &ConvBlock{
		Conv:   NewConv2d(b.In("conv"), conv),
		Norm:   NewBatchNorm(b.In("norm"), c.Out),
		window: c.Window,
		stride: max(c.Stride, 1),
		padded: !c.Unpadded,
		whole:  c.Whole,
	}
}

// Forward maps x [batch, in, height, width] to [batch, out, height/window, width/window], rounded down, or up where the block
// pools incomplete windows. An unpadded block first takes two from height and width; a stride divides them, rounding up.
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
	window, rest := l.windows(x)
	return rest(block(x, p.Value(l.Conv.Weight), l.Conv.bias(p), *l.Norm.operands(p), window))
}

// windows returns by what window the fused operations pool maps of the size of x, and what is left to do: maps with incomplete
// windows are pooled afterwards.
func (l *ConvBlock) windows(x *tensor.Tensor) (window int64, rest func(*tensor.Tensor) *tensor.Tensor) {
	if s := x.Shape(); l.whole && (s[2]%l.window != 0 || s[3]%l.window != 0) {
		return 1, func(y *tensor.Tensor) *tensor.Tensor { return tensor.MaxPool2dWhole(y, l.window) }
	}
	return l.window, func(y *tensor.Tensor) *tensor.Tensor { return y }
}

// AppendTo appends the block, with batch statistics, to a network, and its weight, gain and bias to the parameters.
// The convolution's bias is left out because batch norm cancels it. It reports false for unpadded blocks, and for those that pool
// incomplete windows, which such a network cannot hold.
func (l *ConvBlock) AppendTo(net *tensor.ConvNet, params *[]*Param) bool {
	net.Stride, net.Window, net.Eps = append(net.Stride, l.stride), append(net.Window, l.window), l.Norm.eps()
	*params = append(*params, l.Conv.Weight, l.Norm.Gain, l.Norm.Bias)
	return l.padded && !l.whole
}

// AfterConv computes what follows the convolution, for callers that compute its result [batch, out, height, width] in
// another way.
func (l *ConvBlock) AfterConv(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	window, rest := l.windows(x)
	return rest(l.Norm.Activate(p, x, Activation{Window: window}))
}
