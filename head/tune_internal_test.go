package head

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// The fused steps give what the composition gives, for numbers of classes, widths and examples that fill no vector, and for each
// part of the loss by itself.
func TestFusedTuning(t *testing.T) {
	testkit.Enter(t)
	for _, size := range []struct{ way, shot, queries, width int64 }{{5, 1, 15, 64}, {7, 2, 9, 37}, {1, 1, 1, 3}, {12, 1, 30, 96}} {
		for _, c := range []TuneConfig{
			{CrossEntropy: .1, Marginal: 1, Conditional: .1, Temperature: 15, Normalize: true, Steps: 40, Rate: 1e-3},
			{CrossEntropy: 1, Temperature: 1, Steps: 10, Rate: 1e-2},
			{Marginal: 1, Temperature: 1, Steps: 10, Rate: 1e-2},
			{Conditional: 1, Temperature: 1, Steps: 10, Rate: 1e-2},
		} {
			for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
				h, n := NewTune(c), size.way*size.shot
				all := testkit.Normal(rand.New(rand.NewPCG(1, uint64(size.way))), 3, n+size.queries, size.width).To(d)
				if c.Normalize {
					all = unit(all)
				}
				labels := make([]int64, 3*n)
				for i := range labels {
					labels[i] = int64(i) % size.way
				}
				truth := tensor.New(labels, 3, n)
				y := truth.OneHot(size.way).To(d)
				bound := 1e-10
				if d == tensor.Float32 {
					bound = 1e-3
				}
				want := h.descend(all, y)
				got := h.logits(tensor.TuneWeights(h.begin(all, y), all, truth, c.tuning()), all).Transpose(-2, -1)
				assert.InDeltaSlice(t, want.Floats(), got.Floats(), bound, fmt.Sprint(size, c, d))
			}
		}
	}
}
