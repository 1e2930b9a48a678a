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
		}
	})
}
