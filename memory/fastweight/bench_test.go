package fastweight_test

import (
	"math/rand/v2"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/tensor"
)

// BenchmarkGatedDelta runs the gated delta rule forward and backward: batch 16, length 256, 4 heads of 64.
func BenchmarkGatedDelta(b *testing.B) {
	rule := fastweight.Rule{Loss: fastweight.Squared, DecayFirst: true}
	for name, run := range map[string]func(fastweight.Shared, fastweight.State, fastweight.Tokens) (*tensor.Tensor, fastweight.State){
		"fused": rule.Run, "steps": rule.Steps,
	} {
		b.Run(name, func(b *testing.B) {
			testkit.Enter(b)
			r := rand.New(rand.NewPCG(1, 1))
			leaf := func(width int64) *tensor.Tensor {
				return testkit.Normal(r, 16, 4, 256, width).To(tensor.Float32).MulScalar(.1).Detach().RequireGrad()
			}
			q, k, v, rate, decay := leaf(64), leaf(64), leaf(64), leaf(1), leaf(1)
			for b.Loop() {
				scope := tensor.Enter()
				start := fastweight.State{Weights: []*tensor.Tensor{tensor.Zeros(16, 4, 64, 64)}}
				read, _ := run(fastweight.Shared{}, start, fastweight.Tokens{Query: q, Key: k, Value: v, Rate: rate.Sigmoid(), Decay: decay.Softplus().Neg()})
				tensor.Grad(read.Square().Sum(), q, k, v, rate, decay)
				scope.Leave()
			}
		})
	}
}
