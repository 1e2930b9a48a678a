package nn

import (
	"math/rand/v2"

	"github.com/engram-go/engram/tensor"
)

// Dropout zeroes each value with the given probability in training passes, drawing from p.Rand, and divides the
// others by 1 - probability (inverted dropout): Srivastava et al. 2014. Other passes return x.
func Dropout(p *Pass, x *tensor.Tensor, probability float64) *tensor.Tensor {
	if !p.Training || probability == 0 {
		return x
	}
	mask := Drawn(p, x.Device(), func(r *rand.Rand, mask []bool) {
		for i := range mask {
			mask[i] = r.Float64() >= probability
		}
	}, x.Shape()...)
	kept := mask.To(tensor.Float32).MulScalar(1 / (1 - probability))
	return x.Mul(kept.To(x.DType()))
}

// DropBlock zeroes square regions of feature maps x [n, channels, height, width] in training passes, and multiplies what is left so
// that its sum of weights stays: Ghiasi et al. 2018, algorithm 1. Regions have the side size, or that of the map where it is
// smaller; they are drawn for each map so that a value is dropped with about the given chance. Which regions, the pass's generator
// says. Other passes leave x as it is.
func DropBlock(p *Pass, x *tensor.Tensor, chance float64, size int64) *tensor.Tensor {
	if !p.Training || chance == 0 {
		return x
	}
	n, channels, height, width := int(x.Dim(0)), int(x.Dim(1)), int(x.Dim(2)), int(x.Dim(3))
	side := min(int(size), height, width)
	rows, columns := height-side+1, width-side+1 // where a region can begin
	gamma := chance * float64(height*width) / float64(side*side*rows*columns)
	weights := Drawn(p, x.Device(), func(r *rand.Rand, weights []float32) {
		kept := len(weights)
		for i := range weights {
			weights[i] = 1
		}
		for m := range n * channels {
			of := weights[m*height*width:][:height*width]
			for at := range rows * columns {
				if r.Float64() >= gamma {
					continue
				}
				for y := at / columns; y < at/columns+side; y++ {
					for x := at % columns; x < at%columns+side; x++ {
						if of[y*width+x] != 0 {
							of[y*width+x] = 0
							kept--
						}
					}
				}
			}
		}
		scale := float32(float64(len(weights)) / float64(max(kept, 1)))
		for i := range weights {
			weights[i] *= scale
		}
	}, x.Shape()...)
	// The product with float32 is rounded once where x is bfloat16.
	return x.Mul(weights).To(x.DType())
}
