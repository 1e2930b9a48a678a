package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Euclidean scores by -‖q - k‖.
type Euclidean struct{}

// distanceEps is added to a squared distance before the square root, whose gradient is infinite at zero. Identical points
// then have the distance 1e-6 and a gradient of zero.
const distanceEps = 1e-12

// Score implements [Metric].
func (Euclidean) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	return SquaredEuclidean{}.Score(p, queries, keys).Neg().ClampMin(0).AddScalar(distanceEps).Sqrt().Neg()
}

// Manhattan scores by -Σ|q - k|. It materialises the differences [batch, queries, keys, width].
type Manhattan struct{}

// Score implements [Metric].
func (Manhattan) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	return queries.Unsqueeze(2).Sub(keys.Unsqueeze(1)).Abs().Sum(-1).Neg()
}

// Dot scores by the dot product q·k. It does not measure similarity alone: it grows with the length of the key.
type Dot struct{}

// Score implements [Metric].
func (Dot) Score(_ *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	if queries.Dim(-2) == 1 { // one query per batch element: twice as fast as a batched matrix product
		return queries.Mul(keys).SumKeep(-1).Transpose(-2, -1)
	}
	return queries.MatMul(keys.Transpose(-2, -1))
}

// Mahalanobis scores by -(q - k)ᵀ M (q - k) with a learned positive semi-definite M = LLᵀ: the squared Euclidean distance
// after a linear map, as in Xing et al. 2002, eq. 1. It is initialised to the squared Euclidean distance.
type Mahalanobis struct {
	Map *nn.Param // L [width, width], or its diagonal [width]
}

// NewMahalanobis makes a learned metric for embeddings of a width. With diagonal set, L is diagonal.
func NewMahalanobis(b *nn.Builder, width int64, diagonal bool) *Mahalanobis {
	if diagonal {
		return &Mahalanobis{b.Param("diagonal", nn.Constant(1), width)}
	}
	return &Mahalanobis{b.Param("map", nn.Identity, width, width)}
}

// Score implements [Metric].
func (m *Mahalanobis) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	l := p.Value(m.Map)
	apply := func(x *tensor.Tensor) *tensor.Tensor {
		if l.Rank() == 1 {
			return x.Mul(l)
		}
		return x.MatMul(l)
	}
	return SquaredEuclidean{}.Score(p, apply(queries), apply(keys))
}

var (
	_ Metric = Euclidean{}
	_ Metric = Manhattan{}
	_ Metric = Dot{}
	_ Metric = (*Mahalanobis)(nil)
)
