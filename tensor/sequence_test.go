package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// plainRMSNorm, plainUnitRows and plainConvolution are the reference implementations.
func plainRMSNorm(x, gain *tensor.Tensor, eps float64) *tensor.Tensor {
	return x.Mul(x.Square().MeanKeep(-1).AddScalar(eps).PowScalar(-.5)).Mul(gain)
}

func plainUnitRows(x *tensor.Tensor, eps float64) *tensor.Tensor {
	return x.Mul(x.Square().SumKeep(-1).AddScalar(eps).PowScalar(-.5))
}

func plainConvolution(x, kernel *tensor.Tensor, silu bool) *tensor.Tensor {
	n, time := kernel.Dim(0), x.Dim(1)
	padded := tensor.Cat(1, tensor.Full(0, x.DType(), x.Device(), x.Dim(0), n-1, x.Dim(2)), x)
	var sum *tensor.Tensor
	for i := range n {
		part := padded.Narrow(1, i, time).Mul(kernel.Narrow(0, i, 1))
		if sum == nil {
			sum = part
		} else {
			sum = sum.Add(part)
		}
	}
	if silu {
		sum = sum.Mul(sum.Sigmoid())
	}
	return sum
}

// The operations are their compositions: value, gradient and gradient of the gradient, of rows that are not contiguous too, with any
// number of threads.
func TestSequenceOperationsAreComposed(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	type operation func(x, w *tensor.Tensor) *tensor.Tensor
	for name, of := range map[string]struct {
		shape       func(batch, time, width int64) []int64 // of w
		fast, plain operation
	}{
		"RMS norm": {func(_, _, width int64) []int64 { return []int64{width} },
			func(x, w *tensor.Tensor) *tensor.Tensor { return tensor.RMSNorm(x, w, 1e-5) },
			func(x, w *tensor.Tensor) *tensor.Tensor { return plainRMSNorm(x, w, 1e-5) }},
		"unit rows": {func(_, _, width int64) []int64 { return []int64{width} },
			func(x, w *tensor.Tensor) *tensor.Tensor { return tensor.UnitRows(x, 1e-6).Mul(w) },
			func(x, w *tensor.Tensor) *tensor.Tensor { return plainUnitRows(x, 1e-6).Mul(w) }},
		"convolution": {func(_, _, width int64) []int64 { return []int64{4, width} },
			func(x, w *tensor.Tensor) *tensor.Tensor { return tensor.CausalConvolution(x, w, false) },
			func(x, w *tensor.Tensor) *tensor.Tensor { return plainConvolution(x, w, false) }},
		"convolution with SiLU": {func(_, _, width int64) []int64 { return []int64{3, width} },
			func(x, w *tensor.Tensor) *tensor.Tensor { return tensor.CausalConvolution(x, w, true) },
			func(x, w *tensor.Tensor) *tensor.Tensor { return plainConvolution(x, w, true) }},
	} {
		for dtype, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-11, tensor.Float32: 1e-4} {
			for _, size := range [][3]int64{{1, 1, 1}, {2, 2, 3}, {3, 5, 16}, {7, 40, 33}} {
				scope := tensor.Enter()
				batch, time, width := size[0], size[1], size[2]
				r := rand.New(rand.NewPCG(1, 1))
				draw := func(shape ...int64) *tensor.Tensor { return testkit.Normal(r, shape...).To(dtype).Detach() }
				x, w := draw(time, batch, width).RequireGrad(), draw(of.shape(batch, time, width)...).RequireGrad()
				onValue, onX, onW := draw(batch, time, width), draw(time, batch, width), draw(w.Shape()...)
				run := func(f operation) (out [][]float64) {
					y := f(x.Transpose(0, 1), w)
					grads := tensor.GradWith([]*tensor.Tensor{y.Mul(onValue).Sum()}, []*tensor.Tensor{x, w}, tensor.GradOptions{Create: true})
					second := tensor.Grad(grads[0].Mul(onX).Sum().Add(grads[1].Mul(onW).Sum()), x, w)
					first := tensor.Grad(f(x.Transpose(0, 1), w).Mul(onValue).Sum(), x, w)
					for _, v := range append([]*tensor.Tensor{y, first[0], first[1], grads[0], grads[1]}, second...) {
						if v == nil { // of a constant gradient
							v = tensor.Zeros(1)
						}
						out = append(out, v.Floats())
					}
					return out
				}
				tensor.SetThreads(1)
				want, got := run(of.plain), run(of.fast)
				tensor.SetThreads(2)
				require.Equal(t, got[:3], run(of.fast)[:3], "threads")
				for i := range want {
					if len(want[i]) == len(got[i]) {
						require.InDeltaSlice(t, want[i], got[i], tolerance*float64(5+batch*time), "%s, tensor %d of %v in %v", name, i, size, dtype)
					}
				}
				scope.Leave()
			}
		}
	}
}

func TestWrongSequencesAreErrors(t *testing.T) {
	testkit.Enter(t)
	x := tensor.Zeros(2, 3, 4)
	for want, f := range map[string]func(){
		"want a gain of the width and type of the rows":                          func() { tensor.RMSNorm(x, tensor.Zeros(3), 1e-5) },
		"want rows [..., width]":                                                 func() { tensor.UnitRows(tensor.Zeros(1).Reshape(), 1e-5) },
		"want sequences [batch, time, channels] and a kernel [length, channels]": func() { tensor.CausalConvolution(x, tensor.Zeros(2, 3), true) },
	} {
		assert.ErrorContains(t, tensor.Do(func() error { f(); return nil }), want)
	}
}

// A convolution of the identity's kernel shifts nothing, and a position depends on those before it only.
func TestCausalConvolution(t *testing.T) {
	testkit.Enter(t)
	x := tensor.New([]float64{1, 2, 3, 4}, 1, 4, 1)
	assert.Equal(t, []float64{1, 2, 3, 4}, tensor.CausalConvolution(x, tensor.New([]float64{0, 0, 1}, 3, 1), false).Floats())
	assert.Equal(t, []float64{0, 0, 1, 2}, tensor.CausalConvolution(x, tensor.New([]float64{1, 0, 0}, 3, 1), false).Floats())
	assert.Equal(t, []float64{1, 12, 23, 34}, tensor.CausalConvolution(x, tensor.New([]float64{10, 1}, 2, 1), false).Floats())
}

// A convolution is the loop over positions, channels and the kernel.
func TestCausalConvolutionIsItsLoop(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	x, k := testkit.Normal(r, 1, 5, 2), testkit.Normal(r, 3, 2)
	got := tensor.CausalConvolution(x, k, false).Floats()
	for i := range 5 {
		for c := range 2 {
			want := 0.
			for j := range 3 {
				if at := i + j - 2; at >= 0 {
					want += x.Floats()[at*2+c] * k.Floats()[j*2+c]
				}
			}
			assert.InDelta(t, want, got[i*2+c], 1e-12)
		}
	}
}
