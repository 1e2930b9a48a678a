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

func plainRetention(free, read [][]float64) [][]float64 {
	out := matrix(1, len(read[0]))
	for i := range out[0] {
		out[0][i] = 1
		for h := range read {
			out[0][i] *= 1 - free[h][0]*read[h][i]
		}
	}
	return out
}

func plainUsage(prev, write, retention [][]float64) [][]float64 {
	out := matrix(1, len(prev[0]))
	for i, u := range prev[0] {
		w := write[0][i]
		out[0][i] = u + w - u*w
		if retention != nil {
			out[0][i] *= retention[0][i]
		}
	}
	return out
}

func plainAllocation(usage [][]float64, floor, unused float64) [][]float64 {
	order := make([]int, len(usage[0]))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(a, b int) bool { return max(usage[0][order[a]], unused) < max(usage[0][order[b]], unused) })
	out, before := matrix(1, len(order)), 1.
	for _, i := range order {
		u := floor + (1-floor)*usage[0][i]
		out[0][i] = (1 - u) * before
		before *= u
	}
	return out
}

func TestDynamicAllocation(t *testing.T) {
	share := func(r *rand.Rand) *tensor.Tensor { return between(r, 0, 1, seqs, 1, slots) }
	zero := func(n int64) *tensor.Tensor { return constants(0, 1, 1, n) }
	retention := func(n int64) primitive {
		return primitive{
			name: "Retention of heads: " + string(rune('0'+n)),
			args: func(r *rand.Rand) []*tensor.Tensor {
				return []*tensor.Tensor{between(r, 0, 1, seqs, n, 1), weightings(r, seqs, n, slots)}
			},
			call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Retention(x[0], x[1]) },
			plain: func(x [][][]float64) [][]float64 { return plainRetention(x[0], x[1]) },
			edges: func() [][]*tensor.Tensor {
				return [][]*tensor.Tensor{
					{constants(1, 1, n, 1), constants(1, 1, n, slots)}, {constants(0, 1, n, 1), constants(0, 1, n, slots)},
				}
			},
		}
	}
	check(t, []primitive{retention(1), retention(2), retention(5), {
		name: "Usage",
		args: func(r *rand.Rand) []*tensor.Tensor {
			return []*tensor.Tensor{share(r), weightings(r, seqs, 1, slots), share(r)}
		},
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Usage(x[0], x[1], x[2]) },
		plain: func(x [][][]float64) [][]float64 { return plainUsage(x[0], x[1], x[2]) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{zero(slots), zero(slots), zero(slots)}} },
	}, {
		name:  "Usage if nothing is freed",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{share(r), weightings(r, seqs, 1, slots)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Usage(x[0], x[1], nil) },
		plain: func(x [][][]float64) [][]float64 { return plainUsage(x[0], x[1], nil) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{zero(slots), zero(slots)}} },
	}, {
		name:  "Allocation",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{share(r)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Allocation(x[0]) },
		plain: func(x [][][]float64) [][]float64 { return plainAllocation(x[0], 1e-6, 0) },
		edges: func() [][]*tensor.Tensor {
			return [][]*tensor.Tensor{{zero(slots)}, {zero(1)}, {zero(128)}, {constants(1, 1, 1, 128)}, {row(0, 0, 1, 1)}, {row(1e-30, 1e-38, 1e-7, 1)}}
		},
	}, {
		name:  "Allocation of one slot",
		args:  func(r *rand.Rand) []*tensor.Tensor { return []*tensor.Tensor{between(r, 0, 1, seqs, 1, 1)} },
		call:  func(x []*tensor.Tensor) *tensor.Tensor { return memory.Allocation(x[0]) },
		plain: func(x [][][]float64) [][]float64 { return plainAllocation(x[0], 1e-6, 0) },
		edges: func() [][]*tensor.Tensor { return [][]*tensor.Tensor{{constants(1, 1, 1, 1)}} },
	}})
}

func TestAllocationTakesTheFreeSlot(t *testing.T) {
	testkit.Enter(t)
	allocation := func(u ...float64) []float64 { return memory.Allocation(row(u...)).Floats() }
	const fine = 1e-5
	assert.InDeltaSlice(t, []float64{0, 0, 1, 0}, allocation(1, .5, 0, 1), fine, "slot 2 is free")
	assert.InDeltaSlice(t, []float64{1, 0, 0}, allocation(0, 0, 0), fine, "the first free slot")
	assert.Greater(t, allocation(make([]float64, 1000)...)[0], 1-fine, "for any number of slots")
	assert.InDeltaSlice(t, []float64{0, 0, 0}, allocation(1, 1, 1), fine, "none is free")
	// Slot 1 is half free and takes half; slot 0 takes a quarter of the other half.
	assert.InDeltaSlice(t, []float64{.125, .5, 0}, allocation(.75, .5, 1), fine)
}

// Over many steps, usage stays in [0, 1] and an allocation sums to the free fraction.
func TestUsageStaysInRange(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
		usage := constants(0, seqs, 1, slots).To(d)
		for range 50 {
			retention := memory.Retention(between(r, 0, 1, seqs, heads, 1).To(d), weightings(r, seqs, heads, slots).To(d))
			for _, v := range retention.Floats() {
				assert.True(t, v >= 0 && v <= 1, "%v", v)
			}
			a := memory.Allocation(usage)
			free := 0.
			for i, v := range a.Floats() {
				assert.True(t, v >= 0 && v <= 1, "%v", v)
				if free += v; i%slots == slots-1 {
					assert.LessOrEqual(t, free, 1+1e-6)
					free = 0
				}
			}
			usage = memory.Usage(usage, a.MulScalar(r.Float64()), retention)
			for _, v := range usage.Floats() {
				assert.True(t, v >= 0 && v <= 1, "%v", v)
			}
		}
	}
	assert.Equal(t, []float64{0, 1, 0}, memory.Usage(at(3, 0), at(3, 1), row(0, 1, 1)).Floats(), "slot 0 is freed, slot 1 written")
}
