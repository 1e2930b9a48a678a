package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

// The product of float32 matrices, which need not be BLAS's, is that of float64 ones, which is: however either factor lies in
// memory, at sizes of one and none, alone and added to what is there, on one thread and on two.
func TestProductIsThatOfBLAS(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	for _, threads := range []int{1, 2} {
		tensor.SetThreads(threads)
		balanced(t, func() {
			r := rand.New(rand.NewPCG(3, 0))
			for _, size := range [][3]int64{{1, 1, 1}, {1, 7, 5}, {6, 1, 5}, {6, 7, 1}, {5, 3, 0}, {0, 3, 4}, {16, 400, 128}, {65, 33, 577}, {300, 200, 100}} {
				m, n, k := size[0], size[1], size[2]
				for turned := range 4 {
					a, b := normal(r, 0, 1, m, k), normal(r, 0, 1, k, n)
					if turned&1 > 0 {
						a = normal(r, 0, 1, k, m).Transpose(0, 1)
					}
					if turned&2 > 0 {
						b = normal(r, 0, 1, n, k).Transpose(0, 1)
					}
					what := fmt.Sprint(size, " turned ", turned, " threads ", threads)
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

// What is not a number stays so, also times zero.
func TestProductOfWhatIsNoNumber(t *testing.T) {
	balanced(t, func() {
		a := tensor.New([]float32{float32(math.NaN()), 1, 0, 1}, 2, 2)
		got := a.MatMul(tensor.New([]float32{0, 0, 1, 1}, 2, 2)).Floats()
		assert.True(t, math.IsNaN(got[0]) && math.IsNaN(got[1]))
		assert.Equal(t, []float64{1, 1}, got[2:])
	})
}

// Where LibTorch stands on oneDNN and a BLAS of its own file, its products of float32 matrices are asked of this program.
func TestProductsAreOurs(t *testing.T) {
	if tensor.Library("dnnl_sgemm") == "" || tensor.Library("dgemm_") == "" {
		t.Skip("this LibTorch shows no oneDNN or no BLAS")
	}
	assert.NotEqual(t, tensor.Library("dgemm_"), tensor.Library("sgemm_"))
}
