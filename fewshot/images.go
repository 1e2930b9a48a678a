package fewshot

import (
	"slices"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Images copies images to a device as a float32 tensor of a shape [..., channels, height, width], and normalises them there.
// Bytes and floats give the same values. Texts become an int64 tensor of tokens [..., width], padded with 0 at the end of rows. It
// panics if the shape has another number of elements.
func Images(p episode.Pixels, on tensor.Device, shape ...int64) *tensor.Tensor {
	if len(p.Tokens) > 0 {
		n := len(shape) - 3 // without channels and height, which are 1
		return tensor.Upload(p.Tokens, on, append(slices.Clone(shape[:n]), shape[n+2])...)
	}
	if len(p.Bytes) > 0 {
		return Normalize(tensor.OfBytes(p.Bytes, on, shape...), p.Norm)
	}
	return Normalize(tensor.Upload(p.Values, on, shape...), p.Norm)
}

// Level pads rows of tokens [..., T] with 0 at their ends to the length of the longer ones. Images have one size and are returned as
// they are.
func Level(a, b *tensor.Tensor) (*tensor.Tensor, *tensor.Tensor) {
	if a.DType() != tensor.Int64 {
		return a, b
	}
	length := max(a.Dim(-1), b.Dim(-1))
	pad := func(t *tensor.Tensor) *tensor.Tensor {
		shape := t.Shape()
		last := len(shape) - 1
		if shape[last] == length {
			return t
		}
		shape[last] = length - shape[last]
		return tensor.Cat(last, t, tensor.Full(0, tensor.Int64, t.Device(), shape...))
	}
	return pad(a), pad(b)
}

// Normalize returns images [..., channels, height, width] with each channel's mean subtracted and divided by its deviation;
// the images themselves where n is nil.
func Normalize(images *tensor.Tensor, n *episode.Normalization) *tensor.Tensor {
	if n == nil {
		return images
	}
	channels := len(n.Mean)
	mean, scale := make([]float32, channels), make([]float32, channels)
	for i := range channels {
		mean[i], scale[i] = float32(n.Mean[i]), float32(1/n.Std[i])
	}
	perChannel := func(v []float32) *tensor.Tensor { return tensor.Upload(v, images.Device(), int64(channels), 1, 1) }
	return images.Sub(perChannel(mean)).Mul(perChannel(scale))
}
