package runner

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Clip limits the gradient. Zero means no limit.
type Clip struct {
	Value   float64 `yaml:"value" min:"0" doc:"the largest absolute value of an element"`
	Carried float64 `yaml:"carried" min:"0" doc:"elementwise clip of the gradient that is carried back from one time step to the one before"`
	Each    float64 `yaml:"each" min:"0" doc:"the largest norm of each parameter's gradient"`
	Norm    float64 `yaml:"norm" min:"0" doc:"the largest norm of all gradients together"`
}

// limit limits gradients whose global norm is known.
func (c Clip) limit(grads []*tensor.Tensor, norm float64) []*tensor.Tensor {
	if c.Value > 0 {
		grads = nn.ClipByValue(grads, c.Value)
	}
	if c.Each > 0 {
		grads = nn.ClipEachByNorm(grads, c.Each)
	}
	switch {
	case c.Norm == 0:
		return grads
	case c.Value > 0 || c.Each > 0:
		return nn.ClipByNorm(grads, c.Norm)
	}
	return nn.ClipNorm(grads, norm, c.Norm)
}

// limitOnDevice limits gradients without reading a norm.
func (c Clip) limitOnDevice(grads []*tensor.Tensor) []*tensor.Tensor {
	if c.Value > 0 {
		grads = nn.ClipByValue(grads, c.Value)
	}
	if c.Each > 0 {
		grads = nn.ClipEachByDeviceNorm(grads, c.Each)
	}
	if c.Norm > 0 {
		grads = nn.ClipByDeviceNorm(grads, c.Norm)
	}
	return grads
}
