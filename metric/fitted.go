package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Fitted metric takes something from the support set that it measures in. Memories fit it on what they hold before they
// score by it; by itself it takes the keys of Score for a support set of one example a class.
type Fitted interface {
	Metric
	// Fit returns the metric for a support set with these moments, to score slots that hold shares [batch, slots, classes]
	// of the classes. Nil shares stand for a slot a class, in their order.
	Fit(m Moments, shares *tensor.Tensor) Metric
}

// Moments are the statistics of a support set, class by class, that a [Fitted] metric is fitted on. An example may belong
// to classes in part.
type Moments struct {
	Sums     *tensor.Tensor // [batch, classes, width], of the examples
	Counts   *tensor.Tensor // [batch, classes, 1]
	Scatters *tensor.Tensor // [batch, classes, width, width], Σ (x - mean)(x - mean)ᵀ
}

// countFloor keeps the mean of an empty class finite.
const countFloor = 1e-6

// NewMoments returns the moments of keys [batch, n, width] that belong to classes by shares [batch, n, classes].
func NewMoments(keys, shares *tensor.Tensor) Moments {
	byClass := shares.Transpose(-2, -1) // [batch, classes, n]
	m := Moments{Sums: byClass.MatMul(keys), Counts: byClass.SumKeep(-1)}
	off := keys.Unsqueeze(1).Sub(m.means().Unsqueeze(2)) // [batch, classes, n, width]
	m.Scatters = off.Transpose(-2, -1).MatMul(off.Mul(byClass.Unsqueeze(-1)))
	return m
}

// Add returns the moments of both support sets taken together. Like [NewMoments] it subtracts means before it squares, so
// that examples far from zero lose no digits: Chan, Golub and LeVeque 1979, eq. 2.1.
func (m Moments) Add(o Moments) Moments {
	counts := m.Counts.Add(o.Counts)
	apart := o.means().Sub(m.means())
	weight := m.Counts.Mul(o.Counts).Div(counts.ClampMin(countFloor)) // [batch, classes, 1]
	return Moments{
		Sums:     m.Sums.Add(o.Sums),
		Counts:   counts,
		Scatters: m.Scatters.Add(o.Scatters).Add(outer(apart).Mul(weight.Unsqueeze(-1))),
	}
}

func (m Moments) means() *tensor.Tensor { return m.Sums.Div(m.Counts.ClampMin(countFloor)) }

// merged returns the moments of all classes taken as one.
func (m Moments) merged() Moments {
	t := Moments{Sums: m.Sums.SumKeep(1), Counts: m.Counts.SumKeep(1)}
	between := outer(m.means().Sub(t.means())).Mul(m.Counts.Unsqueeze(-1))
	t.Scatters = m.Scatters.Add(between).SumKeep(1)
	return t
}

// covariances returns the unbiased covariances [batch, classes, width, width]; zero for a class of one example.
func (m Moments) covariances() *tensor.Tensor {
	return m.Scatters.Div(m.Counts.AddScalar(-1).ClampMin(1).Unsqueeze(-1))
}

// outer returns xxᵀ [..., width, width] for x [..., width].
func outer(x *tensor.Tensor) *tensor.Tensor { return x.Unsqueeze(-1).Mul(x.Unsqueeze(-2)) }

// CovarianceConfig are the settings of [NewCovariance].
type CovarianceConfig struct {
	// PerClass gives every class a covariance of its own; else all share one.
	PerClass bool
	// Ridge is what is added to the diagonal; zero stands for 1, as in Bateni et al. 2020.
	Ridge float64
}

// Covariance scores by the Mahalanobis distance -(q - k)ᵀ Q⁻¹ (q - k) under the covariance of the support set at hand;
// nothing of it is trained. A covariance of few examples says little, so it is shrunk towards that of the whole task:
//
//	Qc = λc·Σc + (1-λc)·Σ + β·I,  λc = nc/(nc+1)
//
// with Σc the covariance of class c, Σ that of all examples, nc the number of its examples and β the ridge: Bateni et al.
// 2020 (Improved Few-Shot Visual Classification), eqs. 2 and 3. The shared form has the pooled covariance within the
// classes in the place of Σc and its degrees of freedom, examples less classes, in that of nc: with one example a class
// it is Σ + β·I.
type Covariance struct{ config CovarianceConfig }

// NewCovariance makes a metric that is fitted on the support set.
func NewCovariance(c CovarianceConfig) *Covariance {
	if c.Ridge == 0 {
		c.Ridge = 1
	}
	return &Covariance{c}
}

// Score implements [Metric] for a support set that is the keys, each of a class of its own.
func (c *Covariance) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	n := keys.Dim(1)
	each := tensor.Eye(n).To(keys.DType()).On(keys.Device()).Unsqueeze(0).Expand(keys.Dim(0), n, n)
	return c.Fit(NewMoments(keys, each), nil).Score(p, queries, keys)
}

// Fit implements [Fitted].
func (c *Covariance) Fit(m Moments, shares *tensor.Tensor) Metric {
	all := m.merged()
	whole := all.covariances() // [batch, 1, width, width]
	width := m.Sums.Dim(2)
	ridge := tensor.Eye(width).MulScalar(c.config.Ridge).To(whole.DType()).On(whole.Device())
	if !c.config.PerClass {
		classes := m.Counts.Gt(m.Counts.ZerosLike()).To(whole.DType()).SumKeep(1)
		freedom := all.Counts.Sub(classes).ClampMin(0) // [batch, 1, 1]
		within := m.Scatters.SumKeep(1).Div(freedom.ClampMin(1).Unsqueeze(-1))
		return whitened{shrink(within, whole, freedom).Add(ridge).Cholesky()}
	}
	q := shrink(m.covariances(), whole, m.Counts) // [batch, classes, width, width]
	if shares != nil {
		shares = shares.Div(shares.SumKeep(-1).ClampMin(countFloor)) // of an empty slot only the ridge is left
		q = shares.MatMul(q.Flatten(2, 3)).Reshape(shares.Dim(0), shares.Dim(1), width, width)
	}
	return whitened{q.Add(ridge).Cholesky()}
}

// shrink returns λ·covariance + (1-λ)·whole with λ = n/(n+1), for n [batch, classes, 1].
func shrink(covariance, whole, n *tensor.Tensor) *tensor.Tensor {
	lambda := n.Div(n.AddScalar(1)).Unsqueeze(-1)
	return whole.Add(covariance.Sub(whole).Mul(lambda))
}

// whitened scores by -‖L⁻¹(q - k)‖², with an L for every slot, or one for all.
type whitened struct {
	factor *tensor.Tensor // L [batch, slots or 1, width, width], lower triangular
}

// Score implements [Metric]. It makes a tensor of the differences, [batch, keys, width, queries].
func (w whitened) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	if w.factor.Dim(1) == 1 {
		l := w.factor.Squeeze(1)
		white := func(x *tensor.Tensor) *tensor.Tensor { return l.SolveLower(x.Transpose(-2, -1)).Transpose(-2, -1) }
		return SquaredEuclidean{}.Score(nil, white(queries), white(keys))
	}
	apart := queries.Transpose(-2, -1).Unsqueeze(1).Sub(keys.Unsqueeze(-1)) // [batch, keys, width, queries]
	return w.factor.SolveLower(apart).Square().Sum(2).Transpose(-2, -1).Neg()
}

var (
	_ Fitted = (*Covariance)(nil)
	_ Metric = whitened{}
)
