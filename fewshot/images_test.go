package fewshot_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// A byte v becomes the float nearest to v/255, at any position and in images of any size.
func TestBytesBecomeTheNearestValues(t *testing.T) {
	testkit.Enter(t)
	for n := range 300 {
		bytes, want := make([]byte, n), make([]float32, n)
		for i := range bytes {
			bytes[i] = byte(i + 255*n)
			want[i] = float32(bytes[i]) / 255
		}
		for _, p := range []episode.Pixels{{Bytes: bytes}, {Values: want}} {
			x := fewshot.Images(p, tensor.CPU, 1, int64(n))
			require.Equal(t, []int64{1, int64(n)}, x.Shape())
			for i, v := range tensor.Values[float32](x) {
				require.Equal(t, math.Float32bits(want[i]), math.Float32bits(v), "byte %d, %d of %d", bytes[i], i, n)
			}
		}
	}
}

func TestImagesOfAnotherNumber(t *testing.T) {
	testkit.Enter(t)
	for _, p := range []episode.Pixels{{Bytes: make([]byte, 6)}, {Values: make([]float32, 6)}} {
		for _, shape := range [][]int64{{2, 2}, {2, 4}, {0, 6}} {
			assert.Panics(t, func() { fewshot.Images(p, tensor.CPU, shape...) })
		}
		assert.Equal(t, []int64{2, 3}, fewshot.Images(p, tensor.CPU, 2, 3).Shape())
	}
}

// Each channel has its own mean and deviation, also among several images, from bytes and from values.
func TestImagesAreNormalised(t *testing.T) {
	testkit.Enter(t)
	bytes, values := make([]byte, 2*3*4), make([]float32, 2*3*4)
	for i := range bytes {
		bytes[i] = byte(10 * i)
		values[i] = float32(bytes[i]) / 255
	}
	n := &dataset.Normalization{Mean: []float64{.5, .25, 0}, Std: []float64{.5, .1, 2}}
	for _, p := range []episode.Pixels{{Bytes: bytes, Norm: n}, {Values: values, Norm: n}} {
		for _, shape := range [][]int64{{2, 3, 2, 2}, {1, 2, 3, 1, 4}} {
			x := fewshot.Images(p, tensor.CPU, shape...)
			require.Equal(t, shape, x.Shape())
			for i, v := range tensor.Values[float32](x) {
				c := i / 4 % 3
				require.InDelta(t, (float64(values[i])-n.Mean[c])/n.Std[c], v, 1e-6)
			}
		}
	}
	x := tensor.New(values, 2, 3, 2, 2)
	assert.Same(t, x, fewshot.Normalize(x, nil))
}
