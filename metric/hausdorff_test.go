package metric_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hausdorff computes the distance by loops over all pairs of pixels.
func hausdorff(a, b []float64, side int) float64 {
	middle := func(image []float64) (x, y, n float64) {
		for i, v := range image {
			if v > .5 {
				x, y, n = x+float64(i%side), y+float64(i/side), n+1
			}
		}
		return x / n, y / n, n
	}
	ax, ay, an := middle(a)
	bx, by, bn := middle(b)
	directed := func(a, b []float64, ax, ay, bx, by, n float64) (sum float64) {
		for i, v := range a {
			nearest := math.Inf(1)
			for j, w := range b {
				if v > .5 && w > .5 {
					nearest = min(nearest, math.Hypot(float64(i%side)-ax-float64(j%side)+bx, float64(i/side)-ay-float64(j/side)+by))
				}
			}
			if v > .5 {
				sum += nearest / n
			}
		}
		return sum
	}
	return max(directed(a, b, ax, ay, bx, by, an), directed(b, a, bx, by, ax, ay, bn))
}

func TestModifiedHausdorffIsThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	const side = 9
	r := rand.New(rand.NewPCG(1, 0))
	m := metric.ModifiedHausdorff{}
	images := func(n int) *tensor.Tensor {
		v := make([]float64, 2*n*side*side)
		for i := range v {
			if r.IntN(4) == 0 {
				v[i] = .5 + r.Float64()/2
			}
		}
		return tensor.New(v, 2, int64(n), side*side)
	}
	q, k := images(4), images(3)
	want, _ := loop(func(q, k []float64) float64 { return -hausdorff(q, k, side) }, q, k)
	got := m.Score(nil, q, k)
	assert.Equal(t, []int64{2, 4, 3}, got.Shape())
	assert.InDeltaSlice(t, want, got.Floats(), 1e-9)
	assert.InDeltaSlice(t, got.Floats(), m.Score(nil, k, q).Transpose(1, 2).Floats(), 1e-12, "symmetric")
	assert.Equal(t, tensor.Float32, m.Score(nil, q.To(tensor.Float32), k.To(tensor.Float32)).DType())
	for i := range int64(4) {
		assert.Zero(t, m.Score(nil, q, q).Select(0, 0).Select(0, i).Select(0, i).Float(), "an image has the distance 0 to itself")
	}

	// A translated character is at distance 0.
	moved := k.Reshape(2, 3, side, side).Roll(3, 2)
	inside := tensor.Cat(3, tensor.Full(0, tensor.Float64, tensor.CPU, 2, 3, side, 2), moved.Narrow(3, 2, side-2)).Reshape(2, 3, side*side)
	before := tensor.Cat(3, moved.Narrow(3, 2, side-2), tensor.Full(0, tensor.Float64, tensor.CPU, 2, 3, side, 2)).Reshape(2, 3, side*side)
	assert.InDelta(t, 0, m.Score(nil, inside, before).Select(0, 0).Select(0, 0).Select(0, 0).Float(), 1e-9)
}

func TestModifiedHausdorffOfNoInk(t *testing.T) {
	testkit.Enter(t)
	m := metric.ModifiedHausdorff{}
	x := tensor.New([]float32{0, 0, 0, 0, 0, 1, 0, 0}, 1, 2, 4)
	far := -2 * math.Sqrt2
	assert.InDeltaSlice(t, []float64{0, far, far, 0}, m.Score(&nn.Pass{}, x, x).Floats(), 1e-6)
	var wrong *tensor.Error
	err := tensor.Do(func() error { m.Score(nil, x.Narrow(2, 0, 3), x.Narrow(2, 0, 3)); return nil })
	require.ErrorAs(t, err, &wrong)
	assert.ErrorContains(t, err, "square images")
}
