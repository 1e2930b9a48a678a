package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// convNetCase is a network with random values, and images.
type convNetCase struct {
	name                   string
	net                    tensor.ConvNet
	way                    int64
	shape                  [4]int64 // of the images
	filters                []int64
	values, rates          []*tensor.Tensor
	x, labels, more, asked *tensor.Tensor // a support set and queries
}

func convNetCases() []*convNetCase {
	const eps = 1e-5
	net := func(mean bool, stride, window []int64) tensor.ConvNet {
		return tensor.ConvNet{Stride: stride, Window: window, Mean: mean, Eps: eps}
	}
	return []*convNetCase{
		{name: "strided", net: net(false, []int64{2, 2}, []int64{1, 1}), way: 3, shape: [4]int64{4, 1, 7, 6}, filters: []int64{5, 17}},
		{name: "strided, mean", net: net(true, []int64{2, 2, 2}, []int64{1, 1, 1}), way: 5, shape: [4]int64{5, 1, 9, 10}, filters: []int64{8, 4, 6}},
		{name: "pooled, cut edges", net: net(false, []int64{1, 1}, []int64{2, 2}), way: 4, shape: [4]int64{4, 2, 7, 9}, filters: []int64{22, 3}},
		{name: "pooled by three, mean", net: net(true, []int64{1, 2}, []int64{3, 1}), way: 2, shape: [4]int64{3, 3, 11, 8}, filters: []int64{4, 70}},
		{name: "one block, one image", net: net(false, []int64{1}, []int64{1}), way: 2, shape: [4]int64{1, 1, 4, 3}, filters: []int64{2}},
		{name: "many channels", net: net(false, []int64{1}, []int64{1}), way: 2, shape: [4]int64{2, 1, 5, 5}, filters: []int64{130}},
	}
}

func (c *convNetCase) draw() {
	r := rand.New(rand.NewPCG(1, 2))
	channels, height, width := c.shape[1], c.shape[2], c.shape[3]
	value := func(t *tensor.Tensor) { c.values = append(c.values, t) }
	for i, out := range c.filters {
		value(testkit.Normal(r, out, channels, 3, 3).MulScalar(1 / math.Sqrt(float64(9*channels))))
		value(testkit.Normal(r, out).MulScalar(.3).AddScalar(1))
		value(testkit.Normal(r, out).MulScalar(.3))
		height, width = ((height-1)/c.net.Stride[i]+1)/c.net.Window[i], ((width-1)/c.net.Stride[i]+1)/c.net.Window[i]
		channels = out
	}
	features := channels
	if !c.net.Mean {
		features *= height * width
	}
	value(testkit.Normal(r, c.way, features).MulScalar(1 / math.Sqrt(float64(features))))
	value(testkit.Normal(r, c.way).MulScalar(.3))
	for _, v := range c.values {
		c.rates = append(c.rates, testkit.Normal(r, v.Shape()...).MulScalar(.05).AddScalar(.2))
	}
	labels := func(n int64) *tensor.Tensor {
		out := make([]int64, n)
		for i := range out {
			out[i] = r.Int64N(c.way)
		}
		return tensor.New(out, n)
	}
	c.x, c.labels = testkit.Normal(r, c.shape[:]...), labels(c.shape[0])
	c.more, c.asked = testkit.Normal(r, c.shape[0]+2, c.shape[1], c.shape[2], c.shape[3]), labels(c.shape[0]+2)
}

// composed returns the log-probabilities of the network composed of LibTorch's operations.
func (c *convNetCase) composed(values []*tensor.Tensor, x *tensor.Tensor) *tensor.Tensor {
	for i := range c.filters {
		x = tensor.Conv2d(x, values[3*i], nil, c.net.Stride[i], 1, 1)
		x = tensor.BatchNorm(x, tensor.Norm{Gain: values[3*i+1], Bias: values[3*i+2], BatchStats: true, Momentum: .1, Eps: c.net.Eps}).ReLU()
		if c.net.Window[i] > 1 {
			x = tensor.MaxPool2d(x, c.net.Window[i])
		}
	}
	if c.net.Mean {
		x = x.Mean(2, 3)
	} else {
		x = x.Flatten(1, -1)
	}
	return x.MatMul(values[len(values)-2].Transpose(0, 1)).Add(values[len(values)-1]).LogSoftmax(-1)
}

func leaves(ts []*tensor.Tensor) (out []*tensor.Tensor) {
	for _, x := range ts {
		out = append(out, x.Detach().Clone().RequireGrad())
	}
	return out
}

func alike(t *testing.T, want, got []*tensor.Tensor, name string) {
	t.Helper()
	require.Len(t, got, len(want), name)
	for i := range want {
		require.Equal(t, want[i].Shape(), got[i].Shape(), "%s %d", name, i)
		assert.InDeltaSlice(t, want[i].Floats(), got[i].Floats(), 1e-9, "%s %d", name, i)
	}
}

func TestConvNetMatchesReference(t *testing.T) {
	for _, c := range convNetCases() {
		t.Run(c.name, func(t *testing.T) {
			testkit.Enter(t)
			c.draw()
			require.True(t, c.net.Fits(c.values, c.x))
			at := leaves(c.values)
			loss := tensor.NLL(c.composed(at, c.x), c.labels)
			want := tensor.Grad(loss, at...)
			gradient := func(values []*tensor.Tensor, x *tensor.Tensor) tensor.MetaGradient {
				return c.net.MetaGradient(values, tensor.Rates{}, x, c.labels, x, c.labels, 0, false)
			}
			got := gradient(c.values, c.x)
			assert.InDelta(t, loss.Float(), got.Loss.Float(), 1e-12)
			alike(t, want, got.Grads, "gradient")
			for _, g := range got.Grads {
				assert.False(t, g.RequiresGrad())
			}
			laid := make([]*tensor.Tensor, len(c.values)) // another layout of the same values
			for i, v := range c.values {
				laid[i] = v
				if v.Rank() == 4 {
					laid[i] = v.ChannelsLast()
				}
			}
			alike(t, want, gradient(laid, c.x.ChannelsLast()).Grads, "gradient, channels last")
		})
	}
}

func TestConvNetDescentMatchesReference(t *testing.T) {
	for _, c := range convNetCases() {
		for _, each := range []bool{false, true} {
			for _, second := range []bool{false, true} {
				for _, steps := range []int{1, 3} {
					t.Run(fmt.Sprintf("%s, rates %v, second %v, %d steps", c.name, each, second, steps), func(t *testing.T) {
						testkit.Enter(t)
						own := *c
						own.values, own.rates = nil, nil
						own.draw()
						rates := tensor.Rates{All: .3}
						by := leaves(own.rates)
						if each {
							rates = tensor.Rates{Each: own.rates}
						}
						first := leaves(own.values)
						values := first
						for range steps {
							grads := tensor.GradWith([]*tensor.Tensor{tensor.NLL(own.composed(values, own.x), own.labels)}, values, tensor.GradOptions{Create: second})
							var moved []*tensor.Tensor
							for i, g := range grads {
								if each {
									g = g.Mul(by[i])
								} else {
									g = g.MulScalar(rates.All)
								}
								moved = append(moved, values[i].Sub(g))
							}
							values = moved
						}
						alike(t, values, own.net.Descend(own.values, rates, own.x, own.labels, steps), "values")
						logp := own.composed(values, own.more)
						loss := tensor.NLL(logp, own.asked)
						wanted := first
						if each {
							wanted = append(append([]*tensor.Tensor{}, first...), by...)
						}
						want := tensor.Grad(loss, wanted...)
						got := own.net.MetaGradient(own.values, rates, own.x, own.labels, own.more, own.asked, steps, second)
						assert.InDelta(t, loss.Float(), got.Loss.Float(), 1e-12)
						alike(t, []*tensor.Tensor{logp}, []*tensor.Tensor{got.LogProbs}, "answers")
						alike(t, want, append(got.Grads, got.RateGrads...), "meta-gradient")
					})
				}
			}
		}
	}
}

// Images are dealt unevenly; each counts as often as it is dealt.
func TestConvNetAdamMatchesReference(t *testing.T) {
	for _, c := range convNetCases() {
		t.Run(c.name, func(t *testing.T) {
			testkit.Enter(t)
			c.draw()
			steps := tensor.AdamSteps{Rate: .01, Beta2: .9, Eps: 1e-3, Done: 2, Dealt: [][]int64{{2, 0}, {1, 1}, {0, 2}}}
			at, given := leaves(c.values), leaves(c.values)
			var first, zeros, want []*tensor.Tensor
			for i, v := range at {
				first = append(first, c.values[i].Square())
				want = append(want, first[i].Clone())
				zeros = append(zeros, v.Detach().ZerosLike())
			}
			var mean float64
			for k, dealt := range steps.Dealt {
				these := tensor.New(dealt, 2)
				loss := tensor.NLL(c.composed(at, c.more.IndexSelect(0, these)), c.asked.IndexSelect(0, these))
				mean += loss.Float() / 3
				tensor.Adam(at, tensor.Grad(loss, at...), zeros, want, steps.Rate, 0, steps.Beta2, steps.Eps, 0, false, steps.Done+int64(k)+1)
			}
			moved, squared, loss := c.net.Adam(c.values, first, steps, c.more, c.asked)
			assert.InDelta(t, mean, loss.Float(), 1e-12)
			alike(t, at, moved, "values")
			alike(t, want, squared, "squares")
			alike(t, given, c.values, "the arguments do not change")
		})
	}
}

func TestConvNetInSinglePrecision(t *testing.T) {
	testkit.Enter(t)
	for _, c := range convNetCases() {
		c.draw()
		single := make([]*tensor.Tensor, len(c.values))
		for i, v := range c.values {
			single[i] = v.To(tensor.Float32)
		}
		rates := tensor.Rates{All: .3}
		want := c.net.MetaGradient(c.values, rates, c.x, c.labels, c.more, c.asked, 1, true)
		got := c.net.MetaGradient(single, rates, c.x.To(tensor.Float32), c.labels, c.more.To(tensor.Float32), c.asked, 1, true)
		for i := range want.Grads {
			difference := got.Grads[i].To(tensor.Float64).Sub(want.Grads[i]).Square().Sum().Float()
			assert.Less(t, math.Sqrt(difference), 1e-3*(1+math.Sqrt(want.Grads[i].Square().Sum().Float())), "%s %d", c.name, i)
		}
	}
}

func TestConvNetRefuses(t *testing.T) {
	testkit.Enter(t)
	c := convNetCases()[0]
	c.draw()
	assert.False(t, c.net.Fits(c.values, c.x.To(tensor.Float32)))
	assert.False(t, c.net.Fits(c.values, c.x.Narrow(2, 0, 1).Narrow(1, 0, 1)), "wrong size of the maps for the linear layer")
	refused := func(says string, f func()) {
		t.Helper()
		var err error
		func() {
			defer tensor.Catch(&err)
			f()
		}()
		assert.ErrorContains(t, err, says)
	}
	refused("label 3 is none of 3 classes", func() { c.net.Descend(c.values, tensor.Rates{All: 1}, c.x, tensor.New([]int64{0, 1, 2, 3}, 4), 1) })
	refused("do not fit together", func() { c.net.Descend(c.values, tensor.Rates{All: 1}, c.x.To(tensor.Float32), c.labels, 1) })
	refused("want a label (int64) for each image", func() { c.net.Descend(c.values, tensor.Rates{All: 1}, c.x, c.asked, 1) })
	adam := func(says string, squares []*tensor.Tensor, dealt ...[]int64) {
		refused(says, func() { c.net.Adam(c.values, squares, tensor.AdamSteps{Rate: 1, Dealt: dealt}, c.x, c.labels) })
	}
	adam("no steps", c.values)
	adam("steps on 1 and on 2 images", c.values, []int64{0}, []int64{0, 1})
	adam("an image is dealt out that is not there", c.values, []int64{0, 4})
	adam("an image is dealt out that is not there", c.values, []int64{-1})
	adam("the squares are not as the values", append([]*tensor.Tensor{c.values[1]}, c.values[1:]...), []int64{0})
	refused("7 values for 2 strides", func() { c.net.Descend(c.values[1:], tensor.Rates{All: 1}, c.x, c.labels, 1) })
}
