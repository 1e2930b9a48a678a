package memory

import "github.com/engram-go/engram/tensor"

// The functions of this file are the least recently used access of Santoro et al. 2016 (Meta-Learning with
// Memory-Augmented Neural Networks), section 3.2.

// DecayedUsage returns the usage [batch, 1, slots] after a step that read and wrote with weightings [batch, heads, slots]:
// decay times the usage before it, plus all weightings. Santoro et al. 2016, eq. 5. It is not bounded by one.
func DecayedUsage(prev *tensor.Tensor, decay float64, read, write *tensor.Tensor) *tensor.Tensor {
	return prev.MulScalar(decay).Add(read.SumKeep(1)).Add(write.SumKeep(1))
}

// LeastUsed returns the n least used slots of a usage [batch, 1, slots] as one-hot weightings [batch, n, slots], the least
// used first. Their sum is the least-used weighting of Santoro et al. 2016, eq. 6, except that of slots used equally the
// lower ones come first and no more than n are taken: where nothing is used yet the equation takes them all. No gradient
// flows through the choice.
func LeastUsed(usage *tensor.Tensor, n int64) *tensor.Tensor {
	slots := usage.Dim(-1)
	if n > slots {
		panic(&tensor.Error{Op: "LeastUsed", Shapes: [][]int64{usage.Shape()}, Msg: "there are fewer slots than heads"})
	}
	return leastFirst(usage, never).Squeeze(1).Narrow(-1, 0, n).OneHot(slots).To(usage.DType())
}

// never is below any usage of a slot that was used.
const never = 1e-300

// leastFirst returns the slots of a usage [batch, 1, slots] in the order of their usage, the least used first and of slots
// used equally the lower ones first, which a sort by itself does not promise: in float64 each slot counts as used by a
// little more than the one before it, by less than float32 tells apart. Usages up to unused, which is positive, count as
// equal.
func leastFirst(usage *tensor.Tensor, unused float64) *tensor.Tensor {
	ramp := tensor.Ramp(usage.Dim(-1), tensor.Float64, usage.Device()).MulScalar(1e-12).AddScalar(1)
	u := usage.Detach().To(tensor.Float64).ClampMin(unused)
	_, order := u.Mul(ramp).Sort(-1, false)
	return order
}

// Wipe returns a memory [batch, slots, width] without what the slots of one-hot weightings [batch, heads, slots] held:
// what Santoro et al. 2016, section 3.2, do to the least used slot before they write.
func Wipe(memory, weightings *tensor.Tensor) *tensor.Tensor {
	return memory.Mul(oneMinus(weightings.SumKeep(1)).Transpose(1, 2))
}

// Add returns a memory [batch, slots, width] with vectors [batch, heads, width] added by weightings [batch, heads, slots]:
// Santoro et al. 2016, eq. 8.
func Add(memory, weightings, vectors *tensor.Tensor) *tensor.Tensor {
	return memory.Add(weightings.Transpose(1, 2).MatMul(vectors))
}
