package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

var muon = [3]float64{3.4445, -4.7750, 2.0315}

// The iteration is that of LibTorch's operations, value and gradient, for wide, tall and single-row matrices, in both precisions and
// with one thread and with two.
func TestNewtonSchulzIsItsComposition(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	composed := func(x *tensor.Tensor) *tensor.Tensor {
		x = x.Mul(x.Square().SumKeep(-2, -1).AddScalar(1e-6).PowScalar(-.5))
		tall := x.Dim(-2) > x.Dim(-1)
		if tall {
			x = x.Transpose(-2, -1)
		}
		for range 5 {
			a := x.MatMul(x.Transpose(-2, -1))
			x = x.MulScalar(muon[0]).Add(a.MulScalar(muon[1]).Add(a.MatMul(a).MulScalar(muon[2])).MatMul(x))
		}
		if tall {
			x = x.Transpose(-2, -1)
		}
		return x
	}
	for dtype, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-10, tensor.Float32: 2e-4} {
		for _, shape := range [][]int64{{2, 3, 8, 32}, {5, 33, 20}, {4, 1, 5}, {7, 7}, {300, 3, 17}} {
			testkit.Enter(t)
			r := rand.New(rand.NewPCG(1, 1))
			x := testkit.Normal(r, shape...).To(dtype).Detach().RequireGrad()
			weight := testkit.Normal(r, shape...).To(dtype)
			outcome := func(f func(*tensor.Tensor) *tensor.Tensor) [2][]float64 {
				y := f(x)
				return [2][]float64{y.Floats(), tensor.Grad(y.Mul(weight).Sum(), x)[0].Floats()}
			}
			fused := func(x *tensor.Tensor) *tensor.Tensor { return tensor.NewtonSchulz(x, muon, 5, 1e-6) }
			tensor.SetThreads(1)
			want, got := outcome(composed), outcome(fused)
			require.InDeltaSlice(t, want[0], got[0], tolerance, "%v %v", shape, dtype)
			require.InDeltaSlice(t, want[1], got[1], tolerance, "gradient of %v %v", shape, dtype)
			tensor.SetThreads(2)
			require.Equal(t, got, outcome(fused), "threads")
		}
	}
}

// Singular values come near to one: of an orthogonal matrix of two rows, whatever its length.
func TestNewtonSchulzMakesMatricesOrthogonal(t *testing.T) {
	testkit.Enter(t)
	y := tensor.NewtonSchulz(tensor.New([]float64{3, 0, 4, -.4, 0, .3}, 2, 3), muon, 5, 0)
	gram := y.MatMul(y.Transpose(0, 1)).Floats()
	assert.InDelta(t, 0, gram[1], 1e-9)
	for _, square := range []float64{gram[0], gram[3]} {
		assert.InDelta(t, 1, square, .6, "the coefficients bring them to between 0.7 and 1.2")
	}
}

func TestWrongMatricesAreErrors(t *testing.T) {
	testkit.Enter(t)
	for want, x := range map[string]*tensor.Tensor{
		"want matrices [..., rows, columns]":                         tensor.Zeros(3),
		"want a tensor of matrices of float32 or float64 on the CPU": tensor.Zeros(2, 2).To(tensor.Int64),
	} {
		assert.ErrorContains(t, tensor.Do(func() error { tensor.NewtonSchulz(x, muon, 5, 1e-6); return nil }), want)
	}
	x := tensor.Full(.5, tensor.Float32, tensor.CPU, 2, 3).RequireGrad()
	err := tensor.Do(func() error {
		tensor.GradWith([]*tensor.Tensor{tensor.NewtonSchulz(x, muon, 5, 1e-6).Sum()}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})
		return nil
	})
	assert.ErrorContains(t, err, "second-order gradient")
}
