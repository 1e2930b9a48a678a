package tensor_test

import (
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What does not fit is told by the operation's name and the shapes, and nothing is read beyond a tensor's end.
func TestStepsRefuseWhatDoesNotFit(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	kernel := func(name string, settings ...float64) tensor.MemoryKernel {
		return tensor.MemoryKernel{Name: name, Settings: settings}
	}
	ntm, lrua, dnc := kernel("ntm", 1, 1, 1, 20), func(heads float64) tensor.MemoryKernel { return kernel("lrua", heads, .9, 0, 0, 0) }, kernel("dnc", 1, 20)
	const emission = 2*(3+3+3) + 2*3 // of two heads on a width of 3
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
		"gates that are not four":    func() { tensor.LSTMStep(tensor.Zeros(2, 9), tensor.Zeros(2, 3)) },
		"another batch":              func() { tensor.LSTMStep(tensor.Zeros(3, 12), tensor.Zeros(2, 3)) },
		"another type":               func() { tensor.LSTMStep(tensor.Zeros(2, 12).To(tensor.Float64), tensor.Zeros(2, 3)) },
		"a memory that there is not": func() { tensor.MemoryStep(kernel("nought"), tensor.Zeros(2, emission), m, w) },
		"a setting too few":          func() { tensor.MemoryStep(kernel("ntm", 1, 1, 1), tensor.Zeros(2, emission), m, w) },
		"a part too few":             func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission), m) },
		"a part too many":            func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission), m, w, w) },
		"whole numbers": func() {
			tensor.MemoryStep(ntm, tensor.Zeros(2, emission).To(tensor.Int64), m.To(tensor.Int64), w.To(tensor.Int64))
		},
		"a narrow emission": func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission-1), m, w) },
		"a head too few":    func() { tensor.MemoryStep(ntm, tensor.Zeros(2, emission), m, tensor.Zeros(2, 1, 5)) },
		"a shift past all slots": func() {
			tensor.MemoryStep(kernel("ntm", 1, 1, 6, 20), tensor.Zeros(2, 2*(3+3+13)+6), m, w)
		},
		"more heads than slots": func() {
			tensor.MemoryStep(lrua(6), tensor.Zeros(2, 6*4), m, tensor.Zeros(2, 6, 5), tensor.Zeros(2, 1, 5))
		},
		"a usage a slot short": func() {
			tensor.MemoryStep(lrua(2), tensor.Zeros(2, 2*4), m, w, tensor.Zeros(2, 1, 4))
		},
		"a link that is not square": func() {
			one := tensor.Zeros(2, 1, 5)
			tensor.MemoryStep(dnc, tensor.Zeros(2, 4*3+5+3), m, one, tensor.Zeros(2, 5, 4), one, one, one)
		},
		"a layer without room for what is read": unroll(ff(1), memory(m, w)),
		"a memory of another batch":             unroll(ff(4), memory(tensor.Zeros(1, 5, 3), w)),
		"weightings a slot short":               unroll(ff(4), memory(m, tensor.Zeros(2, 2, 4))),
		"a state too many": unroll(ff(4), &tensor.UnrolledMemory{
			Kernel: ntm, Weight: tensor.Zeros(emission, 4), Bias: tensor.Zeros(emission), State: []*tensor.Tensor{m, w, w},
		}),
	} {
		err := tensor.Do(func() error { f(); return nil })
		var e *tensor.Error
		require.ErrorAs(t, err, &e, name)
		assert.NotEmpty(t, e.Shapes, name)
	}
	require.NoError(t, tensor.Do(func() error { unroll(ff(4), memory(m, w))(); return nil }), "what fits is taken")
}

// A gradient that is to be differentiated again is refused with the mend, not given wrong.
func TestStepsRefuseASecondOrder(t *testing.T) {
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
