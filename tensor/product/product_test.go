package product_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tensor/product"
)

// float32 products, by oneDNN, equal float64 products, by BLAS, for any layout of the factors, at sizes one and zero,
// on one thread and on two.
func TestProductMatchesBLAS(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	for _, threads := range []int{1, 2} {
		tensor.SetThreads(threads)
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			testkit.Enter(t)
			r := rand.New(rand.NewPCG(3, 0))
			for _, size := range [][3]int64{{1, 1, 1}, {1, 7, 5}, {6, 1, 5}, {6, 7, 1}, {5, 3, 0}, {0, 3, 4}, {16, 400, 128}, {65, 33, 577}, {300, 200, 100}} {
				m, n, k := size[0], size[1], size[2]
				for transposed := range 4 {
					a, b := testkit.Normal(r, m, k), testkit.Normal(r, k, n)
					if transposed&1 > 0 {
						a = testkit.Normal(r, k, m).Transpose(0, 1)
					}
					if transposed&2 > 0 {
						b = testkit.Normal(r, n, k).Transpose(0, 1)
					}
					what := fmt.Sprint(size, " transposed ", transposed, " threads ", threads)
					want := a.To(tensor.Float64).MatMul(b.To(tensor.Float64))
					near(t, want, a.MatMul(b).To(tensor.Float64), 1e-4, what)
					// Rows and columns within larger matrices.
					wide := tensor.Cat(1, a, a).MatMul(tensor.Cat(0, b, b)).To(tensor.Float64)
					near(t, want.MulScalar(2), wide, 2e-4, what)
					if m > 0 && k > 1 {
						near(t, a.Narrow(1, 1, k-1).To(tensor.Float64).MatMul(b.Narrow(0, 1, k-1).To(tensor.Float64)), a.Narrow(1, 1, k-1).MatMul(b.Narrow(0, 1, k-1)).To(tensor.Float64), 1e-4, what)
					}
				}
			}
		})
	}
}

// NaN times zero is NaN.
func TestProductKeepsNaN(t *testing.T) {
	testkit.Enter(t)
	a := tensor.New([]float32{float32(math.NaN()), 1, 0, 1}, 2, 2)
	got := a.MatMul(tensor.New([]float32{0, 0, 1, 1}, 2, 2)).Floats()
	assert.True(t, math.IsNaN(got[0]) && math.IsNaN(got[1]))
	assert.Equal(t, []float64{1, 1}, got[2:])
}

// If LibTorch uses oneDNN and a BLAS in a separate file, this package makes products oneDNN's and changes nothing
// else of BLAS.
func TestEffective(t *testing.T) {
	if tensor.Library("dnnl_sgemm") == "" || tensor.Library("dgemm_") == "" {
		assert.False(t, product.Effective() && tensor.Library("dnnl_sgemm") == "")
		t.Skip("this LibTorch exports no oneDNN or no BLAS")
	}
	assert.True(t, product.Effective())
	assert.NotEqual(t, tensor.Library("dgemm_"), tensor.Library("sgemm_"))
}

// near compares with a tolerance relative to the largest value.
func near(t *testing.T, want, got *tensor.Tensor, tolerance float64, what string) {
	t.Helper()
	require.Equal(t, want.Shape(), got.Shape(), what)
	w := want.Floats()
	largest := 1e-3
	for _, v := range w {
		largest = max(largest, math.Abs(v))
	}
	assert.InDeltaSlice(t, w, got.Floats(), tolerance*largest, what)
}
