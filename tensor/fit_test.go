package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

type fitArguments struct {
	rule   tensor.FitRule
	state  tensor.FitState
	tokens tensor.FitTokens
	n      int64
}

func (a fitArguments) run() (read *tensor.Tensor, weights, sums []*tensor.Tensor) {
	return tensor.Fit(a.rule, a.state, a.tokens, a.n)
}

func goodFit() fitArguments {
	z := tensor.Zeros
	weights := func() []*tensor.Tensor {
		return []*tensor.Tensor{z(2, 1, 4, 6), z(2, 1, 1, 6), z(2, 1, 6, 4), z(2, 1, 1, 4)}
	}
	return fitArguments{
		tensor.FitRule{Layers: 2, Biased: true, Residual: true, Loss: tensor.FitSquared, LossScale: 1, NormEps: 1e-6, Window: 3},
		tensor.FitState{Weights: weights(), Sums: weights(), Starts: weights()},
		tensor.FitTokens{
			Key: z(2, 1, 7, 4), Value: z(2, 1, 7, 4), Query: z(2, 1, 5, 4), Rate: z(2, 1, 5, 1), Decay: z(2, 1, 5, 1), Momentum: z(2, 1, 5, 1),
			Gain: z(1, 1, 4), Bias: z(1, 1, 4),
		}, 5,
	}
}

func TestWrongFitArgumentsAreErrors(t *testing.T) {
	testkit.Enter(t)
	z := tensor.Zeros
	read, weights, sums := goodFit().run()
	assert.Equal(t, []int64{2, 1, 5, 4}, read.Shape())
	for i, w := range goodFit().state.Weights {
		assert.Equal(t, w.Shape(), weights[i].Shape())
		assert.Equal(t, w.Shape(), sums[i].Shape())
	}
	for want, spoil := range map[string]func(a *fitArguments){
		"want 1 to 8 layers": func(a *fitArguments) {
			a.rule.Layers = 9
			a.state = tensor.FitState{Weights: make([]*tensor.Tensor, 18)}
		},
		"want a tensor for each layer, and for each bias":                                func(a *fitArguments) { a.state.Sums = a.state.Sums[1:] },
		"want keys [batch, heads, tokens, key] and values [batch, heads, tokens, value]": func(a *fitArguments) { a.tokens.Value = z(2, 1, 6, 4) },
		"want at most as many tokens as keys":                                            func(a *fitArguments) { a.n = 8 },
		"want positions without decays and momenta":                                      func(a *fitArguments) { a.tokens.Positions = z(5) },
		"want positions [time]": func(a *fitArguments) {
			a.tokens.Decay, a.tokens.Momentum, a.tokens.Positions = nil, nil, z(4)
		},
		"want either a simplex or orthogonal changes": func(a *fitArguments) { a.rule.Orthogonal = 2 },
		"want momenta or positions with sums":         func(a *fitArguments) { a.tokens.Momentum = nil },
		"want weights [batch, heads, in, out]":        func(a *fitArguments) { a.state.Weights[2] = z(2, 1, 5, 4) },
		"biases [batch, heads, 1, out]":               func(a *fitArguments) { a.state.Weights[1] = z(2, 1, 1, 5) },
		"want sums and starts of the shape of the weights": func(a *fitArguments) {
			copy(a.state.Starts, []*tensor.Tensor{z(2, 1, 4, 7), z(2, 1, 1, 7), z(2, 1, 7, 4)})
		},
		"want a last layer of the width of the values": func(a *fitArguments) { a.tokens.Value = z(2, 1, 7, 3) },
		"want queries [batch, heads, time, 4]":         func(a *fitArguments) { a.tokens.Query = z(2, 1, 4, 4) },
		"want rates [batch, heads, time, 1]":           func(a *fitArguments) { a.tokens.Rate = z(2, 1, 5, 2) },
		"want decays [batch, heads, time, 1]":          func(a *fitArguments) { a.tokens.Decay = z(2, 1, 5, 4) },
		"want momenta [batch, heads, time, 1]":         func(a *fitArguments) { a.tokens.Momentum = z(5) },
		"want a gain and a bias, and keys and values":  func(a *fitArguments) { a.tokens.Gain = nil },
		"want a gain and a bias [heads, 1, value]":     func(a *fitArguments) { a.tokens.Bias = z(4) },
		"want all tensors of the type of the keys":     func(a *fitArguments) { a.tokens.Rate = a.tokens.Rate.To(tensor.Float64) },
		"want a key of float32 or float64 on the CPU":  func(a *fitArguments) { a.tokens.Key = a.tokens.Key.To(tensor.Int64) },
	} {
		a := goodFit()
		spoil(&a)
		if a.rule.Layers == 9 {
			for i := range a.state.Weights {
				a.state.Weights[i] = z(2, 1, 4, 4)
			}
		}
		err := tensor.Do(func() error { a.run(); return nil })
		require.Error(t, err, want)
		assert.ErrorContains(t, err, want)
	}
}

func TestFitHasNoSecondOrderGradient(t *testing.T) {
	testkit.Enter(t)
	a := goodFit()
	a.tokens.Key = a.tokens.Key.RequireGrad()
	read, _, _ := a.run()
	err := tensor.Do(func() error {
		tensor.GradWith([]*tensor.Tensor{read.Sum()}, []*tensor.Tensor{a.tokens.Key}, tensor.GradOptions{Create: true})
		return nil
	})
	assert.ErrorContains(t, err, "second-order gradient")
}
