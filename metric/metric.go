// Package metric measures how alike embeddings are. Every metric gives scores, of which the largest is the most alike:
// a distance comes with its sign turned.
package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Metric scores queries against keys.
type Metric interface {
	// Score returns [batch, queries, keys] for queries [batch, queries, width] and keys [batch, keys, width].
	Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor
}

// SquaredEuclidean scores by -‖q - k‖²: Snell et al. 2017, sections 2.3 and 2.4.
type SquaredEuclidean struct{}

// Score implements [Metric]. It expands the distance into ‖q‖² + ‖k‖² - 2q·k, so that no tensor of differences is made. It
// first subtracts the mean of the keys from both sides: embeddings after a ReLU have a common offset that is large against
// their distances, and the expansion would round at its magnitude. What is left is an absolute error of about 1e-7 times the
// squared distance to that mean; a score can be slightly above zero where q and k are nearly equal.
func (SquaredEuclidean) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	if keys.Dim(1) > 0 {
		// The distances do not depend on the offset, so no gradient needs to flow through it.
		offset := keys.Detach().MeanKeep(1) // [batch, 1, width]
		queries, keys = queries.Sub(offset), keys.Sub(offset)
	}
	qq := queries.Square().SumKeep(-1)                // [batch, queries, 1]
	kk := keys.Square().SumKeep(-1).Transpose(-2, -1) // [batch, 1, keys]
	qk := queries.MatMul(keys.Transpose(-2, -1))      // [batch, queries, keys]
	return qk.MulScalar(2).Sub(qq).Sub(kk)
}

// Cosine scores by the cosine of the angle between query and key: Vinyals et al. 2016, section 2.1.1.
type Cosine struct{}

// cosineEps is added to squared lengths, so that a zero vector has the cosine 0 to everything and a finite gradient. It
// moves the cosine of vectors longer than 0.01 by less than float32 resolves.
const cosineEps = 1e-12

// Score implements [Metric].
func (Cosine) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	return unit(queries).MatMul(unit(keys).Transpose(-2, -1))
}

// unit scales vectors [..., width] to length one.
func unit(x *tensor.Tensor) *tensor.Tensor {
	return x.Div(x.Square().SumKeep(-1).AddScalar(cosineEps).Sqrt())
}

var (
	_ Metric = SquaredEuclidean{}
	_ Metric = Cosine{}
)
