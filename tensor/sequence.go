package tensor

// #include "internal/kernels/arithmetic/sequence.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// RMSNorm divides x [..., width] by the root of the mean square of each row, to which eps is added, and multiplies it by a gain [width]:
// Zhang and Sennrich 2019, eq. 4. On the CPU in float32 and float64 it is one pass, forward and backward.
func RMSNorm(x, gain *Tensor, eps float64) *Tensor {
	const op = "RMSNorm"
	out := C.eg_norm_rows(unsafe.Pointer(x.ptr(op)), unsafe.Pointer(gain.ptr(op)), 1, C.double(eps))
	return result(op, libtch.Ctensor(out), x, gain)
}

// UnitRows divides x [..., width] by the length of each row, x/√(Σx² + eps), in one pass as [RMSNorm].
func UnitRows(x *Tensor, eps float64) *Tensor {
	const op = "UnitRows"
	out := C.eg_norm_rows(unsafe.Pointer(x.ptr(op)), nil, 0, C.double(eps))
	return result(op, libtch.Ctensor(out), x)
}

// CausalConvolution convolves each channel of x [batch, time, channels] with its column of a kernel [length, channels], whose last row
// belongs to the position itself and those above it to the positions before: what is before the sequence is zero. With silu it is followed
// by y·σ(y). On the CPU in float32 and float64 it is one pass forward and two backward.
func CausalConvolution(x, kernel *Tensor, silu bool) *Tensor {
	const op = "CausalConvolution"
	out := C.eg_causal_convolution(unsafe.Pointer(x.ptr(op)), unsafe.Pointer(kernel.ptr(op)), C.int(truth(silu)))
	return result(op, libtch.Ctensor(out), x, kernel)
}
