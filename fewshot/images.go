package fewshot

import (
	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/tensor"
)

// Images copies images to a device as a float32 tensor of a shape. Bytes and floats give the same values. It panics if the
// shape has another number of elements.
func Images(p episode.Pixels, on tensor.Device, shape ...int64) *tensor.Tensor {
	if len(p.Bytes) > 0 {
		return tensor.OfBytes(p.Bytes, on, shape...)
	}
	return tensor.Upload(p.Values, on, shape...)
}
