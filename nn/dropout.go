package nn

import "github.com/engram-go/engram/tensor"

// Dropout zeroes each value with the given probability in training passes, drawing from p.Rand, and divides the
// others by 1 - probability (inverted dropout): Srivastava et al. 2014. Other passes return x.
func Dropout(p *Pass, x *tensor.Tensor, probability float64) *tensor.Tensor {
	if !p.Training || probability == 0 {
		return x
	}
	mask := make([]bool, x.Numel())
	for i := range mask {
		mask[i] = p.Rand.Float64() >= probability
	}
	kept := tensor.New(mask, x.Shape()...).On(x.Device()).To(tensor.Float32).MulScalar(1 / (1 - probability))
	return x.Mul(kept.To(x.DType()))
}
