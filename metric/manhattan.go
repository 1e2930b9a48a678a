package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// WeightedManhattan scores by -Σⱼ αⱼ|qⱼ - kⱼ| with learned weights, which may be negative: the argument of the sigmoid in Koch
// et al. 2015, section 3.1, whose α has the opposite sign. Here αⱼ = Weightⱼ/width, and weights are initialised to 1: the
// score starts as the negated mean difference, and a step of Adam changes it by the same fraction at any width. It
// materialises the differences [batch, queries, keys, width].
type WeightedManhattan struct {
	Weight *nn.Param // [width]
}

// NewWeightedManhattan makes a learned metric for embeddings of a width.
func NewWeightedManhattan(b *nn.Builder, width int64) *WeightedManhattan {
	return &WeightedManhattan{b.Param("weight", nn.Constant(1), width)}
}

// Score implements [Metric].
func (m *WeightedManhattan) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	differences := queries.Unsqueeze(2).Sub(keys.Unsqueeze(1)).Abs() // [batch, queries, keys, width]
	return differences.MatMul(p.Value(m.Weight)).MulScalar(-1 / float64(keys.Dim(2)))
}

var _ Metric = (*WeightedManhattan)(nil)
