// Package tokennet implements networks on sequences of tokens: an embedding, blocks of a layer that mixes positions and,
// optionally, one that mixes channels, and a linear map to classes. The layer that mixes positions is a memory
// ([fastweight.Layer]) or softmax attention ([Attention]); so memories are trained as Yang et al. 2024 and Arora et al. 2023
// train them.
package tokennet

import (
	"fmt"
	"math"

	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Mixer mixes the positions of a sequence: from x [batch, time, width] to the same shape. Position t depends on positions up to
// t only.
type Mixer interface {
	Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor
}

// Stateful is the capability of a [Mixer] that can say how much it carries from token to token.
type Stateful interface {
	// State returns how many numbers it carries of one sequence after time tokens.
	State(time int64) int64
}

// Config configures [New].
type Config struct {
	// Tokens and Classes are the numbers of input tokens and of classes of the answers.
	Tokens, Classes int64
	// Width is that of a token's vector; default 64.
	Width int64
	// Layers is the number of blocks; default 2.
	Layers int
	// Mixer makes the layer of a block that mixes positions.
	Mixer func(b *nn.Builder, width int64) Mixer
	// MLP follows each mixer by a SwiGLU of MLP times the width: Shazeer 2020. Zero leaves it out, as Zoology does.
	MLP int64
	// Positions adds a learned vector for each of so many positions to the tokens'; zero adds none. Without it attention knows the
	// order by [AttentionConfig.Rotary] alone.
	Positions int64
	// Dropout is the chance that a value of an embedding is zeroed in training.
	Dropout float64
	// Decoder computes the answer at every position from the vector of the last position alone, to which the sine and cosine
	// vector of the position is added, by two layers with a norm before and a GELU after each: the auto-encoder of Poli et al.
	// 2024, whose last vector must hold the whole sequence.
	Decoder bool
}

// Net is a network on token sequences. Each layer of a block takes the normalised sum of what came before and adds to it, with
// the root-mean-square norm.
type Net struct {
	config    Config
	tokens    *nn.Param // [tokens, width]
	positions *nn.Param // [positions, width]
	blocks    []block
	decoder   []decoding // nil without Decoder
	gain      *nn.Param
	out       *nn.Param // [classes, width]
}

type block struct {
	mixGain *nn.Param
	mix     Mixer
	mlpGain *nn.Param // nil without MLP
	up      *nn.Param // [2·hidden, width]
	down    *nn.Param // [width, hidden]
}

// decoding is a layer of the decoder.
type decoding struct {
	gain   *nn.Param
	linear *nn.Linear
}

// initialStd is the standard deviation of the initial vectors: Zoology's public code.
const initialStd = .02

// New makes a network.
func New(b *nn.Builder, c Config) *Net {
	if c.Width == 0 {
		c.Width = 64
	}
	if c.Layers == 0 {
		c.Layers = 2
	}
	n := &Net{config: c, tokens: b.Param("tokens", nn.Normal(0, initialStd), c.Tokens, c.Width)}
	if c.Positions > 0 {
		n.positions = b.Param("positions", nn.Normal(0, initialStd), c.Positions, c.Width)
	}
	ones := nn.Constant(1)
	for i := range c.Layers {
		in := b.In(fmt.Sprintf("block%d", i+1))
		k := block{mixGain: in.Param("mix_norm", ones, c.Width), mix: c.Mixer(in.In("mix"), c.Width)}
		if c.MLP > 0 {
			hidden := c.MLP * c.Width
			k.mlpGain = in.Param("mlp_norm", ones, c.Width)
			k.up = in.Param("up", nn.FanInUniform, 2*hidden, c.Width)
			k.down = in.Param("down", nn.FanInUniform, c.Width, hidden)
		}
		n.blocks = append(n.blocks, k)
	}
	for i := 0; c.Decoder && i < 2; i++ {
		in := b.In(fmt.Sprintf("decoder%d", i+1))
		n.decoder = append(n.decoder, decoding{in.Param("norm", ones, c.Width), &nn.Linear{
			Weight: in.Param("weight", nn.Normal(0, initialStd), c.Width, c.Width), Bias: in.Param("bias", nn.Constant(0), c.Width),
		}})
	}
	n.gain = b.Param("norm", ones, c.Width)
	n.out = b.Param("classes", nn.Normal(0, initialStd), c.Classes, c.Width)
	return n
}

// Forward returns the scores [n, classes] before the softmax at the positions that at lists, as indices into the flattened
// inputs, for inputs [batch, time] (int64). Only these go through the last linear map, which is wide where classes are many.
func (n *Net) Forward(p *nn.Pass, inputs, at *tensor.Tensor) *tensor.Tensor {
	batch, time := inputs.Dim(0), inputs.Dim(1)
	x := p.Value(n.tokens).IndexSelect(0, inputs.Reshape(-1)).Reshape(batch, time, n.config.Width)
	if n.positions != nil {
		if time > n.config.Positions {
			panic(&tensor.Error{Op: "tokennet.Forward", Shapes: [][]int64{inputs.Shape()}, Msg: fmt.Sprintf("the network knows %d positions", n.config.Positions)})
		}
		x = x.Add(p.Value(n.positions).Narrow(0, 0, time))
	}
	x = nn.Dropout(p, x, n.config.Dropout)
	for _, k := range n.blocks {
		x = x.Add(k.mix.Forward(p, fastweight.RMSNorm(x, p.Value(k.mixGain))))
		if k.up != nil {
			halves := tensor.Linear(fastweight.RMSNorm(x, p.Value(k.mlpGain)), p.Value(k.up), nil).Split(2, 2)
			x = x.Add(tensor.Linear(halves[0].Mul(halves[0].Sigmoid()).Mul(halves[1]), p.Value(k.down), nil))
		}
	}
	if n.decoder != nil {
		x = x.Narrow(1, time-1, 1).Add(sinusoids(time, n.config.Width, x)) // [batch, time, width]
	}
	x = x.Reshape(batch*time, n.config.Width).IndexSelect(0, at)
	for _, l := range n.decoder {
		x = fastweight.GELU(l.linear.Forward(p, fastweight.RMSNorm(x, p.Value(l.gain))))
	}
	return tensor.Linear(fastweight.RMSNorm(x, p.Value(n.gain)), p.Value(n.out), nil)
}

// State returns how many numbers the mixers of all blocks carry of one sequence after time tokens; 0 where one cannot say.
func (n *Net) State(time int64) (sum int64) {
	for _, k := range n.blocks {
		s, ok := k.mix.(Stateful)
		if !ok {
			return 0
		}
		sum += s.State(time)
	}
	return sum
}

// sinusoids returns vectors of positions [1, time, width], of the type and on the device of like: sines of falling frequency in
// the first half of the width, cosines in the second, as the public code of Poli et al. 2024 has them.
func sinusoids(time, width int64, like *tensor.Tensor) *tensor.Tensor {
	out, half := make([]float32, time*width), width/2
	for t := range time {
		for i := range half {
			angle := float64(t) * math.Pow(10_000, -float64(i)/float64(max(half-1, 1)))
			out[t*width+i], out[t*width+half+i] = float32(math.Sin(angle)), float32(math.Cos(angle))
		}
	}
	return tensor.New(out, 1, time, width).To(like.DType()).On(like.Device())
}

// AttentionConfig configures [NewAttention].
type AttentionConfig struct {
	Heads int64 // default 1
	// Rotary turns each pair of values of a query or key by an angle proportional to its position, so that scores depend on
	// distances: Su et al. 2021 (2104.09864), eq. 34, with pairs of values half a head apart. The width of a head is even.
	Rotary bool
	// Conv is the length of a causal convolution of queries, keys and values, as a [fastweight.Layer] has; 0 for none.
	Conv int64
}

// Attention is causal softmax attention with several heads: Vaswani et al. 2017, section 3.2.
type Attention struct {
	config   AttentionConfig
	qkv, out *nn.Param
	conv     *nn.Param // [Conv, 3·width]; nil without convolution
}

// NewAttention makes a layer; heads divide the width.
func NewAttention(b *nn.Builder, width int64, c AttentionConfig) *Attention {
	c.Heads = max(c.Heads, 1)
	if width%c.Heads != 0 || c.Rotary && width/c.Heads%2 != 0 {
		panic(fmt.Sprintf("tokennet: %d heads do not divide the width %d, or into an odd width for rotary positions", c.Heads, width))
	}
	a := &Attention{config: c, qkv: b.Param("qkv", nn.FanInUniform, 3*width, width), out: b.Param("out", nn.FanInUniform, width, width)}
	if c.Conv > 0 {
		a.conv = b.Param("conv", nn.Uniform(1/math.Sqrt(float64(c.Conv))), c.Conv, 3*width)
	}
	return a
}

// Forward implements [Mixer].
func (a *Attention) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	time, width := x.Dim(1), x.Dim(2)
	qkv := tensor.Linear(x, p.Value(a.qkv), nil)
	if a.conv != nil {
		qkv = tensor.CausalConvolution(qkv, p.Value(a.conv), false)
	}
	queriesAndKeys, values := qkv.Narrow(2, 0, 2*width), qkv.Narrow(2, 2*width, width)
	if a.config.Rotary {
		queriesAndKeys = rotated(queriesAndKeys, 2*a.config.Heads)
	}
	parts := queriesAndKeys.Split(2, 2)
	later := make([]float32, time*time)
	for i := range time {
		for j := i + 1; j < time; j++ {
			later[i*time+j] = nn.Hidden
		}
	}
	mask := tensor.New(later, time, time).To(x.DType()).On(x.Device())
	return tensor.Linear(nn.MultiHead(p, parts[0], parts[1], values, mask, a.config.Heads), p.Value(a.out), nil)
}

// rotated turns the pairs (i, i + n/2) of each vector of n values of x [batch, time, vectors·n] by the angle t·10000^(-2i/n).
func rotated(x *tensor.Tensor, vectors int64) *tensor.Tensor {
	batch, time := x.Dim(0), x.Dim(1)
	half := x.Dim(2) / vectors / 2
	cosines, sines := make([]float64, time*half), make([]float64, time*half)
	for t := range time {
		for i := range half {
			sines[t*half+i], cosines[t*half+i] = math.Sincos(float64(t) * math.Pow(10_000, -float64(i)/float64(half)))
		}
	}
	table := func(v []float64) *tensor.Tensor { return tensor.New(v, time, 1, half).To(x.DType()).On(x.Device()) }
	cos, sin := table(cosines), table(sines)
	parts := x.Reshape(batch, time, vectors, 2*half).Split(3, 2)
	first := parts[0].Mul(cos).Sub(parts[1].Mul(sin))
	second := parts[0].Mul(sin).Add(parts[1].Mul(cos))
	return tensor.Cat(3, first, second).Reshape(batch, time, x.Dim(2))
}

// State implements [Stateful]: the keys and values of all tokens, without the last inputs of the convolution.
func (a *Attention) State(time int64) int64 { return time * 2 * a.out.Value().Dim(1) }

var (
	_ Mixer    = (*Attention)(nil)
	_ Mixer    = (*fastweight.Layer)(nil)
	_ Stateful = (*Attention)(nil)
	_ Stateful = (*fastweight.Layer)(nil)
)
