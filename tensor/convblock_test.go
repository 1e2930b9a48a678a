package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type normReLUPool func(x *tensor.Tensor, n *tensor.Norm, a tensor.Activation) *tensor.Tensor

type convNormReLUPool func(x, w, b *tensor.Tensor, n tensor.Norm, window int64) *tensor.Tensor

// pool2 pools by two.
var pool2 = tensor.Activation{Window: 2}

// plainNorm is a norm without gain, bias and running statistics.
func plainNorm() *tensor.Norm { return &tensor.Norm{BatchStats: true, Momentum: .1, Eps: 1e-5} }

// running is a norm under running statistics of mean 0 and variance 1.
func running(channels int64) *tensor.Norm {
	return &tensor.Norm{Mean: tensor.Zeros(channels), Variance: tensor.Ones(channels)}
}

func normal(r *rand.Rand, offset, scale float64, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(offset + scale*r.NormFloat64())
	}
	return tensor.New(v, shape...)
}

// near compares with a tolerance relative to the largest value.
func near(t *testing.T, want, got *tensor.Tensor, tolerance float64, what string) {
	t.Helper()
	require.Equal(t, want.Shape(), got.Shape(), what)
	w, g := want.Floats(), got.Floats()
	largest := 1e-3
	for _, v := range w {
		largest = max(largest, math.Abs(v))
	}
	for i := range w {
		if !(math.Abs(w[i]-g[i]) <= tolerance*largest) {
			assert.Failf(t, what, "element %d: want %v, got %v (largest %v)", i, w[i], g[i], largest)
			return
		}
	}
}

// A block of a convolutional network, after its convolution.
type block struct {
	f          normReLUPool
	shape      []int64
	batchStats bool
	activation tensor.Activation
	shortcut   string // "", "plain" or "normed"
	half       bool   // in bfloat16
}

// run runs a block forward and backward from the same values: the result, the running statistics, the gradients.
func (k block) run(seed uint64) map[string]*tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	all, wrt := map[string]*tensor.Tensor{}, map[string]*tensor.Tensor{}
	operand := func(name string) *tensor.Tensor {
		x := normal(r, .3, 1, k.shape...).ChannelsLast().RequireGrad()
		wrt["d"+name] = x
		if k.half {
			x = x.To(tensor.BFloat16)
		}
		return x
	}
	norm := func(name string) *tensor.Norm {
		c := k.shape[1]
		n := &tensor.Norm{Gain: normal(r, 0, 1, c).RequireGrad(), Bias: normal(r, 0, .5, c).RequireGrad(),
			Mean: normal(r, 0, 1, c), Variance: normal(r, 2, .2, c), BatchStats: k.batchStats, Momentum: .1, Eps: 1e-5}
		wrt["dgain"+name], wrt["dbias"+name] = n.Gain, n.Bias
		all["mean"+name], all["variance"+name] = n.Mean, n.Variance
		return n
	}
	x, n, a := operand("x"), norm(""), k.activation
	if k.shortcut != "" {
		a.Shortcut = operand("shortcut")
	}
	if k.shortcut == "normed" {
		a.ShortcutNorm = norm(" of the shortcut")
	}
	y := k.f(x, n, a)
	all["y"] = y
	loss := y.Mul(normal(r, 0, 1, y.Shape()...)).Sum()
	for name, of := range wrt {
		all[name] = tensor.GradWith([]*tensor.Tensor{loss}, []*tensor.Tensor{of}, tensor.GradOptions{Retain: true})[0]
	}
	return all
}

// variants calls f for every kind of block and every shape.
func variants(t *testing.T, shapes [][]int64, f func(t *testing.T, k block, seed uint64)) {
	for i, shape := range shapes {
		for _, batchStats := range []bool{true, false} {
			for _, window := range []int64{0, 2} {
				if shape[2] < window {
					continue
				}
				for _, shortcut := range []string{"", "plain", "normed"} {
					slope := []float64{0, .1}[(i+len(shortcut))%2]
					t.Run(fmt.Sprint(shape, batchStats, window, shortcut, slope), func(t *testing.T) {
						balanced(t, func() {
							f(t, block{shape: shape, batchStats: batchStats, shortcut: shortcut,
								activation: tensor.Activation{Slope: slope, Window: window}}, uint64(i))
						})
					})
				}
			}
		}
	}
}

func TestNormReLUPoolMatchesReference(t *testing.T) {
	variants(t, [][]int64{{5, 64, 14, 14}, {2, 64, 7, 7}, {3, 80, 3, 3}, {1, 64, 28, 28}, {4, 1, 6, 5}, {7, 19, 7, 9}, {40, 64, 3, 3}, {2, 3, 2, 2}, {3, 32, 1, 1}, {2, 16, 2, 5}},
		func(t *testing.T, k block, seed uint64) {
			k.f = tensor.NormReLUPoolPlain
			want := k.run(seed)
			k.f = tensor.NormReLUPool
			got := k.run(seed)
			require.Len(t, got, len(want))
			for name := range want {
				near(t, want[name], got[name], 2e-5, name)
			}
		})
}

// In bfloat16 the difference to the reference implementation is the rounding of the results, half of one part in 2⁷.
// Sums are not rounded.
func TestNormReLUPoolInBFloat16MatchesReference(t *testing.T) {
	variants(t, [][]int64{{5, 64, 14, 14}, {3, 80, 3, 3}, {4, 1, 6, 5}, {7, 19, 7, 9}}, func(t *testing.T, k block, seed uint64) {
		k.half = true
		k.f = tensor.NormReLUPoolPlain
		want := k.run(seed)
		k.f = tensor.NormReLUPool
		got := k.run(seed)
		assert.Equal(t, tensor.BFloat16, got["y"].DType())
		for name := range want {
			tolerance := 1e-4
			if name == "y" || name == "dx" || name == "dshortcut" {
				tolerance = 1. / 128
			}
			near(t, want[name].To(tensor.Float32), got[name].To(tensor.Float32), tolerance, name)
		}
	})
}

// A block in bfloat16 is close to one in float32, whether or not its convolution is fused.
func TestConvNormReLUPoolInBFloat16(t *testing.T) {
	for i, shape := range [][]int64{{8, 1, 28, 28}, {3, 3, 14, 13}, {8, 64, 14, 14}} {
		for _, batchStats := range []bool{true, false} {
			balanced(t, func() {
				half := func(x, w, b *tensor.Tensor, n tensor.Norm, window int64) *tensor.Tensor {
					y := tensor.ConvNormReLUPool(x.To(tensor.BFloat16), w, b, n, window)
					assert.Equal(t, tensor.BFloat16, y.DType())
					return y.To(tensor.Float32)
				}
				want := runConvBlock(tensor.ConvNormReLUPool, uint64(i), shape, 64, batchStats, 2, true)
				got := runConvBlock(half, uint64(i), shape, 64, batchStats, 2, true)
				for name := range want {
					if name == "db" && batchStats {
						continue // zero up to rounding
					}
					w, g := want[name], got[name]
					require.Equal(t, tensor.Float32, g.DType(), name)
					alike := w.Mul(g).Sum().Float() / math.Sqrt(w.Square().Sum().Float()*g.Square().Sum().Float())
					assert.Greater(t, alike, .99, "the cosine of %s, %v, %v", name, shape, batchStats)
				}
			})
		}
	}
}

// A contiguous x, other types and absent operands also match the reference implementation.
func TestNormReLUPoolOfOtherOperandsMatchesReference(t *testing.T) {
	balanced(t, func() {
		r := rand.New(rand.NewPCG(1, 1))
		x := normal(r, 0, 1, 3, 20, 7, 7)
		for _, x := range []*tensor.Tensor{x, x.Transpose(2, 3), x.To(tensor.Float64)} {
			leaf := x.Detach().RequireGrad()
			want := tensor.NormReLUPoolPlain(leaf, plainNorm(), pool2)
			got := tensor.NormReLUPool(leaf, plainNorm(), pool2)
			near(t, want, got, 1e-5, "y")
			near(t, tensor.Grad(want.Square().Sum(), leaf)[0], tensor.Grad(got.Square().Sum(), leaf)[0], 2e-5, "dx")
		}
		near(t, tensor.NormReLUPoolPlain(x, plainNorm(), tensor.Activation{Window: 3}), tensor.NormReLUPool(x, plainNorm(), tensor.Activation{Window: 3}), 1e-5, "window 3")
		err := tensor.Do(func() error {
			tensor.NormReLUPool(x, &tensor.Norm{Gain: tensor.Ones(7), BatchStats: true}, pool2)
			return nil
		})
		assert.Error(t, err, "a gain of the wrong size")
		short := normal(r, 0, 1, 3, 20, 7, 7)
		for _, a := range []tensor.Activation{{Shortcut: short}, {Shortcut: short.To(tensor.Float64)}, {Shortcut: short.Transpose(2, 3), Slope: .2, Window: 2}} {
			near(t, tensor.NormReLUPoolPlain(x, nil, a), tensor.NormReLUPool(x, nil, a), 1e-5, "without norms")
		}
		near(t, tensor.NormReLUPoolPlain(x, nil, tensor.Activation{}), tensor.NormReLUPool(x, nil, tensor.Activation{}), 0, "ReLU alone")
		err = tensor.Do(func() error {
			tensor.NormReLUPool(x, nil, tensor.Activation{Shortcut: tensor.Ones(3, 20, 7, 6)})
			return nil
		})
		assert.Error(t, err, "a shortcut of the wrong size")
	})
}

// Of equal values the first gets the gradient; a window that ReLU sets to zero gets none.
func TestNormReLUPoolTiesAndDeadWindows(t *testing.T) {
	balanced(t, func() {
		x := tensor.New([]float32{1, 1, -1, -2, 1, 1, -3, -1, 0, 5, 2, 2, 5, 0, 0, 2}, 1, 1, 4, 4).RequireGrad()
		y := tensor.NormReLUPool(x, running(1), pool2)
		assert.Equal(t, []float32{1, 0, 5, 2}, tensor.Values[float32](y))
		assert.Equal(t, []float32{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0}, tensor.Values[float32](tensor.Grad(y.Sum(), x)[0]))
	})
}

func TestNormReLUPoolOfAConstantChannel(t *testing.T) {
	balanced(t, func() {
		for _, c := range []int64{1, 16} {
			x := tensor.Full(1e4+.1, tensor.Float32, tensor.CPU, 3, c, 4, 4).RequireGrad()
			bias := tensor.Full(.5, tensor.Float32, tensor.CPU, c).RequireGrad()
			y := tensor.NormReLUPool(x, &tensor.Norm{Bias: bias, BatchStats: true, Eps: 1e-5}, pool2)
			near(t, tensor.Full(.5, tensor.Float32, tensor.CPU, 3, c, 2, 2), y, 1e-3, "y")
			for _, g := range tensor.Grad(y.Square().Sum(), x, bias) {
				assert.True(t, g.Finite())
			}
		}
	})
}

// NaN must not vanish in a maximum: the trainer must detect it.
func TestNormReLUPoolKeepsNaN(t *testing.T) {
	balanced(t, func() {
		for _, x := range []*tensor.Tensor{
			tensor.New([]float32{1, float32(math.NaN()), 3, 4}, 1, 1, 2, 2),
			tensor.New([]float32{1, math.Float32frombits(0xffffffff), 3, 4}, 1, 1, 2, 2).To(tensor.BFloat16), // rounding it would overflow
		} {
			assert.False(t, tensor.NormReLUPool(x, plainNorm(), pool2).Finite())
			assert.False(t, tensor.NormReLUPool(x, running(1), pool2).Finite())
			w := tensor.Ones(4, 1, 3, 3)
			assert.False(t, tensor.ConvNormReLUPool(x, w, nil, *plainNorm(), 2).Finite())
			assert.False(t, tensor.ConvNormReLUPool(x, w, nil, *running(4), 2).Finite())
		}
	})
}

func runConvBlock(f convNormReLUPool, seed uint64, shape []int64, out int64, batchStats bool, window int64, withBias bool) map[string]*tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	x := normal(r, .8, .3, shape...)
	w := normal(r, 0, .3, out, shape[1], 3, 3).RequireGrad()
	gain, bias := normal(r, 0, 1, out).RequireGrad(), normal(r, 0, .5, out).RequireGrad()
	mean, variance := normal(r, 0, 1, out), normal(r, 2, .2, out)
	wrt := []*tensor.Tensor{w, gain, bias}
	var b *tensor.Tensor
	if withBias {
		b = normal(r, 0, .5, out).RequireGrad()
		wrt = append(wrt, b)
	}
	y := f(x, w, b, tensor.Norm{Gain: gain, Bias: bias, Mean: mean, Variance: variance, BatchStats: batchStats, Momentum: .1, Eps: 1e-5}, window)
	g := tensor.Grad(y.Mul(normal(r, 0, 1, y.Shape()...)).Sum(), wrt...)
	all := map[string]*tensor.Tensor{"y": y, "mean": mean, "variance": variance, "dw": g[0], "dgain": g[1], "dbias": g[2]}
	if withBias {
		all["db"] = g[3]
	}
	return all
}

func TestConvNormReLUPoolMatchesReference(t *testing.T) {
	for i, shape := range [][]int64{{5, 1, 28, 28}, {20, 1, 28, 28}, {1, 1, 7, 7}, {3, 3, 14, 13}, {9, 2, 3, 3}, {2, 4, 6, 6}, {3, 5, 6, 6}, {3, 64, 7, 7}} {
		for _, out := range []int64{64, 19, 1} {
			for _, batchStats := range []bool{true, false} {
				for _, window := range []int64{1, 2} {
					t.Run(fmt.Sprint(shape, out, batchStats, window), func(t *testing.T) {
						balanced(t, func() {
							want := runConvBlock(tensor.ConvNormReLUPoolPlain, uint64(i), shape, out, batchStats, window, i%2 == 0)
							got := runConvBlock(tensor.ConvNormReLUPool, uint64(i), shape, out, batchStats, window, i%2 == 0)
							for name := range want {
								if name == "db" && batchStats {
									// Zero up to rounding in the one, exactly zero in the other.
									near(t, got[name], want[name], 10, name)
									continue
								}
								near(t, want[name], got[name], 5e-5, name)
							}
						})
					})
				}
			}
		}
	}
}

// An image with a gradient takes the general path.
func TestConvNormReLUPoolGivesTheImageItsGradient(t *testing.T) {
	balanced(t, func() {
		r := rand.New(rand.NewPCG(1, 2))
		x, w := normal(r, 0, 1, 2, 1, 8, 8).RequireGrad(), normal(r, 0, 1, 16, 1, 3, 3)
		run := func(f convNormReLUPool) *tensor.Tensor {
			return tensor.Grad(f(x, w, nil, *plainNorm(), 2).Square().Sum(), x)[0]
		}
		near(t, run(tensor.ConvNormReLUPoolPlain), run(tensor.ConvNormReLUPool), 5e-5, "dx")
	})
}

// Repeated runs give the same bits, on any number of threads.
func TestBlocksRepeat(t *testing.T) {
	before := tensor.Threads()
	defer tensor.SetThreads(before)
	balanced(t, func() {
		all := func(threads int) (sums []float64) {
			tensor.SetThreads(threads)
			k := block{f: tensor.NormReLUPool, shape: []int64{30, 64, 14, 14}, batchStats: true, activation: pool2, shortcut: "normed"}
			norm := k.run(7)
			conv := runConvBlock(tensor.ConvNormReLUPool, 7, []int64{30, 1, 28, 28}, 64, true, 2, true)
			k.half = true
			half := k.run(7)
			for _, run := range []map[string]*tensor.Tensor{norm, conv, half} {
				for _, name := range []string{"y", "mean", "variance", "dx", "dshortcut", "dw", "dgain", "dbias", "dgain of the shortcut"} {
					if v, ok := run[name]; ok {
						sums = append(sums, v.Floats()...)
					}
				}
			}
			return sums
		}
		first := all(2)
		assert.Equal(t, first, all(2))
		assert.Equal(t, first, all(1))
	})
}

// The compiler may generate two versions of a loop that round differently, one for overlapping arrays, and choose by
// the arrays' addresses. So the same result is computed at many addresses.
func TestNormReLUPoolRoundingDoesNotDependOnAddresses(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	r := rand.New(rand.NewPCG(3, 0))
	const channels = 8 // fewer than a register holds, processed one by one
	for _, window := range []int64{1, 2} {
		var first map[string]*tensor.Tensor
		for range 1500 {
			in := tensor.Enter()
			in.Keep(tensor.Zeros(1 + r.Int64N(300))) // moves later allocations
			got := block{f: tensor.NormReLUPool, shape: []int64{20, channels, 2, 2}, batchStats: true, shortcut: "normed",
				activation: tensor.Activation{Window: window}}.run(1)
			if first == nil {
				first = got
				for _, v := range got {
					in.Keep(v)
				}
			}
			for what, v := range got {
				assert.Equal(t, first[what].Floats(), v.Floats(), "%s, window %d", what, window)
			}
			in.Leave()
			if t.Failed() {
				return
			}
		}
	}
}

func TestBlocksRefuseSecondOrder(t *testing.T) {
	balanced(t, func() {
		r := rand.New(rand.NewPCG(3, 3))
		x, w := normal(r, 0, 1, 2, 1, 8, 8), normal(r, 0, 1, 16, 1, 3, 3).RequireGrad()
		twice := func(f convNormReLUPool) error {
			return tensor.Do(func() error {
				y := f(x, w, nil, *plainNorm(), 2)
				g := tensor.GradWith([]*tensor.Tensor{y.Square().Sum()}, []*tensor.Tensor{w}, tensor.GradOptions{Create: true})[0]
				tensor.Grad(g.Square().Sum(), w)
				return nil
			})
		}
		assert.NoError(t, twice(tensor.ConvNormReLUPoolPlain))
		assert.ErrorContains(t, twice(tensor.ConvNormReLUPool), "ConvNormReLUPool has no second-order gradient")
		leaf := x.Detach().RequireGrad()
		assert.ErrorContains(t, tensor.Do(func() error {
			y := tensor.NormReLUPool(leaf, plainNorm(), pool2)
			tensor.GradWith([]*tensor.Tensor{y.Square().Sum()}, []*tensor.Tensor{leaf}, tensor.GradOptions{Create: true})
			return nil
		}), "NormReLUPool has no second-order gradient")
	})
}
