package metric_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/tensor"
)

// A common offset of all embeddings, as after a ReLU, does not cost accuracy: distances in float32 are within 2e-6 of the
// largest distance of the float64 loop. Without the subtraction of the keys' mean the error is 5e-4 of it at an offset of 100.
func TestSquaredEuclideanKeepsDigitsAtAnOffset(t *testing.T) {
	testkit.Enter(t)
	for _, offset := range []float64{0, 10, 100, 1000} {
		r := rand.New(rand.NewPCG(5, 0))
		q := normal(r, offset, 2, 7, 64).To(tensor.Float32)
		k := normal(r, offset, 2, 5, 64).To(tensor.Float32)
		want, _ := loop(metrics[0].plain, q, k)
		largest := 0.
		for _, v := range want {
			largest = max(largest, -v)
		}
		got := metric.SquaredEuclidean{}.Score(nil, q, k).Floats()
		assert.InDeltaSlice(t, want, got, 2e-6*largest, "offset %g", offset)
		double := metric.SquaredEuclidean{}.Score(nil, q.To(tensor.Float64), k.To(tensor.Float64)).Floats()
		assert.InDeltaSlice(t, want, double, 1e-9, "offset %g", offset)
	}
}

// Without keys there are no scores, and the queries' gradient is zero, not NaN.
func TestSquaredEuclideanOfNoKeys(t *testing.T) {
	testkit.Enter(t)
	q := tensor.Ones(1, 3, 4).RequireGrad()
	score := metric.SquaredEuclidean{}.Score(nil, q, tensor.Zeros(1, 0, 4))
	assert.Equal(t, []int64{1, 3, 0}, score.Shape())
	for _, g := range tensor.Grad(score.Sum(), q) {
		assert.Equal(t, make([]float64, 12), g.Floats())
	}
}

// Forward and backward at the sizes of 5-way and 20-way episodes, with 64-wide and 1600-wide embeddings.
func BenchmarkSquaredEuclidean(b *testing.B) {
	for _, size := range [][3]int64{{75, 5, 64}, {300, 20, 64}, {75, 5, 1600}} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := tensor.Enter()
			defer s.Leave()
			r := rand.New(rand.NewPCG(5, 0))
			q := normal(r, 1, 1, size[0], size[2]).To(tensor.Float32).RequireGrad()
			k := normal(r, 1, 1, size[1], size[2]).To(tensor.Float32).RequireGrad()
			for b.Loop() {
				step := tensor.Enter()
				tensor.Grad(metric.SquaredEuclidean{}.Score(nil, q, k).Sum(), q, k)
				step.Leave()
			}
		})
	}
}
