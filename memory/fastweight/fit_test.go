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
// only the state after the sequence is used, with one thread and with two, which agree to the bit. In single precision, whose rounding
// layer norms multiply, it is about as near to the values in double precision.
func TestFitIsComposed(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	for name, rule := range map[string]fastweight.Rule{
		"titans":     {Loss: fastweight.Squared, LossScale: 2, Depth: 2, Residual: true, MiniBatch: 16},
		"ttt-mlp":    {Loss: fastweight.Squared, Depth: 2, Biased: true, Residual: true, MiniBatch: 16},
		"omega":      {Loss: fastweight.Squared, LossScale: 2, Depth: 2, Residual: true, Window: 8, MiniBatch: 16},
		"yaad":       {Loss: fastweight.Huber, Threshold: 4, Depth: 2, Residual: true, MiniBatch: 16},
		"moneta":     {Loss: fastweight.PNorm, P: 3, Depth: 3, Residual: true, MiniBatch: 16},
		"memora":     {Loss: fastweight.Squared, LossScale: 2, Depth: 2, Residual: true, Simplex: true, NormEps: .01, MiniBatch: 16},
		"atlas":      {Loss: fastweight.Squared, LossScale: 2, Depth: 2, Residual: true, Window: 8, Orthogonal: 5, MiniBatch: 16},
		"tall":       {Loss: fastweight.Squared, Depth: 2, Orthogonal: 2, Window: 3},
		"biased dot": {Loss: fastweight.Dot, Depth: 2, Biased: true, MiniBatch: 5},
		"steps":      {Loss: fastweight.Squared, Depth: 2, Residual: true},
	} {
		for _, width := range []int64{12, 33} {
			scope := tensor.Enter()
			f := fitRun{rule, name == "ttt-mlp", width}
			tensor.SetThreads(1)
			exact, fused := f.run(tensor.Float64, true), f.run(tensor.Float64, false)
			composed32, fused32 := f.run(tensor.Float32, true), f.run(tensor.Float32, false)
			tensor.SetThreads(2)
			require.Equal(t, fused, f.run(tensor.Float64, false), "threads")
			require.Equal(t, fused32, f.run(tensor.Float32, false), "threads")
			for i := range exact {
				what := fmt.Sprintf("tensor %d of %s of width %d", i, name, width)
				closeTo(t, exact[i], fused[i], 1e-9, what)
				require.Less(t, apart(exact[i], fused32[i]), 1e-4+5*apart(exact[i], composed32[i]), what)
			}
			scope.Leave()
		}
	}
}

// apart is the largest difference by the largest value.
func apart(want, got []float64) float64 {
	largest, most := 1., 0.
	for i, v := range want {
		largest, most = max(largest, math.Abs(v)), max(most, math.Abs(v-got[i]))
	}
	return most / largest
}

// A fitRun is a sequence and initial weights.
type fitRun struct {
	rule      fastweight.Rule
	positions bool
	width     int64
}

// run returns what the sequence reads, the last weights, and gradients of either and of both.
func (f fitRun) run(dtype tensor.DType, composed bool) (out [][]float64) {
	const batch, heads, time = 3, 2, 20
	scope := tensor.Enter()
	defer scope.Leave()
	r, width := rand.New(rand.NewPCG(5, 5)), f.width
	var leaves []*tensor.Tensor
	leaf := func(of func(*tensor.Tensor) *tensor.Tensor, shape ...int64) *tensor.Tensor {
		leaves = append(leaves, of(testkit.Normal(r, shape...)).To(tensor.Float32).To(dtype).Detach().RequireGrad())
		return leaves[len(leaves)-1]
	}
	same := func(x *tensor.Tensor) *tensor.Tensor { return x }
	unit := func(x *tensor.Tensor) *tensor.Tensor { return x.Div(x.Square().SumKeep(-1).Sqrt()) }
	gate := func(by float64) func(*tensor.Tensor) *tensor.Tensor {
		return func(x *tensor.Tensor) *tensor.Tensor { return x.Sigmoid().MulScalar(by) }
	}
	shared := fastweight.Shared{HigherOrder: composed}
	tokens := fastweight.Tokens{
		Query: leaf(unit, batch, heads, time, width), Key: leaf(unit, batch, heads, time, width), Value: leaf(same, batch, heads, time, width),
		Rate: leaf(gate(.01), batch, heads, time, 1),
	}
	if f.positions {
		shared.Positions = leaf(gate(1), f.rule.MiniBatch)
	} else {
		tokens.Decay, tokens.Momentum = leaf(gate(-.1), batch, heads, time, 1), leaf(gate(.9), batch, heads, time, 1)
	}
	var state fastweight.State
	in := width
	for l := range f.rule.Depth {
		to := width
		if l < f.rule.Depth-1 {
			to = 2*width + 1
		}
		scaled := func(x *tensor.Tensor) *tensor.Tensor { return x.MulScalar(1 / math.Sqrt(float64(in))) }
		state.Weights = append(state.Weights, leaf(scaled, batch, heads, in, to))
		if f.rule.Biased {
			state.Weights = append(state.Weights, leaf(same, batch, heads, 1, to))
		}
		in = to
	}
	if f.rule.Residual {
		shared.Gain, shared.Bias = leaf(gate(1), heads, 1, width), leaf(same, heads, 1, width)
	}
	read, next := f.rule.Run(shared, state, tokens)
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
