// Package product lets oneDNN compute the float32 matrix products of a whole process. A program imports it for its effect:
//
//	import _ "github.com/engram-go/engram/tensor/product"
//
// It defines BLAS's sgemm_, and a program's own function is found before that of the libraries that it uses. So LibTorch, and any
// other C code of the process that calls sgemm_, get oneDNN's product, which for few rows is faster than OpenBLAS's and runs on
// OpenMP's threads like all else that LibTorch computes. It has no effect where LibTorch exports no oneDNN, or contains its own
// BLAS; see [Effective].
//
// Products of oneDNN and of a BLAS round differently: a run repeats to the bit in programs that both import this package, or both do
// not. The engram command imports it. No package of Engram does, so that importing them changes nobody else's products.
package product

// #cgo CXXFLAGS: -O3 -g0
// #cgo LDFLAGS: -ldl
// #include "sgemm.h"
import "C"

import (
	_ "github.com/engram-go/engram/tensor" // LibTorch's libraries
	_ "github.com/engram-go/engram/tensor/internal/kernels"
)

// Effective reports whether calls of sgemm_ in this process, LibTorch's among them, are oneDNN's products.
func Effective() bool { return C.eg_sgemm_effective() != 0 }
