package nn_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

func TestDropout(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	x := tensor.Ones(100, 100).RequireGrad()
	train := func() *nn.Pass { return &nn.Pass{Training: true, Rand: stream.New(1, "noise")} }
	y := nn.Dropout(train(), x, .25)
	values, dropped := y.Floats(), 0
	for _, v := range values {
		if v == 0 {
			dropped++
		} else {
			assert.InDelta(t, 1/.75, v, 1e-6)
		}
	}
	assert.InDelta(t, 2500, dropped, 200)
	assert.Equal(t, values, tensor.Grad(y.Sum(), x)[0].Floats(), "the gradient passes through the kept values")
	assert.Equal(t, values, nn.Dropout(train(), x, .25).Floats(), "the same seed drops the same values")
	assert.Same(t, x, nn.Dropout(&nn.Pass{}, x, .25))
	assert.Same(t, x, nn.Dropout(&nn.Pass{Training: true}, x, 0))
}

func TestFromTensor(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	value := tensor.New([]float32{1, 2}, 2)
	p, n := b.In("a").FromTensor("w", value, true), b.FromTensor("n", tensor.New([]int64{3}, 1), false)
	assert.Equal(t, "a.w", p.Name)
	assert.True(t, p.Value().RequiresGrad())
	assert.True(t, n.Buffer)
	assert.Equal(t, tensor.Int64, n.Value().DType())
	value.Assign(tensor.Zeros(2))
	assert.Equal(t, []float64{1, 2}, p.Value().Floats(), "a copy")
	assert.Panics(t, func() { b.In("a").FromTensor("w", value, true) })
}
