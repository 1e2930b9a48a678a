package tensor_test

import (
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Errors of mismatched operands name the operation and the shapes, and nothing is read beyond a tensor's end.
func TestStepsRefuseMismatch(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	kernel := func(name string, settings ...float64) tensor.MemoryKernel {
		return tensor.MemoryKernel{Name: name, Settings: settings}
	}
	ntm, lrua, dnc := kernel("ntm", 1, 1, 1, 20), func(heads float64) tensor.MemoryKernel { return kernel("lrua", heads, .9, 0, 0, 0) }, kernel("dnc", 1, 20, 1, 0)
	const emission = 2*(3+3+3) + 2*3 // two heads, width 3
	m, w := tensor.Zeros(2, 5, 3), tensor.Zeros(2, 2, 5)
	ff := func(in int64) [][]*tensor.Tensor { return [][]*tensor.Tensor{{tensor.Zeros(4, in), tensor.Zeros(4)}} }
	memory := func(m, w *tensor.Tensor) *tensor.UnrolledMemory {
		return &tensor.UnrolledMemory{Kernel: ntm, Weight: tensor.Zeros(emission, 4), Bias: tensor.Zeros(emission), State: []*tensor.Tensor{m, w}}
	}
	unroll := func(layers [][]*tensor.Tensor, m *tensor.UnrolledMemory) func() {
		return func() {
			tensor.Unroll(tensor.Zeros(3, 2, 1), tensor.Unrolled{Layers: layers, Feedforward: true, Memory: m})
		}
	}
	for name, f := range map[string]func(){
		"wrong number of gates": func() { tensor.LSTMStep(tensor.Zeros(2, 9), tensor.Zeros(2, 3)) },
		"another batch":         func() { tensor.LSTMStep(tensor.Zeros(3, 12), tensor.Zeros(2, 3)) },
		"another type":          func() { tensor.LSTMStep(tensor.Zeros(2, 12).To(tensor.Float64), tensor.Zeros(2, 3)) },
		"unknown memory":        func() { tensor.MemoryStep(kernel("none"), tensor.Zeros(2, emission), m, w) },
		"too few settings":      func() { tensor.MemoryStep(kernel("ntm", 1, 1, 1), tensor.Zeros(2, emission), m, w) },
		"too few parts":         func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission), m) },
		"too many parts":        func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission), m, w, w) },
		"whole numbers": func() {
			tensor.MemoryStep(ntm, tensor.Zeros(2, emission).To(tensor.Int64), m.To(tensor.Int64), w.To(tensor.Int64))
		},
		"a narrow emission": func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission-1), m, w) },
		"too few heads":     func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission), m, tensor.Zeros(2, 1, 5)) },
		"a shift beyond the slots": func() {
			tensor.MemoryStep(kernel("ntm", 1, 1, 6, 20), tensor.Zeros(2, 2*(3+3+13)+6), m, w)
		},
		"more heads than slots": func() {
			tensor.MemoryStep(lrua(6), tensor.Zeros(2, 6*4), m, tensor.Zeros(2, 6, 5), tensor.Zeros(2, 1, 5))
		},
		"a usage with too few slots": func() {
			tensor.MemoryStep(lrua(2), tensor.Zeros(2, 2*4), m, w, tensor.Zeros(2, 1, 4))
		},
		"a link that is not square": func() {
			one := tensor.Zeros(2, 1, 5)
			tensor.MemoryStep(dnc, tensor.Zeros(2, 4*3+5+3), m, one, tensor.Zeros(2, 5, 4), one, one, one)
		},
		"a layer too narrow for the read vector": unroll(ff(1), memory(m, w)),
		"a memory with another batch size":       unroll(ff(4), memory(tensor.Zeros(1, 5, 3), w)),
		"weightings with too few slots":          unroll(ff(4), memory(m, tensor.Zeros(2, 2, 4))),
		"too many state tensors": unroll(ff(4), &tensor.UnrolledMemory{
			Kernel: ntm, Weight: tensor.Zeros(emission, 4), Bias: tensor.Zeros(emission), State: []*tensor.Tensor{m, w, w},
		}),
	} {
		err := tensor.Do(func() error { f(); return nil })
		var e *tensor.Error
		require.ErrorAs(t, err, &e, name)
		assert.NotEmpty(t, e.Shapes, name)
	}
	require.NoError(t, tensor.Do(func() error { unroll(ff(4), memory(m, w))(); return nil }), "matching operands are accepted")
}

// A gradient that would be differentiated is an error that names the remedy, not a wrong result.
func TestStepsRefuseSecondOrder(t *testing.T) {
	balanced(t, func() {
		gates := tensor.Ones(1, 4).RequireGrad()
		h, _ := tensor.LSTMStep(gates, tensor.Ones(1, 1))
		err := tensor.Do(func() error {
			tensor.GradWith([]*tensor.Tensor{h}, []*tensor.Tensor{gates}, tensor.GradOptions{Create: true})
			return nil
		})
		assert.ErrorContains(t, err, "HigherOrder")
	})
}
