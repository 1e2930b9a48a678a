package tensor_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
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

// One pass over a product computes what LibTorch's operations do, also in the tails of the normal distribution and for views.
func TestEpiloguesAreLibTorchsOperations(t *testing.T) {
	for _, width := range []int64{1, 5, 16, 37, 384} {
		for d, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-12, tensor.Float32: 3e-6} {
			t.Run(fmt.Sprint(width, d), func(t *testing.T) {
				testkit.Enter(t)
				r := rand.New(rand.NewPCG(4, uint64(width)))
				normal := func(shape ...int64) *tensor.Tensor { return testkit.Normal(r, shape...).To(d) }
				x, w, b := normal(3, 4, 6).Transpose(0, 1), normal(width, 6).MulScalar(2), normal(width)
				y, residual, gain, shift := normal(4, 3, 2*width).Narrow(2, 0, width), normal(4, 3, width), normal(width), normal(width)
				exact := func(x *tensor.Tensor) *tensor.Tensor { return x.To(tensor.Float64) }
				with := func(b *tensor.Tensor) {
					product, sum := exact(x).MatMul(exact(w).Transpose(0, 1)), exact(residual).Add(exact(y))
					if b != nil {
						product, sum = product.Add(exact(b)), sum.Add(exact(b))
					}
					assert.InDeltaSlice(t, product.GELU().Floats(), tensor.LinearGELU(x, w, b).Floats(), tolerance)
					assert.InDeltaSlice(t, tensor.LayerNorm(sum, exact(gain), exact(shift), 1e-5).Floats(), tensor.AddLayerNorm(residual, y, b, gain, shift, 1e-5).Floats(), tolerance)
				}
				with(b)
				with(nil)
			})
		}
	}
}

// With gradients they are LibTorch's operations.
func TestEpiloguesHaveGradients(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(5, 0))
	x, w, b := testkit.Normal(r, 3, 4).RequireGrad(), testkit.Normal(r, 5, 4).RequireGrad(), testkit.Normal(r, 5).RequireGrad()
	gain, residual := testkit.Normal(r, 5), testkit.Normal(r, 3, 5)
	for _, pair := range [][2]*tensor.Tensor{
		{tensor.Linear(x, w, b).GELU(), tensor.LinearGELU(x, w, b)},
		{tensor.LayerNorm(residual.Add(tensor.Linear(x, w, b)), gain, gain, 1e-5), tensor.AddLayerNorm(residual, tensor.Linear(x, w, nil), b, gain, gain, 1e-5)},
	} {
		want, got := tensor.Grad(pair[0].Square().Sum(), x, w, b), tensor.Grad(pair[1].Square().Sum(), x, w, b)
		for i := range want {
			assert.InDeltaSlice(t, want[i].Floats(), got[i].Floats(), 1e-4)
		}
	}
}

func TestWrongOperandsOfEpiloguesAreErrors(t *testing.T) {
	testkit.Enter(t)
	z := tensor.Zeros
	for want, f := range map[string]func() *tensor.Tensor{
		"want a bias for each row of the weights":      func() *tensor.Tensor { return tensor.LinearGELU(z(2, 3), z(4, 3), z(3)) },
		"want two tensors of one shape [..., width]":   func() *tensor.Tensor { return tensor.AddLayerNorm(z(2, 3), z(3), nil, z(3), z(3), 1e-5) },
		"want a gain, a shift and a bias of the width": func() *tensor.Tensor { return tensor.AddLayerNorm(z(2, 3), z(2, 3), nil, z(3), z(2), 1e-5) },
	} {
		err := tensor.Do(func() error { f(); return nil })
		require.Error(t, err, want)
		assert.ErrorContains(t, err, want)
	}
}

// The loop over float32 on the CPU and the operations for other types and strides make the same step.
func TestSGDOfEveryType(t *testing.T) {
	balanced(t, func() {
		r := rand.New(rand.NewPCG(4, 0))
		p, g, v := normal(r, 0, 1, 40, 1000), normal(r, 0, 1, 40, 1000), normal(r, 0, 1, 40, 1000)
		for _, nesterov := range []bool{false, true} {
			for _, decay := range []float64{0, .1} {
				step := func(change func(*tensor.Tensor) *tensor.Tensor) (*tensor.Tensor, *tensor.Tensor) {
					p, g, v := change(p.Clone()), change(g), change(v.Clone())
					tensor.SGD([]*tensor.Tensor{p, p}, []*tensor.Tensor{g, nil}, []*tensor.Tensor{v, v}, .2, .9, decay, nesterov)
					return p, v
				}
				want, wantV := step(func(t *tensor.Tensor) *tensor.Tensor { return t.To(tensor.Float64) })
				for _, change := range []func(*tensor.Tensor) *tensor.Tensor{
					func(t *tensor.Tensor) *tensor.Tensor { return t },
					func(t *tensor.Tensor) *tensor.Tensor { return t.Transpose(0, 1) },
				} {
					p, v := step(change)
					if p.Dim(0) != 40 {
						p, v = p.Transpose(0, 1), v.Transpose(0, 1)
					}
					near(t, want, p.To(tensor.Float64), 1e-6, "p")
					near(t, wantV, v.To(tensor.Float64), 1e-6, "v")
				}
			}
		}
		mean := p.Clone()
		tensor.MoveTowards([]*tensor.Tensor{mean}, []*tensor.Tensor{g}, .25)
		near(t, p.MulScalar(.75).Add(g.MulScalar(.25)), mean, 1e-6, "a mean")
		assert.Error(t, tensor.Do(func() error {
			tensor.SGD([]*tensor.Tensor{p}, []*tensor.Tensor{tensor.Ones(3)}, []*tensor.Tensor{v}, .1, 0, 0, false)
			return nil
		}), "a gradient of another shape")
	})
}
