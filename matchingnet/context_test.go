package matchingnet_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/matchingnet"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

func context(t *testing.T, width int64, reads int) (*matchingnet.Context, *nn.Params) {
	b := nn.NewBuilder(3, tensor.CPU)
	t.Cleanup(b.Params().Free)
	return matchingnet.NewContext(b, width, reads), b.Params()
}

// rows reads the rows of one task of a tensor [tasks, rows, columns].
func rows(x *tensor.Tensor, task int64) (out [][]float64) {
	v, w := x.Select(0, task).Floats(), int(x.Dim(2))
	for i := range int(x.Dim(1)) {
		out = append(out, v[i*w:][:w])
	}
	return out
}

// cell is one step of an LSTM; the gates are in the order input, forget, cell, output.
type cell struct{ inputWeight, hiddenWeight, inputBias, hiddenBias []float64 }

func cellOf(ps *nn.Params, prefix, suffix string) cell {
	v := map[string][]float64{}
	for _, p := range ps.All() {
		v[p.Name] = p.Value().Floats()
	}
	at := func(name string) []float64 { return v[prefix+name+suffix] }
	return cell{at("weight_ih"), at("weight_hh"), at("bias_ih"), at("bias_hh")}
}

func (l cell) step(x, h, c []float64) (hidden, state []float64) {
	size := len(h)
	gate := func(i int) float64 {
		sum := l.inputBias[i] + l.hiddenBias[i]
		for j, v := range x {
			sum += l.inputWeight[i*len(x)+j] * v
		}
		for j, v := range h {
			sum += l.hiddenWeight[i*size+j] * v
		}
		return sum
	}
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	for d := range size {
		s := sigmoid(gate(size+d))*c[d] + sigmoid(gate(d))*math.Tanh(gate(2*size+d))
		state = append(state, s)
		hidden = append(hidden, sigmoid(gate(3*size+d))*math.Tanh(s))
	}
	return hidden, state
}

func add(xs ...[]float64) []float64 {
	out := make([]float64, len(xs[0]))
	for _, x := range xs {
		for i, v := range x {
			out[i] += v
		}
	}
	return out
}

// plainContext is Vinyals et al. 2016, appendix A, written out for one task.
func plainContext(ps *nn.Params, reads int, support, query [][]float64) (g, f [][]float64) {
	size := len(support[0])
	run := func(l cell, xs [][]float64) (hs [][]float64) {
		h, c := make([]float64, size), make([]float64, size)
		for _, x := range xs {
			h, c = l.step(x, h, c)
			hs = append(hs, h)
		}
		return hs
	}
	forward := run(cellOf(ps, "support.", "_l0"), support)
	against := slices.Clone(support)
	slices.Reverse(against)
	backward := run(cellOf(ps, "support.", "_l0_reverse"), against)
	for i, x := range support {
		g = append(g, add(forward[i], backward[len(support)-1-i], x))
	}
	l := cellOf(ps, "query.", "")
	for _, x := range query {
		h, c := make([]float64, size), make([]float64, size)
		for range reads {
			var sum float64
			read := make([]float64, size)
			for _, gi := range g {
				var dot float64
				for d := range gi {
					dot += h[d] * gi[d]
				}
				a := math.Exp(dot)
				sum += a
				for d := range gi {
					read[d] += a * gi[d]
				}
			}
			for d := range read {
				read[d] /= sum
			}
			h, c = l.step(slices.Concat(x, read), h, c)
			h = add(h, x)
		}
		f = append(f, h)
	}
	return g, f
}

func TestContextIsThePlainLoop(t *testing.T) {
	for _, reads := range []int{1, 2, 5} {
		testkit.Enter(t)
		c, ps := context(t, 4, reads)
		r := rand.New(rand.NewPCG(1, uint64(reads)))
		support, query := testkit.Normal(r, 2, 6, 4), testkit.Normal(r, 2, 3, 4)
		p, _ := testkit.Double(nn.Pass{}, ps)
		g, f := c.Forward(p, support, query)
		require.Equal(t, support.Shape(), g.Shape())
		require.Equal(t, query.Shape(), f.Shape())
		single, other := c.Forward(&nn.Pass{}, support.To(tensor.Float32), query.To(tensor.Float32))
		for task := range int64(2) {
			wantG, wantF := plainContext(ps, reads, rows(support, task), rows(query, task))
			assert.InDeltaSlice(t, slices.Concat(wantG...), g.Select(0, task).Floats(), 1e-12)
			assert.InDeltaSlice(t, slices.Concat(wantF...), f.Select(0, task).Floats(), 1e-12)
			assert.InDeltaSlice(t, slices.Concat(wantG...), single.Select(0, task).Floats(), 1e-5, "float32")
			assert.InDeltaSlice(t, slices.Concat(wantF...), other.Select(0, task).Floats(), 1e-5, "float32")
		}
	}
}

// A query's embedding does not depend on the other queries; a support example's does depend on the other support examples.
func TestContextIsOfTheSupportSet(t *testing.T) {
	testkit.Enter(t)
	c, ps := context(t, 4, 0)
	r := rand.New(rand.NewPCG(2, 0))
	support, query := testkit.Normal(r, 2, 6, 4), testkit.Normal(r, 2, 3, 4)
	p, _ := testkit.Double(nn.Pass{}, ps)
	g, f := c.Forward(p, support, query)
	_, alone := c.Forward(p, support, query.Narrow(1, 1, 1))
	assert.InDeltaSlice(t, f.Narrow(1, 1, 1).Floats(), alone.Floats(), 1e-12)
	first, _ := c.Forward(p, support.Narrow(0, 1, 1), query.Narrow(0, 1, 1))
	assert.InDeltaSlice(t, g.Narrow(0, 1, 1).Floats(), first.Floats(), 1e-12, "the tasks of a batch are apart")
	less, _ := c.Forward(p, support.Narrow(1, 0, 5), query)
	assert.NotEqual(t, g.Select(1, 0).Floats(), less.Select(1, 0).Floats(), "the last example reaches the first")
}

func TestContextGradientIsTheFiniteDifference(t *testing.T) {
	testkit.Enter(t)
	c, ps := context(t, 2, 3)
	r := rand.New(rand.NewPCG(3, 0))
	support, query := testkit.Normal(r, 2, 3, 2).RequireGrad(), testkit.Normal(r, 2, 2, 2).RequireGrad()
	p, leaves := testkit.Double(nn.Pass{}, ps)
	testkit.Differences(t, append(leaves, support, query), 1e-5, 1e-8, func() *tensor.Tensor {
		g, f := c.Forward(p, support, query)
		return g.Square().Sum().Add(f.MatMul(g.Transpose(1, 2)).Tanh().Sum())
	})
}

func TestContextOfZerosAndTwinsHasNoNaN(t *testing.T) {
	testkit.Enter(t)
	c, ps := context(t, 3, 2)
	for _, x := range []*tensor.Tensor{tensor.Zeros(2, 4, 3), tensor.Ones(2, 4, 3), tensor.Ones(2, 4, 3).MulScalar(1e4)} {
		x.RequireGrad()
		g, f := c.Forward(&nn.Pass{Training: true}, x, x)
		for _, grad := range tensor.Grad(g.Sum().Add(f.Sum()), append(ps.Tensors(), x)...) {
			assert.True(t, grad.Finite())
		}
	}
}

func TestFullContextLearnsStrokes(t *testing.T) {
	testkit.LearnsStrokes(t, 40, func(b *nn.Builder) testkit.FewShot {
		e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
		require.NoError(t, err)
		net := matchingnet.New(e, nil)
		net.Context = matchingnet.NewContext(b.In("context"), e.Width(), 2)
		return net
	})
}
