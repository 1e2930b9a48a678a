package memory

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// What the memories that controllers drive have in common: settings, emissions, and first weightings.

// fuses reports whether a step goes by its one operation in package tensor; otherwise it is composed here.
func fuses(p *nn.Pass, emission, memory *tensor.Tensor) bool {
	return !p.HigherOrder && tensor.FusesSteps(emission) && emission.DType() == memory.DType()
}

// onFirstSlot returns weightings [batch, heads, slots] that are all on the first slot.
func onFirstSlot(like *tensor.Tensor, batch, heads, slots int64) *tensor.Tensor {
	return tensor.Full(0, tensor.Int64, like.Device(), batch, heads).OneHot(slots).To(like.DType())
}

// zeros returns zeros of the type and on the device of like.
func zeros(like *tensor.Tensor, shape ...int64) *tensor.Tensor {
	return tensor.Full(0, like.DType(), like.Device(), shape...)
}

// or is a setting whose zero value stands for a default.
func or[T int64 | float64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// parts takes an emission [batch, n] apart, from left to right.
type parts struct {
	from   *tensor.Tensor
	offset int64
}

// next returns the next heads·width columns as [batch, heads, width].
func (s *parts) next(heads, width int64) *tensor.Tensor {
	part := s.from.Narrow(1, s.offset, heads*width)
	s.offset += heads * width
	return part.Reshape(part.Dim(0), heads, width)
}

// clip bounds x to [-by, by]; a negative bound is none.
func clip(x *tensor.Tensor, by float64) *tensor.Tensor {
	if by < 0 {
		return x
	}
	return x.Clamp(-by, by)
}
