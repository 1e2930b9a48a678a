package tensor

// The folders of this package's C++; see internal/kernels/README.md.
import (
	_ "github.com/engram-go/engram/tensor/internal/kernels/arithmetic"
	_ "github.com/engram-go/engram/tensor/internal/kernels/bindings"
	_ "github.com/engram-go/engram/tensor/internal/kernels/classifier"
	_ "github.com/engram-go/engram/tensor/internal/kernels/convolution"
	_ "github.com/engram-go/engram/tensor/internal/kernels/memory"
	_ "github.com/engram-go/engram/tensor/internal/kernels/runtime"
)
