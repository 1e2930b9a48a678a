package fastweight

import (
	"math"

	"github.com/engram-go/engram/tensor"
)

// A model is what the weights mean: layers of matrices [batch, heads, in, out], each followed by its bias [batch, heads, 1,
// out] where the rule has biases.
type model struct {
	Rule
	Shared
}

// perLayer is the number of tensors of a layer.
func (r Rule) perLayer() int {
	if r.Biased {
		return 2
	}
	return 1
}

// passed is what a forward pass leaves for the gradient.
type passed struct {
	inputs []*tensor.Tensor // of each layer, [batch, heads, n, in]
	sums   []*tensor.Tensor // of each layer, before the non-linearity
	hat    *tensor.Tensor   // normalised, of a residual model
	scale  *tensor.Tensor   // 1/standard deviation
	y      *tensor.Tensor   // [batch, heads, n, out]
}

// effective returns the weights that a state holds, or of which it holds the logits.
func (r Rule) effective(held []*tensor.Tensor) []*tensor.Tensor {
	if !r.Simplex {
		return held
	}
	return apply(held, func(_ int, l *tensor.Tensor) *tensor.Tensor { return l.Softmax(-2).MulScalar(float64(l.Dim(-2))) })
}

// forward returns the model's output for x [batch, heads, n, key].
func (m model) forward(weights []*tensor.Tensor, x *tensor.Tensor) passed {
	var p passed
	h := x
	for l := range m.Depth {
		if l > 0 {
			h = GELU(h)
		}
		p.inputs = append(p.inputs, h)
		h = h.MatMul(weights[l*m.perLayer()])
		if m.Biased {
			h = h.Add(weights[l*m.perLayer()+1])
		}
		p.sums = append(p.sums, h)
	}
	out := m.norm(x, h)
	p.y, p.hat, p.scale = out.y, out.hat, out.scale
	return p
}

// norm returns the output of a model for x whose layers give h: that, or x plus its layer norm.
func (m model) norm(x, h *tensor.Tensor) (p passed) {
	p.y = h
	if m.Residual {
		centred := h.Sub(h.MeanKeep(-1))
		p.scale = centred.Square().MeanKeep(-1).AddScalar(m.NormEps).PowScalar(-.5)
		p.hat = centred.Mul(p.scale)
		p.y = x.Add(p.hat.Mul(m.Gain).Add(m.Bias))
	}
	return p
}

// gradients returns the gradients of the loss for key and value by the weights, in closed form, so that they can be
// differentiated again. Where x and v hold several tokens the gradients are summed over them.
func (m model) gradients(weights []*tensor.Tensor, x, v *tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(weights))
	inputs, slopes := m.backward(weights, x, v)
	for l, d := range slopes {
		at := l * m.perLayer()
		out[at] = inputs[l].Transpose(-2, -1).MatMul(d)
		if m.Biased {
			out[at+1] = d.SumKeep(2)
		}
	}
	return out
}

// backward returns the inputs of the layers for keys x, and the gradients of the loss by their outputs, one row for each token.
func (m model) backward(weights []*tensor.Tensor, x, v *tensor.Tensor) (inputs, slopes []*tensor.Tensor) {
	var p passed
	if m.Loss == Dot && m.Depth == 1 && !m.Residual {
		p.inputs = []*tensor.Tensor{x} // the gradient does not depend on the output
	} else {
		p = m.forward(weights, x)
	}
	d := m.outer(p.y, v)
	if m.Residual {
		// The gradient of a layer norm: (r - mean(r) - ẑ·mean(r⊙ẑ))/s with r = γ⊙dy.
		r := d.Mul(m.Gain)
		d = r.Sub(r.MeanKeep(-1)).Sub(p.hat.Mul(r.Mul(p.hat).MeanKeep(-1))).Mul(p.scale)
	}
	slopes = make([]*tensor.Tensor, m.Depth)
	for l := m.Depth - 1; l >= 0; l-- {
		slopes[l] = d
		if l > 0 {
			d = d.MatMul(weights[l*m.perLayer()].Transpose(-2, -1)).Mul(geluSlope(p.sums[l-1]))
		}
	}
	return p.inputs, slopes
}

// outer returns the gradient of the loss by the output y.
func (m model) outer(y, v *tensor.Tensor) *tensor.Tensor {
	var d *tensor.Tensor
	switch m.Loss {
	case Dot:
		d = v.Neg()
	case Squared:
		d = y.Sub(v)
	case Huber:
		e := y.Sub(v)
		length := e.Square().SumKeep(-1) // squared
		sign := e.Mul(e.Square().AddScalar(smooth).PowScalar(-.5))
		d = tensor.Where(length.Gt(length.ZerosLike().AddScalar(m.Threshold*m.Threshold)), sign.MulScalar(m.Threshold), e)
	case PNorm:
		e := y.Sub(v)
		d = e.Mul(e.Square().AddScalar(smooth).PowScalar((m.P - 2) / 2)).MulScalar(m.P)
	}
	if m.LossScale != 1 {
		d = d.MulScalar(m.LossScale)
	}
	return d
}

// The tanh form of the GELU: Hendrycks and Gimpel 2016, section 2.
var geluScale = math.Sqrt(2 / math.Pi)

const geluCubic = .044715

func geluTanh(x *tensor.Tensor) *tensor.Tensor {
	return x.Add(x.Mul(x.Square()).MulScalar(geluCubic)).MulScalar(geluScale).Tanh()
}

// GELU is the tanh form of the Gaussian error linear unit, elementwise: Hendrycks and Gimpel 2016, section 2.
func GELU(x *tensor.Tensor) *tensor.Tensor {
	return x.Mul(geluTanh(x).AddScalar(1)).MulScalar(.5)
}

// geluSlope is the derivative of [GELU].
func geluSlope(x *tensor.Tensor) *tensor.Tensor {
	t := geluTanh(x)
	inner := x.Square().MulScalar(3 * geluCubic).AddScalar(1).MulScalar(geluScale)
	rising := t.Square().Neg().AddScalar(1).Mul(inner).Mul(x)
	return t.AddScalar(1).Add(rising).MulScalar(.5)
}
