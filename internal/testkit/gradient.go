package testkit

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Gradients holds the gradient of a network's loss for each of its parameters against finite differences, in float64 and at
// elements drawn at random. The loss must use the pass that it is given, and depend on every parameter.
func Gradients(t *testing.T, ps *nn.Params, r *rand.Rand, loss func(p *nn.Pass) *tensor.Tensor) {
	t.Helper()
	const h = 1e-6
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	for _, param := range ps.All() {
		// Away from the first values, some of which are all alike.
		v := param.Value().Detach().To(tensor.Float64)
		p.With[param] = v.Add(Normal(r, v.Shape()...).MulScalar(.3)).Detach()
	}
	params := ps.Trained()
	var values []*tensor.Tensor
	for _, param := range params {
		values = append(values, p.With[param].RequireGrad())
	}
	grads := tensor.Grad(loss(p), values...)
	for i, param := range params {
		require.NotNil(t, grads[i], param.Name)
		got, plain := grads[i].Floats(), values[i].Detach().Floats()
		for range 3 {
			k := r.IntN(len(plain))
			at := func(v float64) float64 {
				moved := append([]float64{}, plain...)
				moved[k] = v
				p.With[param] = tensor.New(moved, values[i].Shape()...)
				defer func() { p.With[param] = values[i] }()
				return loss(p).Float()
			}
			want := (at(plain[k]+h) - at(plain[k]-h)) / (2 * h)
			assert.InDelta(t, want, got[k], 1e-6+1e-5*max(want, -want), "%s[%d]", param.Name, k)
		}
	}
}

// Normal is a float64 tensor drawn from a normal distribution.
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
