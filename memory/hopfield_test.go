package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// No update raises the energy, and with a large β a query ends at the nearest key.
func TestHopfieldUpdatesLowerTheEnergy(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	keys := floats(r.NormFloat64, 2, 6, 5)
	for _, beta := range []float64{.1, 1, 8} {
		m := memory.NewHopfield(memory.HopfieldConfig{Beta: beta, Unnormed: true})
		s := write(m, keys, keys) // the values are the keys, so a read is an update
		state := floats(r.NormFloat64, 2, 4, 5).MulScalar(2)
		energy := m.Energy(s, state)
		for range 12 {
			state, _ = m.Read(&nn.Pass{}, s, state)
			next := m.Energy(s, state)
			for i, e := range next.Floats() {
				assert.LessOrEqual(t, e, energy.Floats()[i]+1e-9)
			}
			energy = next
		}
		if beta == 8 {
			nearest, _ := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.SquaredEuclidean{}, Scale: 1e3}).Read(&nn.Pass{}, s, state)
			assert.InDeltaSlice(t, nearest.Floats(), state.Floats(), .05)
		}
	}
}

// One association of unnormed vectors is attention.
func TestHopfieldIsAttention(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	keys, values, queries := floats(r.NormFloat64, 2, 6, 4), floats(r.NormFloat64, 2, 6, 3), floats(r.NormFloat64, 2, 5, 4)
	h := memory.NewHopfield(memory.HopfieldConfig{Unnormed: true})
	kv := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}, Scale: .5})
	want, _ := kv.Read(&nn.Pass{}, write(kv, keys, values), queries)
	got, _ := h.Read(&nn.Pass{}, write(h, keys, values), queries)
	assert.InDeltaSlice(t, want.Floats(), got.Floats(), 1e-9)
	scores, _ := h.Linear(true).Read(&nn.Pass{}, write(h, keys, values), queries)
	assert.InDeltaSlice(t, queries.MatMul(keys.Transpose(1, 2)).MulScalar(.5).MatMul(values).Floats(), scores.Floats(), 1e-9)
	assert.ErrorContains(t, tensor.Do(func() error {
		memory.LogRead(h.Linear(true), &nn.Pass{}, write(h, keys, values), queries)
		return nil
	}), "no logarithm")
}

// Reads in one operation are the composition of LibTorch's operations, value and gradient, in both precisions.
func TestHopfieldInOneOperation(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	for dtype, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-10, tensor.Float32: 1e-5} {
		leaf := func(shape ...int64) *tensor.Tensor {
			return floats(r.NormFloat64, shape...).To(dtype).Detach().RequireGrad()
		}
		leaves := []*tensor.Tensor{leaf(2, 7, 5), leaf(2, 7, 3), leaf(2, 4, 5)}
		onRead, onAttention := floats(r.NormFloat64, 2, 4, 3).To(dtype), floats(r.NormFloat64, 2, 4, 7).To(dtype)
		for _, c := range []memory.HopfieldConfig{{}, {Updates: 2, Beta: .8}, {Unnormed: true, Updates: 1}, {Linear: true}} {
			outcome := func(higher bool) (out [][]float64) {
				m, p := memory.NewHopfield(c), &nn.Pass{HigherOrder: higher}
				read, attention := m.Read(p, write(m, leaves[0], leaves[1]), leaves[2])
				out = append(out, read.Floats(), attention.Floats())
				for _, g := range tensor.Grad(read.Mul(onRead).Sum().Add(attention.Mul(onAttention).Sum()), leaves...) {
					out = append(out, g.Floats())
				}
				return out
			}
			want, got := outcome(true), outcome(false)
			for i := range want {
				assert.InDeltaSlice(t, want[i], got[i], tolerance, "%v %v %d", c, dtype, i)
			}
		}
	}
}
