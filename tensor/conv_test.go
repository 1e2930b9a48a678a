package tensor_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"
)

type convolution struct{ images, in, height, width, out, kernel, padding int64 }

// tiled are convolutions that use tiles: full ones and ones that reach beyond the edges, one block of images and
// several.
var tiled = []convolution{
	{8, 64, 14, 14, 64, 3, 1}, {3, 64, 12, 11, 80, 3, 1}, {40, 64, 13, 11, 64, 3, 0}, {20, 112, 6, 5, 48, 3, 2},
	{16, 128, 21, 21, 128, 4, 0}, {8, 64, 24, 31, 96, 5, 2}, {4, 32, 30, 30, 48, 7, 0}, {5, 64, 21, 18, 64, 7, 3}, {2, 16, 40, 44, 32, 10, 0},
	// images so large that threads share the rows of one
	{2, 64, 45, 43, 64, 3, 1}, {1, 64, 60, 61, 64, 5, 2},
}

// run runs a convolution forward and backward: the result, and the gradients of x, w and b.
func (c convolution) run(f func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor, bias bool) map[string]*tensor.Tensor {
	r := rand.New(rand.NewPCG(7, uint64(c.kernel)))
	x := normal(r, .3, 1, c.images, c.in, c.height, c.width).ChannelsLast().RequireGrad()
	w := normal(r, 0, .1, c.out, c.in, c.kernel, c.kernel).RequireGrad()
	inputs := []*tensor.Tensor{x, w}
	var b *tensor.Tensor
	if bias {
		b = normal(r, 0, 1, c.out).RequireGrad()
		inputs = append(inputs, b)
	}
	y := f(x, w, b, c.padding)
	g := tensor.Grad(y.Mul(normal(r, 0, 1, y.Shape()...)).Sum(), inputs...)
	got := map[string]*tensor.Tensor{"y": y, "dx": g[0], "dw": g[1]}
	if bias {
		got["db"] = g[2]
	}
	return got
}

func direct(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
	return tensor.Conv2d(x, w, b, 1, padding, 1)
}

// firstOrder is Conv2dFirstOrder. It fails if that falls back on Conv2d, whose gradients are differentiable.
func firstOrder(t *testing.T) func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
	return func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
		err := tensor.Do(func() error {
			y := tensor.Conv2dFirstOrder(x, w, b, padding)
			tensor.GradWith([]*tensor.Tensor{y.Square().Sum()}, []*tensor.Tensor{x}, tensor.GradOptions{Create: true})
			return nil
		})
		require.ErrorContains(t, err, "Conv2dFirstOrder has no second-order gradient")
		return tensor.Conv2dFirstOrder(x, w, b, padding)
	}
}

func TestConv2dFirstOrderIsConv2d(t *testing.T) {
	for _, c := range tiled {
		for _, bias := range []bool{true, false} {
			t.Run(fmt.Sprint(c, bias), func(t *testing.T) {
				balanced(t, func() {
					want, got := c.run(direct, bias), c.run(firstOrder(t), bias)
					tolerance := 1e-5 // rounding of Conv2d on another processor
					if c.kernel == 3 {
						tolerance = 2e-5 // rounding of Winograd's transforms
					}
					require.Len(t, got, len(want))
					for name := range want {
						near(t, want[name], got[name], tolerance, name)
					}
				})
			})
		}
	}
}

// Both algorithms are as close to the convolution in float64 as documented.
func TestConv2dFirstOrderRounding(t *testing.T) {
	for _, c := range []convolution{{16, 64, 48, 48, 128, 7, 0}, {80, 64, 14, 14, 64, 3, 1}} {
		balanced(t, func() {
			bound := 5e-7
			if c.kernel == 3 {
				bound = 1e-5
			}
			got := c.run(firstOrder(t), true)["y"]
			want := c.run(func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
				return direct(x.To(tensor.Float64), w.To(tensor.Float64), b.To(tensor.Float64), padding)
			}, true)["y"]
			near(t, want, got, bound, fmt.Sprint(c))
		})
	}
}

// Values, and in bfloat16 the gradients that are not Conv2d's, do not depend on the number of threads.
func TestConv2dFirstOrderDoesNotDependOnThreads(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	for _, c := range append([]convolution{wide}, tiled...) {
		balanced(t, func() {
			var first map[string]*tensor.Tensor
			for _, threads := range []int{1, 2, 3} {
				tensor.SetThreads(threads)
				s := tensor.Enter()
				got := c.run(tensor.Conv2dFirstOrder, true)
				var names []string
				if c != wide { // in float32 it is Conv2d
					names = []string{"y", "dx", "dw"}
				}
				if cpu.X86.HasAMXBF16 && c.in%32 == 0 && c.out%32 == 0 {
					half := c.run(func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
						return tensor.Conv2dFirstOrder(x.To(tensor.BFloat16), w, b, padding).To(tensor.Float32)
					}, true)
					got["dw of bfloat16"] = half["dw"]
					names = append(names, "dw of bfloat16")
				}
				for _, v := range got {
					s.Keep(v)
				}
				s.Leave()
				if first == nil {
					first = got
				}
				for _, name := range names {
					assert.Equal(t, first[name].Floats(), got[name].Floats(), "%s of %v on %d threads", name, c, threads)
				}
			}
		})
	}
}

// wide has more weights than values of a few images, which decides how the gradient of its weights is summed in bfloat16.
var wide = convolution{30, 96, 4, 4, 160, 3, 1}

// In bfloat16 the gradients of w and b are those of the rounded operands, exact up to float32 rounding on processors
// with matrix units, and rounded to bfloat16 otherwise. Results and the gradient of x are Conv2d's.
func TestConv2dFirstOrderInBFloat16(t *testing.T) {
	half := func(x *tensor.Tensor) *tensor.Tensor { return x.To(tensor.BFloat16) }
	for _, c := range []convolution{{80, 64, 14, 14, 64, 3, 1}, {9, 32, 7, 5, 96, 3, 1}, {1, 64, 3, 3, 32, 3, 1}, {5, 64, 13, 10, 32, 3, 0}, {3, 32, 12, 15, 64, 7, 2}, {2, 128, 9, 9, 256, 4, 0}, {4, 64, 4, 4, 64, 1, 0}, wide, {400, 256, 4, 4, 256, 3, 1}} {
		for _, bias := range []bool{true, false} {
			balanced(t, func() {
				got := c.run(func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
					return tensor.Conv2dFirstOrder(half(x), w, b, padding).To(tensor.Float32)
				}, bias)
				rounded := func(x *tensor.Tensor) *tensor.Tensor { return half(x).To(tensor.Float32) }
				kept := func(x *tensor.Tensor) *tensor.Tensor { // rounded, but not its gradient
					return x.Add(rounded(x.Detach()).Sub(x.Detach()))
				}
				want := c.run(func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
					if b != nil {
						b = kept(b)
					}
					return rounded(direct(rounded(x), kept(w), b, padding))
				}, bias)
				for name := range want {
					tolerance := 1. / 100
					if cpu.X86.HasAMXBF16 && (name == "dw" || name == "db") {
						tolerance = 1e-5
					}
					near(t, want[name], got[name], tolerance, fmt.Sprint(name, c, bias))
				}
			})
		}
	}
}

// Where tiles do not pay or do not apply, the result is Conv2d's to the last bit, errors included.
func TestConv2dFirstOrderElsewhereIsConv2d(t *testing.T) {
	for _, c := range []convolution{{8, 1, 28, 28, 64, 3, 1}, {8, 63, 14, 14, 64, 3, 1}, {8, 64, 14, 14, 60, 3, 1}, {2, 64, 14, 14, 64, 1, 0}, {1, 64, 2, 2, 64, 3, 1}, {4, 128, 9, 9, 256, 4, 0}} {
		balanced(t, func() {
			want, got := c.run(direct, true), c.run(tensor.Conv2dFirstOrder, true)
			for name := range want {
				assert.Equal(t, want[name].Floats(), got[name].Floats(), "%s of %v", name, c)
			}
		})
	}
	for _, d := range []tensor.DType{tensor.BFloat16, tensor.Float64} {
		balanced(t, func() {
			r := rand.New(rand.NewPCG(1, 1))
			x, w, b := normal(r, 0, 1, 8, 64, 14, 14).To(d), normal(r, 0, 1, 64, 64, 3, 3), normal(r, 0, 1, 64)
			assert.Equal(t, tensor.Conv2d(x, w.To(d), b.To(d), 1, 1, 1).Floats(), tensor.Conv2dFirstOrder(x, w, b, 1).Floats())
		})
	}
	err := tensor.Do(func() error {
		tensor.Conv2dFirstOrder(tensor.Ones(8, 64, 14, 14), tensor.Ones(64, 32, 3, 3), nil, 1)
		return nil
	})
	assert.ErrorContains(t, err, "Conv2d")
}
