package fewshot

import (
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Pairs is a batch of pairs of images for a [Verifier].
type Pairs struct {
	Left, Right *tensor.Tensor // [pairs, channels, height, width]
	Same        *tensor.Tensor // [pairs], 1 where both images show the same class, else 0
}

// NewPairs copies a batch of pairs to a device.
func NewPairs(b *episode.PairBatch, on tensor.Device) *Pairs {
	shape := []int64{int64(b.Pairs), int64(b.Channels), int64(b.Height), int64(b.Width)}
	return &Pairs{
		Left: Images(b.Left, on, shape...), Right: Images(b.Right, on, shape...), Same: tensor.Upload(b.Same, on, int64(b.Pairs)),
	}
}

// Accuracies returns 1 for each pair that logits [pairs] classify correctly, and 0 for each of the others.
func (p *Pairs) Accuracies(logits *tensor.Tensor) []float64 {
	s := tensor.Enter()
	defer s.Leave()
	zeros := p.Same.ZerosLike()
	return logits.Gt(zeros).Eq(p.Same.Gt(zeros)).To(tensor.Float64).Floats()
}
