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
	ntm := tensor.NTMOptions{Reads: 1, Writes: 1, Shift: 1, Clip: 20}
	const emission = 2*(3+3+3) + 2*3 // of two heads on a width of 3
	m, w := tensor.Zeros(2, 5, 3), tensor.Zeros(2, 2, 5)
	ff := func(in int64) [][]*tensor.Tensor { return [][]*tensor.Tensor{{tensor.Zeros(4, in), tensor.Zeros(4)}} }
	memory := func(m, w *tensor.Tensor) *tensor.UnrolledMemory {
		return &tensor.UnrolledMemory{Weight: tensor.Zeros(emission, 4), Bias: tensor.Zeros(emission), State: []*tensor.Tensor{m, w}, NTM: &ntm}
	}
	unroll := func(layers [][]*tensor.Tensor, m *tensor.UnrolledMemory) func() {
		return func() {
			tensor.Unroll(tensor.Zeros(3, 2, 1), tensor.Unrolled{Layers: layers, Feedforward: true, Memory: m})
		}
	}
	for name, f := range map[string]func(){
		"gates that are not four": func() { tensor.LSTMStep(tensor.Zeros(2, 9), tensor.Zeros(2, 3)) },
		"another batch":           func() { tensor.LSTMStep(tensor.Zeros(3, 12), tensor.Zeros(2, 3)) },
		"another type":            func() { tensor.LSTMStep(tensor.Zeros(2, 12).To(tensor.Float64), tensor.Zeros(2, 3)) },
		"a narrow emission":       func() { tensor.NTMStep(tensor.Zeros(2, emission-1), m, w, ntm) },
		"a head too few":          func() { tensor.NTMStep(tensor.Zeros(2, emission), m, tensor.Zeros(2, 1, 5), ntm) },
		"a shift past all slots": func() {
			tensor.NTMStep(tensor.Zeros(2, 2*(3+3+13)+6), m, w, tensor.NTMOptions{Reads: 1, Writes: 1, Shift: 6, Clip: 20})
		},
		"more heads than slots": func() {
			tensor.LRUAStep(tensor.Zeros(2, 6*4), m, tensor.Zeros(2, 6, 5), tensor.Zeros(2, 1, 5), tensor.LRUAOptions{Decay: .9})
		},
		"a usage a slot short": func() {
			tensor.LRUAStep(tensor.Zeros(2, 2*4), m, w, tensor.Zeros(2, 1, 4), tensor.LRUAOptions{Decay: .9})
		},
		"a link that is not square": func() {
			one := tensor.Zeros(2, 1, 5)
			tensor.DNCStep(tensor.Zeros(2, 4*3+5+3), tensor.DNCParts{
				Memory: m, Usage: one, Link: tensor.Zeros(2, 5, 4), Precedence: one, Read: one, Write: one,
			}, tensor.DNCOptions{Reads: 1, Clip: 20})
		},
		"a layer without room for what is read": unroll(ff(1), memory(m, w)),
		"a memory of another batch":             unroll(ff(4), memory(tensor.Zeros(1, 5, 3), w)),
		"weightings a slot short":               unroll(ff(4), memory(m, tensor.Zeros(2, 2, 4))),
		"a state too many": unroll(ff(4), &tensor.UnrolledMemory{
			Weight: tensor.Zeros(emission, 4), Bias: tensor.Zeros(emission), State: []*tensor.Tensor{m, w, w}, NTM: &ntm,
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
