package tensor_test

import (
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

// y = a²b, z = ab: gradients of both outputs with respect to both inputs, by hand.
func TestGradOfSeveralOutputsForSeveralInputs(t *testing.T) {
	balanced(t, func() {
		a, b := tensor.New([]float64{2, 3}, 2).RequireGrad(), tensor.New([]float64{5, 7}, 2).RequireGrad()
		y, z := a.Square().Mul(b), a.Mul(b)
		g := tensor.GradWith([]*tensor.Tensor{y, z}, []*tensor.Tensor{a, b}, tensor.GradOptions{
			Outputs: []*tensor.Tensor{nil, tensor.New([]float64{10, 100}, 2)},
		})
		assert.Equal(t, []float64{2*2*5 + 10*5, 2*3*7 + 100*7}, g[0].Floats())
		assert.Equal(t, []float64{2*2 + 10*2, 3*3 + 100*3}, g[1].Floats())
	})
}

func TestSecondOrder(t *testing.T) {
	balanced(t, func() {
		x := tensor.New([]float64{2, -1}, 2).RequireGrad()
		y := x.PowScalar(3).Sum()
		g := tensor.GradWith([]*tensor.Tensor{y}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})[0]
		assert.Equal(t, []float64{12, 3}, g.Floats()) // 3x²
		h := tensor.Grad(g.Sum(), x)[0]
		assert.Equal(t, []float64{12, -6}, h.Floats()) // 6x
	})
}

func TestGradOfUnusedInputIsNil(t *testing.T) {
	balanced(t, func() {
		x, unused := tensor.Ones(1).RequireGrad(), tensor.Ones(1).RequireGrad()
		g := tensor.Grad(x.Exp(), x, unused)
		assert.NotNil(t, g[0])
		assert.Nil(t, g[1])
	})
}

func TestRetainAllowsASecondCall(t *testing.T) {
	balanced(t, func() {
		x := tensor.New([]float64{3}, 1).RequireGrad()
		y := x.Exp().Log().Square()
		again := func() []*tensor.Tensor { return tensor.Grad(y, x) }
		tensor.GradWith([]*tensor.Tensor{y}, []*tensor.Tensor{x}, tensor.GradOptions{Retain: true})
		assert.InDelta(t, 6, again()[0].Float(), 1e-12)
		assert.Error(t, tensor.Do(func() error { again(); return nil }), "the graph is gone after a call without Retain")
	})
}

func TestGradModeIsRestored(t *testing.T) {
	balanced(t, func() {
		x := tensor.Ones(1).RequireGrad()
		records := func() bool { return x.Exp().RequiresGrad() }
		assert.True(t, records())
		tensor.NoGrad(func() {
			assert.False(t, records())
			tensor.NoGrad(func() {})
			assert.False(t, records(), "an inner NoGrad must not switch recording on")
			tensor.WithGrad(func() { assert.True(t, records()) })
			assert.False(t, records())
		})
		assert.True(t, records())
		assert.Panics(t, func() { tensor.NoGrad(func() { panic("x") }) })
		assert.True(t, records(), "restored after a panic")
	})
}
