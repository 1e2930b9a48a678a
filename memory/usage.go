package memory

import "github.com/engram-go/engram/tensor"

// This file implements the least recently used access of Santoro et al. 2016 (Meta-Learning with Memory-Augmented
// Neural Networks), section 3.2.

// DecayedUsage returns the usage [batch, 1, slots] after a step with read and write weightings [batch, heads, slots]:
// decay times the previous usage plus all weightings. Santoro et al. 2016, eq. 5. It can exceed one.
func DecayedUsage(prev *tensor.Tensor, decay float64, read, write *tensor.Tensor) *tensor.Tensor {
	return prev.MulScalar(decay).Add(read.SumKeep(1)).Add(write.SumKeep(1))
}

// LeastUsed returns the n least used slots of a usage [batch, 1, slots] as one-hot weightings [batch, n, slots], in
// ascending order of usage. Their sum is the least-used weighting of Santoro et al. 2016, eq. 6, except that lower
// slots come first among equals and exactly n are taken; where nothing is used yet, the equation takes all. No
// gradient flows through it.
func LeastUsed(usage *tensor.Tensor, n int64) *tensor.Tensor {
	slots := usage.Dim(-1)
	if n > slots {
		panic(&tensor.Error{Op: "LeastUsed", Shapes: [][]int64{usage.Shape()}, Msg: "fewer slots than heads"})
	}
	return leastFirst(usage, never).Squeeze(1).Narrow(-1, 0, n).OneHot(slots).To(usage.DType())
}

// never is below the usage of any slot that was used.
const never = 1e-300

// leastFirst returns the slots of a usage [batch, 1, slots] in ascending order of usage, lower slots first among
// equals. Sorting alone does not guarantee that, so each slot's usage is raised in float64 by slightly more than the
// previous slot's, by less than the resolution of float32. Usages up to unused, which is positive, count as equal.
func leastFirst(usage *tensor.Tensor, unused float64) *tensor.Tensor {
	ramp := tensor.Ramp(usage.Dim(-1), tensor.Float64, usage.Device()).MulScalar(1e-12).AddScalar(1)
	u := usage.Detach().To(tensor.Float64).ClampMin(unused)
	_, order := u.Mul(ramp).Sort(-1, false)
	return order
}

// Wipe returns a memory [batch, slots, width] with the slots of one-hot weightings [batch, heads, slots] set to zero,
// as Santoro et al. 2016, section 3.2, do to the least used slot before writing.
func Wipe(memory, weightings *tensor.Tensor) *tensor.Tensor {
	return memory.Mul(oneMinus(weightings.SumKeep(1)).Transpose(1, 2))
}

// Add returns a memory [batch, slots, width] with vectors [batch, heads, width] added by weightings [batch, heads,
// slots]: Santoro et al. 2016, eq. 8.
func Add(memory, weightings, vectors *tensor.Tensor) *tensor.Tensor {
	return memory.Add(weightings.Transpose(1, 2).MatMul(vectors))
}
