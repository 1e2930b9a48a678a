package memory

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Common parts of the recurrent memories: settings, emissions and initial weightings.

// fuses reports whether package tensor's fused step applies. Otherwise the step is composed here.
func fuses(p *nn.Pass, emission, memory *tensor.Tensor) bool {
	return !p.HigherOrder && tensor.FusesSteps(emission) && emission.DType() == memory.DType()
}

// flag is a setting of a fused memory that is on or off.
func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// onFirstSlot returns weightings [batch, heads, slots] that are 1 at the first slot.
func onFirstSlot(like *tensor.Tensor, batch, heads, slots int64) *tensor.Tensor {
	return tensor.Full(0, tensor.Int64, like.Device(), batch, heads).OneHot(slots).To(like.DType())
}

// zeros returns zeros with the type and device of like.
func zeros(like *tensor.Tensor, shape ...int64) *tensor.Tensor {
	return tensor.Full(0, like.DType(), like.Device(), shape...)
}

// parts splits an emission [batch, n] from left to right.
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

// clip limits x to [-by, by]; a negative by means no limit.
func clip(x *tensor.Tensor, by float64) *tensor.Tensor {
	if by < 0 {
		return x
	}
	return x.Clamp(-by, by)
}
