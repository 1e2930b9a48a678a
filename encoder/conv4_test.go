package encoder_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func conv4(t *testing.T, c encoder.Conv4Config) (*encoder.Conv4, *nn.Params) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b, c)
	require.NoError(t, err)
	return e, b.Params()
}

func images(seed uint64, shape ...int64) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0))
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = r.Float32()
	}
	return tensor.New(v, shape...)
}

// near compares with a tolerance relative to the largest value, or to atLeast where all are smaller.
func near(t *testing.T, want, got *tensor.Tensor, tolerance, atLeast float64, what string) {
	t.Helper()
	require.Equal(t, want.Shape(), got.Shape(), what)
	largest := atLeast
	for _, v := range want.Floats() {
		largest = max(largest, math.Abs(v))
	}
	assert.InDeltaSlice(t, want.Floats(), got.Floats(), tolerance*largest, what)
}

func TestWidth(t *testing.T) {
	for _, c := range []struct{ size, filters, want int64 }{
		{28, 0, 64}, // 28, 14, 7, 3, 1
		{20, 0, 64}, // 20, 10, 5, 2, 1
		{16, 0, 64},
		{84, 0, 64 * 5 * 5},   // 84, 42, 21, 10, 5
		{105, 16, 16 * 6 * 6}, // 105, 52, 26, 13, 6
		{31, 3, 3},
	} {
		t.Run(fmt.Sprint(c.size), func(t *testing.T) {
			testkit.Enter(t)
			e, _ := conv4(t, encoder.Conv4Config{Height: c.size, Width: c.size, Filters: c.filters})
			assert.Equal(t, c.want, e.Width())
			for _, norm := range []nn.Norm{nn.BatchStats, nn.RunningStats} {
				assert.Equal(t, []int64{2, c.want}, e.Forward(&nn.Pass{Norm: norm}, images(1, 2, 1, c.size, c.size)).Shape())
			}
		})
	}
	t.Run("rectangular colour images", func(t *testing.T) {
		testkit.Enter(t)
		e, _ := conv4(t, encoder.Conv4Config{Channels: 3, Height: 35, Width: 64, Filters: 5})
		assert.Equal(t, int64(5*2*4), e.Width())
		assert.Equal(t, []int64{2, 40}, e.Forward(&nn.Pass{}, images(1, 2, 3, 35, 64)).Shape())
	})
}

// Images smaller than 16×16 pixels are an error and leave no parameters behind.
func TestTooSmallImagesAreAnError(t *testing.T) {
	testkit.Enter(t)
	for _, c := range []encoder.Conv4Config{{Height: 15, Width: 28}, {Height: 28, Width: 15}, {}} {
		b := nn.NewBuilder(1, tensor.CPU)
		e, err := encoder.NewConv4(b, c)
		assert.ErrorContains(t, err, fmt.Sprintf("at least 16×16 pixels, got %d×%d", c.Height, c.Width))
		assert.Nil(t, e)
		assert.Empty(t, b.Params().All())
	}
}

func TestWrongImageShapeIsAnError(t *testing.T) {
	testkit.Enter(t)
	e, _ := conv4(t, encoder.Conv4Config{Height: 28, Width: 28, Filters: 4})
	for _, shape := range [][]int64{{2, 3, 28, 28}, {2, 28, 28}} {
		err := tensor.Do(func() error { e.Forward(&nn.Pass{}, images(1, shape...)); return nil })
		var wrong *tensor.Error
		assert.ErrorAs(t, err, &wrong, shape)
	}
}

func TestParameterCount(t *testing.T) {
	testkit.Enter(t)
	_, ps := conv4(t, encoder.Conv4Config{Height: 28, Width: 28})
	const filters, kernel, gainAndBias = 64, 3 * 3, 2
	first := filters*(1*kernel+1) + filters*gainAndBias // weights and a bias per filter, then batch norm
	other := filters*(filters*kernel+1) + filters*gainAndBias
	assert.Equal(t, int64(first+3*other), ps.Count())
	assert.Equal(t, int64(111_936), ps.Count())
}

// With running statistics an embedding does not depend on the rest of the batch; with batch statistics it does.
func TestInductiveAndTransductive(t *testing.T) {
	testkit.Enter(t)
	e, _ := conv4(t, encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
	x := images(1, 6, 1, 28, 28)
	one, others := x.Narrow(0, 0, 1), images(2, 5, 1, 28, 28).MulScalar(3)
	embed := func(norm nn.Norm, x *tensor.Tensor) *tensor.Tensor {
		return e.Forward(&nn.Pass{Norm: norm}, x).Narrow(0, 0, 1)
	}
	company := tensor.Cat(0, one, others)
	near(t, embed(nn.RunningStats, x), embed(nn.RunningStats, company), 1e-5, 0, "other company")
	near(t, embed(nn.RunningStats, x), embed(nn.RunningStats, one), 1e-5, 0, "no company")
	was := embed(nn.BatchStats, x)
	change := was.Sub(embed(nn.BatchStats, company)).Abs().Sum().Float() / was.Abs().Sum().Float()
	assert.Greater(t, change, .1)
}

func TestOnlyTrainingUpdatesRunningStatistics(t *testing.T) {
	testkit.Enter(t)
	e, ps := conv4(t, encoder.Conv4Config{Height: 16, Width: 16, Filters: 8})
	x := images(1, 6, 1, 16, 16)
	statistics := func() (out [][]float64) {
		for _, p := range ps.All() {
			if p.Buffer {
				out = append(out, p.Value().Floats())
			}
		}
		return out
	}
	before := statistics()
	require.Len(t, before, 8, "a mean and a variance per block")
	for _, norm := range []nn.Norm{nn.BatchStats, nn.RunningStats} {
		e.Forward(&nn.Pass{Norm: norm}, x)
	}
	assert.Equal(t, before, statistics())
	e.Forward(&nn.Pass{Training: true}, x)
	for i, s := range statistics() {
		assert.NotEqual(t, before[i], s)
	}
	// The first block's running mean moves a tenth of the way to the mean of its convolution.
	y := tensor.Conv2d(x, value(t, ps, "block1.conv.weight"), value(t, ps, "block1.conv.bias"), 1, 1, 1)
	near(t, y.Mean(0, 2, 3).MulScalar(.1), value(t, ps, "block1.norm.running_mean"), 1e-5, 0, "running mean")
}

func value(t *testing.T, ps *nn.Params, name string) *tensor.Tensor {
	t.Helper()
	for _, p := range ps.All() {
		if p.Name == name {
			return p.Value()
		}
	}
	require.FailNow(t, "no parameter "+name)
	return nil
}

// plain is Conv-4 by separate operations.
func plain(t *testing.T, ps *nn.Params, p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	for block := 1; block <= 4; block++ {
		v := func(name string) *tensor.Tensor { return value(t, ps, fmt.Sprintf("block%d.%s", block, name)) }
		mean, variance := v("norm.running_mean"), v("norm.running_var")
		batch := p.Norm == nn.BatchStats
		if batch && !p.Training {
			mean, variance = nil, nil
		}
		x = tensor.Conv2d(x, v("conv.weight"), v("conv.bias"), 1, 1, 1)
		x = tensor.BatchNorm(x, tensor.Norm{Gain: v("norm.weight"), Bias: v("norm.bias"), Mean: mean, Variance: variance, BatchStats: batch, Momentum: .1, Eps: 1e-5})
		x = tensor.MaxPool2d(x.ReLU(), 2)
	}
	return x.Reshape(x.Dim(0), -1)
}

func TestForwardIsThePlainComposition(t *testing.T) {
	for i, c := range []struct{ n, channels, height, width, filters int64 }{
		{5, 1, 28, 28, 8}, {3, 1, 28, 28, 64}, {1, 1, 32, 32, 8}, {4, 3, 21, 37, 5}, {3, 5, 20, 20, 19},
	} {
		for name, p := range map[string]nn.Pass{
			"training": {Training: true}, "transductive": {}, "inductive": {Norm: nn.RunningStats},
			"second order": {Training: true, HigherOrder: true}, "second order, transductive": {HigherOrder: true},
		} {
			t.Run(fmt.Sprint(c, name), func(t *testing.T) {
				testkit.Enter(t)
				config := encoder.Conv4Config{Channels: c.channels, Height: c.height, Width: c.width, Filters: c.filters}
				e, ps := conv4(t, config)
				_, reference := conv4(t, config) // same seed, so same initial values
				x := images(uint64(i), c.n, c.channels, c.height, c.width)
				if p.Norm == nn.RunningStats { // statistics other than the initial ones
					e.Forward(&nn.Pass{Training: true}, x)
					plain(t, reference, &nn.Pass{Training: true}, x)
				}
				var want, got *tensor.Tensor
				tensor.WithGrad(func() { want, got = plain(t, reference, &p, x), e.Forward(&p, x) })
				near(t, want, got, 1e-4, 1e-3, "embeddings")

				weights := images(99, want.Shape()...).AddScalar(-.5)
				wants := tensor.Grad(want.Mul(weights).Sum(), reference.Tensors()...)
				gots := tensor.Grad(got.Mul(weights).Sum(), ps.Tensors()...)
				for j, q := range ps.Trained() {
					if gots[j] == nil { // no gradient where the reference has rounding around zero
						gots[j] = wants[j].ZerosLike()
					}
					atLeast := 1e-3
					if name != "inductive" && q.Name[len("block1."):] == "conv.bias" {
						atLeast = 1 // batch norm cancels the bias: zero up to rounding
					}
					near(t, wants[j], gots[j], 1e-4, atLeast, "gradient of "+q.Name)
				}
				for j, q := range ps.All() {
					if q.Buffer {
						near(t, reference.All()[j].Value(), q.Value(), 1e-5, 0, q.Name)
					}
				}
			})
		}
	}
}

// Images can have a gradient, as saliency maps need it.
func TestGradientOfTheImages(t *testing.T) {
	testkit.Enter(t)
	e, ps := conv4(t, encoder.Conv4Config{Height: 20, Width: 20, Filters: 8})
	x := images(1, 4, 1, 20, 20).RequireGrad()
	p := &nn.Pass{}
	weights := images(2, 4, e.Width())
	want := tensor.Grad(plain(t, ps, p, x).Mul(weights).Sum(), x)[0]
	near(t, want, tensor.Grad(e.Forward(p, x).Mul(weights).Sum(), x)[0], 1e-4, 0, "dx")
}

// The encoder of Relation networks: 64 maps of 5×5 from 28×28 images.
func TestRelationNetworksEncoder(t *testing.T) {
	testkit.Enter(t)
	config := encoder.Conv4Config{Height: 28, Width: 28, Pools: 2, Unpadded: 2}
	e, ps := conv4(t, config)
	channels, height, width := encoder.Maps(e)
	assert.Equal(t, []int64{64, 5, 5}, []int64{channels, height, width})
	assert.Equal(t, int64(1600), e.Width())
	assert.Equal(t, int64(111_936), ps.Count(), "as many as with padding")

	_, reference := conv4(t, config)
	for name, p := range map[string]nn.Pass{
		"training": {Training: true}, "inductive": {Norm: nn.RunningStats}, "second order": {Training: true, HigherOrder: true},
	} {
		x := images(5, 3, 1, 28, 28)
		var got, want *tensor.Tensor
		tensor.WithGrad(func() { got, want = e.Forward(&p, x), relationPlain(t, reference, &p, x) })
		near(t, want, got, 1e-4, 1e-3, name)
		weights := images(6, want.Shape()...).AddScalar(-.5)
		wants := tensor.Grad(want.Mul(weights).Sum(), reference.Tensors()...)
		for j, g := range tensor.Grad(got.Mul(weights).Sum(), ps.Tensors()...) {
			near(t, wants[j], g, 2e-4, 1, name+": gradient of "+ps.Trained()[j].Name)
		}
		for j, q := range ps.All() {
			if q.Buffer {
				near(t, reference.All()[j].Value(), q.Value(), 1e-5, 0, name+": "+q.Name)
			}
		}
	}
}

// relationPlain is Sung et al. 2018, figure 2, by separate operations: padding in the last two blocks, pooling in the
// first two.
func relationPlain(t *testing.T, ps *nn.Params, p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	for block := range 4 {
		v := func(name string) *tensor.Tensor { return value(t, ps, fmt.Sprintf("block%d.%s", block+1, name)) }
		padding := int64(block / 2)
		x = tensor.Conv2d(x, v("conv.weight"), v("conv.bias"), 1, padding, 1)
		x = tensor.BatchNorm(x, tensor.Norm{Gain: v("norm.weight"), Bias: v("norm.bias"), Mean: v("norm.running_mean"), Variance: v("norm.running_var"), BatchStats: p.Norm == nn.BatchStats, Momentum: .1, Eps: 1e-5}).ReLU()
		if block < 2 {
			x = tensor.MaxPool2d(x, 2)
		}
	}
	return x.Reshape(x.Dim(0), -1)
}

// Images of the smallest side give maps of one pixel; images one pixel smaller are refused.
func TestSmallestSide(t *testing.T) {
	for _, c := range []struct{ pools, unpadded, least int64 }{{4, 0, 16}, {2, 2, 10}, {1, 0, 2}, {4, 4, 46}, {3, 1, 10}, {1, 4, 16}} {
		testkit.Enter(t)
		config := encoder.Conv4Config{Height: c.least, Width: c.least, Filters: 2, Pools: c.pools, Unpadded: c.unpadded}
		e, _ := conv4(t, config)
		assert.Equal(t, int64(2), e.Width(), c)
		assert.Equal(t, []int64{1, 2}, e.Forward(&nn.Pass{Norm: nn.RunningStats}, images(1, 1, 1, c.least, c.least)).Shape())
		config.Width--
		_, err := encoder.NewConv4(nn.NewBuilder(1, tensor.CPU), config)
		assert.ErrorContains(t, err, fmt.Sprintf("needs images of at least %d×%d pixels, got %d×%d", c.least, c.least, c.least, c.least-1))
	}
	_, err := encoder.NewConv4(nn.NewBuilder(1, tensor.CPU), encoder.Conv4Config{Height: 28, Width: 28, Pools: 5})
	assert.ErrorContains(t, err, "Conv-4 has 4 blocks, got pools 5")
}

// vector is an encoder whose embeddings are not feature maps.
type vector struct{}

func (vector) Forward(_ *nn.Pass, x *tensor.Tensor) *tensor.Tensor { return x }
func (vector) Width() int64                                        { return 7 }

func TestMapsOfAVector(t *testing.T) {
	channels, height, width := encoder.Maps(vector{})
	assert.Equal(t, []int64{7, 1, 1}, []int64{channels, height, width})
}

// MAML's and Reptile's encoders: strides halve the sides, rounded up, and a mean over positions may follow.
func TestStridedEncoder(t *testing.T) {
	for _, mean := range []bool{false, true} {
		for _, c := range []struct{ size, side, pools int64 }{{28, 2, 0}, {84, 6, 0}, {5, 1, 0}, {28, 7, 2}} {
			testkit.Enter(t)
			config := encoder.Conv4Config{Height: c.size, Width: c.size, Filters: 6, Pools: c.pools, Strided: true, Mean: mean}
			e, ps := conv4(t, config)
			channels, height, width := encoder.Maps(e)
			side := c.side
			if mean {
				side = 1
			}
			assert.Equal(t, []int64{6, side, side, 6 * side * side}, []int64{channels, height, width, e.Width()})

			written := func(x *tensor.Tensor) *tensor.Tensor {
				for block := 1; block <= 4; block++ {
					v := func(name string) *tensor.Tensor { return value(t, ps, fmt.Sprintf("block%d.%s", block, name)) }
					stride := int64(2)
					if c.pools > 0 && int64(block) > c.pools {
						stride = 1
					}
					x = tensor.Conv2d(x, v("conv.weight"), v("conv.bias"), stride, 1, 1)
					x = tensor.BatchNorm(x, tensor.Norm{Gain: v("norm.weight"), Bias: v("norm.bias"), BatchStats: true, Momentum: .1, Eps: 1e-5}).ReLU()
				}
				if mean {
					return x.Mean(2, 3)
				}
				return x.Reshape(x.Dim(0), -1)
			}
			x := images(uint64(c.size), 7, 1, c.size, c.size)
			want := written(x)
			weights := images(3, want.Shape()...)
			for _, p := range []*nn.Pass{{}, {HigherOrder: true}} {
				var got *tensor.Tensor
				tensor.WithGrad(func() { got = e.Forward(p, x) })
				near(t, want, got, 1e-4, 1e-3, "embeddings")
				wants := tensor.Grad(written(x).Mul(weights).Sum(), ps.Tensors()...)
				gots := tensor.Grad(got.Mul(weights).Sum(), ps.Tensors()...)
				for i, q := range ps.Trained() {
					near(t, wants[i], gots[i], 2e-4, 1, "gradient of "+q.Name)
				}
			}
		}
	}
	_, err := encoder.NewConv4(nn.NewBuilder(1, tensor.CPU), encoder.Conv4Config{Height: 28, Width: 28, Strided: true, Unpadded: 1})
	assert.EqualError(t, err, "encoder: a strided Conv-4 pads all its blocks, got unpadded 1")
}
