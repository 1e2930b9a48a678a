package testkit

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/gradcheck"
	"github.com/engram-go/engram/tensor"
)

// Gradients fails the test if the gradient of a network's loss with respect to a parameter differs from finite
// differences, at random elements; see [gradcheck.Params].
func Gradients(t *testing.T, ps *nn.Params, r *rand.Rand, loss func(p *nn.Pass) *tensor.Tensor) {
	t.Helper()
	assert.NoError(t, gradcheck.Params(ps, loss, gradcheck.Options{Elements: 3, Rand: r}))
}

// Normal returns a float64 tensor drawn from a normal distribution.
func Normal(r *rand.Rand, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return tensor.New(v, shape...)
}
