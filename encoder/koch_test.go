package encoder_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func koch(t *testing.T, c encoder.KochConfig) (*encoder.Koch, *nn.Params) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewKoch(b, c)
	require.NoError(t, err)
	return e, b.Params()
}

// small is the configuration for images of 33×35 pixels: 29×31, 14×15; 12×13, 6×6; 4×4, 2×2; 1×1.
func small() encoder.KochConfig {
	return encoder.KochConfig{Channels: 2, Height: 33, Width: 35, Kernels: [4]int64{5, 3, 3, 2}, Filters: [4]int64{4, 5, 6, 7}, Embedding: 9}
}

// The paper's network: the sizes of figure 4, and the initial values of section 3.2.
func TestKochMatchesThePaper(t *testing.T) {
	testkit.Enter(t)
	e, ps := koch(t, encoder.KochConfig{})
	assert.Equal(t, int64(4096), e.Width())
	shapes := map[string][]int64{}
	for _, p := range ps.All() {
		shapes[p.Name] = p.Value().Shape()
		mean, std := moments(p.Value())
		want := [2]float64{.5, .01}
		switch {
		case p.Name == "out.weight":
			want = [2]float64{0, .2}
		case p.Value().Rank() > 1:
			want = [2]float64{0, .01}
		}
		assert.InDelta(t, want[0], mean, 5*want[1]/math.Sqrt(float64(p.Value().Numel())), p.Name)
		assert.InDelta(t, want[1], std, .4*want[1], p.Name)
	}
	assert.Equal(t, map[string][]int64{
		"layer1.conv.weight": {64, 1, 10, 10}, "layer1.conv.bias": {64}, "layer2.conv.weight": {128, 64, 7, 7}, "layer2.conv.bias": {128},
		"layer3.conv.weight": {128, 128, 4, 4}, "layer3.conv.bias": {128}, "layer4.conv.weight": {256, 128, 4, 4}, "layer4.conv.bias": {256},
		"out.weight": {4096, 9216}, "out.bias": {4096},
	}, shapes)
	y := e.Forward(&nn.Pass{}, images(1, 1, 1, 105, 105))
	assert.Equal(t, []int64{1, 4096}, y.Shape())
	assert.Equal(t, "fp32", e.Precision())
}

func moments(x *tensor.Tensor) (mean, std float64) {
	mean = x.Detach().Mean().Float()
	return mean, math.Sqrt(x.Detach().AddScalar(-mean).Square().Mean().Float())
}

// plainKoch is the network by separate operations.
func plainKoch(t *testing.T, ps *nn.Params, c encoder.KochConfig, p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	for layer := 1; layer <= 4; layer++ {
		v := func(name string) *tensor.Tensor { return value(t, ps, fmt.Sprintf("layer%d.%s", layer, name)) }
		x = tensor.Conv2d(x, v("conv.weight"), v("conv.bias"), 1, 0, 1)
		if c.Normalize {
			mean, variance := v("norm.running_mean"), v("norm.running_var")
			batch := p.Norm == nn.BatchStats
			if batch && !p.Training {
				mean, variance = nil, nil
			}
			x = tensor.BatchNorm(x, tensor.Norm{Gain: v("norm.weight"), Bias: v("norm.bias"), Mean: mean, Variance: variance, BatchStats: batch, Momentum: .1, Eps: 1e-5})
		}
		if x = x.ReLU(); layer < 4 {
			x = tensor.MaxPool2d(x, 2)
		}
	}
	return tensor.Linear(x.Reshape(x.Dim(0), -1), value(t, ps, "out.weight"), value(t, ps, "out.bias")).Sigmoid()
}

func TestKochIsThePlainComposition(t *testing.T) {
	for _, normalize := range []bool{false, true} {
		for name, p := range map[string]nn.Pass{
			"training": {Training: true}, "transductive": {}, "inductive": {Norm: nn.RunningStats}, "second order": {HigherOrder: true},
		} {
			t.Run(fmt.Sprint(normalize, name), func(t *testing.T) {
				testkit.Enter(t)
				c := small()
				c.Normalize = normalize
				e, ps := koch(t, c)
				_, reference := koch(t, c)
				x := images(1, 5, 2, 33, 35)
				var want, got *tensor.Tensor
				tensor.WithGrad(func() { want, got = plainKoch(t, reference, c, &p, x), e.Forward(&p, x) })
				near(t, want, got, 1e-5, 0, "embeddings")
				weights := images(99, want.Shape()...).AddScalar(-.5)
				wants := tensor.Grad(want.Mul(weights).Sum(), reference.Tensors()...)
				for i, g := range tensor.Grad(got.Mul(weights).Sum(), ps.Tensors()...) {
					near(t, wants[i], g, 1e-4, .1, ps.Trained()[i].Name)
				}
			})
		}
	}
}

func TestKochNeedsPixels(t *testing.T) {
	testkit.Enter(t)
	for want, c := range map[string]encoder.KochConfig{
		"28×28 pixels: layer 3 has an input of 1×1 pixels and a kernel of 4×4": {Height: 28, Width: 28},
		"9×105 pixels: layer 1 has an input of 9×105 pixels":                   {Height: 9},
		"layer 4 has an input of 3×3":                                          {Height: 60, Width: 60},
	} {
		b := nn.NewBuilder(1, tensor.CPU)
		_, err := encoder.NewKoch(b, c)
		assert.ErrorContains(t, err, want)
		assert.Empty(t, b.Params().All())
	}
}

func TestPixels(t *testing.T) {
	testkit.Enter(t)
	e := encoder.NewPixels(2, 3, 4)
	x := images(1, 5, 2, 3, 4)
	assert.Equal(t, []int64{5, e.Width()}, e.Forward(&nn.Pass{}, x).Shape())
	assert.Equal(t, x.Floats(), e.Forward(&nn.Pass{}, x).Floats())
}

// BenchmarkKoch times the forward and backward pass of the paper's network per image, in batches of 32.
func BenchmarkKoch(b *testing.B) {
	const n = 32
	for name, c := range map[string]encoder.KochConfig{
		"fp32": {}, "bf16": {BFloat16: true}, "fp32/normalize": {Normalize: true}, "bf16/normalize": {Normalize: true, BFloat16: true},
	} {
		b.Run(name, func(b *testing.B) {
			tensor.KeepMemory()
			builder := nn.NewBuilder(1, tensor.CPU)
			defer builder.Params().Free()
			e, err := encoder.NewKoch(builder, c)
			require.NoError(b, err)
			for b.Loop() {
				s := tensor.Enter()
				y := e.Forward(&nn.Pass{Training: true}, images(1, n, 1, 105, 105))
				tensor.Grad(y.Sum(), builder.Params().Tensors()...)
				s.Leave()
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
