package tensor_test

import (
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
