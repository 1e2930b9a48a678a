package encoder

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Images are evaluated in parts of nearly equal sizes, and trained on together.
func TestInParts(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	scope := tensor.Enter()
	defer scope.Leave()
	values := make([]float32, 11*6)
	for i := range values {
		values[i] = float32(i)
	}
	x := tensor.New(values, 11, 1, 2, 3).RequireGrad()
	var sizes []int64
	twice := func(x *tensor.Tensor) *tensor.Tensor {
		sizes = append(sizes, x.Dim(0))
		return x.MulScalar(2)
	}
	const image = 4 * 5 * 6 // bytes of the maps of an image with five channels
	for _, c := range []struct {
		pass  nn.Pass
		bytes int64
		want  []int64
	}{
		{nn.Pass{Norm: nn.RunningStats}, 4 * image, []int64{3, 4, 4}},
		{nn.Pass{Norm: nn.RunningStats}, 4*image - 1, []int64{2, 3, 3, 3}},
		{nn.Pass{Norm: nn.RunningStats}, 11 * image, []int64{11}},
		{nn.Pass{Norm: nn.RunningStats}, 0, []int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{nn.Pass{Norm: nn.BatchStats}, image, []int64{11}},
		{nn.Pass{Norm: nn.RunningStats, Training: true}, image, []int64{11}},
	} {
		sizes = nil
		y := inParts(&c.pass, x, 5, c.bytes, twice)
		assert.Equal(t, c.want, sizes)
		assert.Equal(t, x.MulScalar(2).Floats(), y.Floats())
		tensor.WithGrad(func() { y = inParts(&c.pass, x, 5, c.bytes, twice).Square().Sum() })
		assert.Equal(t, x.MulScalar(8).Floats(), tensor.Grad(y, x)[0].Floats())
	}
}
