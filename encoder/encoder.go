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

// A Mapper is an [Encoder] whose embeddings are feature maps, flattened channel by channel.
type Mapper interface {
	Encoder
	// Maps returns the sizes of the maps, whose product is Width.
	Maps() (channels, height, width int64)
}

// Maps returns the sizes of an encoder's feature maps. An embedding that is no map is one pixel of Width channels.
func Maps(e Encoder) (channels, height, width int64) {
	if m, ok := e.(Mapper); ok {
		return m.Maps()
	}
	return e.Width(), 1, 1
}

// Conv4Config are the settings of [NewConv4]. Zero values stand for 64 filters, 1 channel, and pooling and padding in all
// four blocks.
type Conv4Config struct {
	Channels      int64 // of the images
	Height, Width int64 // of the images
	Filters       int64
	Pools         int64 // how many of the blocks pool, from the first on
	Unpadded      int64 // how many of the blocks do without padding, from the first on
	Strided       bool  // convolutions of stride 2 take the place of pooling, in as many blocks as would pool
	Mean          bool  // an embedding is the mean of its maps over their positions
	// BFloat16 computes the convolutions, and keeps what goes from block to block, in bfloat16, which processors with
	// instructions for it do several times as fast; parameters, batch norm and embeddings stay float32. Passes whose gradients are
	// differentiated again are float32 throughout.
	BFloat16 bool
}

// Conv4 is the four-block convolutional network that few-shot methods are compared on: Vinyals et al. 2016, section 4.1,
// and Snell et al. 2017, section 3.1. A block is a 3×3 convolution with padding 1, batch norm, ReLU and 2×2 max pooling,
// so that 28×28 images give embeddings of 64 numbers.
//
// With two pools and two unpadded blocks it is the encoder of Relation networks (Sung et al. 2018, section 3.4 and figure
// 2, and their code for the padding), which gives 64 maps of 5×5. Strided, with the mean over positions, it is MAML's network
// for Omniglot (Finn et al. 2017, appendix A.1, and their code for the mean); strided without the mean, Reptile's (Nichol et
// al. 2018, their code): 28, 14, 7, 4 and 2 pixels a side.
type Conv4 struct {
	blocks                  []*nn.ConvBlock
	channels, height, width int64 // of the maps
	mean, half              bool
}

const conv4Blocks = 4

// NewConv4 makes the network. Images that nothing would be left of are an error: with pooling in all blocks, those smaller
// than 16×16.
func NewConv4(b *nn.Builder, c Conv4Config) (*Conv4, error) {
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Filters == 0 {
		c.Filters = 64
	}
	if c.Pools == 0 {
		c.Pools = conv4Blocks
	}
	if c.Pools > conv4Blocks || c.Unpadded > conv4Blocks {
		return nil, fmt.Errorf("encoder: Conv-4 has four blocks, so not %d that pool and %d without padding", c.Pools, c.Unpadded)
	}
	if c.Strided && c.Unpadded > 0 {
		return nil, fmt.Errorf("encoder: Conv-4 with strides pads all its blocks, so not %d without padding", c.Unpadded)
	}
	if least := c.leastSide(); c.Height < least || c.Width < least {
		return nil, fmt.Errorf("encoder: Conv-4 with pooling in %d blocks and no padding in %d needs %d×%d pixels at least, not %d×%d",
			c.Pools, c.Unpadded, least, least, c.Height, c.Width)
	}
	e := &Conv4{channels: c.Filters, height: c.Height, width: c.Width, mean: c.Mean, half: c.BFloat16}
	in := c.Channels
	for i := range int64(conv4Blocks) {
		block := nn.ConvBlockConfig{In: in, Out: c.Filters, Window: 1, Unpadded: i < c.Unpadded}
		if block.Unpadded {
			e.height, e.width = e.height-2, e.width-2
		}
		switch {
		case i >= c.Pools:
		case c.Strided: // whose sizes are rounded up
			block.Stride, e.height, e.width = 2, (e.height+1)/2, (e.width+1)/2
		default:
			block.Window = 2
		}
		e.blocks = append(e.blocks, nn.NewConvBlock(b.In(fmt.Sprintf("block%d", i+1)), block))
		in, e.height, e.width = c.Filters, e.height/block.Window, e.width/block.Window
	}
	if c.Mean {
		e.height, e.width = 1, 1
	}
	return e, nil
}

// leastSide is the least side of an image that a pixel is left of.
func (c Conv4Config) leastSide() int64 {
	side := int64(1)
	if c.Strided {
		return side
	}
	for i := int64(conv4Blocks - 1); i >= 0; i-- { // from the last block back
		if i < c.Pools {
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

// Precision says what the network computes in.
func (e *Conv4) Precision() string { return precision(e.half) }

// Maps implements [Mapper].
func (e *Conv4) Maps() (channels, height, width int64) { return e.channels, e.height, e.width }

// Forward maps images [n, channels, height, width] to embeddings [n, Width].
func (e *Conv4) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	given := x.DType()
	if e.half && !p.HigherOrder {
		x = x.To(tensor.BFloat16)
	}
	for _, b := range e.blocks {
		x = b.Forward(p, x)
	}
	x = x.To(given)
	if e.mean {
		return x.Mean(2, 3)
	}
	return x.Flatten(1, -1)
}

// ConvNet returns the network by the batch's own statistics without its last layer, which is the caller's, and its parameters in
// the order of the values that tensor.ConvNet takes. It reports false where there is no such network.
func (e *Conv4) ConvNet() (net tensor.ConvNet, params []*nn.Param, ok bool) {
	net.Mean, ok = e.mean, !e.half
	for _, b := range e.blocks {
		ok = b.Onto(&net, &params) && ok
	}
	return net, params, ok
}

var _ Mapper = (*Conv4)(nil)
