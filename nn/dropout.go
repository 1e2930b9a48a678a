package nn

import "github.com/engram-go/engram/tensor"

// Dropout zeroes each value with the given probability in training passes, drawing from p.Rand, and divides the
// others by 1 - probability (inverted dropout): Srivastava et al. 2014. Other passes return x.
func Dropout(p *Pass, x *tensor.Tensor, probability float64) *tensor.Tensor {
	if !p.Training || probability == 0 {
		return x
	}
	keep, mask := float32(1/(1-probability)), make([]float32, x.Numel())
	for i := range mask {
		if p.Rand.Float64() >= probability {
			mask[i] = keep
		}
	}
	return x.Mul(tensor.New(mask, x.Shape()...).To(x.DType()).On(x.Device()))
}
