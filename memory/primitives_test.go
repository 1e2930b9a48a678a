package memory_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A primitive is a function of tensors and the plain loop that computes one sequence of its batch.
type primitive struct {
	name  string
	args  func(r *rand.Rand) []*tensor.Tensor // float64
	call  func(x []*tensor.Tensor) *tensor.Tensor
	plain func(x [][][]float64) [][]float64 // x[argument][row][column]
	// edges are arguments at which values and gradients must be finite: zero rows, tiny weights.
	edges func() [][]*tensor.Tensor
	// constant lists the arguments without a gradient.
	constant []int
}

// check compares primitives with their plain loops and their gradients with finite differences, and requires both to
// be finite at the edges.
func check(t *testing.T, ps []primitive) {
	for i, p := range ps {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		t.Run(p.name, func(t *testing.T) {
			t.Run("plain loop", func(t *testing.T) {
				testkit.Enter(t)
				args := p.args(r)
				got := p.call(args)
				for task := range got.Dim(0) {
					var x [][][]float64
					for _, a := range args {
						x = append(x, rows(a, task))
					}
					want := p.plain(x)
					require.Len(t, want, int(got.Dim(1)))
					assert.InDeltaSlice(t, flat(want), flat(rows(got, task)), 1e-9)
				}
				for i, a := range args {
					args[i] = a.To(tensor.Float32)
				}
				assert.InDeltaSlice(t, got.Floats(), p.call(args).Floats(), 1e-4, "float32")
			})
			t.Run("gradient", func(t *testing.T) {
				testkit.Enter(t)
				checkGradient(t, p.args(r), p.constant, func(x []*tensor.Tensor) []*tensor.Tensor { return []*tensor.Tensor{p.call(x)} })
			})
			t.Run("edges", func(t *testing.T) {
				testkit.Enter(t)
				require.NotNil(t, p.edges)
				for _, args := range p.edges() {
					for _, d := range []tensor.DType{tensor.Float32, tensor.Float64} {
						finite(t, args, d, p.call)
					}
				}
			})
		})
	}
}

// finite requires a function and its gradients to be finite.
func finite(t *testing.T, args []*tensor.Tensor, d tensor.DType, f func([]*tensor.Tensor) *tensor.Tensor) {
	leaves := make([]*tensor.Tensor, len(args))
	for i, a := range args {
		leaves[i] = a.To(d).Clone().Detach().RequireGrad()
	}
	y := f(leaves)
	assert.True(t, y.Finite(), "value in %v: %v", d, y)
	if !y.RequiresGrad() {
		return
	}
	weights := rand.New(rand.NewPCG(1, 2))
	for i, g := range tensor.Grad(y.Mul(floats(weights.NormFloat64, y.Shape()...).To(d)).Sum(), leaves...) {
		if g != nil {
			assert.True(t, g.Finite(), "gradient with respect to argument %d in %v: %v", i, d, g)
		}
	}
}

// checkGradient compares the gradients of a random weighted sum of f's outputs with central differences in float64.
func checkGradient(t *testing.T, xs []*tensor.Tensor, constant []int, f func([]*tensor.Tensor) []*tensor.Tensor) {
	const h = 1e-6
	loss := func(xs []*tensor.Tensor) *tensor.Tensor {
		r := rand.New(rand.NewPCG(3, 5))
		var sum *tensor.Tensor
		for _, y := range f(xs) {
			part := y.Mul(floats(r.NormFloat64, y.Shape()...)).Sum()
			if sum == nil {
				sum = part
			} else {
				sum = sum.Add(part)
			}
		}
		return sum
	}
	leaves := make([]*tensor.Tensor, len(xs))
	for i, x := range xs {
		leaves[i] = x.Clone().Detach().RequireGrad()
	}
	y := loss(leaves)
	if len(constant) == len(xs) {
		assert.False(t, y.RequiresGrad())
		return
	}
	for i, g := range tensor.Grad(y, leaves...) {
		if slices.Contains(constant, i) {
			assert.Nil(t, g, "argument %d", i)
			continue
		}
		require.NotNil(t, g, "argument %d", i)
		values, got := xs[i].Floats(), g.Floats()
		for j, v := range values {
			at := func(v float64) float64 {
				s := tensor.Enter()
				defer s.Leave()
				moved, args := slices.Clone(values), slices.Clone(xs)
				moved[j] = v
				args[i] = tensor.New(moved, xs[i].Shape()...)
				var out float64
				tensor.NoGrad(func() { out = loss(args).Float() })
				return out
			}
			want := (at(v+h) - at(v-h)) / (2 * h)
			require.InDelta(t, want, got[j], 1e-6*(1+math.Abs(want)), "argument %d, element %d", i, j)
		}
	}
}

// constants makes a float64 tensor of one value.
func constants(v float64, shape ...int64) *tensor.Tensor {
	return tensor.Full(v, tensor.Float64, tensor.CPU, shape...)
}

// between draws from [lo, hi).
func between(r *rand.Rand, lo, hi float64, shape ...int64) *tensor.Tensor {
	return floats(func() float64 { return lo + (hi-lo)*r.Float64() }, shape...)
}

// weightings draws weightings [batch, heads, slots].
func weightings(r *rand.Rand, shape ...int64) *tensor.Tensor {
	return floats(r.NormFloat64, shape...).Softmax(-1)
}

// at makes one-hot weightings [1, heads, slots].
func at(slots int64, hot ...int64) *tensor.Tensor {
	return tensor.New(hot, 1, int64(len(hot))).OneHot(slots).To(tensor.Float64)
}

// row makes a tensor [1, 1, n].
func row(v ...float64) *tensor.Tensor { return tensor.New(v, 1, 1, int64(len(v))) }

func matrix(n, width int) [][]float64 {
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, width)
	}
	return out
}

func sumToOne(t *testing.T, w *tensor.Tensor) {
	t.Helper()
	for _, v := range w.Floats() {
		assert.GreaterOrEqual(t, v, 0.)
	}
	for _, sum := range w.Sum(-1).Floats() {
		assert.InDelta(t, 1, sum, 1e-6)
	}
}

// Plain loops for one sequence, also used for whole steps.

func plainContent(memory, keys, strengths [][]float64) [][]float64 {
	out := matrix(len(keys), len(memory))
	for h, k := range keys {
		for i, m := range memory {
			var km, kk, mm float64
			for c := range k {
				km, kk, mm = km+k[c]*m[c], kk+k[c]*k[c], mm+m[c]*m[c]
			}
			out[h][i] = km / math.Sqrt((kk+1e-12)*(mm+1e-12))
			if strengths != nil {
				out[h][i] *= strengths[h][0]
			}
		}
		out[h] = softmax(out[h])
	}
	return out
}

func plainInterpolate(gates, a, b [][]float64) [][]float64 {
	out := matrix(len(a), len(a[0]))
	for h := range a {
		for i := range a[h] {
			out[h][i] = gates[h][0]*a[h][i] + (1-gates[h][0])*b[h][i]
		}
	}
	return out
}

// plainShift is eq. 8 as printed; shifts outside the range are zero.
func plainShift(w, shifts [][]float64) [][]float64 {
	n := len(w[0])
	out := matrix(len(w), n)
	for h := range w {
		reach := len(shifts[h]) / 2
		for i := range n {
			for j := range n {
				for by := -reach; by <= reach; by++ {
					if ((j+by)%n+n)%n == i {
						out[h][i] += w[h][j] * shifts[h][by+reach]
					}
				}
			}
		}
	}
	return out
}

func plainSharpen(w, gammas [][]float64) [][]float64 {
	out := matrix(len(w), len(w[0]))
	for h := range w {
		var sum float64
		for i, v := range w[h] {
			out[h][i] = math.Pow(v, gammas[h][0])
			sum += out[h][i]
		}
		for i := range out[h] {
			out[h][i] /= sum
		}
	}
	return out
}

func plainRead(memory, w [][]float64) [][]float64 {
	out := matrix(len(w), len(memory[0]))
	for h := range w {
		for i := range memory {
			for c := range memory[i] {
				out[h][c] += w[h][i] * memory[i][c]
			}
		}
	}
	return out
}

func plainEraseAdd(memory, w, erase, add [][]float64) [][]float64 {
	out := matrix(len(memory), len(memory[0]))
	for i := range memory {
		for c := range memory[i] {
			out[i][c] = memory[i][c]
			for h := range w {
				out[i][c] *= 1 - w[h][i]*erase[h][c]
			}
			for h := range w {
				out[i][c] += w[h][i] * add[h][c]
			}
		}
	}
	return out
}
