package fastweight

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// expansion is the width of an inner layer in widths of a key.
const expansion = 4

// unitEps is added to the squared length of a key, as in the public code of Yang et al. 2024.
const unitEps = 1e-6

// A learner holds the parameters that both faces of a memory share.
type learner struct {
	Config
	start      []*nn.Param // the initial weights, [heads, in, out] and [heads, 1, out]; nil for a matrix of zeros
	gain, bias *nn.Param   // of the layer norm
	positions  *nn.Param   // offsets, [mini-batch]
	decayRate  *nn.Param   // A, [heads, 1, 1]
	decayBias  *nn.Param   // b, [heads, 1, 1 or key]
}

// newLearner makes the parameters; gated says whether the decay is learned.
func newLearner(b *nn.Builder, c Config, gated bool) learner {
	c.check()
	l := learner{Config: c}
	if c.deep() {
		in := c.Key
		for i := range c.Depth {
			out := c.Value
			if i < c.Depth-1 {
				out = expansion * c.Key
			}
			std := c.StartStd
			switch {
			case c.Simplex: // of logits
				std = 1
			case std == 0:
				std = math.Sqrt(2 / float64(in+out))
			}
			l.start = append(l.start, b.Param(fmt.Sprintf("weight%d", i+1), nn.Normal(0, std), c.Heads, in, out))
			if c.Biased {
				l.start = append(l.start, b.Param(fmt.Sprintf("bias%d", i+1), nn.Constant(0), c.Heads, 1, out))
			}
			in = out
		}
	}
	if c.Residual {
		l.gain = b.Param("norm_gain", nn.Constant(c.StartGain), c.Heads, 1, c.Value)
		l.bias = b.Param("norm_bias", nn.Constant(0), c.Heads, 1, c.Value)
	}
	if c.Positions {
		l.positions = b.Param("positions", nn.Constant(0), c.MiniBatch)
	}
	if c.Gate != NoGate && gated {
		channels := int64(1)
		if c.Gate == PerChannel {
			channels = c.Key
		}
		rate, bias := startRate(c.Gate), startBias(.001, .1)
		if c.deep() {
			// The decay applies to the learned initial weights too. Initialised as for a matrix, it would shrink them to nothing
			// within some tens of tokens, and the layer norm would divide by a vanishing scale.
			rate, bias = nn.Constant(0), startBias(1e-4, 1e-3)
		}
		l.decayRate = b.Param("decay_rate", rate, c.Heads, 1, 1)
		l.decayBias = b.Param("decay_bias", bias, c.Heads, 1, channels)
	}
	return l
}

// startRate draws A of a matrix: e^A from U(0, 16) per head, from U(1, 16) where each channel has a gate, as in the public code.
func startRate(g Gate) nn.Init {
	least := 1e-4
	if g == PerChannel {
		least = 1
	}
	return func(r *rand.Rand, _ []int64, out []float32) {
		for i := range out {
			out[i] = float32(math.Log(least + (16-least)*r.Float64()))
		}
	}
}

// startBias draws b so that softplus(b) is log-uniform in [least, most]; for a matrix that is [0.001, 0.1], as in the public code.
func startBias(least, most float64) nn.Init {
	low, high := math.Log(least), math.Log(most)
	return func(r *rand.Rand, _ []int64, out []float32) {
		for i := range out {
			dt := math.Exp(low + (high-low)*r.Float64())
			out[i] = float32(dt + math.Log(-math.Expm1(-dt))) // the inverse of softplus
		}
	}
}

// shared returns what no write changes, as a pass uses it.
func (l learner) shared(p *nn.Pass) (s Shared) {
	s.HigherOrder = p.HigherOrder
	if l.gain != nil {
		s.Gain, s.Bias = p.Value(l.gain), p.Value(l.bias)
	}
	if l.positions != nil {
		offsets := p.Value(l.positions)
		inverse := make([]float64, l.MiniBatch)
		for i := range inverse {
			inverse[i] = 1 / float64(i+1)
		}
		s.Positions = tensor.New(inverse, l.MiniBatch).To(offsets.DType()).On(offsets.Device()).Add(offsets).ReLU()
	}
	return s
}

// columns is the width of a model's output: with Averaged a matrix has a column more, for the sum of the keys.
func (l learner) columns(value int64) int64 {
	if l.Averaged {
		return value + 1
	}
	return value
}

// weights returns the state before the first write, of the type and on the device of like.
func (l learner) weights(p *nn.Pass, like *tensor.Tensor, batch, key, value int64) State {
	if l.start == nil {
		return State{Weights: []*tensor.Tensor{tensor.Full(0, like.DType(), like.Device(), batch, l.Heads, key, l.columns(value))}}
	}
	s := State{}
	for _, w := range l.start {
		v := p.Value(w)
		s.Weights = append(s.Weights, v.To(like.DType()).Unsqueeze(0).Expand(append([]int64{batch}, v.Shape()...)...))
	}
	if l.MiniBatch > 1 {
		s.Start = s.Weights
	}
	return s
}

// address returns keys or queries as the rule takes them.
func (l learner) address(x *tensor.Tensor) *tensor.Tensor {
	x = features(l.Features, x)
	if l.UnitKeys {
		x = tensor.UnitRows(x, unitEps)
	}
	return x
}

// emission describes what the linear layer of a memory that a controller drives emits.
func (c Config) emission() tensor.Emission {
	e := tensor.Emission{
		Heads: c.Heads, Key: c.Key, Value: c.Value, Writes: c.Writes, Features: c.Features, QueryScale: 1, MaxRate: c.MaxRate,
		Momentum: c.Momentum, Ones: c.Averaged,
	}
	if c.UnitKeys {
		e.Unit = unitEps
	}
	if c.ScaledQueries {
		e.QueryScale = 1 / sqrt(c.Key)
	}
	switch c.Gate {
	case PerHead:
		e.Channels = 1
	case PerChannel:
		e.Channels = c.Key
	}
	return e
}

// content returns values as the rule takes them: with Averaged a one stands after them.
func (l learner) content(v *tensor.Tensor) *tensor.Tensor {
	if !l.Averaged {
		return v
	}
	ones := v.Narrow(-1, 0, 1).OnesLike()
	return tensor.Cat(-1, v, ones)
}

// averagedEps keeps what nothing was written to finite, as in the public code of Yang et al. 2024.
const averagedEps = 1e-10

// reading returns what the rule read as the memory returns it.
func (l learner) reading(o *tensor.Tensor) *tensor.Tensor {
	if !l.Averaged {
		return o
	}
	n := o.Dim(-1) - 1
	return o.Narrow(-1, 0, n).Div(o.Narrow(-1, n, 1).AddScalar(averagedEps))
}

// rate returns the learning rates of what drives them.
func (l learner) rate(x *tensor.Tensor) *tensor.Tensor { return x.Sigmoid().MulScalar(l.MaxRate) }

// decay returns the logarithms of what is kept, of what drives them, [batch, heads, time, 1 or key].
func (l learner) decay(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	bias, rate := p.Value(l.decayBias), p.Value(l.decayRate)
	return x.Add(bias).Softplus().Mul(rate.Exp()).Neg()
}
