package nn

import "github.com/engram-go/engram/tensor"

// Dropout puts zeros in the place of values in training passes, each with the given chance, and divides what is left by what
// is left of 1: Srivastava et al. 2014, inverted. Which values, the pass's generator says. Other passes leave x as it is.
func Dropout(p *Pass, x *tensor.Tensor, chance float64) *tensor.Tensor {
	if !p.Training || chance == 0 {
		return x
	}
	keep, mask := float32(1/(1-chance)), make([]float32, x.Numel())
	for i := range mask {
		if p.Rand.Float64() >= chance {
			mask[i] = keep
		}
	}
	return x.Mul(tensor.New(mask, x.Shape()...).To(x.DType()).On(x.Device()))
}
