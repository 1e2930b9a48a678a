package main

import "github.com/engram-go/engram/tensor"

// uniform makes values in [0, 1) that depend on nothing but the salt and the index, so that PyTorch starts from the same:
// torch/common.py has the same function.
func uniform(salt uint32, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		x := uint32(i) + salt*1000003 + 1
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		v[i] = float32((x^x>>16)>>8) / (1 << 24)
	}
	return tensor.New(v, shape...)
}
