package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// kochLayers is the number of convolutions; all but the last are followed by pooling.
const kochLayers = 4

// KochConfig are the settings of [NewKoch]. Zero values stand for the paper's: one channel of 105×105 pixels, and what its
// fields say.
type KochConfig struct {
	Channels      int64             // of the images
	Height, Width int64             // of the images
	Kernels       [kochLayers]int64 // 10, 7, 4 and 4
	Filters       [kochLayers]int64 // 64, 128, 128 and 256
	Embedding     int64             // 4096
	// Normalize puts batch norm before each ReLU, which the paper does not have, and He's first values in the place of the
	// paper's. Training is then many times shorter.
	Normalize bool
	// BFloat16 computes the convolutions in bfloat16, which processors with instructions for it do several times as fast;
	// parameters, batch norm and the embedding stay float32. Processors without AVX-512 also sum in bfloat16, slowly.
	BFloat16 bool
}

// Koch is the convolutional twin of Koch, Zemel and Salakhutdinov 2015, figure 4: four convolutions of stride 1 without
// padding, ReLU after each and 2×2 max pooling after the first three, and a fully connected layer of sigmoids. Convolutions
// begin at N(0, 0.01²), the last layer's weights at N(0, 0.2²), biases at N(0.5, 0.01²): section 3.2.
type Koch struct {
	layers []*kochLayer
	out    *nn.Linear
	half   bool
}

type kochLayer struct {
	weight, bias *nn.Param     // of the convolution
	norm         *nn.BatchNorm // nil where there is none
	window       int64         // of the pooling
}

// NewKoch makes the network. An image that is too small for its kernels is an error, which names the layer.
func NewKoch(b *nn.Builder, c KochConfig) (*Koch, error) {
	def := func(v *int64, paper int64) {
		if *v == 0 {
			*v = paper
		}
	}
	def(&c.Channels, 1)
	def(&c.Height, 105)
	def(&c.Width, 105)
	def(&c.Embedding, 4096)
	for i, paper := range []struct{ kernel, filters int64 }{{10, 64}, {7, 128}, {4, 128}, {4, 256}} {
		def(&c.Kernels[i], paper.kernel)
		def(&c.Filters[i], paper.filters)
	}
	type shape struct{ in, window int64 }
	var shapes [kochLayers]shape
	in, h, w := c.Channels, c.Height, c.Width
	for i, k := range c.Kernels {
		window := int64(2)
		if i == kochLayers-1 {
			window = 1
		}
		left, below := (w-k+1)/window, (h-k+1)/window
		if w < k || h < k || left < 1 || below < 1 {
			return nil, fmt.Errorf("encoder: Koch's network on %d×%d pixels: layer %d convolves %d×%d with %d×%d and nothing is left; take larger images or smaller kernels",
				c.Height, c.Width, i+1, h, w, k, k)
		}
		shapes[i] = shape{in, window}
		in, h, w = c.Filters[i], below, left
	}
	e := &Koch{half: c.BFloat16}
	conv, out, bias := nn.Normal(0, .01), nn.Normal(0, .2), nn.Normal(.5, .01)
	if c.Normalize {
		conv, out, bias = nn.KaimingNormal, nn.XavierUniform, nn.Constant(0)
	}
	for i, s := range shapes {
		inner, k, filters := b.In(fmt.Sprintf("layer%d", i+1)), c.Kernels[i], c.Filters[i]
		layer := &kochLayer{
			weight: inner.Param("conv.weight", conv, filters, s.in, k, k), bias: inner.Param("conv.bias", bias, filters), window: s.window,
		}
		if c.Normalize {
			layer.norm = nn.NewBatchNorm(inner.In("norm"), filters)
		}
		e.layers = append(e.layers, layer)
	}
	last := b.In("out")
	e.out = &nn.Linear{Weight: last.Param("weight", out, c.Embedding, in*h*w), Bias: last.Param("bias", bias, c.Embedding)}
	return e, nil
}

// Width implements [Encoder].
func (e *Koch) Width() int64 { return e.out.Bias.Value().Dim(0) }

// Precision says what the network computes in.
func (e *Koch) Precision() string { return precision(e.half) }

// Forward maps images [n, channels, height, width] to embeddings [n, Width], each number between 0 and 1.
func (e *Koch) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	for _, l := range e.layers {
		x = l.forward(p, x, e.half)
	}
	return e.out.Forward(p, x.To(tensor.Float32).Flatten(1, -1)).Sigmoid()
}

func (l *kochLayer) forward(p *nn.Pass, x *tensor.Tensor, half bool) *tensor.Tensor {
	if half {
		x = x.To(tensor.BFloat16)
	}
	x = nn.Convolve(p, x.ChannelsLast(), l.weight, l.bias, nn.Conv2dConfig{})
	if l.norm != nil {
		return l.norm.ReLUPool(p, x, l.window)
	}
	if l.window > 1 {
		x = tensor.MaxPool2d(x, l.window)
	}
	return x.ReLU() // after the pooling, which it commutes with, there is less of it to do
}

var _ Encoder = (*Koch)(nil)
