package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/tensor"
)

// Mismatched operands of an LSTM are our error on every LibTorch, because some versions read beyond the weights.
func TestLSTMRefusesWrongWidths(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	const in, size = 3, 2
	weights := func(layers, directions int, in int64) (ws []*tensor.Tensor) {
		for range layers {
			for range directions {
				ws = append(ws, tensor.Zeros(4*size, in), tensor.Zeros(4*size, size), tensor.Zeros(4*size), tensor.Zeros(4*size))
			}
			in = size * int64(directions)
		}
		return ws
	}
	x, state := tensor.Zeros(5, 1, in), tensor.Zeros(4, 1, size)
	run := func(x, h, c *tensor.Tensor, ws []*tensor.Tensor) error {
		return tensor.Do(func() error { tensor.LSTM(x, h, c, ws, 2, true); return nil })
	}
	require.NoError(t, run(x, state, state, weights(2, 2, in)), "matching operands are accepted")
	upper := weights(2, 2, in)
	upper[8] = tensor.Zeros(4*size, size) // the upper layer takes both directions
	for name, err := range map[string]error{
		"a wide input":       run(tensor.Zeros(5, 1, in+1), state, state, weights(2, 2, in)),
		"a narrow input":     run(tensor.Zeros(5, 1, in-1), state, state, weights(2, 2, in)),
		"no batch":           run(tensor.Zeros(5, in), state, state, weights(2, 2, in)),
		"another batch":      run(x, tensor.Zeros(4, 2, size), tensor.Zeros(4, 2, size), weights(2, 2, in)),
		"a wide state":       run(x, state, tensor.Zeros(4, 1, size+1), weights(2, 2, in)),
		"a missing layer":    run(x, state, state, weights(1, 2, in)),
		"an upper layer":     run(x, state, state, upper),
		"a flat weight":      run(x, state, state, append([]*tensor.Tensor{upper[0], tensor.Zeros(4)}, upper[2:]...)),
		"a bias of one gate": run(x, state, state, append(weights(2, 2, in)[:15], tensor.Zeros(size))),
	} {
		var e *tensor.Error
		require.ErrorAs(t, err, &e, name)
		assert.Equal(t, "LSTM", e.Op, name)
		assert.NotEmpty(t, e.Shapes, name)
	}
}

// Adam reads memory directly, so a wrong shape or type is an error before any parameter changes.
func TestAdamRefusesMismatch(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	step := func(p, g, m, v *tensor.Tensor) error {
		one := func(t *tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{t} }
		return tensor.Do(func() error { tensor.Adam(one(p), one(g), one(m), one(v), 1, .9, .999, 1e-8, 0, false, 1); return nil })
	}
	fits := func() *tensor.Tensor { return tensor.Ones(3) }
	require.NoError(t, step(fits(), fits(), fits(), fits()))
	for name, odd := range map[string]*tensor.Tensor{
		"short": tensor.Ones(2), "another shape": tensor.Ones(3, 1), "another type": fits().To(tensor.Float64),
	} {
		p := fits()
		assert.Error(t, step(p, odd, fits(), fits()), name)
		assert.Error(t, step(p, fits(), odd, fits()), name)
		assert.Error(t, step(p, fits(), fits(), odd), name)
		assert.Equal(t, []float64{1, 1, 1}, p.Floats(), name)
	}
}
