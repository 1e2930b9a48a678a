// Package metric scores the similarity of embeddings. A larger score always means more similar: distances are negated.
package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Metric scores queries against keys.
//
// Implementations read learned parameters by [nn.Pass.Value] and keep no tensor beyond the call. Score must be
// differentiable with respect to queries, keys and parameters, with finite gradients also for zero rows and for identical
// rows, unless the metric's documentation says otherwise. With Training unset in the pass it may be called from several
// goroutines at once.
type Metric interface {
	// Score returns [batch, queries, keys] for queries [batch, queries, width] and keys [batch, keys, width]. It must not
	// change its arguments. It panics with a [tensor.Error] if their shapes do not fit. p may be nil for metrics without
	// parameters.
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

// cosineEps is added to squared norms, so that the cosine of a zero vector is 0 and its gradient finite. For vectors longer
// than 0.01 the change is below the resolution of float32.
const cosineEps = 1e-12

// Score implements [Metric].
func (Cosine) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	return unit(queries).MatMul(unit(keys).Transpose(-2, -1))
}

// unit normalises vectors [..., width] to length 1.
func unit(x *tensor.Tensor) *tensor.Tensor {
	return x.Div(x.Square().SumKeep(-1).AddScalar(cosineEps).Sqrt())
}

var (
	_ Metric = SquaredEuclidean{}
	_ Metric = Cosine{}
)
