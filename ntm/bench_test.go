package ntm_test

import (
	"fmt"
	"testing"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/tensor"
)

// Forward and backward pass of a training step on the copy task, by number of sequences.
func BenchmarkCopy(b *testing.B) {
	for _, batch := range []int64{1, 16} {
		b.Run(fmt.Sprintf("batch %d", batch), func(b *testing.B) {
			tensor.SetThreads(1)
			builder := nn.NewBuilder(1, tensor.CPU)
			defer builder.Params().Free()
			net := ntm.New(builder, ntm.Config{Outputs: 8, Config: controller.Config{Inputs: 9, Memory: func(b *nn.Builder, control int64) memory.Recurrent {
				return memory.NewNTM(b, memory.NTMConfig{Control: control})
			}}})
			opt := nn.NewAdam(builder.Params(), nn.DefaultAdam())
			defer opt.Free()
			scope := tensor.Enter()
			defer scope.Leave()
			const steps = 41
			x := tensor.Ones(steps, batch, 9)
			for b.Loop() {
				s := tensor.Enter()
				loss := net.Forward(&nn.Pass{Training: true}, x, nil).Square().Sum()
				opt.Step(tensor.Grad(loss, builder.Params().Tensors()...), 1e-4)
				s.Leave()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/steps, "µs/step")
		})
	}
}
