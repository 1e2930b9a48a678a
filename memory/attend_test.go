package memory_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The fused read by dot products equals the reference implementation, which passes with HigherOrder use, in values
// and gradients.
func TestAttendMatchesReference(t *testing.T) {
	for _, linear := range []bool{false, true} {
		for _, queries := range []int64{1, 3} {
			for _, of := range []tensor.DType{tensor.Float64, tensor.Float32} {
				t.Run(fmt.Sprint(linear, queries, of), func(t *testing.T) {
					testkit.Enter(t)
					const batch, slots, width = 4, 5, 19
					r := rand.New(rand.NewPCG(1, uint64(queries)))
					draw := func(shape ...int64) *tensor.Tensor {
						n := int64(1)
						for _, d := range shape {
							n *= d
						}
						v := make([]float64, n)
						for i := range v {
							v[i] = .5 * r.NormFloat64()
						}
						return tensor.New(v, shape...).To(of)
					}
					m := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}, Scale: 1.5, Linear: linear})
					// Keys and values are parts of one tensor, as in a Memory Network.
					both, query := draw(batch, slots, 2*width).RequireGrad(), draw(batch, queries, width).RequireGrad()
					weights, more := draw(batch, queries, width), draw(batch, queries, slots)
					read := func(p *nn.Pass, ofRead, ofAttention bool) (out [][]float64) {
						parts := both.Split(2, 2)
						v, a := m.Read(p, memory.KeyValueState{Keys: parts[0], Values: parts[1]}, query)
						loss := both.Sum().MulScalar(0)
						if ofRead {
							loss = loss.Add(v.Mul(weights).Sum())
						}
						if ofAttention {
							loss = loss.Add(a.Mul(more).Sum())
						}
						grads := tensor.Grad(loss, query, both)
						return [][]float64{v.Floats(), a.Floats(), grads[0].Floats(), grads[1].Floats()}
					}
					tolerance := map[tensor.DType]float64{tensor.Float64: 1e-12, tensor.Float32: 2e-6}[of]
					for _, uses := range [][2]bool{{true, true}, {true, false}, {false, true}} {
						want, got := read(&nn.Pass{HigherOrder: true}, uses[0], uses[1]), read(&nn.Pass{}, uses[0], uses[1])
						for i := range want {
							assert.InDeltaSlice(t, want[i], got[i], tolerance, "%d %v", i, uses)
						}
					}
				})
			}
		}
	}
}
