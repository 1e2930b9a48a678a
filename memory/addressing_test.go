package memory_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const seqs, heads, slots, width = 2, 3, 5, 4

func TestAddressing(t *testing.T) {
	weights := func(r *rand.Rand) *tensor.Tensor { return weightings(r, seqs, heads, slots) }
	check(t, []primitive{{
		name: "ContentWeighting",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{
				floats(r.NormFloat64, seqs, slots, width), floats(r.NormFloat64, seqs, heads, width), between(r, 0, 9, seqs, heads, 1),
			}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.ContentWeighting(x[0], x[1], x[2]) },
		plain: func(x [][][]float64) [][]float64 { return plainContent(x[0], x[1], x[2]) },
		edges: func() [][]*tensor.Tensor {
			r := rand.New(rand.NewPCG(1, 1))
			some, strong := floats(r.NormFloat64, 1, heads, width), constants(21, 1, heads, 1)
			return [][]*tensor.Tensor{
				{constants(0, 1, slots, width), some, strong},                                   // nothing written
				{constants(0, 1, slots, width), constants(0, 1, heads, width), strong},          // and zero keys
				{floats(r.NormFloat64, 1, slots, width), constants(0, 1, heads, width), strong}, // zero keys
				{constants(1e-6, 1, slots, width), some, strong},                                // the initial memory
				{constants(1e15, 1, slots, width), constants(-1e15, 1, heads, width), strong},
			}
		},
	}, {
		name: "ContentWeighting without strength",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{floats(r.NormFloat64, seqs, slots, width), floats(r.NormFloat64, seqs, heads, width)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.ContentWeighting(x[0], x[1], nil) },
		plain: func(x [][][]float64) [][]float64 { return plainContent(x[0], x[1], nil) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, slots, width), constants(0, 1, heads, width)}}
		},
	}, {
		name: "Interpolate",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{between(r, 0, 1, seqs, heads, 1), weights(r), weights(r)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Interpolate(x[0], x[1], x[2]) },
		plain: func(x [][][]float64) [][]float64 { return plainInterpolate(x[0], x[1], x[2]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, heads, 1), constants(0, 1, heads, slots), constants(0, 1, heads, slots)}}
		},
	}, {
		name: "Shift",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{weights(r), weightings(r, seqs, heads, 3)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Shift(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainShift(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, heads, slots), constants(0, 1, heads, 3)}}
		},
	}, {
		name: "Shift by more than the number of slots",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{weights(r), weightings(r, seqs, heads, 15)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Shift(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainShift(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{constants(0, 1, 1, 1), constants(0, 1, 1, 15)}} },
	}, {
		name: "Sharpen",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{weights(r), between(r, 1, 8, seqs, heads, 1)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Sharpen(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainSharpen(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor {
			one, much := constants(1, 1, 1, 1), constants(21, 1, 1, 1)
			return [][]*tensor.Tensor{
				{at(slots, 2), one}, {at(slots, 2), much}, // zeros next to a one
				{row(1e-38, 1e-20, 1e-7, 1, 0), one}, {row(1e-38, 1e-20, 1e-7, 1, 0), much},
				{constants(1./128, 1, 1, 128), much}, // powers that underflow
				{row(0, 0, 0), one}, {row(0, 0, 0), much},
			}
		},
	}, {
		name: "ReadVectors",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{floats(r.NormFloat64, seqs, slots, width), weights(r)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.ReadVectors(x[0], x[1]) },
		plain: func(x [][][]float64) [][]float64 { return plainRead(x[0], x[1]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{constants(0, 1, slots, width), constants(0, 1, heads, slots)}}
		},
	}, eraseAdd(1), eraseAdd(2), eraseAdd(5)})
}

func eraseAdd(n int64) primitive {
	return primitive{
		name: "EraseAdd by heads: " + string(rune('0'+n)),
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{
				floats(r.NormFloat64, seqs, slots, width), weightings(r, seqs, n, slots), between(r, 0, 1, seqs, n, width),
				floats(r.NormFloat64, seqs, n, width),
			}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.EraseAdd(x[0], x[1], x[2], x[3]) },
		plain: func(x [][][]float64) [][]float64 { return plainEraseAdd(x[0], x[1], x[2], x[3]) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{
				{constants(1, 1, slots, width), constants(1, 1, n, slots), constants(1, 1, n, width), constants(0, 1, n, width)}, // all erased
				{constants(0, 1, slots, width), constants(0, 1, n, slots), constants(0, 1, n, width), constants(0, 1, n, width)},
			}
		},
	}
}

// The gradient through a product with a zero factor: of (1-a)(1-b) at a = 1, with respect to a, it is -(1-b).
func TestGradientThroughErasedSlots(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int64{1, 2, 3} {
		erase := floats(func() float64 { return float64(r.IntN(2)) }, 1, n, width)
		w := floats(func() float64 { return float64(r.IntN(2)) }, 1, n, slots)
		checkGradient(t, []*tensor.Tensor{floats(r.NormFloat64, 1, slots, width), w, erase, floats(r.NormFloat64, 1, n, width)}, nil,
			func(x []*tensor.Tensor) []*tensor.Tensor {
				return []*tensor.Tensor{memory.EraseAdd(x[0], x[1], x[2], x[3])}
			})
	}
}

func TestAddressingReturnsWeightings(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		content := memory.ContentWeighting(floats(r.NormFloat64, seqs, slots, width), floats(r.NormFloat64, seqs, heads, width),
			between(r, 0, 21, seqs, heads, 1))
		sumToOne(t, content)
		w := memory.Interpolate(between(r, 0, 1, seqs, heads, 1), content, weightings(r, seqs, heads, slots))
		sumToOne(t, w)
		w = memory.Shift(w, weightings(r, seqs, heads, 5))
		sumToOne(t, w)
		sumToOne(t, memory.Sharpen(w, between(r, 1, 21, seqs, heads, 1)))
	}
	// Also in float32, where rounding must not make a weight negative.
	a, b := weightings(r, 50, 3, 128).To(tensor.Float32), floats(func() float64 { return math.Exp(40 * r.NormFloat64()) }, 50, 3, 128)
	b = b.Div(b.SumKeep(-1)).To(tensor.Float32)
	for _, gates := range []*tensor.Tensor{between(r, 0, 1, 50, 3, 1), constants(1, 50, 3, 1), constants(1-1e-7, 50, 3, 1)} {
		sumToOne(t, memory.Interpolate(gates.To(tensor.Float32), a, b))
		sumToOne(t, memory.Interpolate(gates.To(tensor.Float32), b, a))
	}
}

func TestContentFindsTheSlot(t *testing.T) {
	testkit.Enter(t)
	m := tensor.New([]float64{1, 0, 0, 0, 2, 0, 0, 0, 0}, 1, 3, 3) // the third slot is empty
	// The key points along slot 1, so the softmax of (0, 1000, 0) is one-hot.
	assert.InDeltaSlice(t, []float64{0, 1, 0}, memory.ContentWeighting(m, row(0, 5, 0), row(1000)).Floats(), 1e-12)
	// Strength 0 weights all slots equally.
	assert.InDeltaSlice(t, []float64{1. / 3, 1. / 3, 1. / 3}, memory.ContentWeighting(m, row(0, 5, 0), row(0)).Floats(), 1e-12)
	// A key opposite to slot 0 has the cosine -1 to it and 0 to the others.
	e := 1 / math.E
	assert.InDeltaSlice(t, []float64{e / (e + 2), 1 / (e + 2), 1 / (e + 2)}, memory.ContentWeighting(m, row(-3, 0, 0), nil).Floats(), 1e-6)
}

func TestShiftRotates(t *testing.T) {
	testkit.Enter(t)
	shift := func(hot int64, s ...float64) []float64 { return memory.Shift(at(4, hot), row(s...)).Floats() }
	assert.Equal(t, []float64{0, 0, 1, 0}, shift(1, 0, 0, 1), "one up: from slot 1 to slot 2")
	assert.Equal(t, []float64{1, 0, 0, 0}, shift(3, 0, 0, 1), "one up from the last slot is the first")
	assert.Equal(t, []float64{0, 0, 0, 1}, shift(0, 1, 0, 0), "one down from the first slot is the last")
	assert.Equal(t, []float64{0, 1, 0, 0}, shift(1, 0, 1, 0), "the middle element stays")
	assert.Equal(t, []float64{0, 1, 0, 0}, shift(3, 0, 0, 0, 0, 1), "two up: from slot 3 to slot 1")
	assert.Equal(t, []float64{.5, 0, .5, 0}, shift(1, .5, 0, .5))
	err := tensor.Do(func() error { shift(0, .5, .5); return nil })
	var e *tensor.Error
	require.ErrorAs(t, err, &e)
	assert.Contains(t, err.Error(), "odd")
}

func TestSharpenByOneIsTheIdentity(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	w := weightings(r, seqs, heads, slots)
	assert.InDeltaSlice(t, w.Floats(), memory.Sharpen(w, constants(1, seqs, heads, 1)).Floats(), 1e-12)
	assert.InDeltaSlice(t, []float64{.2, .8}, memory.Sharpen(row(1./3, 2./3), row(2)).Floats(), 1e-12) // 1/9 : 4/9
	// A weighting spread over 128 slots, one slightly larger: (1/128)^21 underflows in float32, but the ratio is
	// 1.1^21 = 7.4.
	v := make([]float64, 128)
	for i := range v {
		v[i] = 1. / 128
	}
	v[9] *= 1.1
	got := memory.Sharpen(row(v...).To(tensor.Float32), row(21).To(tensor.Float32)).Floats()
	assert.InDelta(t, math.Pow(1.1, 21), got[9]/got[0], 1e-3)
}

func TestHeadsReadAndWriteSlots(t *testing.T) {
	testkit.Enter(t)
	m := tensor.New([]float64{1, 2, 3, 4, 5, 6}, 1, 3, 2)
	assert.Equal(t, []float64{5, 6, 1, 2}, memory.ReadVectors(m, at(3, 2, 0)).Floats(), "head 0 reads slot 2, head 1 slot 0")
	erase, add := tensor.New([]float64{1, 1, 0, 1}, 1, 2, 2), tensor.New([]float64{10, 20, 30, 40}, 1, 2, 2)
	// Head 0 replaces slot 1; head 1 erases the second column of slot 2 and adds to both.
	assert.Equal(t, []float64{1, 2, 10, 20, 35, 40}, memory.EraseAdd(m, at(3, 1, 2), erase, add).Floats())
	// Both write to slot 0: all erase before any adds, so the second head erases nothing of the first's.
	assert.Equal(t, []float64{40, 60, 3, 4, 5, 6}, memory.EraseAdd(m, at(3, 0, 0), erase, add).Floats())
}
