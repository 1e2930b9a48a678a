package encoder_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

func TestNormalize(t *testing.T) {
	testkit.Enter(t)
	x := tensor.New([]float32{0, .25, .5, 1, .1, .2, .3, .4}, 1, 2, 2, 2)
	for _, c := range []struct {
		how  encoder.Normalization
		want []float64
	}{
		{encoder.Normalization{Inverted: true}, []float64{1, .75, .5, 0, .9, .8, .7, .6}},
		{encoder.Normalization{Mean: []float64{.5}}, []float64{-.5, -.25, 0, .5, -.4, -.3, -.2, -.1}},
		{encoder.Normalization{Std: []float64{.5, 2}}, []float64{0, .5, 1, 2, .05, .1, .15, .2}},
		{encoder.Normalization{Inverted: true, Mean: []float64{.5, .6}, Std: []float64{.5, .1}}, []float64{1, .5, 0, -1, 3, 2, 1, 0}},
	} {
		e, err := encoder.Normalize(encoder.NewPixels(2, 2, 2), c.how, 2)
		require.NoError(t, err)
		assert.InDeltaSlice(t, c.want, e.Forward(&nn.Pass{}, x).Floats(), 1e-6, "%+v", c.how)
	}
	assert.Equal(t, 1., x.Floats()[3], "the images are left alone")

	plain := encoder.NewPixels(2, 2, 2)
	same, err := encoder.Normalize(plain, encoder.Normalization{}, 2)
	require.NoError(t, err)
	assert.Same(t, plain, same)
	_, err = encoder.Normalize(plain, encoder.Normalization{Mean: []float64{1, 2, 3}}, 2)
	assert.EqualError(t, err, "encoder: mean has 3 numbers for images of 2 channels; give one per channel, or one for all")
	_, err = encoder.Normalize(plain, encoder.Normalization{Std: []float64{0}}, 2)
	assert.ErrorContains(t, err, "nothing can be divided by 0")
}

// A normalised encoder says of itself what the encoder in it does, and learns as that one on normalised images.
func TestNormalizedIsTheEncoderInIt(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewResNet12(b, encoder.ResNet12Config{Height: 16, Width: 16, Filters: [4]int64{2, 2, 2, 4}, Drop: .2})
	require.NoError(t, err)
	n, err := encoder.Normalize(e, encoder.Normalization{Mean: []float64{.3}, Std: []float64{.2}}, 1)
	require.NoError(t, err)
	assert.True(t, encoder.HasDropout(n))
	assert.True(t, encoder.UsesBatchStatistics(n))
	assert.Equal(t, encoder.Precision(e), encoder.Precision(n))
	channels, height, width := encoder.Maps(n)
	c, h, w := e.Maps()
	assert.Equal(t, []int64{c, h, w}, []int64{channels, height, width})
	r := stream.New(1, "images")
	pixels, done := make([]float32, 3*256), make([]float32, 3*256)
	for i := range pixels {
		pixels[i] = r.Float32()
		done[i] = (pixels[i] - .3) / .2
	}
	x, y := tensor.New(pixels, 3, 1, 16, 16), tensor.New(done, 3, 1, 16, 16)
	grad := func(e encoder.Encoder, x *tensor.Tensor) (out []float64) {
		tensor.WithGrad(func() {
			for _, g := range tensor.Grad(e.Forward(&nn.Pass{}, x).Square().Sum(), b.Params().Tensors()...) {
				out = append(out, g.Square().Sum().Float())
			}
		})
		return out
	}
	assert.InEpsilonSlice(t, grad(e, y), grad(n, x), 1e-3)
}
