package transformer_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/encoder/transformer"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

var tiny = transformer.Size{Width: 12, Layers: 2, Heads: 3, Hidden: 20}

func tinyBERT(t *testing.T, training transformer.Training) (*transformer.BERT, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	e, err := transformer.NewBERT(b, transformer.BERTConfig{Size: tiny, Vocabulary: 11, Positions: 8, Normalize: true, Training: training})
	require.NoError(t, err)
	t.Cleanup(b.Params().Free)
	return e, b.Params()
}

func tinyViT(t *testing.T, training transformer.Training) (*transformer.ViT, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	e, err := transformer.NewViT(b, transformer.ViTConfig{Size: tiny, Channels: 2, Patch: 4, Grid: 3, Registers: 1, Scaled: true, Early: true, Projection: 5, Training: training})
	require.NoError(t, err)
	t.Cleanup(b.Params().Free)
	return e, b.Params()
}

func within(t *testing.T, most float64, a, b []float64) {
	t.Helper()
	require.Len(t, b, len(a))
	for i := range a {
		require.InDelta(t, a[i], b[i], most)
	}
}

func TestPaddingAndTheRestOfTheBatchChangeNoEmbedding(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	e, _ := tinyBERT(t, transformer.Training{})
	p := &nn.Pass{}
	alone := e.Forward(p, tensor.New([]int64{1, 5, 7, 2}, 1, 4)).Floats()
	padded := e.Forward(p, tensor.New([]int64{1, 5, 7, 2, 0, 0, 0}, 1, 7)).Floats()
	within(t, 1e-5, alone, padded)

	rows := tensor.New([]int64{1, 5, 7, 2, 0, 1, 9, 9, 3, 2, 1, 2, 0, 0, 0}, 3, 5)
	three := e.Forward(p, rows).Floats()
	within(t, 1e-5, alone, three[:12])
	turned := e.Forward(p, rows.Flip(0)).Floats()
	within(t, 1e-5, three, slices.Concat(turned[24:], turned[12:24], turned[:12]))
}

func TestARowOfPaddingIsNoNaN(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	for _, pooling := range []transformer.Pooling{transformer.MeanTokens, transformer.FirstToken} {
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		e, err := transformer.NewBERT(b, transformer.BERTConfig{Size: tiny, Vocabulary: 11, Positions: 8, Normalize: true, Pooling: pooling})
		require.NoError(t, err)
		y := e.Forward(&nn.Pass{Training: true}, tensor.New([]int64{1, 2, 0, 0}, 2, 2))
		assert.True(t, y.Finite())
		for i, g := range tensor.Grad(y.Square().Sum(), b.Params().Tensors()...) {
			if g != nil {
				assert.True(t, g.Finite(), b.Params().Trained()[i].Name)
			}
		}
		if pooling == transformer.MeanTokens {
			assert.Zero(t, slices.Max(y.Narrow(0, 1, 1).Abs().Floats()))
		}
	}
}

// adapters are on all layers, so that the gradients of all are checked.
var adapters = transformer.Training{LoRA: transformer.LoRA{Rank: 2, Alpha: 3, On: transformer.Layers()}}

func TestGradientsOfBERT(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	rows := tensor.New([]int64{1, 5, 7, 2, 1, 3, 2, 0}, 2, 4)
	for _, training := range []transformer.Training{{}, adapters} {
		e, ps := tinyBERT(t, training)
		testkit.Gradients(t, ps, stream.New(1, "test"), func(p *nn.Pass) *tensor.Tensor {
			p.Training = true
			y := e.Forward(p, rows)
			return y.Mul(tensor.Ramp(y.Numel(), tensor.Float64, tensor.CPU).Reshape(y.Shape()...)).Sum()
		})
	}
}

func TestGradientsOfViT(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	images := testkit.Normal(stream.New(2, "test"), 2, 2, 8, 16)
	for _, training := range []transformer.Training{{}, adapters} {
		e, ps := tinyViT(t, training)
		testkit.Gradients(t, ps, stream.New(1, "test"), func(p *nn.Pass) *tensor.Tensor {
			p.Training = true
			y := e.Forward(p, images)
			return y.Mul(tensor.Ramp(y.Numel(), tensor.Float64, tensor.CPU).Reshape(y.Shape()...)).Sum()
		})
	}
}

// perturb gives adapters values that are not zero.
func perturb(ps *nn.Params) {
	r := stream.New(3, "test")
	for _, p := range ps.Trained() {
		p.Value().Assign(testkit.Normal(r, p.Value().Shape()...).MulScalar(.3).To(tensor.Float32))
	}
}

// Adapters begin as nothing; only they are trained; and merged with the weights, as in an evaluation, they give what they give as
// branches, as in training.
func TestLoRA(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	rows := tensor.New([]int64{1, 5, 7, 2, 1, 3, 2, 0}, 2, 4)
	images := testkit.Normal(stream.New(2, "test"), 2, 2, 8, 16).To(tensor.Float32)
	for _, c := range []struct {
		of    func(training transformer.Training) (encoder.Encoder, *nn.Params)
		x     *tensor.Tensor
		count int64 // trained values of rank 2 on query and value: 2 layers, 2 adapters, A and B of 2·12
	}{
		{func(training transformer.Training) (encoder.Encoder, *nn.Params) { return tinyBERT(t, training) }, rows, 2 * 2 * 2 * 24},
		{func(training transformer.Training) (encoder.Encoder, *nn.Params) { return tinyViT(t, training) }, images, 2 * 2 * 2 * 24},
	} {
		plain, _ := c.of(transformer.Training{})
		e, ps := c.of(transformer.Training{LoRA: transformer.LoRA{Rank: 2}})
		assert.Equal(t, c.count, ps.Count())
		before := e.Forward(&nn.Pass{}, c.x).Floats()
		within(t, 1e-6, plain.Forward(&nn.Pass{}, c.x).Floats(), before)

		all, ps := c.of(adapters)
		assert.Len(t, ps.Trained(), 2*6*2)
		perturb(ps)
		merged := all.Forward(&nn.Pass{}, c.x).Floats()
		within(t, 1e-5, merged, all.Forward(&nn.Pass{Training: true}, c.x).Floats())
		different := 0.
		for i, v := range merged {
			different = max(different, math.Abs(v-before[i]))
		}
		assert.Greater(t, different, 1e-3)
	}
}

func TestDropout(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	rows := tensor.New([]int64{1, 5, 7, 2, 1, 3, 2, 0}, 2, 4)
	e, _ := tinyBERT(t, transformer.Training{Dropout: .5})
	assert.True(t, encoder.HasDropout(e))
	run := func(training bool, seed uint64) []float64 {
		return e.Forward(&nn.Pass{Training: training, Rand: stream.New(seed, "test")}, rows).Floats()
	}
	assert.NotEqual(t, run(true, 1), run(true, 2))
	assert.Equal(t, run(true, 1), run(true, 1))
	assert.Equal(t, run(false, 1), run(false, 2))

	adapted, ps := tinyBERT(t, transformer.Training{LoRA: transformer.LoRA{Rank: 2, Dropout: .5}})
	perturb(ps)
	assert.True(t, encoder.HasDropout(adapted))
	a := adapted.Forward(&nn.Pass{Training: true, Rand: stream.New(1, "test")}, rows).Floats()
	assert.NotEqual(t, a, adapted.Forward(&nn.Pass{Training: true, Rand: stream.New(2, "test")}, rows).Floats())
	plain, _ := tinyViT(t, transformer.Training{})
	assert.False(t, encoder.HasDropout(plain))
	assert.False(t, encoder.UsesBatchStatistics(plain))
}

func TestBlocks(t *testing.T) {
	e, ps := tinyBERT(t, transformer.Training{})
	blocks := e.Blocks()
	require.Len(t, blocks, 3)
	assert.Equal(t, ps.Trained(), slices.Concat(blocks...))
	assert.Equal(t, "embeddings.word_embeddings.weight", blocks[0][0].Name)
	assert.Equal(t, "encoder.layer.1.attention.self.query.weight", blocks[2][0].Name)

	v, ps := tinyViT(t, transformer.Training{})
	require.Len(t, v.Blocks(), 3)
	assert.Equal(t, ps.Trained(), slices.Concat(v.Blocks()...))

	// The first blocks can be frozen, and adapters are in the others.
	last, ps := tinyBERT(t, transformer.Training{Frozen: 2})
	require.Len(t, last.Blocks(), 1)
	assert.Equal(t, "encoder.layer.1.attention.self.query.weight", ps.Trained()[0].Name)
	_, ps = tinyBERT(t, transformer.Training{Frozen: 2, LoRA: transformer.LoRA{Rank: 1}})
	assert.Len(t, ps.Trained(), 4)
	_, ps = tinyBERT(t, transformer.Training{Frozen: 9})
	assert.Empty(t, ps.Trained())

	adapted, ps := tinyBERT(t, adapters)
	require.Len(t, adapted.Blocks(), 2) // no adapters in the embeddings
	assert.Equal(t, ps.Trained(), slices.Concat(adapted.Blocks()...))
}

// A transformer learns which of two tokens comes first, which the bag of tokens does not tell.
func TestBERTLearnsTheOrderOfTokens(t *testing.T) {
	e, ps := tinyBERT(t, transformer.Training{})
	opt := nn.NewAdam(ps, nn.DefaultAdam())
	defer opt.Free()
	var right float64
	for range 60 {
		s := tensor.Enter()
		rows := tensor.New([]int64{1, 5, 7, 2, 1, 7, 5, 2, 1, 5, 9, 7, 1, 7, 9, 5}, 4, 4)
		labels := tensor.New([]int64{0, 1, 0, 1}, 4)
		scores := e.Forward(&nn.Pass{Training: true}, rows).Narrow(1, 0, 2).MulScalar(5)
		logp := scores.LogSoftmax(-1)
		right = logp.Argmax(-1).Eq(labels).To(tensor.Float64).Mean().Float()
		opt.Step(tensor.Grad(tensor.NLL(logp, labels), ps.Tensors()...), 1e-2)
		s.Leave()
	}
	assert.Equal(t, 1., right)
}

func TestForwardFreesWhatItMakes(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	e, _ := tinyBERT(t, adapters)
	rows := tensor.New([]int64{1, 5, 7, 0}, 2, 2)
	v, _ := tinyViT(t, adapters)
	images := tensor.Ones(1, 2, 8, 8)
	before := tensor.Live()
	a := tensor.Eval(func() *tensor.Tensor { return e.Forward(&nn.Pass{}, rows) })
	b := tensor.Eval(func() *tensor.Tensor { return v.Forward(&nn.Pass{}, images) })
	assert.Equal(t, before+2, tensor.Live())
	a.Free()
	b.Free()
}

func TestBadInput(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	e, _ := tinyBERT(t, transformer.Training{})
	v, _ := tinyViT(t, transformer.Training{})
	for message, f := range map[string]func(){
		"want tokens [n, time] of int64 with a time from 1 to 8": func() { e.Forward(&nn.Pass{}, tensor.Zeros(1, 4)) },
		"time from 1 to 8":      func() { e.Forward(&nn.Pass{}, tensor.Zeros(1, 9).To(tensor.Int64)) },
		"sides that 4 divides":  func() { v.Forward(&nn.Pass{}, tensor.Zeros(1, 2, 8, 6)) },
		"want images [n, 2, he": func() { v.Forward(&nn.Pass{}, tensor.Zeros(1, 3, 8, 8)) },
	} {
		assert.ErrorContains(t, tensor.Do(func() error { f(); return nil }), message)
	}
	assert.ErrorContains(t, transformer.Fits(4, 30, 32), "images of 30×32 pixels cannot be cut into patches of 4×4")
	assert.NoError(t, transformer.Fits(4, 8, 32))

	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	for message, c := range map[string]transformer.BERTConfig{
		"5 heads do not divide the width 12": {Size: transformer.Size{Width: 12, Heads: 5}},
		"no activation \"gelu_new\"":         {Activation: "gelu_new"},
		"no pooling \"max\"":                 {Pooling: "max"},
		"dropout 1":                          {Training: transformer.Training{Dropout: 1}},
		"without a rank":                     {Training: transformer.Training{LoRA: transformer.LoRA{Alpha: 8}}},
		"no layer \"keys\"":                  {Training: transformer.Training{LoRA: transformer.LoRA{Rank: 1, On: []transformer.Layer{"keys"}}}},
	} {
		_, err := transformer.NewBERT(b, c)
		assert.ErrorContains(t, err, message)
	}
	_, err := transformer.NewViT(b, transformer.ViTConfig{Interpolation: "linear"})
	assert.ErrorContains(t, err, "no interpolation \"linear\"")
}

// Many sentences are embedded in parts: their hidden vectors, here 1 GiB for all of them, do not exist at the same time. A training
// pass takes them together.
func TestEmbeddingManySentencesTakesLittleMemory(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	const rows, time = 8192, 8
	e, err := transformer.NewBERT(b, transformer.BERTConfig{Size: transformer.Size{Width: 32, Layers: 1, Heads: 1, Hidden: 4096}, Vocabulary: 11, Positions: time})
	require.NoError(t, err)
	tokens := make([]int64, rows*time)
	for i := range tokens {
		tokens[i] = 1 + int64(i*i+i/7)%10
	}
	x := tensor.New(tokens, rows, time)
	embed := func(x *tensor.Tensor) (values []float64) {
		tensor.NoGrad(func() { values = e.Forward(&nn.Pass{}, x).Floats() })
		return values
	}
	last := embed(x.Narrow(0, rows-3, 3)) // also loads what LibTorch loads once
	testkit.ResetPeak(t)
	before := testkit.Memory(t, "VmHWM")
	all := embed(x)
	assert.Less(t, testkit.Memory(t, "VmHWM")-before, int64(400<<10), "kB")
	within(t, 1e-5, last, all[len(all)-len(last):])
}
