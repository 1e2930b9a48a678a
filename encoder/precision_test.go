package encoder_test

import (
	"math"
	"testing"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"
)

// Values and gradients in bfloat16 are close to those in float32; parameters and embeddings stay float32.
func TestBFloat16(t *testing.T) {
	kochNet := func(normalize bool) func(*testing.T, bool) (encoder.Encoder, *nn.Params) {
		return func(t *testing.T, half bool) (encoder.Encoder, *nn.Params) {
			c := small()
			c.Normalize, c.BFloat16 = normalize, half
			return koch(t, c)
		}
	}
	conv4Net := func(c encoder.Conv4Config) func(*testing.T, bool) (encoder.Encoder, *nn.Params) {
		return func(t *testing.T, half bool) (encoder.Encoder, *nn.Params) {
			c.Channels, c.Height, c.Width, c.BFloat16 = 2, 33, 35, half
			return conv4(t, c)
		}
	}
	resnet12Net := func(t *testing.T, half bool) (encoder.Encoder, *nn.Params) {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Channels: 2, Height: 33, Width: 35, Filters: [4]int64{32, 32, 64, 64}, Mean: true, BFloat16: half})
		require.NoError(t, err)
		return e, b.Params()
	}
	// Embeddings may differ by the fraction off of the largest, and the cosine of the gradients must be at least
	// least: batch norms over few images amplify rounding.
	for name, c := range map[string]struct {
		network    func(*testing.T, bool) (encoder.Encoder, *nn.Params)
		off, least float64
	}{
		"koch":             {kochNet(false), .02, .99},
		"koch, normalised": {kochNet(true), .02, .99},
		"conv4":            {conv4Net(encoder.Conv4Config{}), .05, .98},
		"conv4, strided":   {conv4Net(encoder.Conv4Config{Strided: true, Mean: true}), .05, .98},
		"resnet12":         {resnet12Net, .05, .9},
		"conv4, unpadded":  {conv4Net(encoder.Conv4Config{Pools: 2, Unpadded: 2}), .05, .98},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			whole, ps := c.network(t, false)
			half, reference := c.network(t, true)
			assert.Equal(t, "fp32", encoder.Precision(whole))
			assert.Equal(t, "bf16 convolutions", encoder.Precision(half))
			x := images(1, 5, 2, 33, 35)
			want, got := whole.Forward(&nn.Pass{Training: true}, x), half.Forward(&nn.Pass{Training: true}, x)
			assert.Equal(t, tensor.Float32, got.DType())
			near(t, want, got, c.off, 0, "embeddings")
			alike := func(a, b *tensor.Tensor) (dot, of, other float64) {
				return a.Mul(b).Sum().Float(), a.Square().Sum().Float(), b.Square().Sum().Float()
			}
			dot, of, other := alike(want, got)
			assert.Greater(t, dot/math.Sqrt(of*other), .999, "the cosine of the embeddings")
			weights := images(99, want.Shape()...).AddScalar(-.5)
			wants := tensor.Grad(want.Mul(weights).Sum(), ps.Tensors()...)
			dot, of, other = 0, 0, 0
			for i, g := range tensor.Grad(got.Mul(weights).Sum(), reference.Tensors()...) {
				require.Equal(t, tensor.Float32, g.DType())
				d, a, b := alike(wants[i], g)
				dot, of, other = dot+d, of+a, other+b
			}
			least := c.least
			if !cpu.X86.HasAVX512BW { // LibTorch then has no kernel that sums bfloat16 products in float32
				least = min(least, .95)
			}
			assert.Greater(t, dot/math.Sqrt(of*other), least, "the cosine of the gradients")
		})
	}
}

// Passes for second-order gradients compute in float32.
func TestHigherOrderIgnoresBFloat16(t *testing.T) {
	testkit.Enter(t)
	whole, _ := conv4(t, encoder.Conv4Config{Height: 20, Width: 20})
	half, _ := conv4(t, encoder.Conv4Config{Height: 20, Width: 20, BFloat16: true})
	x := images(1, 3, 1, 20, 20)
	p := &nn.Pass{HigherOrder: true, Norm: nn.BatchStats}
	assert.Equal(t, whole.Forward(p, x).Floats(), half.Forward(p, x).Floats())
}

// Evaluation in bfloat16, where norms become part of the convolutions, is close to that in float32, and leaves the images as they are.
func TestResNet12EvaluatesInBFloat16(t *testing.T) {
	testkit.Enter(t)
	made := func(half bool) encoder.Encoder {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Height: 20, Width: 18, Filters: [4]int64{32, 32, 64, 64}, BFloat16: half})
		require.NoError(t, err)
		return e
	}
	x := images(1, 3, 1, 20, 18)
	before := x.Floats()
	want, got := made(false).Forward(&nn.Pass{}, x), made(true).Forward(&nn.Pass{}, x)
	assert.Equal(t, tensor.Float32, got.DType())
	near(t, want, got, .05, 0, "embeddings")
	assert.Equal(t, before, x.Floats())
}

func TestPrecisionOfOtherEncoders(t *testing.T) {
	testkit.Enter(t)
	assert.Equal(t, encoder.FP32, encoder.Precision(encoder.NewPixels(1, 2, 2)))
	assert.Equal(t, encoder.FP32, encoder.Precision(nil))
}
