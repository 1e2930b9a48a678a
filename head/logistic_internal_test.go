package head

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// Both ways of fitting end at the same weights, whichever of support set and width is larger.
func TestLogisticFitsTheSameEitherWay(t *testing.T) {
	testkit.Enter(t)
	for _, c := range []LogisticConfig{{C: 1, Iterations: 3000}, {C: 30, Iterations: 3000}} {
		for _, width := range []int64{4, 40} {
			h := NewLogistic(c)
			const tasks, n, classes = 2, 18, 3
			z := unit(testkit.Normal(rand.New(rand.NewPCG(1, uint64(width))), tasks, n, width)).To(tensor.Float64)
			labels := make([]int64, tasks*n)
			for i := range labels {
				labels[i] = int64(i) % classes
			}
			y := tensor.New(labels, tasks, n).OneHot(classes).To(tensor.Float64)
			a, bias := h.fit(z.MatMul(z.Transpose(-2, -1)), y)
			w := h.fitWeights(withOnes(z), y)
			assert.InDeltaSlice(t, z.Transpose(-2, -1).MatMul(a).Contiguous().Floats(), w.Narrow(1, 0, width).Contiguous().Floats(), 1e-6)
			shift := func(of *tensor.Tensor) []float64 { return of.Sub(of.Narrow(2, 0, 1)).Contiguous().Floats() } // a constant changes no probability
			assert.InDeltaSlice(t, shift(bias), shift(w.Narrow(1, width, 1)), 1e-6)
		}
	}
}
