package fewshot

import (
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Images copies images to a device as a float32 tensor of a shape [..., channels, height, width], and normalises them there.
// Bytes and floats give the same values. It panics if the shape has another number of elements.
func Images(p episode.Pixels, on tensor.Device, shape ...int64) *tensor.Tensor {
	if len(p.Bytes) > 0 {
		return Normalize(tensor.OfBytes(p.Bytes, on, shape...), p.Norm)
	}
	return Normalize(tensor.Upload(p.Values, on, shape...), p.Norm)
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
