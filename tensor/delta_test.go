package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

func TestWrongDeltaTokensAreErrors(t *testing.T) {
	testkit.Enter(t)
	z := tensor.Zeros
	good := func() (*tensor.Tensor, tensor.DeltaTokens) {
		return z(2, 1, 4, 3), tensor.DeltaTokens{Key: z(2, 1, 5, 4), Value: z(2, 1, 5, 3), Rate: z(2, 1, 5, 1), Decay: z(2, 1, 5, 1), Query: z(2, 1, 5, 4)}
	}
	state, tokens := good()
	read, next := tensor.Delta(state, tokens, true)
	assert.Equal(t, []int64{2, 1, 5, 3}, read.Shape())
	assert.Equal(t, []int64{2, 1, 4, 3}, next.Shape())
	for want, spoil := range map[string]func(state **tensor.Tensor, t *tensor.DeltaTokens){
		"want keys [batch, heads, time, key] and values [batch, heads, time, value]": func(_ **tensor.Tensor, t *tensor.DeltaTokens) { t.Value = z(2, 1, 4, 3) },
		"want a state [batch, heads, key, value]":                                    func(s **tensor.Tensor, _ *tensor.DeltaTokens) { *s = z(2, 1, 3, 4) },
		"want rates [batch, heads, time, 1]":                                         func(_ **tensor.Tensor, t *tensor.DeltaTokens) { t.Rate = z(2, 1, 5, 4) },
		"want a decay [batch, heads, time, 1] or [batch, heads, time, key]":          func(_ **tensor.Tensor, t *tensor.DeltaTokens) { t.Decay = z(2, 1, 5, 3) },
		"want queries [batch, heads, time, 4]":                                       func(_ **tensor.Tensor, t *tensor.DeltaTokens) { t.Query = z(2, 1, 4, 4) },
		"want all tensors of the type of the keys, on the CPU":                       func(_ **tensor.Tensor, t *tensor.DeltaTokens) { t.Rate = t.Rate.To(tensor.Float64) },
		"want a key of float32 or float64 on the CPU":                                func(_ **tensor.Tensor, t *tensor.DeltaTokens) { t.Key = t.Key.To(tensor.Int64) },
	} {
		state, tokens := good()
		spoil(&state, &tokens)
		err := tensor.Do(func() error { tensor.Delta(state, tokens, true); return nil })
		require.Error(t, err, want)
		assert.ErrorContains(t, err, want)
	}
}

func TestDeltaHasNoSecondOrderGradient(t *testing.T) {
	testkit.Enter(t)
	key := tensor.Full(.5, tensor.Float32, tensor.CPU, 1, 1, 3, 2).RequireGrad()
	_, next := tensor.Delta(tensor.Zeros(1, 1, 2, 2), tensor.DeltaTokens{Key: key, Value: key, Rate: tensor.Full(1, tensor.Float32, tensor.CPU, 1, 1, 3, 1)}, true)
	err := tensor.Do(func() error {
		tensor.GradWith([]*tensor.Tensor{next.Sum()}, []*tensor.Tensor{key}, tensor.GradOptions{Create: true})
		return nil
	})
	assert.ErrorContains(t, err, "second-order gradient")
}
