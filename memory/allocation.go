package memory

import "github.com/engram-go/engram/tensor"

// This file implements the dynamic memory allocation of Graves et al. 2016 (Hybrid computing using a neural network
// with dynamic external memory), Methods. A usage is [batch, 1, slots] and lies in [0, 1].

// Retention returns the fraction of each slot that is not freed, [batch, 1, slots], for free gates [batch, heads, 1]
// and the previous read weightings [batch, heads, slots]: ψ = Π (1 - fᵢ·wᵢ) over the read heads.
func Retention(free, read *tensor.Tensor) *tensor.Tensor {
	return product(oneMinus(free.Mul(read)))
}

// Usage returns the usage after the previous write weighting [batch, 1, slots] and the retention [batch, 1, slots],
// which is nil if nothing is freed: u = (u + w - u·w)·ψ. Unlike in the authors' code, w is not a constant for the
// gradient.
func Usage(prev, write, retention *tensor.Tensor) *tensor.Tensor {
	u := prev.Add(write).Sub(prev.Mul(write))
	if retention == nil {
		return u
	}
	return u.Mul(retention)
}

// allocationFloor is the lowest usage in an allocation. The gradient of a product divides by its factors, so none may
// be zero. The value is that of the authors' code.
const allocationFloor = 1e-6

// Allocation returns the weighting [batch, 1, slots] of the free slots of a usage [batch, 1, slots]. With the slots
// in ascending order φ of usage, lower slots first among equals, a[φⱼ] = (1 - u[φⱼ]) · Π u[φᵢ] over i < j. It sums to
// 1 - Π u, which is zero if all slots are in use. The order itself has no gradient.
func Allocation(usage *tensor.Tensor) *tensor.Tensor {
	return allocation(usage, allocationFloor, never)
}

// allocation is Allocation with a given floor. Usages up to unused count as equal.
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
