package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

func TestWrongFastWeightTokensAreErrors(t *testing.T) {
	testkit.Enter(t)
	z := tensor.Zeros
	e := tensor.Emission{Heads: 2, Key: 4, Value: 3, Writes: 2, MaxRate: 1, Channels: 4, Momentum: true, Ones: true}
	require.EqualValues(t, 2*(4+2*(4+3+1+1)+4), e.Width())
	tokens, momentum := tensor.FastWeightTokens(e, z(2, 5, e.Width()), z(2), z(2, 4))
	assert.Equal(t, []int64{2, 2, 5, 4}, tokens.Query.Shape())
	assert.Equal(t, []int64{2, 2, 10, 4}, tokens.Key.Shape())
	assert.Equal(t, []int64{2, 2, 10, 4}, tokens.Value.Shape(), "with a one")
	assert.Equal(t, []int64{2, 2, 10, 1}, tokens.Rate.Shape())
	assert.Equal(t, []int64{2, 2, 5, 4}, tokens.Decay.Shape())
	assert.Equal(t, []int64{2, 2, 10, 1}, momentum.Shape())
	for want, f := range map[string]func(){
		"want an emission [batch, time, 52]":                                            func() { tensor.FastWeightTokens(e, z(2, 5, 51), z(2), z(2, 4)) },
		"want a decay's rate [heads] and bias [heads, channels] of the emission's type": func() { tensor.FastWeightTokens(e, z(2, 5, e.Width()), z(2), z(2)) },
		"want a tensor of emissions of float32 or float64 on the CPU":                   func() { tensor.FastWeightTokens(e, z(2, 5, e.Width()).To(tensor.Int64), z(2), z(2, 4)) },
	} {
		err := tensor.Do(func() error { f(); return nil })
		require.Error(t, err, want)
		assert.ErrorContains(t, err, want)
	}
}
