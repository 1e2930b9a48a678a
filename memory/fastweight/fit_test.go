package fastweight_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/tensor"
)

// closeTo compares by the largest value.
func closeTo(t *testing.T, want, got []float64, tolerance float64, what string) {
	t.Helper()
	largest := 1.
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	require.InDeltaSlice(t, want, got, tolerance*largest, what)
}

// A sequence in parts, of which one ends within a mini-batch, is the sequence step by step: what is read, the state and the gradients.
func TestPartsAreTheWhole(t *testing.T) {
	each(t, func(t *testing.T, s setting, r *rand.Rand) {
		const time = 7
		writes := max(s.rule.Writes, 1)
		d := s.draw(r, time)
		outcome := func(run func(fastweight.Shared, fastweight.State, fastweight.Tokens) (*tensor.Tensor, fastweight.State), ends ...int64) (out [][]float64) {
			leaves := make([]*tensor.Tensor, len(d.leaves))
			for i, x := range d.leaves {
				leaves[i] = x.Clone().Detach().RequireGrad()
			}
			shared, state, all := s.parts(leaves)
			var reads []*tensor.Tensor
			from := int64(0)
			for _, to := range ends {
				part := func(x *tensor.Tensor, writes int64) *tensor.Tensor {
					if x == nil {
						return nil
					}
					return x.Narrow(2, from*writes, (to-from)*writes)
				}
				read, next := run(shared, state, fastweight.Tokens{
					Query: part(all.Query, 1), Key: part(all.Key, writes), Value: part(all.Value, writes),
					Rate: part(all.Rate, writes), Momentum: part(all.Momentum, writes), Decay: part(all.Decay, 1),
				})
				reads, state, from = append(reads, read), next, to
			}
			got := append([]*tensor.Tensor{tensor.Cat(2, reads...)}, append(append(state.Weights, state.Sum...), state.Start...)...)
			weights := rand.New(rand.NewPCG(9, 9))
			var loss *tensor.Tensor
			for _, x := range got {
				out = append(out, x.Floats())
				if part := x.Mul(testkit.Normal(weights, x.Shape()...)).Sum(); loss == nil {
					loss = part
				} else {
					loss = loss.Add(part)
				}
			}
			for _, g := range tensor.Grad(loss, leaves...) {
				if g != nil {
					out = append(out, g.Floats())
				}
			}
			return out
		}
		want := outcome(s.rule.Steps, time)
		for _, ends := range [][]int64{{time}, {2, time}, {1, 2, 6, time}} {
			got := outcome(s.rule.Run, ends...)
			require.Len(t, got, len(want))
			for i := range want {
				closeTo(t, want[i], got[i], 1e-9, fmt.Sprint("tensor ", i, " of parts that end at ", ends))
			}
		}
	})
}

// One operation is the composition of LibTorch's operations at widths that are no multiple of a vector, where only the values read or
// only the state after the sequence is used, with one thread and with two, which agree to the bit.
func TestFitIsComposed(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	for name, rule := range map[string]fastweight.Rule{
		"titans":     {Loss: fastweight.Squared, LossScale: 2, Depth: 2, Residual: true, MiniBatch: 16},
		"ttt-mlp":    {Loss: fastweight.Squared, Depth: 2, Biased: true, Residual: true, MiniBatch: 16},
		"omega":      {Loss: fastweight.Squared, LossScale: 2, Depth: 2, Residual: true, Window: 8, MiniBatch: 16},
		"yaad":       {Loss: fastweight.Huber, Threshold: 4, Depth: 2, Residual: true, MiniBatch: 16},
		"moneta":     {Loss: fastweight.PNorm, P: 3, Depth: 3, Residual: true, MiniBatch: 16},
		"biased dot": {Loss: fastweight.Dot, Depth: 2, Biased: true, MiniBatch: 5},
		"steps":      {Loss: fastweight.Squared, Depth: 2, Residual: true},
	} {
		for _, width := range []int64{12, 33} {
			for dtype, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-9, tensor.Float32: 2e-3} {
				scope := tensor.Enter()
				const batch, heads, time = 3, 2, 20
				r := rand.New(rand.NewPCG(5, 5))
				var leaves []*tensor.Tensor
				leaf := func(f func(*tensor.Tensor) *tensor.Tensor, shape ...int64) *tensor.Tensor {
					leaves = append(leaves, f(testkit.Normal(r, shape...)).To(dtype).Detach().RequireGrad())
					return leaves[len(leaves)-1]
				}
				same := func(x *tensor.Tensor) *tensor.Tensor { return x }
				unit := func(x *tensor.Tensor) *tensor.Tensor { return x.Div(x.Square().SumKeep(-1).Sqrt()) }
				gate := func(by float64) func(*tensor.Tensor) *tensor.Tensor {
					return func(x *tensor.Tensor) *tensor.Tensor { return x.Sigmoid().MulScalar(by) }
				}
				var shared fastweight.Shared
				tokens := fastweight.Tokens{
					Query: leaf(unit, batch, heads, time, width), Key: leaf(unit, batch, heads, time, width), Value: leaf(same, batch, heads, time, width),
					Rate: leaf(gate(.01), batch, heads, time, 1),
				}
				if name == "ttt-mlp" {
					shared.Positions = leaf(gate(1), rule.MiniBatch)
				} else {
					tokens.Decay, tokens.Momentum = leaf(gate(-.1), batch, heads, time, 1), leaf(gate(.9), batch, heads, time, 1)
				}
				var state fastweight.State
				in := width
				for l := range rule.Depth {
					out := width
					if l < rule.Depth-1 {
						out = 2*width + 1
					}
					state.Weights = append(state.Weights, leaf(func(x *tensor.Tensor) *tensor.Tensor { return x.MulScalar(1 / math.Sqrt(float64(in))) }, batch, heads, in, out))
					if rule.Biased {
						state.Weights = append(state.Weights, leaf(same, batch, heads, 1, out))
					}
					in = out
				}
				if rule.Residual {
					shared.Gain, shared.Bias = leaf(gate(1), heads, 1, width), leaf(same, heads, 1, width)
				}
				run := func(higher bool) (out [][]float64) {
					shared := shared
					shared.HigherOrder = higher
					read, next := rule.Run(shared, state, tokens)
					weights := rand.New(rand.NewPCG(9, 9))
					on := func(x *tensor.Tensor) *tensor.Tensor {
						out = append(out, x.Floats())
						return x.Mul(testkit.Normal(weights, x.Shape()...).To(dtype)).Sum()
					}
					a, b := on(read), on(next.Weights[len(next.Weights)-1])
					for _, loss := range []*tensor.Tensor{a, b, a.Add(b)} {
						for i, g := range tensor.GradWith([]*tensor.Tensor{loss}, leaves, tensor.GradOptions{Retain: true}) {
							if g == nil {
								g = leaves[i].ZerosLike() // the composition gives none where nothing is asked
							}
							out = append(out, g.Floats())
						}
					}
					return out
				}
				tensor.SetThreads(1)
				want, got := run(true), run(false)
				tensor.SetThreads(2)
				require.Equal(t, got, run(false), "threads")
				for i := range want {
					closeTo(t, want[i], got[i], tolerance, fmt.Sprintf("tensor %d of %s of width %d in %v", i, name, width, dtype))
				}
				scope.Leave()
			}
		}
	}
}
