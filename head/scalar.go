package head

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// scalar is a number that is a constant, or a parameter that begins at it.
type scalar struct {
	value float64
	param *nn.Param // [], nil for a constant
}

// newScalar makes a parameter with b, or a constant where b is nil.
func newScalar(b *nn.Builder, name string, value float64) scalar {
	s := scalar{value: value}
	if b != nil {
		s.param = b.Param(name, nn.Constant(value))
	}
	return s
}

// mul returns x times the number.
func (s scalar) mul(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if s.param == nil {
		return x.MulScalar(s.value)
	}
	return x.Mul(p.Value(s.param).To(x.DType()))
}

// add returns x plus the number.
func (s scalar) add(p *nn.Pass, x *tensor.Tensor) *tensor.Tensor {
	if s.param == nil {
		return x.AddScalar(s.value)
	}
	return x.Add(p.Value(s.param).To(x.DType()))
}
