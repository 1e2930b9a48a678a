package memory_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The setting of Rae et al. 2016, section 4.1: a controller of 100 units, words of 32, 4 heads that read 4 slots each.
func benchedSparse(b *nn.Builder, slots int64) *memory.Sparse {
	return memory.NewSparse(b, memory.SparseConfig{Control: 100, Slots: slots, Width: 32, Heads: 4, Reads: 4, Hashed: slots > 1024})
}

// sequence runs a memory over steps and back, and returns the time of it.
func sequence(m memory.Recurrent, ps *nn.Params, s memory.State, batch int64, steps int) time.Duration {
	r := rand.New(rand.NewPCG(1, 1))
	p := &nn.Pass{Training: true}
	x := floats(r.NormFloat64, int64(steps), batch, 100).To(tensor.Float32)
	start := time.Now()
	scope := tensor.Enter()
	defer scope.Leave()
	var loss *tensor.Tensor
	for i := range int64(steps) {
		var read *tensor.Tensor
		read, s = m.Step(p, x.Select(0, i), s)
		if part := read.Square().Sum(); loss == nil {
			loss = part
		} else {
			loss = loss.Add(part)
		}
	}
	tensor.Grad(loss, ps.Tensors()...)
	return time.Since(start)
}

// The time of a step, forward and backward, batch 8, with every slot written: go test ./memory -run X -bench SparseStep
// -benchtime 3x. With 1,024 slots the search is exact, with 65,536 it is hashed.
func BenchmarkSparseStep(b *testing.B) {
	const batch, steps = 8, 50
	tensor.SetThreads(1)
	for _, slots := range []int64{1024, 65_536} {
		b.Run(fmt.Sprint(slots), func(b *testing.B) {
			scope := tensor.Enter()
			defer scope.Leave()
			builder := nn.NewBuilder(1, tensor.CPU)
			defer builder.Params().Free()
			m := benchedSparse(builder, slots)
			r := rand.New(rand.NewPCG(1, 1))
			order := make([]int64, batch*slots)
			for i := range order {
				order[i] = int64(i) % slots
			}
			full := []nn.Named{
				{Name: "memory", Tensor: floats(r.NormFloat64, 1, slots, 32).To(tensor.Float32).Expand(batch, slots, 32).Contiguous()},
				{Name: "read", Tensor: tensor.Full(0, tensor.Float32, tensor.CPU, batch, 4, slots)}, {Name: "order", Tensor: tensor.New(order, batch, slots)},
			}
			var spent time.Duration
			for range b.N {
				b.StopTimer()
				s, err := m.Restore(full)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				spent += sequence(m, builder.Params(), s, batch, steps)
			}
			b.ReportMetric(float64(spent.Microseconds())/1000/steps/float64(b.N), "ms/step")
		})
	}
}

// The memory for back-propagation through 100 steps, batch 1, 65,536 slots, beside the dense NTM's: go test ./memory -run X -bench
// Backpropagation -benchtime 1x.
func BenchmarkBackpropagation(b *testing.B) {
	const slots = 65_536
	tensor.SetThreads(1)
	for _, name := range []string{"sparse", "ntm"} {
		b.Run(name, func(b *testing.B) {
			scope := tensor.Enter()
			defer scope.Leave()
			builder := nn.NewBuilder(1, tensor.CPU)
			defer builder.Params().Free()
			var m memory.Recurrent = benchedSparse(builder.In("sparse"), slots)
			if name == "ntm" {
				m = memory.NewNTM(builder.In("ntm"), memory.NTMConfig{Control: 100, Slots: slots, Width: 32, Reads: 4, Writes: 4})
			}
			for range b.N {
				s := m.Init(&nn.Pass{Training: true}, 1)
				if name == "sparse" { // its rows for the search are there before the first step
					s.Tensors()
				}
				testkit.ResetPeak(b)
				before := testkit.Memory(b, "VmHWM")
				sequence(m, builder.Params(), s, 1, 100)
				b.ReportMetric(float64(testkit.Memory(b, "VmHWM")-before)/1024, "MB")
			}
		})
	}
}
