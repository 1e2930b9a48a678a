package encoder_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// The reported properties match the behaviour: whether an embedding depends on the other inputs under batch
// statistics, and whether two training passes with different random numbers differ.
func TestPropertiesMatchBehaviour(t *testing.T) {
	made := func(f func(b *nn.Builder) (encoder.Encoder, error)) func(t *testing.T) encoder.Encoder {
		return func(t *testing.T) encoder.Encoder {
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			e, err := f(b)
			require.NoError(t, err)
			return e
		}
	}
	resnet := func(drop float64) func(t *testing.T) encoder.Encoder {
		return made(func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewResNet12(b, encoder.ResNet12Config{Height: 16, Width: 16, Filters: [4]int64{2, 2, 2, 4}, Drop: drop})
		})
	}
	koch := func(normalize bool) func(t *testing.T) encoder.Encoder {
		return made(func(b *nn.Builder) (encoder.Encoder, error) {
			c := small()
			c.Channels, c.Height, c.Width, c.Normalize = 1, 33, 35, normalize
			return encoder.NewKoch(b, c)
		})
	}
	module := func(c encoder.TorchScriptConfig) func(t *testing.T) encoder.Encoder {
		return made(func(b *nn.Builder) (encoder.Encoder, error) { return encoder.NewTorchScript(b, c) })
	}
	for name, c := range map[string]struct {
		encoder        func(t *testing.T) encoder.Encoder
		input          []int64
		tokens         bool
		batch, dropout bool
	}{
		"conv4": {made(func(b *nn.Builder) (encoder.Encoder, error) {
			return encoder.NewConv4(b, encoder.Conv4Config{Height: 16, Width: 16, Filters: 4})
		}), []int64{1, 16, 16}, false, true, false},
		"koch":              {koch(false), []int64{1, 33, 35}, false, false, false},
		"koch, normalised":  {koch(true), []int64{1, 33, 35}, false, true, false},
		"pixels":            {made(func(*nn.Builder) (encoder.Encoder, error) { return encoder.NewPixels(1, 16, 16), nil }), []int64{1, 16, 16}, false, false, false},
		"resnet12":          {resnet(0), []int64{1, 16, 16}, false, true, false},
		"resnet12, dropout": {resnet(.2), []int64{1, 16, 16}, false, true, true},
		"module, frozen":    {module(encoder.TorchScriptConfig{Path: "testdata/resnet.pt", Input: []int64{3, 12, 12}}), []int64{3, 12, 12}, false, false, false},
		"module, trained":   {module(encoder.TorchScriptConfig{Path: "testdata/resnet.pt", Input: []int64{3, 12, 12}, Train: true}), []int64{3, 12, 12}, false, true, false},
		"tokens, frozen":    {module(encoder.TorchScriptConfig{Path: "testdata/transformer.pt", Input: []int64{12}, Tokens: true}), []int64{12}, true, false, false},
		"tokens, trained":   {module(encoder.TorchScriptConfig{Path: "testdata/transformer.pt", Input: []int64{12}, Tokens: true, Train: true}), []int64{12}, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			e := c.encoder(t)
			assert.Equal(t, c.batch, encoder.UsesBatchStatistics(e))
			assert.Equal(t, c.dropout, encoder.HasDropout(e))

			x := testkit.Normal(rand.New(rand.NewPCG(1, 0)), append([]int64{3}, c.input...)...).To(tensor.Float32)
			if c.tokens {
				x = x.Abs().To(tensor.Int64)
			}
			embed := func(p *nn.Pass, others int64) []float64 {
				return e.Forward(p, tensor.Cat(0, x.Narrow(0, 0, 1), x.Narrow(0, others, 1))).Select(0, 0).Floats()
			}
			depends := !assert.ObjectsAreEqual(embed(&nn.Pass{}, 1), embed(&nn.Pass{}, 2))
			assert.Equal(t, c.batch, depends, "behaviour under batch statistics")
			train := func(seed uint64) []float64 {
				return embed(&nn.Pass{Training: true, Rand: stream.New(seed, "noise")}, 1)
			}
			assert.Equal(t, c.dropout, !assert.ObjectsAreEqual(train(1), train(2)), "behaviour in training")
		})
	}
}

// Querying the properties of a module updates none of its running statistics.
func TestQueryingPropertiesChangesNothing(t *testing.T) {
	testkit.Enter(t)
	e, ps := script(t, encoder.TorchScriptConfig{Path: "testdata/resnet.pt", Input: []int64{3, 12, 12}, Train: true})
	var before, after [][]float64
	for _, p := range ps.All() {
		before = append(before, p.Value().Floats())
	}
	encoder.HasDropout(e)
	encoder.UsesBatchStatistics(e)
	for _, p := range ps.All() {
		after = append(after, p.Value().Floats())
	}
	assert.Equal(t, before, after)
}
