package metric

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// WeightedManhattan scores by -Σⱼ αⱼ|qⱼ - kⱼ| with learned weights, which may be negative: what Koch et al. 2015, section
// 3.1, put under a sigmoid (the sign of their α is the other). It begins with αⱼ = 1/width, as the mean difference, whatever
// the width. It makes a tensor of the differences, [batch, queries, keys, width].
type WeightedManhattan struct {
	Weight *nn.Param // α [width]
}

// NewWeightedManhattan makes a learned metric for embeddings of a width.
func NewWeightedManhattan(b *nn.Builder, width int64) *WeightedManhattan {
	return &WeightedManhattan{b.Param("weight", nn.Constant(1/float64(width)), width)}
}

// Score implements [Metric].
func (m *WeightedManhattan) Score(p *nn.Pass, queries, keys *tensor.Tensor) *tensor.Tensor {
	differences := queries.Unsqueeze(2).Sub(keys.Unsqueeze(1)).Abs() // [batch, queries, keys, width]
	return differences.MatMul(p.Value(m.Weight)).Neg()
}

var _ Metric = (*WeightedManhattan)(nil)
