package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// A recurrence h ← tanh(a + W·h) has the values and gradients of Linear, on one and two threads: of all, of the start alone, of a
// retained graph for the second time, and of fewer steps.
func TestRecurrentLinearMatchesLinear(t *testing.T) {
	testkit.Enter(t)
	for threads := range 2 {
		defer tensor.SetThreads(tensor.Threads())
		tensor.SetThreads(threads + 1)
		r := rand.New(rand.NewPCG(1, 0))
		const steps, rows, width = 4, 3, 70
		w := testkit.Normal(r, width, width).MulScalar(.1).Detach().RequireGrad()
		start := testkit.Normal(r, rows, width).RequireGrad()
		base := testkit.Normal(r, steps, rows, width).RequireGrad()
		values := []*tensor.Tensor{w, start, base}
		run := func(next func(base, h *tensor.Tensor) *tensor.Tensor) []*tensor.Tensor {
			hs := []*tensor.Tensor{start}
			for i := range int64(steps) {
				hs = append(hs, next(base.Select(0, i), hs[i]).Tanh())
			}
			return hs[1:]
		}
		want := run(func(base, h *tensor.Tensor) *tensor.Tensor { return base.Add(tensor.Linear(h, w, nil)) })
		m := tensor.NewRecurrentLinear(w)
		got := run(m.Add)
		alone := m.Add(nil, start)
		m.Free()
		near := func(want, got *tensor.Tensor) { assert.InDeltaSlice(t, want.Floats(), got.Floats(), 1e-12) }
		near(want[steps-1], got[steps-1])
		near(tensor.Linear(start, w, nil), alone)
		for _, c := range []struct {
			last int
			of   []*tensor.Tensor
		}{{steps - 1, values[1:2]}, {steps - 1, values}, {1, values}, {steps - 1, values[:1]}} {
			grad := func(hs []*tensor.Tensor) []*tensor.Tensor {
				return tensor.GradWith([]*tensor.Tensor{hs[c.last].Square().Sum()}, c.of, tensor.GradOptions{Retain: true})
			}
			wants := grad(want)
			for i, g := range grad(got) {
				near(wants[i], g)
			}
		}
	}
}

func TestWrongRecurrentLinearIsAnError(t *testing.T) {
	testkit.Enter(t)
	z := tensor.Zeros
	m := tensor.NewRecurrentLinear(z(4, 3))
	for want, f := range map[string]func(){
		"want a weight [out, in]": func() { tensor.NewRecurrentLinear(z(4)) },
		"want x [rows, in] of the type and on the device of the weight [out, in]": func() { m.Add(nil, z(2, 4)) },
		"want a base [rows, out] of the type and on the device of the weight":     func() { m.Add(z(2, 3), z(2, 3)) },
		"the map was freed": func() {
			freed := tensor.NewRecurrentLinear(z(4, 3))
			freed.Free()
			freed.Add(nil, z(2, 3))
		},
	} {
		err := tensor.Do(func() error { f(); return nil })
		require.Error(t, err, want)
		assert.ErrorContains(t, err, want)
	}
	m.Free()
	m.Free()
}

func TestRecurrentLinearHasNoSecondOrderGradient(t *testing.T) {
	testkit.Enter(t)
	w := tensor.Full(.5, tensor.Float32, tensor.CPU, 2, 2).RequireGrad()
	m := tensor.NewRecurrentLinear(w)
	defer m.Free()
	y := m.Add(nil, tensor.Full(1, tensor.Float32, tensor.CPU, 3, 2))
	err := tensor.Do(func() error {
		tensor.GradWith([]*tensor.Tensor{y.Square().Sum()}, []*tensor.Tensor{w}, tensor.GradOptions{Create: true})
		return nil
	})
	assert.ErrorContains(t, err, "second-order gradient")
}
