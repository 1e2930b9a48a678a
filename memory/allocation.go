package memory

import "github.com/engram-go/engram/tensor"

// The functions of this file are the dynamic memory allocation of Graves et al. 2016 (Hybrid computing using a neural network
// with dynamic external memory), Methods. A usage is [batch, 1, slots] and lies in [0, 1].

// Retention returns how much of each slot is not freed, [batch, 1, slots], by free gates [batch, heads, 1] and the read
// weightings [batch, heads, slots] of the step before: ψ = Π (1 - fᵢ·wᵢ) over the read heads.
func Retention(free, read *tensor.Tensor) *tensor.Tensor {
	return product(oneMinus(free.Mul(read)))
}

// Usage returns the usage after the write weighting [batch, 1, slots] of the step before and the retention [batch, 1,
// slots], nil where nothing is freed: u = (u + w - u·w)·ψ. Its gradient is that of the formula; the paper's authors' code
// takes w for a constant.
func Usage(prev, write, retention *tensor.Tensor) *tensor.Tensor {
	u := prev.Add(write).Sub(prev.Mul(write))
	if retention == nil {
		return u
	}
	return u.Mul(retention)
}

// allocationFloor is the least usage that an allocation is computed from. The gradient of a product is divided by its
// factors, so none may be zero; the paper's authors' code has the same figure for the same reason.
const allocationFloor = 1e-6

// Allocation returns the weighting [batch, 1, slots] of the free slots of a usage [batch, 1, slots]. With the slots in
// the order φ of their usage, the least used first, a[φⱼ] = (1 - u[φⱼ]) · Π u[φᵢ] over i < j; of slots used equally the
// lower one comes first. It sums to 1 - Π u: to nothing where all slots are in use. The order itself has no gradient.
func Allocation(usage *tensor.Tensor) *tensor.Tensor {
	return allocation(usage, allocationFloor, never)
}

// allocation is Allocation with a floor, for which slots used no more than unused are used equally.
func allocation(usage *tensor.Tensor, floor, unused float64) *tensor.Tensor {
	order := leastFirst(usage, unused)
	sorted := usage.MulScalar(1-floor).AddScalar(floor).Gather(-1, order)
	a := oneMinus(sorted)
	if n := usage.Dim(-1); n > 1 {
		before := sorted.CumProd(-1).Narrow(-1, 0, n-1)
		a = tensor.Cat(-1, a.Narrow(-1, 0, 1), a.Narrow(-1, 1, n-1).Mul(before))
	}
	return a.ZerosLike().Scatter(-1, order, a)
}
