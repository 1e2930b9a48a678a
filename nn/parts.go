package nn

import "github.com/engram-go/engram/tensor"

// InParts returns f(x), computed for parts of x of nearly equal sizes along the first dimension, of at most `most` rows, where rows do
// not influence one another. In a pass without gradients the intermediate results of one part at a time take memory.
func InParts(x *tensor.Tensor, most int64, f func(x *tensor.Tensor) *tensor.Tensor) *tensor.Tensor {
	n := x.Dim(0)
	most = max(1, most)
	if n <= most {
		return f(x)
	}
	count := (n + most - 1) / most
	parts := make([]*tensor.Tensor, count)
	for i := range count {
		from, to := i*n/count, (i+1)*n/count
		parts[i] = f(x.Narrow(0, from, to-from))
	}
	y := tensor.Cat(0, parts...)
	for _, part := range parts {
		part.Free()
	}
	return y
}
