package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/tensor"
)

// twice are a block and its plain twin, with the shapes of their operands.
type twice struct {
	name       string
	block, own func(in []*tensor.Tensor) *tensor.Tensor
	shapes     [][]int64
}

func twices() (out []twice) {
	for _, c := range []struct{ batch, in, out, height, width, stride int64 }{
		{1, 1, 1, 1, 1, 1}, {2, 1, 3, 5, 4, 1}, {3, 2, 4, 7, 6, 2}, {2, 17, 19, 4, 3, 2}, {5, 64, 64, 4, 4, 2}, {2, 3, 5, 9, 8, 3},
	} {
		out = append(out, twice{
			fmt.Sprint("Conv3x3 ", c),
			func(in []*tensor.Tensor) *tensor.Tensor { return tensor.Conv3x3(in[0], in[1], c.stride) },
			func(in []*tensor.Tensor) *tensor.Tensor { return tensor.Conv2d(in[0], in[1], nil, c.stride, 1, 1) },
			[][]int64{{c.batch, c.in, c.height, c.width}, {c.out, c.in, 3, 3}},
		})
	}
	for _, x := range [][]int64{{2, 1, 2, 2}, {3, 5, 4, 3}, {4, 16, 3, 3}, {7, 19, 1, 1}, {5, 64, 4, 4}} {
		out = append(out, twice{
			fmt.Sprint("NormReLU ", x),
			func(in []*tensor.Tensor) *tensor.Tensor { return tensor.NormReLU(in[0], in[1], in[2], 1e-5) },
			func(in []*tensor.Tensor) *tensor.Tensor {
				return tensor.BatchNorm(in[0], in[1], in[2], nil, nil, true, .1, 1e-5).ReLU()
			},
			[][]int64{x, {x[1]}, {x[1]}},
		})
	}
	return out
}

func drawn(r *rand.Rand, shape []int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return tensor.New(v, shape...)
}

// derivatives are y, the gradients of Σ y·w for the operands, and the gradients of a sum of squares and products of those.
func derivatives(f func([]*tensor.Tensor) *tensor.Tensor, in []*tensor.Tensor, seed uint64) (all []*tensor.Tensor) {
	y := f(in)
	r := rand.New(rand.NewPCG(seed, 2))
	weights := drawn(r, y.Shape()).To(y.DType()).RequireGrad()
	first := tensor.GradWith([]*tensor.Tensor{y.Mul(weights).Sum()}, in, tensor.GradOptions{Create: true})
	sum := y.Square().Sum()
	for _, g := range first {
		sum = sum.Add(g.Square().Mul(drawn(r, g.Shape()).To(g.DType())).Sum())
	}
	return append(append([]*tensor.Tensor{y.Detach()}, first...), tensor.Grad(sum, append(in, weights)...)...)
}

func TestTwiceDifferentiableBlocksAreTheirTwins(t *testing.T) {
	for i, c := range twices() {
		for _, d := range []tensor.DType{tensor.Float64, tensor.Float32} {
			s := tensor.Enter()
			r := rand.New(rand.NewPCG(uint64(i), 1))
			var in []*tensor.Tensor
			for _, shape := range c.shapes {
				in = append(in, drawn(r, shape).To(d).Detach().RequireGrad())
			}
			want, got := derivatives(c.own, in, uint64(i)), derivatives(c.block, in, uint64(i))
			require.Len(t, got, len(want))
			for k := range want {
				require.Equal(t, want[k].Shape(), got[k].Shape(), "%s: %d", c.name, k)
				largest := 1.
				for _, v := range want[k].Floats() {
					largest = math.Max(largest, math.Abs(v))
				}
				tolerance := 1e-9 * largest
				if d == tensor.Float32 {
					tolerance = 1e-3 * largest
				}
				assert.InDeltaSlice(t, want[k].Floats(), got[k].Floats(), tolerance, "%s %v: result %d", c.name, d, k)
			}
			s.Leave()
		}
	}
}

// Of a constant channel, of zeros, and of a gain of zero no derivative is infinite or no number.
func TestNormReLUOfDegenerateMaps(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	for _, x := range []*tensor.Tensor{tensor.Zeros(3, 4, 2, 2), tensor.Ones(3, 4, 2, 2).MulScalar(1e4), tensor.Ones(1, 4, 1, 1)} {
		for _, gain := range []float64{0, 1} {
			in := []*tensor.Tensor{x.Detach().RequireGrad(), tensor.Ones(4).MulScalar(gain).Detach().RequireGrad(), tensor.Ones(4).RequireGrad()}
			for i, d := range derivatives(func(in []*tensor.Tensor) *tensor.Tensor { return tensor.NormReLU(in[0], in[1], in[2], 1e-5) }, in, 1) {
				assert.True(t, d.Finite(), "%v: %d", x, i)
			}
		}
	}
	nan := tensor.New([]float32{float32(math.NaN()), 1}, 2, 1, 1, 1)
	assert.False(t, tensor.NormReLU(nan, tensor.Ones(1), tensor.Zeros(1), 1e-5).Finite(), "what is no number stays so")
}

func TestThirdOrderIsRefused(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	err := tensor.Do(func() error {
		x := tensor.New([]float32{1, 2, 4}, 3, 1, 1, 1).RequireGrad()
		g := tensor.GradWith([]*tensor.Tensor{tensor.NormReLU(x, tensor.Ones(1), tensor.Zeros(1), 1e-5).Square().Sum()}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})
		tensor.GradWith([]*tensor.Tensor{g[0].Square().Sum()}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})
		return nil
	})
	assert.ErrorContains(t, err, "NormReLU has no third-order gradient")
}

func TestConv3x3OfWrongShapesIsConv2dsError(t *testing.T) {
	err := tensor.Do(func() error { tensor.Conv3x3(tensor.Zeros(1, 2, 4, 4), tensor.Zeros(3, 3, 3, 3), 1); return nil })
	var wrong *tensor.Error
	require.ErrorAs(t, err, &wrong)
	assert.Equal(t, [][]int64{{1, 2, 4, 4}, {3, 3, 3, 3}}, wrong.Shapes)
}
