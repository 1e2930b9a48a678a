package tensor

// #include "internal/kernels/memory/orthogonal.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// NewtonSchulz brings the singular values of matrices [..., rows, columns] near to one by so many steps of the iteration Y ← aY + (bA +
// cA²)Y, A = YYᵀ, with the coefficients a, b and c, from Y = X·(ΣX² + smooth)^(-1/2): Jordan et al. 2024, the optimiser Muon. Of a
// matrix with more rows than columns it is that of its transpose. It requires [FusesSteps] and has no second-order gradient. The
// reference implementation is in package memory/fastweight.
func NewtonSchulz(x *Tensor, coefficients [3]float64, steps int64, smooth float64) *Tensor {
	const op = "NewtonSchulz"
	out := C.eg_newton_schulz(unsafe.Pointer(x.ptr(op)), (*C.double)(&coefficients[0]), C.int64_t(steps), C.double(smooth))
	return result(op, libtch.Ctensor(out), x)
}
