package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// hop computes one read of one task by a plain loop: the values read, and the weights of the slots.
func hop(keys, values [][]float64, query []float64, linear bool) (read, weights []float64) {
	for _, k := range keys {
		var score float64
		for i := range k {
			score += k[i] * query[i]
		}
		weights = append(weights, score)
	}
	if !linear {
		weights = softmax(weights)
	}
	read = make([]float64, len(values[0]))
	for i, v := range values {
		for j := range v {
			read[j] += weights[i] * v[j]
		}
	}
	return read, weights
}

func TestHopsAreThePlainLoop(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 0))
	const batch, slots, width = 3, 5, 4
	for _, linear := range []bool{false, true} {
		m := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}, Linear: linear})
		var states []memory.State
		for range 3 {
			states = append(states, write(m, floats(r.NormFloat64, batch, slots, width), floats(r.NormFloat64, batch, slots, width)))
		}
		for _, queries := range []int64{1, 2} { // one query takes another path
			query := floats(r.NormFloat64, batch, queries, width)
			last, attention := memory.Hops{Memory: m}.Read(&nn.Pass{}, states, query)
			require.Len(t, attention, 3)
			for task := range int64(batch) {
				for i, q := range rows(query, task) {
					for h, s := range states {
						kv := s.(memory.KeyValueState)
						read, weights := hop(rows(kv.Keys, task), rows(kv.Values, task), q, linear)
						assert.InDeltaSlice(t, weights, rows(attention[h], task)[i], 1e-9)
						next := make([]float64, width)
						for k := range q {
							next[k] = q[k] + read[k]
						}
						q = next
					}
					assert.InDeltaSlice(t, q, rows(last, task)[i], 1e-9)
				}
			}
		}
	}
}

// Hops work with any controller and any memory, and with one state for all hops.
func TestHopsOfAnotherController(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(2, 0))
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	cell := nn.NewLSTMCell(b, 6, 4)
	keys, values := support(r, 2, 6, 2, 4)
	keys, values = keys.To(tensor.Float32), values.To(tensor.Float32)
	state := cell.Init(2)
	var asked []int
	h := memory.Hops{
		Memory: memory.NewPrototype(memory.PrototypeConfig{Metric: metric.SquaredEuclidean{}}),
		Next: func(p *nn.Pass, hop int, query, read *tensor.Tensor) *tensor.Tensor {
			asked = append(asked, hop)
			state = cell.Step(p, tensor.Cat(2, query, read).Squeeze(1), state)
			return state.Hidden.Unsqueeze(1)
		},
	}
	held := write(h.Memory, keys, values)
	last, attention := h.Read(&nn.Pass{Training: true}, []memory.State{held, held}, keys.Narrow(1, 0, 1))
	assert.Equal(t, []int{0, 1}, asked)
	assert.Equal(t, []int64{2, 1, 4}, last.Shape())
	assert.Equal(t, []int64{2, 1, 2}, attention[1].Shape())
	for i, g := range tensor.Grad(last.Square().Sum(), b.Params().Tensors()...) {
		assert.True(t, g.Finite(), "%d", i)
	}
}

// Zero slots, with and without the softmax, cause no NaN in values or gradients.
func TestEmptySlotsHaveNoNaN(t *testing.T) {
	testkit.Enter(t)
	for _, linear := range []bool{false, true} {
		keys, values := tensor.Zeros(1, 2, 3).RequireGrad(), tensor.Zeros(1, 2, 3).RequireGrad()
		query := tensor.Ones(1, 1, 3).RequireGrad()
		m := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}, Linear: linear})
		s := write(m, keys, values)
		last, _ := memory.Hops{Memory: m}.Read(&nn.Pass{}, []memory.State{s, s}, query)
		assert.Equal(t, []float64{1, 1, 1}, last.Floats())
		for _, g := range tensor.Grad(last.Square().Sum(), keys, values, query) {
			assert.True(t, g.Finite())
		}
	}
}

func TestLinearReadHasNoLogarithm(t *testing.T) {
	testkit.Enter(t)
	m := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}, Linear: true})
	err := tensor.Do(func() error {
		m.LogRead(&nn.Pass{}, write(m, tensor.Zeros(1, 1, 2), tensor.Zeros(1, 1, 2)), tensor.Zeros(1, 1, 2))
		return nil
	})
	assert.ErrorContains(t, err, "no logarithm")
}
