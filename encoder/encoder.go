// Package encoder holds the networks that map inputs (images, token sequences, sentences) to embeddings.
package encoder

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// An Encoder maps a batch of inputs to embeddings.
//
// Implementations follow the rules for networks in package fewshot: they read their parameters by [nn.Pass.Value],
// keep no tensor beyond a call, and update running statistics in training passes only. With Training unset, Forward
// may be called from several goroutines at once. An encoder that has dropout, or does not use batch statistics,
// implements the methods of [HasDropout] and [UsesBatchStatistics]; one with a precision other than float32
// implements Precision() string.
type Encoder interface {
	// Forward maps x [n, ...] to embeddings [n, Width] of the type of the parameters, float32 unless p replaces them. It
	// must not change x. An input of the wrong shape is a programmer error and panics with a [tensor.Error].
	Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor
	// Width returns the size of an embedding. It is constant.
	Width() int64
}

// A Mapper is an [Encoder] whose embeddings are feature maps [channels, height, width], flattened in this order.
type Mapper interface {
	Encoder
	// Maps returns the sizes of the feature maps. Their product is Width.
	Maps() (channels, height, width int64)
}

// Maps returns the sizes of an encoder's feature maps. The embeddings of an encoder that is not a [Mapper] count as
// one pixel with Width channels.
func Maps(e Encoder) (channels, height, width int64) {
	if m, ok := e.(Mapper); ok {
		return m.Maps()
	}
	return e.Width(), 1, 1
}

// Conv4Config configures [NewConv4].
type Conv4Config struct {
	Channels      int64 // of the images; default 1
	Height, Width int64 // of the images
	Filters       int64 // per block; default 64
	Pools         int64 // number of blocks with pooling, counted from the first; default 4
	Unpadded      int64 // number of blocks without padding, counted from the first
	Strided       bool  // convolutions of stride 2 replace pooling, in the blocks that would pool
	Mean          bool  // an embedding is the mean of the feature maps over their positions
	NoBias        bool  // convolutions have no bias, which batch norm cancels in training
	Whole         bool  // incomplete pooling windows at the edge count, so that sizes are rounded up
	// BFloat16 computes convolutions and the activations between blocks in bfloat16, which is several times as fast on
	// processors with bfloat16 instructions. Parameters, batch norm and embeddings stay float32, and so does everything in
	// passes with HigherOrder set.
	BFloat16 bool
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c Conv4Config) WithDefaults() Conv4Config {
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Filters == 0 {
		c.Filters = 64
	}
	if c.Pools == 0 {
		c.Pools = conv4Blocks
	}
	return c
}

// Conv4 is the four-block convolutional network on which few-shot methods are compared: Vinyals et al. 2016, section 4.1,
// and Snell et al. 2017, section 3.1. A block is a 3×3 convolution with padding 1, batch norm, ReLU and 2×2 max pooling,
// so that a 28×28 image has an embedding of 64 numbers.
//
// Variants from other papers:
//
//   - Relation networks (Sung et al. 2018, section 3.4 and figure 2; padding as in their code): 2 pools, 2 unpadded blocks,
//     which gives 64 maps of 5×5.
//   - MAML on Omniglot (Finn et al. 2017, appendix A.1; the mean as in their code): strided, with the mean over positions.
//   - Pooling in TensorFlow with padding "SAME", and in PyTorch with ceil_mode: whole; the sides are 84, 42, 21, 11 and 6 pixels.
//   - Reptile (Nichol et al. 2018, their code): strided without the mean; the sides are 28, 14, 7, 4 and 2 pixels.
type Conv4 struct {
	blocks                  []*nn.ConvBlock
	channels, height, width int64 // of the feature maps
	mean, half              bool
}

const conv4Blocks = 4

// NewConv4 makes the network. It returns an error if the images are too small for the pooling and the unpadded
// convolutions; with pooling in all blocks, if they are smaller than 16×16 pixels.
func NewConv4(b *nn.Builder, c Conv4Config) (*Conv4, error) {
	c = c.WithDefaults()
	if c.Pools > conv4Blocks || c.Unpadded > conv4Blocks {
		return nil, fmt.Errorf("encoder: Conv-4 has 4 blocks, got pools %d and unpadded %d", c.Pools, c.Unpadded)
	}
	if c.Strided && c.Unpadded > 0 {
		return nil, fmt.Errorf("encoder: a strided Conv-4 pads all its blocks, got unpadded %d", c.Unpadded)
	}
	if c.Strided && c.Whole {
		return nil, errors.New("encoder: a strided Conv-4 does not pool, got whole windows")
	}
	if least := c.leastSide(); c.Height < least || c.Width < least {
		return nil, fmt.Errorf("encoder: Conv-4 with pools %d and unpadded %d needs images of at least %d×%d pixels, got %d×%d",
			c.Pools, c.Unpadded, least, least, c.Height, c.Width)
	}
	e := &Conv4{channels: c.Filters, height: c.Height, width: c.Width, mean: c.Mean, half: c.BFloat16}
	in := c.Channels
	for i := range int64(conv4Blocks) {
		block := nn.ConvBlockConfig{In: in, Out: c.Filters, Window: 1, Unpadded: i < c.Unpadded, NoBias: c.NoBias, Whole: c.Whole}
		if block.Unpadded {
			e.height, e.width = e.height-2, e.width-2
		}
		switch {
		case i >= c.Pools:
		case c.Strided: // sizes are rounded up
			block.Stride, e.height, e.width = 2, (e.height+1)/2, (e.width+1)/2
		default:
			block.Window = 2
		}
		e.blocks = append(e.blocks, nn.NewConvBlock(b.In(fmt.Sprintf("block%d", i+1)), block))
		in, e.height, e.width = c.Filters, c.pooled(e.height, block.Window), c.pooled(e.width, block.Window)
	}
	if c.Mean {
		e.height, e.width = 1, 1
	}
	return e, nil
}

// pooled is a side of maps after pooling.
func (c Conv4Config) pooled(side, window int64) int64 {
	if c.Whole {
		side += window - 1
	}
	return side / window
}

// leastSide returns the smallest side of an image for which the last feature map has a pixel.
func (c Conv4Config) leastSide() int64 {
	side := int64(1)
	if c.Strided {
		return side
	}
	for i := int64(conv4Blocks - 1); i >= 0; i-- { // from the last block back
		switch {
		case i >= c.Pools:
		case c.Whole:
			side = 2*side - 1
		default:
			side *= 2
		}
		if i < c.Unpadded {
			side += 2
		}
	}
	return side
}

// Width implements [Encoder].
func (e *Conv4) Width() int64 { return e.channels * e.height * e.width }

// Precision returns the precision of the convolutions; see [Precision].
func (e *Conv4) Precision() string { return precision(e.half) }

// Maps implements [Mapper].
func (e *Conv4) Maps() (channels, height, width int64) { return e.channels, e.height, e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *Conv4) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	input := x.DType()
	x = halved(p, x, e.half)
	for _, b := range e.blocks {
		x = b.Forward(p, x)
	}
	x = x.To(input)
	if e.mean {
		return x.Mean(2, 3)
	}
	return x.Flatten(1, -1)
}

// ConvNet describes the network under batch statistics for the fused operations of [tensor.ConvNet], without the last layer,
// which the caller adds, and returns its parameters in the order in which those operations take their values. It reports
// false where the fused operations do not support the network.
func (e *Conv4) ConvNet() (net tensor.ConvNet, params []*nn.Param, ok bool) {
	net.Mean, ok = e.mean, !e.half
	for _, b := range e.blocks {
		ok = b.AppendTo(&net, &params) && ok
	}
	return net, params, ok
}

var _ Mapper = (*Conv4)(nil)
