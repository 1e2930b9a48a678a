package nn

import (
	"cmp"
	"math"

	"github.com/engram-go/engram/tensor"
)

// Linear is y = x·Wᵀ + b.
type Linear struct {
	Weight *Param // [out, in]
	Bias   *Param // [out]
}

// NewLinear makes a linear layer, initialised as in PyTorch: weight and bias from U(-1/√in, 1/√in).
func NewLinear(b *Builder, in, out int64) *Linear {
	return &Linear{
		Weight: b.Param("weight", FanInUniform, out, in),
		Bias:   b.Param("bias", Uniform(1/math.Sqrt(float64(in))), out),
	}
}

// Forward maps x [..., in] to [..., out].
func (l *Linear) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	return tensor.Linear(x, p.Value(l.Weight), p.Value(l.Bias))
}

// Conv2dConfig configures [NewConv2d]. The defaults are stride 1, padding 0 and one group.
type Conv2dConfig struct {
	In, Out, Kernel int64
	Stride          int64
	Padding         int64
	Groups          int64
	NoBias          bool
}

// Conv2d is a two-dimensional convolution with a square kernel.
type Conv2d struct {
	Weight *Param // [out, in/groups, kernel, kernel]
	Bias   *Param // [out]; nil without a bias
	config Conv2dConfig
}

// NewConv2d makes a convolution, initialised as in PyTorch: weight and bias from U(-1/√fan, 1/√fan) with fan =
// in/groups·kernel².
func NewConv2d(b *Builder, c Conv2dConfig) *Conv2d {
	c.Stride, c.Groups = max(c.Stride, 1), max(c.Groups, 1)
	shape := []int64{c.Out, c.In / c.Groups, c.Kernel, c.Kernel}
	l := &Conv2d{Weight: b.Param("weight", FanInUniform, shape...), config: c}
	if !c.NoBias {
		l.Bias = b.Param("bias", Uniform(1/math.Sqrt(float64(fanIn(shape)))), c.Out)
	}
	return l
}

// bias is its value; nil without a bias.
func (l *Conv2d) bias(p *Pass) *tensor.Tensor {
	if l.Bias == nil {
		return nil
	}
	return p.Value(l.Bias)
}

// Forward maps x [batch, in, height, width] to [batch, out, height', width'], in the type of x.
func (l *Conv2d) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	return Convolve(p, x, l.Weight, l.Bias, l.config)
}

// Convolve is [Conv2d] for parameters that are kept elsewhere, with the Stride, Padding and Groups of c. It uses
// [tensor.Conv2dFirstOrder] except in passes with [Pass.HigherOrder]. bias may be nil.
func Convolve(p *Pass, x *tensor.Tensor, weight, bias *Param, c Conv2dConfig) *tensor.Tensor {
	var b *tensor.Tensor
	if bias != nil {
		b = p.Value(bias)
	}
	return convolve(p, x, p.Value(weight), b, c)
}

// ConvolveNorm is [Convolve] without a bias, for a batch norm that follows. It returns the norm that is still to be applied. Under
// running statistics, in a pass that does not train, the norm is a factor and a shift per output channel, which become the
// convolution's, and rest is nil: Jacob et al. 2018, section 3.2.
func ConvolveNorm(p *Pass, x *tensor.Tensor, weight *Param, norm *BatchNorm, c Conv2dConfig) (y *tensor.Tensor, rest *BatchNorm) {
	w := p.Value(weight)
	if p.Training || p.Norm == BatchStats {
		return convolve(p, x, w, nil, c), norm
	}
	factor := p.Value(norm.Gain).Div(p.Value(norm.Variance).AddScalar(norm.eps()).Sqrt())
	shift := p.Value(norm.Bias).Sub(p.Value(norm.Mean).Mul(factor))
	return convolve(p, x, w.Mul(factor.Reshape(w.Dim(0), 1, 1, 1)), shift, c), nil
}

func convolve(p *Pass, x, w, b *tensor.Tensor, c Conv2dConfig) *tensor.Tensor {
	stride, groups := max(c.Stride, 1), max(c.Groups, 1)
	if stride == 1 && groups == 1 && !p.HigherOrder {
		return tensor.Conv2dFirstOrder(x, w, b, c.Padding)
	}
	if b != nil {
		b = b.To(x.DType())
	}
	return tensor.Conv2d(x, w.To(x.DType()), b, stride, c.Padding, groups)
}

// BatchNorm normalises each channel over batch and positions, then scales and shifts it: Ioffe and Szegedy 2015,
// algorithm 1. [Pass.Norm] selects the statistics; a training pass also updates the running ones.
type BatchNorm struct {
	Gain, Bias     *Param // [channels]
	Mean, Variance *Param // [channels], running
	// Eps is added to the variance, and Momentum is the share of the batch's statistics in the running ones; 0 stands for
	// PyTorch's 1e-5 and 0.1.
	Eps, Momentum float64
}

// PyTorch's settings, which published few-shot results use where [BatchNorm] has no others.
const (
	batchNormMomentum = 0.1
	batchNormEps      = 1e-5
)

// NewBatchNorm makes a batch norm over channels, for inputs of any rank, with gain 1 and bias 0.
func NewBatchNorm(b *Builder, channels int64) *BatchNorm {
	return &BatchNorm{
		Gain:     b.Param("weight", Constant(1), channels),
		Bias:     b.Param("bias", Constant(0), channels),
		Mean:     b.Buffer("running_mean", Constant(0), channels),
		Variance: b.Buffer("running_var", Constant(1), channels),
	}
}

// Forward normalises x [batch, channels, ...].
func (l *BatchNorm) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	return tensor.BatchNorm(x, *l.operands(p))
}

func (l *BatchNorm) eps() float64 { return cmp.Or(l.Eps, batchNormEps) }

// Activation is what follows the batch norm of a convolutional block: see [tensor.Activation].
type Activation struct {
	Shortcut     *tensor.Tensor // added before the ReLU, if not nil
	ShortcutNorm *BatchNorm     // of the shortcut, if not nil
	Slope        float64        // of the ReLU below zero
	Window       int64          // of the max pooling: 2, or 0 or 1 for none
}

// Activate normalises x [batch, channels, height, width], or takes it as it is where l is nil, adds a shortcut, and applies ReLU
// and max pooling. It is one operation, except in passes with [Pass.HigherOrder].
func (l *BatchNorm) Activate(p *Pass, x *tensor.Tensor, a Activation) *tensor.Tensor {
	f := tensor.NormReLUPool
	if p.HigherOrder {
		f = tensor.NormReLUPoolPlain
	}
	return f(x, l.operands(p), tensor.Activation{Shortcut: a.Shortcut, ShortcutNorm: a.ShortcutNorm.operands(p), Slope: a.Slope, Window: a.Window})
}

// operands returns the norm's operands in a pass, nil for nil. Batch statistics change the running ones only in training.
func (l *BatchNorm) operands(p *Pass) *tensor.Norm {
	if l == nil {
		return nil
	}
	n := &tensor.Norm{Gain: p.Value(l.Gain), Bias: p.Value(l.Bias), BatchStats: p.Norm == BatchStats,
		Momentum: cmp.Or(l.Momentum, batchNormMomentum), Eps: l.eps()}
	if !n.BatchStats || p.Training {
		n.Mean, n.Variance = p.Value(l.Mean), p.Value(l.Variance)
	}
	return n
}

// LayerNorm normalises each vector by its own mean and variance, then scales and shifts it: Ba et al. 2016.
type LayerNorm struct {
	Gain, Bias *Param // [width]
	eps        float64
}

// NewLayerNorm makes a layer norm over the last dimension, with gain 1 and bias 0. eps is added to the variance.
func NewLayerNorm(b *Builder, width int64, eps float64) *LayerNorm {
	return LayerNormOf(b.Param("weight", Constant(1), width), b.Param("bias", Constant(0), width), eps)
}

// LayerNormOf is a layer norm with parameters of one's own.
func LayerNormOf(gain, bias *Param, eps float64) *LayerNorm { return &LayerNorm{gain, bias, eps} }

// Forward normalises x [..., width].
func (l *LayerNorm) Forward(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	return tensor.LayerNorm(x, p.Value(l.Gain), p.Value(l.Bias), l.eps)
}

// After normalises x + y + b for the b [width] of a linear map that y lacks; b may be nil.
func (l *LayerNorm) After(p *Pass, x, y, b *tensor.Tensor) *tensor.Tensor {
	return tensor.AddLayerNorm(x, y, b, p.Value(l.Gain), p.Value(l.Bias), l.eps)
}
