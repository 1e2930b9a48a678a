package fewshot

import (
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Images puts images on a device as a float32 tensor of a shape, to the same values whether they are held as bytes or not. It
// panics where the shape has more or fewer values.
func Images(p episode.Pixels, on tensor.Device, shape ...int64) *tensor.Tensor {
	if len(p.Bytes) > 0 {
		return tensor.OfBytes(p.Bytes, shape...).On(on)
	}
	return tensor.New(p.Values, shape...).On(on)
}
