package memory_test

import (
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

func plainDecayedUsage(prev [][]float64, decay float64, read, write [][]float64) [][]float64 {
	out := matrix(1, len(prev[0]))
	for i := range out[0] {
		out[0][i] = decay * prev[0][i]
		for h := range read {
			out[0][i] += read[h][i]
		}
		for h := range write {
			out[0][i] += write[h][i]
		}
	}
	return out
}

func plainLeastUsed(usage [][]float64, n int) [][]float64 {
	order := make([]int, len(usage[0]))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return usage[0][order[a]] < usage[0][order[b]] })
	out := matrix(n, len(order))
	for h := range out {
		out[h][order[h]] = 1
	}
	return out
}

func plainWipe(memory, w [][]float64) [][]float64 {
	out := matrix(len(memory), len(memory[0]))
	for i := range memory {
		kept := 1.
		for h := range w {
			kept -= w[h][i]
		}
		for c := range out[i] {
			out[i][c] = kept * memory[i][c]
		}
	}
	return out
}

func plainAdd(memory, w, vectors [][]float64) [][]float64 {
	return plainEraseAdd(memory, w, matrix(len(w), len(vectors[0])), vectors)
}

func TestLeastRecentlyUsedAccess(t *testing.T) {
	usage := func(r *rand.Rand) *tensor.Tensor { return between(r, 0, 3, seqs, 1, slots) }
	least := func(n int64) primitive {
		return primitive{
			name:     "LeastUsed " + string(rune('0'+n)),
			args:     func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{usage(r)} },
			call:     func(x []*tensor.Tensor) *tensor.Tensor { return memory.LeastUsed(x[0], n) },
			plain:    func(x [][][]float64) [][]float64 { return plainLeastUsed(x[0], int(n)) },
			edges:    func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{constants(0, 1, 1, slots)}} },
			constant: []int{0},
		}
	}
	check(t, []primitive{{
		name: "DecayedUsage",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{usage(r), weightings(r, seqs, heads, slots), weightings(r, seqs, 2, slots)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.DecayedUsage(x[0], .9, x[1], x[2]) },
		plain: func(x [][][]float64) [][]float64 { return plainDecayedUsage(x[0], .9, x[1], x[2]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, 1, slots), constants(0, 1, 1, slots), constants(0, 1, 1, slots)}}
		},
	}, least(1), least(3), least(slots), {
		name: "Wipe",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{floats(r.NormFloat64, seqs, slots, width), memory.LeastUsed(usage(r), 2)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Wipe(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainWipe(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, slots, width), at(slots, 1)}}
		},
	}, {
		name: "Add",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{floats(r.NormFloat64, seqs, slots, width), weightings(r, seqs, heads, slots), floats(r.NormFloat64, seqs, heads, width)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Add(x[0], x[1], x[2]) },
		plain: func(x [][][]float64) [][]float64 { return plainAdd(x[0], x[1], x[2]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, slots, width), at(slots, 1), constants(0, 1, 1, width)}}
		},
	}})
}

func TestLeastUsedSlots(t *testing.T) {
	testkit.Enter(t)
	usage := row(.5, .1, .9, .1, 0)
	// Slot 4 is unused; of the equally used slots 1 and 3, the lower one comes first.
	assert.Equal(t, []float64{0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0}, memory.LeastUsed(usage, 3).Floats())
	// The smallest usage counts as more than none.
	faint := memory.LeastUsed(row(1e-20, 1e-30, 0, 0, 1e-30).To(tensor.Float32), 5)
	assert.Equal(t, []int64{2, 3, 1, 4, 0}, tensor.Values[int64](faint.Argmax(-1)))
	// Where nothing is used, slots come in order, for any number of slots.
	for _, n := range []int64{1, 16, 17, 128, 1000} {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
			first := memory.LeastUsed(constants(0, 1, 1, n).To(d), n)
			for h, i := range tensor.Values[int64](first.Argmax(-1)) {
				assert.EqualValues(t, h, i)
			}
		}
	}
	err := tensor.Do(func() error { memory.LeastUsed(usage, 6); return nil })
	assert.ErrorContains(t, err, "fewer slots than heads")
}

// A slot that is read at every step is kept; the one written longest ago is evicted.
func TestUsageOfUnreadSlotsDecays(t *testing.T) {
	testkit.Enter(t)
	usage := constants(0, 1, 1, 3)
	read := at(3, 0) // slot 0, at every step
	for step := range int64(12) {
		if step >= 3 {
			// The other slots are written alternately.
			assert.Equal(t, []int64{1 + (step-1)%2}, tensor.Values[int64](memory.LeastUsed(usage, 1).Squeeze(1).Argmax(-1)), "step %d", step)
		}
		usage = memory.DecayedUsage(usage, .95, read, memory.LeastUsed(usage, 1))
	}
}
