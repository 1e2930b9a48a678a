package gradcheck_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/gradcheck"
	"github.com/engram-go/engram/tensor"
)

// The gradients of a memory with respect to its parameters, through three steps.
func ExampleParams() {
	scope := tensor.Enter()
	defer scope.Leave()
	const control = 6
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	m := memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 5, Width: 3})
	x := tensor.Full(.5, tensor.Float64, tensor.CPU, 2, control)
	err := gradcheck.Params(b.Params(), func(p *nn.Pass) *tensor.Tensor {
		state, loss := m.Init(p, 2), tensor.Full(0, tensor.Float64, tensor.CPU)
		for range 3 {
			var read *tensor.Tensor
			read, state = m.Step(p, x, state)
			loss = loss.Add(read.Square().Sum())
		}
		return loss
	}, gradcheck.Options{Elements: 3})
	fmt.Println(err)
	// Output: <nil>
}

func TestAWrongGradientIsFound(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	x := tensor.New([]float64{1, 2}, 2).RequireGrad()
	assert.NoError(t, gradcheck.Tensors([]*tensor.Tensor{x}, func() *tensor.Tensor { return x.Square().Sum() }, gradcheck.Options{}))
	err := gradcheck.Tensors([]*tensor.Tensor{x}, func() *tensor.Tensor { return x.Mul(x.Detach()).Sum() }, gradcheck.Options{})
	assert.ErrorContains(t, err, "leaf 0 of [2][0]: the gradient is 1, the finite difference 2")
	assert.ErrorContains(t, err, "[1]: the gradient is 2")
	assert.Equal(t, []float64{1, 2}, x.Floats(), "put back")

	nan := tensor.New([]float64{0}, 1).RequireGrad()
	assert.Error(t, gradcheck.Tensors([]*tensor.Tensor{nan}, func() *tensor.Tensor { return nan.Square().Sqrt().Sum() }, gradcheck.Options{}))

	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	w := b.Param("w", nn.Constant(1), 3)
	b.Param("unused", nn.Constant(1), 1)
	assert.NoError(t, gradcheck.Params(b.Params(), func(p *nn.Pass) *tensor.Tensor { return p.Value(w).Exp().Sum() }, gradcheck.Options{}))
	assert.ErrorContains(t, gradcheck.Params(b.Params(), func(p *nn.Pass) *tensor.Tensor {
		return p.Value(w).Mul(p.Value(w).Detach()).Sum()
	}, gradcheck.Options{}), "w[0]")
	assert.Equal(t, []float64{1, 1, 1}, w.Value().Floats())
}
