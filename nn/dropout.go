package nn

import "github.com/engram-go/engram/tensor"

// Dropout puts zeros in the place of values in training passes, each with the given chance, and divides what is left by what
// is left of 1: Srivastava et al. 2014, inverted. Which values, the pass's generator says. Other passes leave x as it is.
func Dropout(p *Pass, x *tensor.Tensor, chance float64) *tensor.Tensor {
	if !p.Training || chance == 0 {
		return x
	}
	mask := make([]bool, x.Numel())
	for i := range mask {
		mask[i] = p.Rand.Float64() >= chance
	}
	kept := tensor.New(mask, x.Shape()...).On(x.Device()).To(tensor.Float32).MulScalar(1 / (1 - chance))
	return x.Mul(kept.To(x.DType()))
}
