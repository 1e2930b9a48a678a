package memory

import (
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/tensor"
)

// This file implements the addressing of Graves et al. 2014 (Neural Turing Machines), section 3.3, in the order of
// its figure 2. Each function computes all heads of all sequences at once: a memory is [batch, slots, width],
// weightings are [batch, heads, slots], and a scalar per head is [batch, heads, 1].

// ContentWeighting returns the weightings [batch, heads, slots] of a memory [batch, slots, width] for keys [batch,
// heads, width]: a softmax over their cosines times the key strengths [batch, heads, 1], which must not be negative.
// Graves et al. 2014, eqs. 5 and 6; Graves et al. 2016, content-based addressing. Nil strengths mean 1: Santoro et
// al. 2016, eqs. 2 and 3. The cosine of a zero key or slot is 0.
func ContentWeighting(memory, keys, strengths *tensor.Tensor) *tensor.Tensor {
	scores := metric.Cosine{}.Score(nil, keys, memory)
	if strengths != nil {
		scores = scores.Mul(strengths)
	}
	return scores.Softmax(-1)
}

// leastMask is the least value of a mask: without it masked heads learn slowly (Csordás and Schmidhuber 2019, section 3.1).
const leastMask = .1

// maskEps is added to squared lengths under a mask, so that the square root has a gradient at zero.
const maskEps = 1e-6

// MaskedContentWeighting is [ContentWeighting] of keys and slots that are both multiplied by a mask [batch, heads, width] per
// head: Csordás and Schmidhuber 2019, section 3.1. Nil masks are ones.
func MaskedContentWeighting(memory, keys, masks, strengths *tensor.Tensor) *tensor.Tensor {
	if masks == nil {
		return ContentWeighting(memory, keys, strengths)
	}
	squared := masks.Square()
	products := keys.Mul(squared).MatMul(memory.Transpose(1, 2))
	slots := squared.MatMul(memory.Square().Transpose(1, 2)).AddScalar(maskEps)
	scores := products.Mul(keys.Mul(masks).Square().SumKeep(-1).AddScalar(maskEps).Mul(slots).PowScalar(-.5))
	return scores.Mul(strengths).Softmax(-1)
}

// Interpolate returns gate·a + (1-gate)·b for weightings [batch, heads, slots] and gates [batch, heads, 1] in [0, 1].
// With the content weighting and the previous weighting it is Graves et al. 2014, eq. 7; with the previous read
// weighting and the least-used weighting Santoro et al. 2016, eq. 7. Rounding cannot make the result of non-negative
// weightings negative.
func Interpolate(gates, a, b *tensor.Tensor) *tensor.Tensor {
	return b.Add(a.Sub(b).Mul(gates))
}

// Shift rotates weightings [batch, heads, slots] over the slots by circular convolution with the shift weightings
// [batch, heads, 2·range+1], whose element j is the fraction that moves by j-range slots, towards higher slots if
// positive: Graves et al. 2014, eq. 8.
func Shift(weightings, shifts *tensor.Tensor) *tensor.Tensor {
	n := shifts.Dim(-1)
	if n%2 == 0 {
		panic(&tensor.Error{Op: "Shift", Shapes: [][]int64{weightings.Shape(), shifts.Shape()},
			Msg: "want an odd number of shifts, 2·range+1"})
	}
	moved := make([]*tensor.Tensor, n)
	for j := range moved {
		moved[j] = weightings
		if by := int64(j) - n/2; by != 0 {
			moved[j] = weightings.Roll(-1, by)
		}
	}
	// [batch, heads, 1, shifts] · [batch, heads, shifts, slots]
	return shifts.Unsqueeze(2).MatMul(tensor.Stack(2, moved...)).Squeeze(2)
}

// Sharpen raises weightings [batch, heads, slots] to the power of gammas [batch, heads, 1], which must be at least
// one, and normalises them: Graves et al. 2014, eq. 9. It computes with logarithms because the powers of a spread-out
// weighting underflow: 1/128 to the power of 20 is zero in float32.
func Sharpen(weightings, gammas *tensor.Tensor) *tensor.Tensor {
	return weightings.AddScalar(smallest).Log().Mul(gammas).Softmax(-1)
}

// ReadVectors returns the vectors [batch, heads, width] that weightings [batch, heads, slots] read from a memory
// [batch, slots, width]: Graves et al. 2014, eq. 2.
func ReadVectors(memory, weightings *tensor.Tensor) *tensor.Tensor {
	return weightings.MatMul(memory)
}

// EraseAdd writes to a memory [batch, slots, width] with weightings [batch, heads, slots], erase vectors [batch,
// heads, width] in [0, 1] and add vectors of the same shape: Graves et al. 2014, eqs. 3 and 4. All heads erase before
// any adds, so that their order does not matter.
func EraseAdd(memory, weightings, erase, add *tensor.Tensor) *tensor.Tensor {
	slots := weightings.Transpose(1, 2) // [batch, slots, heads]
	var erased *tensor.Tensor
	if weightings.Dim(1) == 1 {
		erased = memory.Sub(memory.Mul(slots.MatMul(erase)))
	} else {
		each := weightings.Unsqueeze(3).Mul(erase.Unsqueeze(2)) // [batch, heads, slots, width]
		erased = memory.Mul(product(oneMinus(each)).Squeeze(1))
	}
	return erased.Add(slots.MatMul(add))
}

// product multiplies over dimension 1, which it keeps with size one. It halves the dimension instead of dividing the
// total product, so that the gradient is correct where a factor is zero.
func product(x *tensor.Tensor) *tensor.Tensor {
	for n := x.Dim(1); n > 1; n = x.Dim(1) {
		half := n / 2
		y := x.Narrow(1, 0, half).Mul(x.Narrow(1, half, half))
		if n%2 == 1 {
			y = tensor.Cat(1, y, x.Narrow(1, n-1, 1))
		}
		x = y
	}
	return x
}

func oneMinus(x *tensor.Tensor) *tensor.Tensor { return x.Neg().AddScalar(1) }
