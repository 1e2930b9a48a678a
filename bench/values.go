package main

import (
	"math"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// numbers returns values in [0, 1) that depend only on the salt and the index. torch/common.py has the same function, so that
// PyTorch starts from the same values.
func numbers(salt uint32, n int64) []float32 {
	v := make([]float32, n)
	number(salt, v)
	return v
}

// number fills v with these values.
func number(salt uint32, v []float32) {
	for i := range v {
		x := uint32(i) + salt*1000003 + 1
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		v[i] = float32((x^x>>16)>>8) / (1 << 24)
	}
}

// uniform returns these values as a tensor on a device.
func uniform(on tensor.Device, salt uint32, shape ...int64) *tensor.Tensor {
	return tensor.Made(func(v []float32) { number(salt, v) }, shape...).On(on)
}

// words returns word indices of a vocabulary.
func words(salt uint32, vocabulary, n int64) []int64 {
	out := make([]int64, n)
	for i, v := range numbers(salt, n) {
		out[i] = min(int64(v*float32(vocabulary)), vocabulary-1)
	}
	return out
}

// fill sets parameters to initial values in [-bound, bound), with consecutive salts.
func fill(params []*nn.Param, bound float64, salt uint32) {
	for i, p := range params {
		s := tensor.Enter() // otherwise temporaries would count as the workload's memory
		p.Value().Assign(tensor.Made(func(values []float32) {
			number(salt+uint32(i), values)
			for k, v := range values {
				values[k] = (2*v - 1) * float32(bound)
			}
		}, p.Value().Shape()...))
		s.Leave()
	}
}

// fillBlocks sets the convolutions of blocks to the initial values of block in torch/common.py. A block's parameters are
// weight and bias of the convolution, and gain and bias of the norm, which keep their values.
func fillBlocks(params []*nn.Param, salt uint32) {
	for i := 0; i < len(params); i += 4 {
		fan := int64(1)
		for _, d := range params[i].Value().Shape()[1:] {
			fan *= d
		}
		fill(params[i:i+2], 1/math.Sqrt(float64(fan)), salt+uint32(10*(i/4)))
	}
}

// labels returns each class label each times, class after class.
func labels(way, each int64) []int64 {
	out := make([]int64, 0, way*each)
	for i := range way {
		for range each {
			out = append(out, i)
		}
	}
	return out
}
