package fastweight

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// LayerConfig configures [NewLayer].
type LayerConfig struct {
	Config
	// Width is that of the input and the output.
	Width int64
	// Conv is the length of the causal convolution of queries, keys and values; default 4, and negative for none.
	Conv int64
	// Gated multiplies what is read, after its norm, by SiLU of a linear map of the input.
	Gated bool
}

// Layer maps a sequence to a sequence by a fast-weight memory: linear maps to query, key and value, a short causal convolution
// of each channel and a SiLU, the memory, a root-mean-square norm of each head, and a linear map. It is the layer of Yang et al.
// 2024 (2406.06484), section 3.3; gated, that of Yang, Kautz and Hatamizadeh 2024. No linear map but that of the decay has a bias.
type Layer struct {
	learner
	config                  LayerConfig
	query, key, value, out  *nn.Param // [out, in]
	queryConv, keyConv      *nn.Param // [conv, channels]; nil without convolution
	valueConv               *nn.Param
	rates, decays, momentum *nn.Param
	gate, gain              *nn.Param
}

// rmsEps is added to the mean square of the norm, as in the public code of Yang et al. 2024.
const rmsEps = 1e-5

// NewLayer makes a layer. It panics where settings of c exclude one another.
func NewLayer(b *nn.Builder, c LayerConfig) *Layer {
	c.Config = c.Config.withDefaults()
	if c.Conv == 0 {
		c.Conv = 4
	}
	l := &Layer{learner: newLearner(b, c.Config, true), config: c}
	linear := func(name string, in, out int64) *nn.Param {
		return b.In(name).Param("weight", nn.FanInUniform, out, in)
	}
	conv := func(name string, channels int64) *nn.Param {
		if c.Conv < 0 {
			return nil
		}
		return b.In(name).Param("weight", nn.Uniform(1/sqrt(c.Conv)), c.Conv, channels)
	}
	queries, keys, values := c.Heads*c.Key, c.Heads*c.Key*c.Writes, c.Heads*c.Value*c.Writes
	l.query, l.key, l.value = linear("query", c.Width, queries), linear("key", c.Width, keys), linear("value", c.Width, values)
	l.queryConv, l.keyConv, l.valueConv = conv("query_conv", queries), conv("key_conv", keys), conv("value_conv", values)
	if c.MaxRate > 0 {
		l.rates = linear("rate", c.Width, c.Heads*c.Writes)
	}
	switch c.Gate {
	case PerHead:
		l.decays = linear("decay", c.Width, c.Heads)
	case PerChannel:
		l.decays = linear("decay", c.Width, c.Heads*c.Key)
	}
	if c.Momentum {
		l.momentum = linear("momentum", c.Width, c.Heads*c.Writes)
	}
	if c.Gated {
		l.gate = linear("gate", c.Width, c.Heads*c.Value)
	}
	l.gain = b.In("norm").Param("weight", nn.Constant(1), c.Value)
	l.out = linear("out", c.Heads*c.Value, c.Width)
	return l
}

// Forward maps x [batch, time, width] to a tensor of the same shape. Position t depends on positions up to t only.
func (l *Layer) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	c := l.Config
	batch, time := x.Dim(0), x.Dim(1)
	// heads returns x [batch, time, heads·writes·width] as [batch, heads, time·writes, width].
	heads := func(x *tensor.Tensor, writes int64) *tensor.Tensor {
		return x.Reshape(batch, time, c.Heads, writes, -1).Permute(0, 2, 1, 3, 4).Reshape(batch, c.Heads, time*writes, -1)
	}
	project := func(w, conv *nn.Param) *tensor.Tensor {
		y := tensor.Linear(x, p.Value(w), nil)
		if conv != nil {
			return tensor.CausalConvolution(y, p.Value(conv), true)
		}
		return features(SiLU, y)
	}
	t := Tokens{
		Query: l.address(heads(project(l.query, l.queryConv), 1)),
		Key:   l.address(heads(project(l.key, l.keyConv), c.Writes)),
		Value: l.content(heads(project(l.value, l.valueConv), c.Writes)),
	}
	if l.ScaledQueries {
		t.Query = t.Query.MulScalar(1 / sqrt(c.Key))
	}
	if l.rates != nil {
		t.Rate = l.rate(heads(tensor.Linear(x, p.Value(l.rates), nil), c.Writes))
	}
	if l.decays != nil {
		t.Decay = l.decay(p, heads(tensor.Linear(x, p.Value(l.decays), nil), 1))
	}
	if l.momentum != nil {
		t.Momentum = heads(tensor.Linear(x, p.Value(l.momentum), nil), c.Writes).Sigmoid()
	}
	read, _ := l.Run(l.shared(p), l.weights(p, x, batch, c.Key, c.Value), t)
	read = RMSNorm(l.reading(read), p.Value(l.gain))
	read = read.Transpose(1, 2).Flatten(2, 3) // [batch, time, heads·value]
	if l.gate != nil {
		read = read.Mul(features(SiLU, tensor.Linear(x, p.Value(l.gate), nil)))
	}
	return tensor.Linear(read, p.Value(l.out), nil)
}

// State returns how many numbers the memory carries of one sequence after time tokens, without the last inputs of the
// convolution.
func (l *Layer) State(time int64) int64 {
	c := l.Config
	n := c.Key * l.columns(c.Value)
	if l.start != nil {
		n = 0
		for _, w := range l.start {
			n += w.Value().Numel() / c.Heads
		}
	}
	copies := int64(1)
	if c.Momentum || c.Positions {
		copies++
	}
	if c.MiniBatch > 1 {
		copies++
	}
	return c.Heads * (copies*n + min(time, c.Window-1)*(c.Key+c.Value))
}

// RMSNorm divides x by the root of its mean square over the last dimension and multiplies it by a gain: Zhang and Sennrich 2019.
func RMSNorm(x, gain *tensor.Tensor) *tensor.Tensor {
	return tensor.RMSNorm(x, gain, rmsEps)
}
