package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

// L·Lᵀ restores the matrix, and SolveLower solves L·X = b, in a batch and broadcast.
func TestCholeskyAndSolveLower(t *testing.T) {
	balanced(t, func() {
		r := rand.New(rand.NewPCG(1, 0))
		a := normal(r, 0, 1, 2, 3, 5, 5)
		spd := a.MatMul(a.Transpose(-2, -1)).Add(tensor.Eye(5, tensor.Float32, tensor.CPU))
		l := spd.Cholesky()
		near(t, spd, l.MatMul(l.Transpose(-2, -1)), 1e-5, "LLᵀ")
		for i, v := range l.Floats() {
			if row, column := i/5%5, i%5; column > row {
				assert.Zero(t, v)
			}
		}
		for _, b := range []*tensor.Tensor{normal(r, 0, 1, 2, 3, 5, 4), normal(r, 0, 1, 5, 1)} {
			x := l.SolveLower(b)
			near(t, b.Add(l.MatMul(x).ZerosLike()), l.MatMul(x), 1e-4, "LX")
		}
		for _, b := range []*tensor.Tensor{normal(r, 0, 1, 2, 3, 5, 4), normal(r, 0, 1, 5, 1)} {
			x := l.SolveCholesky(b)
			near(t, b.Add(spd.MatMul(x).ZerosLike()), spd.MatMul(x), 1e-4, "LLᵀX")
		}
		err := tensor.Do(func() error { tensor.Eye(2, tensor.Float32, tensor.CPU).Neg().Cholesky(); return nil })
		assert.ErrorContains(t, err, "tensor: Cholesky of [2 2]: ")
		assert.ErrorContains(t, err, "positive-definite")
	})
}

// Images of one channel have both layouts at once; values and gradients are the same in either.
func TestChannelsLastOfOneChannel(t *testing.T) {
	balanced(t, func() {
		r := rand.New(rand.NewPCG(2, 0))
		w := normal(r, 0, 1, 4, 1, 3, 3)
		for _, x := range []*tensor.Tensor{normal(r, 0, 1, 3, 1, 6, 7), normal(r, 0, 1, 3, 1, 7, 6).Transpose(2, 3), normal(r, 0, 1, 1, 3, 6, 7).Transpose(0, 1)} {
			x := x.Detach().RequireGrad()
			y := x.ChannelsLast()
			assert.Equal(t, x.Shape(), y.Shape())
			assert.Equal(t, x.Floats(), y.Floats())
			want, got := tensor.Conv2d(x, w, nil, 1, 0, 1), tensor.Conv2d(y, w, nil, 1, 0, 1)
			near(t, want, got, 1e-5, "convolution")
			near(t, tensor.Grad(want.Square().Sum(), x)[0], tensor.Grad(got.Square().Sum(), x)[0], 1e-5, "gradient")
		}
	})
}
