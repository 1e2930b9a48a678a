package tokennet_test

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset/token"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/gradcheck"
	"github.com/engram-go/engram/tensor"
	"github.com/engram-go/engram/tokennet"
)

func mixers() map[string]func(b *nn.Builder, width int64) tokennet.Mixer {
	layer := func(c fastweight.Config, gated bool) func(b *nn.Builder, width int64) tokennet.Mixer {
		return func(b *nn.Builder, width int64) tokennet.Mixer {
			c.Heads, c.Key, c.Value = 2, width/2, width/2
			return fastweight.NewLayer(b, fastweight.LayerConfig{Config: c, Width: width, Gated: gated})
		}
	}
	ttt := fastweight.TTTLinear(4)
	ttt.MiniBatch = 4
	return map[string]func(b *nn.Builder, width int64) tokennet.Mixer{
		"attention": func(b *nn.Builder, width int64) tokennet.Mixer {
			return tokennet.NewAttention(b, width, tokennet.AttentionConfig{Heads: 2})
		},
		"attention with rotary positions": func(b *nn.Builder, width int64) tokennet.Mixer {
			return tokennet.NewAttention(b, width, tokennet.AttentionConfig{Heads: 2, Rotary: true})
		},
		"attention with a convolution": func(b *nn.Builder, width int64) tokennet.Mixer {
			return tokennet.NewAttention(b, width, tokennet.AttentionConfig{Heads: 2, Conv: 3})
		},
		"linear attention": layer(fastweight.LinearAttention(), false), "delta": layer(fastweight.Delta(), false),
		"gated delta": layer(fastweight.GatedDelta(), true), "KDA": layer(fastweight.KDA(), true),
		"delta product": layer(fastweight.DeltaProduct(2), false), "ttt": layer(ttt, false),
		"titans": layer(fastweight.Titans(4), false),
	}
}

func each(t *testing.T, width int64, f func(t *testing.T, b *nn.Builder, n *tokennet.Net)) {
	for name, mixer := range mixers() {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			f(t, b, tokennet.New(b, tokennet.Config{Tokens: 5, Classes: 4, Width: width, Layers: 2, Mixer: mixer, MLP: 2, Positions: 12}))
		})
	}
}

func tokens(r *rand.Rand, batch, time int64) *tensor.Tensor {
	v := make([]int64, batch*time)
	for i := range v {
		v[i] = r.Int64N(5)
	}
	return tensor.New(v, batch, time)
}

func all(n int64) *tensor.Tensor {
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i)
	}
	return tensor.New(v, n)
}

// No answer depends on a later token, and each does on the first.
func TestNothingLooksAhead(t *testing.T) {
	each(t, 8, func(t *testing.T, b *nn.Builder, n *tokennet.Net) {
		const time = 10
		r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{}
		x := tokens(r, 1, time)
		want := n.Forward(p, x, all(time))
		require.Equal(t, []int64{time, 4}, want.Shape())
		for changed := range int64(time) {
			v := tensor.Values[int64](x)
			v[changed] = (v[changed] + 1) % 5
			got := n.Forward(p, tensor.New(v, 1, time), all(time))
			if changed > 0 {
				assert.InDeltaSlice(t, want.Narrow(0, 0, changed).Floats(), got.Narrow(0, 0, changed).Floats(), 1e-6)
			}
			assert.NotEqual(t, want.Select(0, changed).Floats(), got.Select(0, changed).Floats())
		}
		some := n.Forward(p, x, tensor.New([]int64{7, 2}, 2))
		assert.InDeltaSlice(t, append(want.Select(0, 7).Floats(), want.Select(0, 2).Floats()...), some.Floats(), 1e-6)
	})
}

func TestGradients(t *testing.T) {
	each(t, 4, func(t *testing.T, b *nn.Builder, n *tokennet.Net) {
		r := rand.New(rand.NewPCG(1, 1))
		x, weight := tokens(r, 2, 7), testkit.Normal(r, 14, 4)
		assert.NoError(t, gradcheck.Params(b.Params(), func(p *nn.Pass) *tensor.Tensor {
			return n.Forward(p, x, all(14)).Mul(weight).Sum()
		}, gradcheck.Options{Elements: 2, Rand: r, Relative: 1e-4, Absolute: 1e-5}))
	})
}

// One token, and tokens that are all alike.
func TestStaysFinite(t *testing.T) {
	each(t, 8, func(t *testing.T, b *nn.Builder, n *tokennet.Net) {
		for _, time := range []int64{1, 12} {
			y := n.Forward(&nn.Pass{Training: true}, tensor.Full(0, tensor.Int64, tensor.CPU, 2, time), all(2*time))
			require.True(t, y.Finite())
			for i, g := range tensor.Grad(y.Square().Sum(), b.Params().Tensors()...) {
				assert.True(t, g == nil || g.Finite(), "%d", i)
			}
		}
	})
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	n := tokennet.New(b, tokennet.Config{Tokens: 5, Classes: 4, Mixer: mixers()["delta"], Positions: 3})
	assert.ErrorContains(t, tensor.Do(func() error { n.Forward(&nn.Pass{}, tokens(rand.New(rand.NewPCG(1, 1)), 1, 4), all(4)); return nil }), "the network knows 3 positions")
}

// With rotary positions a layer is the loop of the paper's equation 16 over pairs of complex numbers, of convolved queries, keys and
// values.
func TestRotaryAttentionIsItsLoop(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	const time, width, heads, n = 7, 8, 2, 4
	a := tokennet.NewAttention(b, width, tokennet.AttentionConfig{Heads: heads, Rotary: true, Conv: 2})
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	r := rand.New(rand.NewPCG(1, 1))
	params := map[string]*tensor.Tensor{}
	for _, param := range b.Params().All() {
		p.With[param] = testkit.Normal(r, param.Value().Shape()...)
		params[param.Name] = p.With[param]
	}
	x := testkit.Normal(r, 1, time, width)
	projected, kernel := x.MatMul(params["qkv"].Transpose(0, 1)).Floats(), params["conv"].Floats()
	qkv := make([]float64, len(projected))
	for i := range qkv {
		qkv[i] = kernel[3*width+i%(3*width)] * projected[i]
		if i >= 3*width {
			qkv[i] += kernel[i%(3*width)] * projected[i-3*width]
		}
	}
	want := make([]float64, time*width)
	for h := range heads {
		turned := func(t, part, i int) complex128 { // pair i of the query (part 0) or key (part 1) at t
			at := qkv[t*3*width+part*width+h*n:]
			return complex(at[i], at[i+n/2]) * cmplx.Rect(1, float64(t)*math.Pow(10_000, -2*float64(i)/n))
		}
		for t := range time {
			scores := make([]float64, t+1)
			sum := 0.
			for s := range scores {
				for i := range n / 2 {
					scores[s] += real(turned(t, 0, i) * cmplx.Conj(turned(s, 1, i)))
				}
				scores[s] = math.Exp(scores[s] / math.Sqrt(n))
				sum += scores[s]
			}
			for s, score := range scores {
				for i := range n {
					want[t*width+h*n+i] += score / sum * qkv[s*3*width+2*width+h*n+i]
				}
			}
		}
	}
	out := tensor.New(want, 1, time, width).MatMul(params["out"].Transpose(0, 1))
	assert.InDeltaSlice(t, out.Floats(), a.Forward(p, x).Floats(), 1e-10)
	assert.Panics(t, func() { tokennet.NewAttention(b, 6, tokennet.AttentionConfig{Heads: 2, Rotary: true}) })
}

// train trains a network on a task and returns the share of right answers on fresh sequences of a size.
func train(t *testing.T, task token.Task, c tokennet.Config, steps, batch int, rate float64, size token.Size) float64 {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	c.Tokens, c.Classes = int64(task.Tokens()), int64(task.Classes())
	n := tokennet.New(b, c)
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	t.Cleanup(opt.Free)
	forward := func(p *nn.Pass, s *token.Batch) (scores, classes *tensor.Tensor) {
		at, want := s.Scored()
		x := tensor.New(s.Inputs, int64(s.Sequences), int64(s.Time))
		return n.Forward(p, x, tensor.New(at, int64(len(at)))), tensor.New(want, int64(len(want)))
	}
	for step := range steps {
		scope := tensor.Enter()
		scores, classes := forward(&nn.Pass{Training: true}, task.Batch(rand.New(rand.NewPCG(uint64(step), 3)), batch))
		loss := tensor.NLL(scores.LogSoftmax(-1), classes)
		grads := nn.ClipByNorm(tensor.Grad(loss, b.Params().Tensors()...), 1)
		opt.Step(grads, rate*math.Min(1, float64(step+1)/50))
		scope.Leave()
	}
	s, err := task.Sized(rand.New(rand.NewPCG(1, 99)), 200, size)
	require.NoError(t, err)
	scores, _ := forward(&nn.Pass{}, s)
	right, asked := 0, 0
	for _, one := range s.Scores(tensor.Values[int64](scores.Argmax(-1))) {
		right, asked = right+one.Right, asked+one.Scored
	}
	return float64(right) / float64(asked)
}

// A network of two delta layers learns to recall pairs.
func TestRecallIsLearned(t *testing.T) {
	task, err := token.NewRecall(token.RecallOptions{Vocabulary: 16, Sizes: []token.Size{{Length: 16, Pairs: 3}}})
	require.NoError(t, err)
	got := train(t, task, tokennet.Config{Width: 32, Mixer: mixers()["delta"]}, 250, 32, 5e-3, task.Sizes()[0])
	t.Logf("%.3f right", got)
	assert.Greater(t, got, .9)
}
