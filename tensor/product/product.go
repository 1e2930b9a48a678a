// Package product makes oneDNN compute the float32 matrix products of a whole process. A program imports it for its
// effect:
//
//	import _ "github.com/engram-go/engram/tensor/product"
//
// It defines BLAS's sgemm_, and a program's own symbols take precedence over those of its libraries. So LibTorch, and
// any other C code of the process that calls sgemm_, use oneDNN's product, which for few rows is faster than
// OpenBLAS's and runs on the OpenMP threads of LibTorch. It has no effect if LibTorch exports no oneDNN or contains
// its own BLAS; see [Effective].
//
// oneDNN and a BLAS round differently: runs of two programs are equal to the bit only if both import this package or
// neither does. Of Engram's packages only the command line, cli, imports it, so that the others do not change other
// code's products.
package product

// #cgo CXXFLAGS: -O3 -g0
// #cgo LDFLAGS: -ldl
// #include "sgemm.h"
import "C"

import (
	_ "github.com/engram-go/engram/tensor" // links LibTorch
	_ "github.com/engram-go/engram/tensor/internal/kernels"
)

// Effective reports whether oneDNN computes calls of sgemm_ in this process, including LibTorch's.
func Effective() bool { return C.eg_sgemm_effective() != 0 }
