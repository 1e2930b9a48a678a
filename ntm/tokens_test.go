package ntm_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/controller"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/ntm"
	"github.com/engram-go/engram/tensor"
)

// tokens is a network on 7 tokens with 5 classes.
func tokens(b *nn.Builder, mem func(b *nn.Builder, control int64) memory.Recurrent, embedding int64, bypass float64) *ntm.Tokens {
	return ntm.NewTokens(b, ntm.TokensConfig{
		Config: ntm.Config{Config: controller.Config{Size: 6, Memory: mem}, Outputs: 5, Bypass: bypass}, Tokens: 7, Embedding: embedding,
	})
}

// Scores at a step are those of the network on one-hot vectors, and what follows does not change them.
func TestTokensAreReadOneByOne(t *testing.T) {
	for name, mem := range memories {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(3, tensor.CPU)
			defer b.Params().Free()
			n := tokens(b, mem, 0, .5)
			plain := nn.NewBuilder(3, tensor.CPU)
			defer plain.Params().Free()
			of := ntm.New(plain, ntm.Config{Config: controller.Config{Inputs: 7, Size: 6, Memory: mem}, Outputs: 5})

			inputs := []int64{1, 2, 3, 4, 0, 5, 6, 6, 2, 1}
			x := tensor.New(inputs, 2, 5)
			at := []int64{0, 4, 7, 9} // of the first sequence steps 0 and 4, of the second steps 2 and 4
			got := n.Forward(&nn.Pass{}, x, tensor.New(at, 4))
			require.Equal(t, []int64{4, 5}, got.Shape())
			want := of.Forward(&nn.Pass{}, x.OneHot(7).Transpose(0, 1), nil) // [time, batch, classes]
			for i, a := range at {
				assert.InDeltaSlice(t, want.Select(0, a%5).Select(0, a/5).Floats(), got.Select(0, int64(i)).Floats(), 1e-5)
			}
			short := n.Forward(&nn.Pass{}, tensor.New(inputs[5:8], 1, 3), tensor.New([]int64{2}, 1))
			assert.InDeltaSlice(t, got.Select(0, 2).Floats(), short.Floats(), 1e-5)
		})
	}
}

func TestGradientsOfTokensAreThoseOfFiniteDifferences(t *testing.T) {
	for name, embedding := range map[string]int64{"one-hot": 0, "embedded": 3} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(3, tensor.CPU)
			defer b.Params().Free()
			n := tokens(b, memories["dnc"], embedding, 0)
			r := rand.New(rand.NewPCG(6, 0))
			weight := testkit.Normal(r, 3, 5)
			x, at := tensor.New([]int64{1, 2, 3, 4, 0, 5, 6, 6}, 2, 4), tensor.New([]int64{1, 3, 7}, 3)
			testkit.Gradients(t, b.Params(), r, func(p *nn.Pass) *tensor.Tensor {
				return n.Forward(p, x, at).Sigmoid().Mul(weight).Sum()
			})
		})
	}
}

// The state is counted without a sequence.
func TestStateOfTokens(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(3, tensor.CPU)
	defer b.Params().Free()
	assert.Equal(t, int64(0), tokens(b.In("none"), nil, 0, 0).State(10))
	assert.Equal(t, int64(6*4+6+36+6+2*6+6), tokens(b.In("dnc"), memories["dnc"], 0, 0).State(10))
}

// In training the bypass zeroes values of the controller's output and none of what is read; else it does nothing.
func TestBypassDropsTheControllersOutputAlone(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(3, tensor.CPU)
	defer b.Params().Free()
	const size, reads = 6, 8
	n := ntm.New(b, ntm.Config{Config: controller.Config{Inputs: 3, Size: size, Memory: memories["dnc"]}, Outputs: size + reads, Bypass: .5})
	for _, p := range b.Params().All() { // outputs that are the last layer's inputs
		if p.Name == "output.weight" {
			p.Value().Assign(tensor.New(identity(size+reads), size+reads, size+reads))
		}
		if p.Name == "output.bias" {
			p.Value().Assign(tensor.Zeros(size + reads))
		}
	}
	x := testkit.Normal(rand.New(rand.NewPCG(2, 0)), 6, 2, 3).To(tensor.Float32)
	whole := n.Forward(&nn.Pass{}, x, nil).Floats()
	dropped := n.Forward(&nn.Pass{Training: true, Rand: rand.New(rand.NewPCG(1, 1))}, x, nil).Floats()
	zeros := 0
	for i, v := range dropped {
		switch {
		case i%(size+reads) >= size:
			assert.InDelta(t, whole[i], v, 1e-6)
		case v == 0:
			zeros++
		default:
			assert.InDelta(t, 2*whole[i], v, 1e-5)
		}
	}
	assert.Greater(t, zeros, 20)
	assert.Less(t, zeros, 52)
	assert.False(t, slices.Equal(whole, dropped))
}

func identity(n int) []float32 {
	out := make([]float32, n*n)
	for i := range n {
		out[i*n+i] = 1
	}
	return out
}

// A small network learns to say, at the end, which token came first.
func TestTokensLearnWhatCameFirst(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(3, tensor.CPU)
	defer b.Params().Free()
	n := ntm.NewTokens(b, ntm.TokensConfig{
		Config: ntm.Config{Config: controller.Config{Size: 24, Memory: memories["dnc"]}, Outputs: 4}, Tokens: 6,
	})
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	defer opt.Free()
	r := rand.New(rand.NewPCG(1, 0))
	right := 0
	const steps, batch, time = 150, 16, 6
	for step := range steps {
		s := tensor.Enter()
		inputs, at, first := make([]int64, batch*time), make([]int64, batch), make([]int64, batch)
		for i := range batch {
			first[i] = r.Int64N(4)
			for j := range time {
				inputs[i*time+j] = 4
			}
			inputs[i*time], inputs[i*time+time-1], at[i] = first[i], 5, int64(i*time+time-1)
		}
		scores := n.Forward(&nn.Pass{Training: true, Rand: r}, tensor.New(inputs, batch, time), tensor.New(at, batch))
		if step >= steps-5 {
			for i, best := range tensor.Values[int64](scores.Argmax(-1)) {
				if best == first[i] {
					right++
				}
			}
		}
		loss := tensor.NLL(scores.LogSoftmax(-1), tensor.New(first, batch))
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
		s.Leave()
	}
	assert.Greater(t, right, 5*batch*9/10)
}
