package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/tensor"
)

func TestUnbindIsASelectEach(t *testing.T) {
	balanced(t, func() {
		x := tensor.New([]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 2, 3, 2).RequireGrad()
		for _, dim := range []int{0, 1, 2, -1} {
			parts := x.Unbind(dim)
			require.Len(t, parts, int(x.Dim(dim)))
			got, want := tensor.Zeros(), tensor.Zeros()
			for i, p := range parts {
				s := x.Select(dim, int64(i))
				require.Equal(t, s.Shape(), p.Shape())
				assert.Equal(t, s.Floats(), p.Floats())
				got = got.Add(p.Square().Sum().MulScalar(float64(i)))
				want = want.Add(s.Square().Sum().MulScalar(float64(i)))
			}
			assert.Equal(t, tensor.Grad(want, x)[0].Floats(), tensor.Grad(got, x)[0].Floats())
		}
		assert.Empty(t, tensor.Zeros(0, 3).Unbind(0))
		assert.PanicsWithError(t, "tensor: Dim of [2 3 2]: there is no dimension 3", func() { x.Unbind(3) })
	})
}
