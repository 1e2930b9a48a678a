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

func TestEmbeddingBagIsTheLoop(t *testing.T) {
	for _, cols := range []int{1, 3, 16, 50} { // below, at and above the columns per thread
		t.Run(fmt.Sprint(cols), func(t *testing.T) {
			testkit.Enter(t)
			const rows = 5
			r := rand.New(rand.NewPCG(1, uint64(cols)))
			draw := func(n int) (v []float64) {
				for range n {
					v = append(v, r.NormFloat64())
				}
				return v
			}
			indices, offsets := []int64{4, 0, 0, 2, 4, 1, 1}, []int64{0, 0, 3, 3, 6, 7} // some bags are empty, also the first and the last
			table, weights, g := draw(rows*cols), draw(len(indices)), draw(len(offsets)*cols)
			want, wantGrad := make([]float64, len(g)), make([]float64, len(table))
			for bag, from := range offsets {
				to := int64(len(indices))
				if bag+1 < len(offsets) {
					to = offsets[bag+1]
				}
				for i := from; i < to; i++ {
					for c := range cols {
						want[bag*cols+c] += weights[i] * table[int(indices[i])*cols+c]
						wantGrad[int(indices[i])*cols+c] += weights[i] * g[bag*cols+c]
					}
				}
			}
			for d, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-12, tensor.Float32: 1e-5} {
				at := tensor.New(table, rows, int64(cols)).To(d).RequireGrad()
				got := tensor.EmbeddingBag(at, tensor.New(indices, 7), tensor.New(offsets, 6), tensor.New(weights, 7).To(d))
				assert.InDeltaSlice(t, want, got.Floats(), tolerance)
				grad := tensor.Grad(got.Mul(tensor.New(g, 6, int64(cols)).To(d)).Sum(), at)[0]
				assert.InDeltaSlice(t, wantGrad, grad.Floats(), tolerance)
			}
		})
	}
}

func TestEmbeddingBagDoesNotDependOnThreads(t *testing.T) {
	testkit.Enter(t)
	defer tensor.SetThreads(tensor.Threads())
	r := rand.New(rand.NewPCG(1, 2))
	const rows, cols, n = 30, 70, 20000
	indices, weights, offsets := make([]int64, n), make([]float32, n), make([]int64, n/4)
	for i := range indices {
		indices[i], weights[i] = int64(r.IntN(rows)), r.Float32()
	}
	for i := range offsets {
		offsets[i] = int64(4 * i)
	}
	run := func(threads int) (value, grad []float64) {
		tensor.SetThreads(threads)
		table := tensor.Ones(rows, cols).RequireGrad()
		out := tensor.EmbeddingBag(table, tensor.New(indices, n), tensor.New(offsets, n/4), tensor.New(weights, n))
		return out.Floats(), tensor.Grad(out.Square().Sum(), table)[0].Floats()
	}
	one, oneGrad := run(1)
	two, twoGrad := run(2)
	assert.Equal(t, one, two)
	assert.Equal(t, oneGrad, twoGrad)
}

func TestLookupsRefuseMismatch(t *testing.T) {
	testkit.Enter(t)
	table := tensor.Zeros(3, 2)
	bag := func(indices, offsets []int64, weights int64) func() {
		return func() {
			tensor.EmbeddingBag(table, tensor.New(indices, int64(len(indices))), tensor.New(offsets, int64(len(offsets))), tensor.Zeros(weights))
		}
	}
	for says, f := range map[string]func(){
		"an index lies outside the table": bag([]int64{0, 3}, []int64{0}, 2),
		"one weight per index":            bag([]int64{0, 1}, []int64{0}, 3),
		"the offsets decrease":            bag([]int64{0, 1}, []int64{2, 1}, 2),
		"exceed the number of indices":    bag([]int64{0, 1}, []int64{3}, 2),
		"want a table [rows, width]": func() {
			tensor.EmbeddingBag(tensor.Zeros(3), tensor.New([]int64{0}, 1), tensor.New([]int64{0}, 1), tensor.Zeros(1))
		},
		"want queries [batch, queries, key]": func() { tensor.Attend(tensor.Zeros(2, 1, 4), tensor.Zeros(2, 5, 3), tensor.Zeros(2, 5, 3), 1, true) },
		"of one type": func() {
			tensor.Attend(tensor.Zeros(2, 1, 3), tensor.Zeros(2, 5, 3).To(tensor.Float64), tensor.Zeros(2, 5, 3), 1, true)
		},
		"cannot be split into 2 equal parts": func() { table.Split(0, 2) },
		"cannot be split into 0 equal parts": func() { table.Split(0, 0) },
	} {
		assert.ErrorContains(t, tensor.Do(func() error { f(); return nil }), says)
	}
	require.NoError(t, tensor.Do(func() error { bag(nil, []int64{0, 0}, 0)(); return nil }), "only empty bags")
}

func TestSplitReturnsTheParts(t *testing.T) {
	testkit.Enter(t)
	x := tensor.New([]float64{1, 2, 3, 4, 5, 6}, 2, 3).RequireGrad()
	parts := x.Split(1, 3)
	require.Len(t, parts, 3)
	assert.Equal(t, []float64{2, 5}, parts[1].Floats())
	assert.Equal(t, []float64{0, 4, 0, 0, 10, 0}, tensor.Grad(parts[1].Square().Sum(), x)[0].Floats())
}

func TestWrongOperandsOfAttendHeadsAreErrors(t *testing.T) {
	testkit.Enter(t)
	z := tensor.Zeros
	q, k := z(2, 5, 4), z(2, 3, 4)
	for want, attend := range map[string]func() *tensor.Tensor{
		"want queries [batch, queries, width], and keys and values [batch, keys, width]": func() *tensor.Tensor { return tensor.AttendHeads(q, k, z(2, 2, 4), nil, 2) },
		"want queries, keys and values of one type on the CPU":                           func() *tensor.Tensor { return tensor.AttendHeads(q, k, k.To(tensor.Float64), nil, 2) },
		"want heads that divide the width":                                               func() *tensor.Tensor { return tensor.AttendHeads(q, k, k, nil, 3) },
		"want a tensor of queries of float32 or float64 on the CPU":                      func() *tensor.Tensor { return tensor.AttendHeads(q.To(tensor.Int64), k, k, nil, 2) },
		"want a mask of the type of the queries on the CPU, without a gradient":          func() *tensor.Tensor { return tensor.AttendHeads(q, k, k, z(5, 3).RequireGrad(), 2) },
		"must match the existing size":                                                   func() *tensor.Tensor { return tensor.AttendHeads(q, k, k, z(4, 3), 2) },
	} {
		err := tensor.Do(func() error { attend(); return nil })
		require.Error(t, err, want)
		assert.ErrorContains(t, err, want)
	}
	assert.Equal(t, []int64{2, 5, 4}, tensor.AttendHeads(q, k, k, z(5, 3), 2).Shape())
}

func TestAttendHeadsHasNoSecondOrderGradient(t *testing.T) {
	testkit.Enter(t)
	x := tensor.Full(.5, tensor.Float32, tensor.CPU, 1, 3, 2).RequireGrad()
	read := tensor.AttendHeads(x, x, x, nil, 1)
	err := tensor.Do(func() error {
		tensor.GradWith([]*tensor.Tensor{read.Sum()}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})
		return nil
	})
	assert.ErrorContains(t, err, "second-order gradient")
}
