package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Fitted metric depends on the statistics of the support set. Memories fit it to their content before they score by it.
// Without fitting, Score takes the keys for a support set with one example per class.
type Fitted interface {
	Metric
	// Fit returns the metric for a support set with the moments m. Slots hold shares [batch, slots, classes] of the classes;
	// nil means one slot per class, in the order of the classes. The result is valid as long as the tensors of m and shares.
	Fit(m Moments, shares *tensor.Tensor) Metric
}

// Moments are the statistics per class of a support set to which a [Fitted] metric is fitted. An example may belong to
// several classes by fractions.
type Moments struct {
	Sums     *tensor.Tensor // [batch, classes, width], of the examples
	Counts   *tensor.Tensor // [batch, classes, 1]
	Scatters *tensor.Tensor // [batch, classes, width, width], Σ (x - mean)(x - mean)ᵀ
}

// countFloor keeps the mean of an empty class finite.
const countFloor = 1e-6

// NewMoments returns the moments of keys [batch, n, width] with the shares [batch, n, classes] of the classes.
func NewMoments(keys, shares *tensor.Tensor) Moments {
	byClass := shares.Transpose(-2, -1) // [batch, classes, n]
	m := Moments{Sums: byClass.MatMul(keys), Counts: byClass.SumKeep(-1)}
	off := keys.Unsqueeze(1).Sub(m.means().Unsqueeze(2)) // [batch, classes, n, width]
	m.Scatters = off.Transpose(-2, -1).MatMul(off.Mul(byClass.Unsqueeze(-1)))
	return m
}

// Add returns the moments of the union of two support sets. Like [NewMoments] it subtracts means before it squares, so that
// examples far from zero lose no accuracy: Chan, Golub and LeVeque 1979, eq. 2.1.
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

// merged returns the moments of all classes merged into one.
func (m Moments) merged() Moments {
	t := Moments{Sums: m.Sums.SumKeep(1), Counts: m.Counts.SumKeep(1)}
	between := outer(m.means().Sub(t.means())).Mul(m.Counts.Unsqueeze(-1))
	t.Scatters = m.Scatters.Add(between).SumKeep(1)
	return t
}

// covariances returns the unbiased covariances [batch, classes, width, width]. A class of one example has zero.
func (m Moments) covariances() *tensor.Tensor {
	return m.Scatters.Div(m.Counts.AddScalar(-1).ClampMin(1).Unsqueeze(-1))
}

// outer returns xxᵀ [..., width, width] for x [..., width].
func outer(x *tensor.Tensor) *tensor.Tensor { return x.Unsqueeze(-1).Mul(x.Unsqueeze(-2)) }

// CovarianceConfig configures [NewCovariance].
type CovarianceConfig struct {
	// PerClass gives every class its own covariance. Otherwise all classes share one.
	PerClass bool
	// Ridge is added to the diagonal; default 1, as in Bateni et al. 2020.
	Ridge float64
}

// Covariance scores by the Mahalanobis distance -(q - k)ᵀ Q⁻¹ (q - k) under the covariance of the support set. It has no
// trained parameters. The covariance of few examples is a poor estimate, so it is shrunk towards that of the whole task:
//
//	Qc = λc·Σc + (1-λc)·Σ + β·I,  λc = nc/(nc+1)
//
// with Σc the covariance of class c, Σ that of all examples, nc the number of its examples and β the ridge: Bateni et al.
// 2020 (Improved Few-Shot Visual Classification), eqs. 2 and 3. The shared form replaces Σc by the pooled covariance within
// the classes, and nc by its degrees of freedom, the number of examples minus that of classes: with one example per class it
// is Σ + β·I.
type Covariance struct{ config CovarianceConfig }

// NewCovariance makes a metric that is fitted to the support set.
func NewCovariance(c CovarianceConfig) *Covariance {
	if c.Ridge == 0 {
		c.Ridge = 1
	}
	return &Covariance{c}
}

// Score implements [Metric] for a support set that consists of the keys, each of its own class.
func (c *Covariance) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	n := keys.Dim(1)
	each := tensor.Eye(n, keys.DType(), keys.Device()).Unsqueeze(0).Expand(keys.Dim(0), n, n)
	return c.Fit(NewMoments(keys, each), nil).Score(p, queries, keys)
}

// Fit implements [Fitted].
func (c *Covariance) Fit(m Moments, shares *tensor.Tensor) Metric {
	all := m.merged()
	whole := all.covariances() // [batch, 1, width, width]
	width := m.Sums.Dim(2)
	ridge := tensor.Eye(width, whole.DType(), whole.Device()).MulScalar(c.config.Ridge)
	if !c.config.PerClass {
		classes := m.Counts.Gt(m.Counts.ZerosLike()).To(whole.DType()).SumKeep(1)
		freedom := all.Counts.Sub(classes).ClampMin(0) // [batch, 1, 1]
		within := m.Scatters.SumKeep(1).Div(freedom.ClampMin(1).Unsqueeze(-1))
		return whitened{shrink(within, whole, freedom).Add(ridge).Cholesky()}
	}
	q := shrink(m.covariances(), whole, m.Counts) // [batch, classes, width, width]
	if shares != nil {
		shares = shares.Div(shares.SumKeep(-1).ClampMin(countFloor)) // an empty slot keeps the ridge alone
		q = shares.MatMul(q.Flatten(2, 3)).Reshape(shares.Dim(0), shares.Dim(1), width, width)
	}
	return whitened{q.Add(ridge).Cholesky()}
}

// shrink returns λ·covariance + (1-λ)·whole with λ = n/(n+1), for n [batch, classes, 1].
func shrink(covariance, whole, n *tensor.Tensor) *tensor.Tensor {
	lambda := n.Div(n.AddScalar(1)).Unsqueeze(-1)
	return whole.Add(covariance.Sub(whole).Mul(lambda))
}

// whitened scores by -‖L⁻¹(q - k)‖², with one L per slot or one for all slots.
type whitened struct {
	factor *tensor.Tensor // L [batch, slots or 1, width, width], lower triangular
}

// Score implements [Metric]. With one L per slot it materialises the differences [batch, keys, width, queries].
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
