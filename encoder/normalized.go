package encoder

import (
	"errors"
	"fmt"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Normalization is what is done to images before an encoder gets them. The zero value leaves them as they are.
type Normalization struct {
	// Repeat makes as many equal channels of the only one of a grey image, before the rest; 0 leaves the channels as they are.
	Repeat   int64
	Inverted bool // light and dark are exchanged first: x becomes 1 − x
	// Mean is subtracted from each channel, and each is divided by Std afterwards: one number for all channels, or one per
	// channel. Nil leaves the values as they are.
	Mean, Std []float64
}

// normalized is an encoder of normalised images.
type normalized struct {
	Encoder
	repeat    int64
	inverted  bool
	mean, std []float32
}

// Normalize returns an encoder that normalises images before e gets them, [n, channels, height, width] once the channel of grey
// ones is repeated; e itself where there is nothing to do. It has the properties of e: see [Maps], [HasDropout], [UsesBatchStatistics] and [Precision].
func Normalize(e Encoder, c Normalization, channels int64) (Encoder, error) {
	for _, list := range []struct {
		name   string
		values []float64
	}{{"mean", c.Mean}, {"std", c.Std}} {
		if n := len(list.values); n > 1 && int64(n) != channels {
			return nil, fmt.Errorf("encoder: %s has %d numbers for images of %s; give one per channel, or one for all", list.name, n,
				map[bool]string{true: "1 channel", false: fmt.Sprint(channels, " channels")}[channels == 1])
		}
	}
	if slices.Contains(c.Std, 0) {
		return nil, errors.New("encoder: std: nothing can be divided by 0")
	}
	if !c.Inverted && len(c.Mean) == 0 && len(c.Std) == 0 && c.Repeat < 2 {
		return e, nil
	}
	return &normalized{e, c.Repeat, c.Inverted, floats(c.Mean), floats(c.Std)}, nil
}

func floats(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// Forward implements [Encoder].
func (e *normalized) Forward(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	channelwise := func(values []float32) *tensor.Tensor {
		return tensor.New(values, 1, int64(len(values)), 1, 1).To(x.DType()).On(x.Device())
	}
	if e.repeat > 1 {
		x = x.Expand(x.Dim(0), e.repeat, x.Dim(2), x.Dim(3))
	}
	if e.inverted {
		x = x.Neg().AddScalar(1)
	}
	if len(e.mean) > 0 {
		x = x.Sub(channelwise(e.mean))
	}
	if len(e.std) > 0 {
		x = x.Div(channelwise(e.std))
	}
	return e.Encoder.Forward(p, x)
}

// Maps implements [Mapper].
func (e *normalized) Maps() (channels, height, width int64) { return Maps(e.Encoder) }

// HasDropout implements [HasDropout].
func (e *normalized) HasDropout() bool { return HasDropout(e.Encoder) }

// UsesBatchStatistics implements [UsesBatchStatistics].
func (e *normalized) UsesBatchStatistics() bool { return UsesBatchStatistics(e.Encoder) }

// Blocks implements [Blocker].
func (e *normalized) Blocks() [][]*nn.Param { return Blocks(e.Encoder) }

// Precision implements [Precision].
func (e *normalized) Precision() string { return Precision(e.Encoder) }

var _ Mapper = (*normalized)(nil)
