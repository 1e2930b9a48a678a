package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/tensor"
)

// Package encoder compares results with PyTorch's.
func TestModuleHoldsNoTensors(t *testing.T) {
	balanced(t, func() {
		m, ts, err := tensor.LoadModule("../encoder/testdata/resnet.pt", tensor.CPU)
		require.NoError(t, err)
		values := make([]*tensor.Tensor, len(ts))
		var names []string
		for i, v := range ts {
			values[i] = v.Tensor
			if v.Parameter {
				names = append(names, v.Name)
			}
		}
		assert.Equal(t, "conv1.weight", ts[0].Name)
		assert.Contains(t, names, "layer1.bn1.weight")
		assert.NotContains(t, names, "layer1.bn1.running_mean")
		x := tensor.Ones(2, 3, 8, 8)
		before := m.Forward(x, values, tensor.ModuleCall{}).Floats()
		assert.Equal(t, before, m.Forward(x, values, tensor.ModuleCall{}).Floats())

		// Each call computes with its own tensors and does not change them.
		moved := append([]*tensor.Tensor(nil), values...)
		moved[0] = values[0].MulScalar(2).RequireGrad()
		y := m.Forward(x, moved, tensor.ModuleCall{})
		assert.NotEqual(t, before, y.Floats())
		assert.NotNil(t, tensor.Grad(y.Sum(), moved[0])[0])
		assert.Equal(t, before, m.Forward(x, values, tensor.ModuleCall{}).Floats())

		for _, bad := range []func(){
			func() { m.Forward(x, values[1:], tensor.ModuleCall{}) },
			func() { m.Forward(tensor.Ones(2, 1, 8, 8), values, tensor.ModuleCall{}) },
		} {
			assert.ErrorContains(t, tensor.Do(func() error { bad(); return nil }), "tensor: Module.Forward of [2 ")
			assert.Equal(t, before, m.Forward(x, values, tensor.ModuleCall{}).Floats(), "a failed call does not change the module")
		}
		_, _, err = tensor.LoadModule("module.go", tensor.CPU)
		assert.ErrorContains(t, err, "tensor: LoadModule: ")
	})
}

func TestLeakyReLU(t *testing.T) {
	balanced(t, func() {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			x := tensor.New([]float32{-2, 0, 3}, 3).To(d).RequireGrad()
			y := x.LeakyReLU(.25)
			assert.Equal(t, []float64{-.5, 0, 3}, y.Floats())
			assert.Equal(t, []float64{.25, .25, 1}, tensor.Grad(y.Sum(), x)[0].Floats())
			// The gradient has a gradient: that of (Σ w·y)² by x is 2·(Σ w·y)·w·y', and by x again 2·(w·y')².
			w := tensor.New([]float32{1, 2, -1}, 3).To(d)
			sum := x.LeakyReLU(.25).Mul(w).Sum()
			first := tensor.GradWith([]*tensor.Tensor{sum.Mul(sum)}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})[0]
			assert.Equal(t, []float64{-1.75, -3.5, 7}, first.Floats())
			assert.Equal(t, []float64{-.125, -.25, .5}, tensor.Grad(first.Sum(), x)[0].Floats())
		}
	})
}

// The gradient of a leaky ReLU needs its result alone, so that a record keeps no map of 64 MB of its input.
func TestLeakyReLUKeepsItsResultAlone(t *testing.T) {
	balanced(t, func() {
		x := tensor.Full(1, tensor.Float32, tensor.CPU, 16<<20).RequireGrad()
		before := residentMB(t)
		y := x.MulScalar(2)
		z := y.LeakyReLU(.5)
		y.Free()
		assert.InDelta(t, 64, residentMB(t)-before, 16)
		assert.Equal(t, 2.0, tensor.Grad(z.Sum(), x)[0].Mean().Float())
	})
}
