package tensor_test

import (
	"fmt"
	"testing"

	"github.com/engram-go/engram/tensor"
)

func BenchmarkAdd8(b *testing.B) {
	outer := tensor.Enter()
	defer outer.Leave()
	x, y := tensor.Ones(8), tensor.Ones(8)
	b.ReportAllocs()
	for b.Loop() {
		s := tensor.Enter()
		for range 100 {
			x.Add(y)
		}
		s.Leave()
	}
}

func BenchmarkAdd8Free(b *testing.B) {
	outer := tensor.Enter()
	defer outer.Leave()
	x, y := tensor.Ones(8), tensor.Ones(8)
	b.ReportAllocs()
	for b.Loop() {
		s := tensor.Enter()
		x.Add(y)
		s.Leave()
	}
}

// BenchmarkConv2d runs convolutions forward and backward, with Conv2d and Conv2dFirstOrder: Koch's second layer and
// Conv-4's, in float32 and bfloat16.
func BenchmarkConv2d(b *testing.B) {
	tensor.KeepMemory() // as the engram command does
	for _, c := range []convolution{{16, 64, 48, 48, 128, 7, 0}, {400, 64, 14, 14, 64, 3, 1}, {80, 64, 14, 14, 64, 3, 1}} {
		for _, d := range []tensor.DType{tensor.Float32, tensor.BFloat16} {
			for _, way := range []struct {
				name string
				conv func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor
			}{
				{"direct", func(x, w, b *tensor.Tensor, padding int64) *tensor.Tensor {
					return direct(x, w.To(d), b.To(d), padding)
				}},
				{"first order", tensor.Conv2dFirstOrder},
			} {
				b.Run(fmt.Sprintf("%d×%d of %d images/%v/%s", c.kernel, c.kernel, c.images, d, way.name), func(b *testing.B) {
					s := tensor.Enter()
					defer s.Leave()
					x := tensor.Ones(c.images, c.in, c.height, c.width).To(d).ChannelsLast().RequireGrad()
					w, bias := tensor.Ones(c.out, c.in, c.kernel, c.kernel).RequireGrad(), tensor.Ones(c.out).RequireGrad()
					for b.Loop() {
						s := tensor.Enter()
						y := way.conv(x, w, bias, c.padding)
						tensor.GradWith([]*tensor.Tensor{y}, []*tensor.Tensor{x, w, bias}, tensor.GradOptions{Outputs: []*tensor.Tensor{y.Detach()}})
						s.Leave()
					}
				})
			}
		}
	}
}
