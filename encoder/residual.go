package encoder

import (
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// then returns f(x) and frees x, an intermediate result that nothing else needs. Where a gradient needs x, the record keeps it; in
// a pass without gradients its memory is free at once, and not only when the caller leaves its scope.
func then(x *tensor.Tensor, f func(x *tensor.Tensor) *tensor.Tensor) *tensor.Tensor {
	y := f(x)
	if y != x {
		x.Free()
	}
	return y
}

// partBytes bounds the first maps of the images that a residual network evaluates at the same time. Convolutions need several times
// as much: below it the parts are so small that transforms of the weights, which are the same for every part, begin to count.
const partBytes = 64 << 20

// inParts is [nn.InParts] for images x [n, channels, height, width] under running statistics, where images do not influence one
// another, of parts whose float32 maps of the given number of channels have at most the given number of bytes.
func inParts(p *nn.Pass, x *tensor.Tensor, channels, bytes int64, f func(x *tensor.Tensor) *tensor.Tensor) *tensor.Tensor {
	if p.Training || p.Norm != nn.RunningStats {
		return f(x)
	}
	return nn.InParts(x, bytes/(4*channels*x.Dim(2)*x.Dim(3)), f)
}

// convNorm is a convolution without bias and the batch norm that follows it.
type convNorm struct {
	conv   *nn.Param
	norm   *nn.BatchNorm
	config nn.Conv2dConfig
	same   bool // padding as in TensorFlow; see samePadding
}

// newConvNorm makes a convolution and a norm under two names, with the padding that keeps the size at stride 1.
func newConvNorm(b *nn.Builder, conv, norm string, in, out, kernel, stride int64) convNorm {
	return convNorm{
		conv:   newConv(b.In(conv), in, out, kernel),
		norm:   nn.NewBatchNorm(b.In(norm), out),
		config: nn.Conv2dConfig{Kernel: kernel, Stride: stride, Padding: kernel / 2},
	}
}

// newDepthwise is [newConvNorm] for a convolution of each channel by itself.
func newDepthwise(b *nn.Builder, conv, norm string, channels, kernel, stride int64) convNorm {
	l := newConvNorm(b, conv, norm, 1, channels, kernel, stride)
	l.config.Groups = channels
	return l
}

// newConv makes the weight of a convolution, initialised as in He et al. 2015.
func newConv(b *nn.Builder, in, out, kernel int64) *nn.Param {
	return b.Param("weight", nn.KaimingNormal, out, in, kernel, kernel)
}

// convolve returns the convolution of x, which it does not free, and the norm that is still to be applied to it, if any: see
// [nn.ConvolveNorm].
func (l convNorm) convolve(p *nn.Pass, x *tensor.Tensor) (y *tensor.Tensor, rest *nn.BatchNorm) {
	padded, config := x, l.config
	if l.same {
		padded, config = samePadding(x, l.config)
	}
	y, rest = nn.ConvolveNorm(p, padded, l.conv, l.norm, config)
	if padded != x {
		padded.Free()
	}
	return y, rest
}

// forward normalises the convolution of x, which it does not free.
func (l convNorm) forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	y, rest := l.convolve(p, x)
	if rest == nil {
		return y
	}
	return then(y, func(y *tensor.Tensor) *tensor.Tensor { return rest.Forward(p, y) })
}

// activate normalises and activates the convolution of x, which it does not free.
func (l convNorm) activate(p *nn.Pass, x *tensor.Tensor, a nn.Activation) *tensor.Tensor {
	y, rest := l.convolve(p, x)
	return then(y, func(y *tensor.Tensor) *tensor.Tensor { return rest.Activate(p, y, a) })
}

// samePadding pads images as TensorFlow does under the name SAME: an output has as many pixels as steps of the stride begin in the
// input, and where the padding is odd the right and the bottom get the pixel more. It returns x itself where all edges get the same,
// with the convolution that adds what they have in common.
func samePadding(x *tensor.Tensor, c nn.Conv2dConfig) (*tensor.Tensor, nn.Conv2dConfig) {
	total := func(size int64) int64 {
		return max(0, (size+c.Stride-1)/c.Stride*c.Stride-c.Stride+c.Kernel-size)
	}
	high, wide := total(x.Dim(2)), total(x.Dim(3))
	c.Padding = min(high, wide) / 2
	rows := zeros(x, 2, high/2-c.Padding, high-high/2-c.Padding)
	out := zeros(rows, 3, wide/2-c.Padding, wide-wide/2-c.Padding)
	if rows != x && rows != out {
		rows.Free()
	}
	return out, c
}

// zeros puts rows of zeros before and after images, along a dimension.
func zeros(x *tensor.Tensor, dim int, before, after int64) *tensor.Tensor {
	parts := []*tensor.Tensor{x}
	edge := func(n int64) *tensor.Tensor {
		shape := slices.Clone(x.Shape())
		shape[dim] = n
		return tensor.Full(0, x.DType(), x.Device(), shape...).ChannelsLast()
	}
	if before > 0 {
		parts = slices.Insert(parts, 0, edge(before))
	}
	if after > 0 {
		parts = append(parts, edge(after))
	}
	if len(parts) == 1 {
		return x
	}
	return tensor.Cat(dim, parts...)
}

// relu6 is min(max(x, 0), 6).
func relu6(x *tensor.Tensor) *tensor.Tensor {
	return then(x.ReLU(), func(x *tensor.Tensor) *tensor.Tensor { return x.ClampMax(6) })
}

// silu is x times its sigmoid: Hendrycks and Gimpel 2016.
func silu(x *tensor.Tensor) *tensor.Tensor { return then(x.Sigmoid(), x.Mul) }

// plus returns x + y and frees both.
func plus(x, y *tensor.Tensor) *tensor.Tensor {
	sum := x.Add(y)
	x.Free()
	y.Free()
	return sum
}

// globalMean is the mean over positions of maps [n, channels, height, width].
func globalMean(x *tensor.Tensor) *tensor.Tensor { return x.Mean(2, 3) }
