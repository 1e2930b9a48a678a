package tensor

// The rooms of this package's C++; internal/kernels/README.md is their map.
import (
	_ "github.com/engram-go/engram/tensor/internal/kernels/arithmetic"
	_ "github.com/engram-go/engram/tensor/internal/kernels/bindings"
	_ "github.com/engram-go/engram/tensor/internal/kernels/classifier"
	_ "github.com/engram-go/engram/tensor/internal/kernels/convolution"
	_ "github.com/engram-go/engram/tensor/internal/kernels/memory"
	_ "github.com/engram-go/engram/tensor/internal/kernels/runtime"
)
