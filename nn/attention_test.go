package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// hiding is a mask of a shape that hides about a third of the keys, and of the first query all.
func hiding(r *rand.Rand, shape ...int64) *tensor.Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	out := make([]float64, n)
	for i := range out {
		if r.IntN(3) == 0 || int64(i) < shape[len(shape)-1] {
			out[i] = nn.Hidden
		}
	}
	return tensor.New(out, shape...)
}

// The fused operation computes the composition, values and gradients, for parts of a larger tensor too.
func TestMultiHeadIsAttentionOfEachHead(t *testing.T) {
	for _, size := range []struct{ batch, queries, keys, width, heads int64 }{
		{1, 1, 1, 1, 1}, {2, 5, 5, 6, 3}, {3, 7, 4, 8, 2}, {2, 4, 33, 70, 1}, {2, 40, 37, 64, 4}, {1, 129, 129, 32, 1},
	} {
		for _, of := range []string{"no mask", "padding", "causal", "of each head"} {
			t.Run(fmt.Sprint(size, " ", of), func(t *testing.T) {
				testkit.Enter(t)
				r := rand.New(rand.NewPCG(1, uint64(size.keys)))
				both := testkit.Normal(r, size.batch, size.keys, 2*size.width)
				queries := testkit.Normal(r, size.batch, size.queries, size.width)
				weights := testkit.Normal(r, size.batch, size.queries, size.width)
				var mask *tensor.Tensor
				switch of {
				case "padding":
					mask = hiding(r, size.batch, 1, 1, size.keys)
				case "causal":
					mask = hiding(r, size.queries, size.keys)
				case "of each head":
					mask = hiding(r, size.batch, size.heads, size.queries, size.keys)
				}
				run := func(p *nn.Pass, d tensor.DType) (value []float64, grads [2][]float64) {
					q, kv := queries.To(d).Detach().RequireGrad(), both.To(d).Detach().RequireGrad()
					hidden := mask
					if mask != nil {
						hidden = mask.To(d)
					}
					parts := kv.Split(2, 2)
					read := nn.MultiHead(p, q, parts[0], parts[1], hidden, size.heads)
					g := tensor.Grad(read.Mul(weights.To(d)).Sum(), q, kv)
					return read.Floats(), [2][]float64{g[0].Floats(), g[1].Floats()}
				}
				want, wantGrads := run(&nn.Pass{HigherOrder: true}, tensor.Float64)
				for d, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-12, tensor.Float32: 2e-5} {
					got, grads := run(&nn.Pass{}, d)
					assert.InDeltaSlice(t, want, got, tolerance)
					for i := range grads {
						assert.InDeltaSlice(t, wantGrads[i], grads[i], tolerance)
					}
				}
				var plain []float64
				tensor.NoGrad(func() {
					parts := both.Split(2, 2)
					plain = nn.MultiHead(&nn.Pass{}, queries, parts[0], parts[1], mask, size.heads).Floats()
				})
				assert.InDeltaSlice(t, want, plain, 1e-12)
			})
		}
	}
}

// A hidden key has no weight at all, and no gradient.
func TestHiddenKeysHaveNoInfluence(t *testing.T) {
	testkit.Enter(t)
	q, v := tensor.Full(1, tensor.Float32, tensor.CPU, 1, 2, 4), tensor.New([]float32{1, 1, 1, 1, 1e37, 1e37, 1e37, 1e37}, 1, 2, 4)
	k := tensor.Full(1, tensor.Float32, tensor.CPU, 1, 2, 4).RequireGrad()
	mask := tensor.New([]float32{0, nn.Hidden}, 2)
	read := nn.MultiHead(&nn.Pass{}, q, k, v, mask, 2)
	assert.Equal(t, []float64{1, 1, 1, 1, 1, 1, 1, 1}, read.Floats())
	assert.Equal(t, make([]float64, 8), tensor.Grad(read.Sum(), k)[0].Floats())
}

func TestMultiHeadDoesNotDependOnThreads(t *testing.T) {
	testkit.Enter(t)
	defer tensor.SetThreads(tensor.Threads())
	r := rand.New(rand.NewPCG(2, 0))
	x := testkit.Normal(r, 16, 50, 96)
	var runs [][]float64
	for _, threads := range []int{1, 2} {
		tensor.SetThreads(threads)
		leaf := x.Detach().RequireGrad()
		read := nn.MultiHead(&nn.Pass{}, leaf, leaf, leaf, nil, 4)
		runs = append(runs, append(read.Floats(), tensor.Grad(read.Square().Sum(), leaf)[0].Floats()...))
	}
	require.Len(t, runs, 2)
	assert.Equal(t, runs[0], runs[1])
	assert.False(t, math.IsNaN(runs[0][0]))
}
