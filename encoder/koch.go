package encoder

import (
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// kochLayers is the number of convolutions. All but the last are followed by pooling.
const kochLayers = 4

// KochConfig configures [NewKoch]. The defaults are the paper's.
type KochConfig struct {
	Channels      int64             // of the images; default 1
	Height, Width int64             // of the images; default 105
	Kernels       [kochLayers]int64 // default 10, 7, 4 and 4
	Filters       [kochLayers]int64 // default 64, 128, 128 and 256
	Embedding     int64             // default 4096
	// Normalize adds batch norm before each ReLU and initialises as in He et al. 2015. The paper does neither; training
	// then takes several times fewer steps.
	Normalize bool
	// BFloat16 computes the convolutions in bfloat16, which is several times as fast on processors with bfloat16
	// instructions. Parameters, batch norm and the embedding stay float32. Processors without AVX-512 also accumulate in
	// bfloat16, slowly.
	BFloat16 bool
}

// WithDefaults returns the configuration with its zero values replaced by the defaults.
func (c KochConfig) WithDefaults() KochConfig {
	def := func(v *int64, paper int64) {
		if *v == 0 {
			*v = paper
		}
	}
	def(&c.Channels, 1)
	def(&c.Height, 105)
	def(&c.Width, 105)
	def(&c.Embedding, 4096)
	for i, paper := range [kochLayers]struct{ kernel, filters int64 }{{10, 64}, {7, 128}, {4, 128}, {4, 256}} {
		def(&c.Kernels[i], paper.kernel)
		def(&c.Filters[i], paper.filters)
	}
	return c
}

// Koch is one branch of the Siamese network of Koch, Zemel and Salakhutdinov 2015, figure 4: four convolutions of stride 1
// without padding, each followed by a ReLU and the first three by 2×2 max pooling, and a fully connected layer with
// sigmoids. Convolutions are initialised by N(0, 0.01²), the last layer's weights by N(0, 0.2²) and biases by
// N(0.5, 0.01²): section 3.2.
type Koch struct {
	layers []*kochLayer
	out    *nn.Linear
	half   bool
}

type kochLayer struct {
	weight, bias *nn.Param     // of the convolution
	norm         *nn.BatchNorm // nil without batch norm
	window       int64         // of the pooling
}

// NewKoch makes the network. It returns an error that names the layer if the images are too small for the kernels.
func NewKoch(b *nn.Builder, c KochConfig) (*Koch, error) {
	c = c.WithDefaults()
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
			return nil, fmt.Errorf("encoder: Koch's network on %d×%d pixels: layer %d has an input of %d×%d pixels and a kernel of %d×%d, so no output; use larger images or smaller kernels",
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

// Precision returns the precision of the convolutions; see [Precision].
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
		return l.norm.Activate(p, x, nn.Activation{Window: l.window})
	}
	if l.window > 1 {
		x = tensor.MaxPool2d(x, l.window)
	}
	return x.ReLU() // commutes with max pooling and is cheaper after it
}

var _ Encoder = (*Koch)(nil)
