package memory

import "github.com/engram-go/engram/tensor"

// This file implements the temporal memory linkage of Graves et al. 2016, Methods, which records the order of writes.
// Write weightings and precedence are [batch, 1, slots].

// Precedence returns the degree to which each slot was the last one written, [batch, 1, slots]: p = (1 - Σ w)·p + w.
func Precedence(prev, write *tensor.Tensor) *tensor.Tensor {
	return prev.Mul(oneMinus(write.SumKeep(-1))).Add(write)
}

// Link returns the link matrix [batch, slots, slots] after a write weighting, given the previous precedence. Element
// i, j is the degree to which slot i was written directly after slot j:
//
//	L[i, j] = (1 - w[i] - w[j])·L[i, j] + w[i]·p[j],  L[i, i] = 0
//
// Rows and columns sum to at most one.
func Link(prev, precedence, write *tensor.Tensor) *tensor.Tensor {
	return link(prev, precedence, write, offDiagonal(prev, prev.Dim(-1)))
}

// link is Link with the mask of [offDiagonal], which is the same at every step.
func link(prev, precedence, write, mask *tensor.Tensor) *tensor.Tensor {
	to := write.Transpose(1, 2) // [batch, slots, 1]
	kept := prev.Mul(oneMinus(to).Sub(write))
	return kept.Add(to.MatMul(precedence)).Mul(mask)
}

// offDiagonal returns ones with zeros on the diagonal, [slots, slots].
func offDiagonal(like *tensor.Tensor, slots int64) *tensor.Tensor {
	return oneMinus(tensor.Eye(slots, like.DType(), like.Device()))
}

// Forward moves read weightings [batch, heads, slots] to the slots written after them: f = L·w.
func Forward(link, read *tensor.Tensor) *tensor.Tensor { return read.MatMul(link.Transpose(1, 2)) }

// Backward moves read weightings [batch, heads, slots] to the slots written before them: b = Lᵀ·w.
func Backward(link, read *tensor.Tensor) *tensor.Tensor { return read.MatMul(link) }

// SharpenLinks raises forward or backward weightings [batch, heads, slots] to the power of powers [batch, heads, 1], which are at
// least one, and scales them to sum to one: Csordás and Schmidhuber 2019, section 3.3. A weighting of zeros becomes an even one.
func SharpenLinks(weightings, powers *tensor.Tensor) *tensor.Tensor {
	return weightings.AddScalar(linkEps).Log().Mul(powers).Softmax(-1)
}

// linkEps is added to a weighting before it is raised to a power.
const linkEps = 1e-6

// ReadModes mixes backward, content and forward weightings [batch, heads, slots] by read modes [batch, heads, 3], in this
// order: w = π₁·b + π₂·c + π₃·f.
func ReadModes(modes, backward, content, forward *tensor.Tensor) *tensor.Tensor {
	return backward.Mul(modes.Narrow(2, 0, 1)).Add(content.Mul(modes.Narrow(2, 1, 1))).Add(forward.Mul(modes.Narrow(2, 2, 1)))
}
