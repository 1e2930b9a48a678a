// Package encoder turns inputs into embeddings.
package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// An Encoder embeds a batch of inputs.
type Encoder interface {
	// Forward maps x [n, ...] to embeddings [n, Width].
	Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor
	// Width is the size of an embedding.
	Width() int64
}

// Conv4Config are the settings of [NewConv4]. Zero values stand for 64 filters and 1 channel.
type Conv4Config struct {
	Channels      int64 // of the images
	Height, Width int64 // of the images
	Filters       int64
}

// Conv4 is the four-block convolutional network that few-shot methods are compared on: Vinyals et al. 2016, section 4.1,
// and Snell et al. 2017, section 3.1. A block is a 3×3 convolution with padding 1, batch norm, ReLU and 2×2 max pooling,
// so that 28×28 images give embeddings of 64 numbers.
type Conv4 struct {
	blocks []*nn.ConvBlock
	width  int64
}

const conv4Blocks = 4

// NewConv4 makes the network. Images smaller than 16×16 are an error, since nothing would be left of them.
func NewConv4(b *nn.Builder, c Conv4Config) (*Conv4, error) {
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Filters == 0 {
		c.Filters = 64
	}
	if c.Height>>conv4Blocks < 1 || c.Width>>conv4Blocks < 1 {
		return nil, fmt.Errorf("encoder: Conv-4 halves an image four times, so it needs 16×16 pixels at least, not %d×%d", c.Height, c.Width)
	}
	e := &Conv4{}
	in, h, w := c.Channels, c.Height, c.Width
	for i := range conv4Blocks {
		block := nn.NewConvBlock(b.In(fmt.Sprintf("block%d", i+1)), nn.ConvBlockConfig{In: in, Out: c.Filters, Window: 2})
		e.blocks = append(e.blocks, block)
		in, h, w = c.Filters, h/2, w/2
	}
	e.width = c.Filters * h * w
	return e, nil
}

// Width implements [Encoder].
func (e *Conv4) Width() int64 { return e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *Conv4) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	for _, b := range e.blocks {
		x = b.Forward(p, x)
	}
	return x.Flatten(1, -1)
}

var _ Encoder = (*Conv4)(nil)
