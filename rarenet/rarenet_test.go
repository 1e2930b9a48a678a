package rarenet_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/rarenet"
	"github.com/engram-go/engram/tensor"
)

// sequence draws episodes of classes of noisy prototypes [3, 2] "images"; each class is shown samples times.
func sequence(r *rand.Rand, episodes, classes, samples int, noise float64) *fewshot.Sequence {
	time := classes * samples
	images, labels, instances := make([]float32, time*episodes*6), make([]int64, time*episodes), make([]int, time*episodes)
	for e := range episodes {
		prototypes := make([]float64, classes*6)
		for i := range prototypes {
			prototypes[i] = r.NormFloat64()
		}
		seen := make([]int, classes)
		for t, i := range r.Perm(time) {
			class := i % classes
			seen[class]++
			labels[t*episodes+e], instances[t*episodes+e] = int64(class), seen[class]
			for k := range 6 {
				images[(t*episodes+e)*6+k] = float32(prototypes[class*6+k] + noise*r.NormFloat64())
			}
		}
	}
	n := int64(time)
	return &fewshot.Sequence{
		Images: tensor.New(images, n, int64(episodes), 1, 3, 2), Labels: tensor.New(labels, n, int64(episodes), 1), Instances: instances,
	}
}

func build(t *testing.T, c rarenet.Config) (*rarenet.Net, *nn.Builder) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	c.Encoder, c.Letters = testkit.Flatten(6), 3
	return rarenet.New(b, c), b
}

// An image is answered by what its own episode showed before: the answers do not depend on the batch, on the image's label, or on
// later images; without noise every label that was shown is known.
func TestLogProbs(t *testing.T) {
	testkit.Enter(t)
	n, _ := build(t, rarenet.Config{Width: 8})
	s := sequence(rand.New(rand.NewPCG(1, 1)), 4, 3, 4, 0)
	p := &nn.Pass{}
	logp := n.LogProbs(p, s)
	assert.Equal(t, []int64{12, 4, 1, 3}, logp.Shape())
	for _, sum := range logp.Exp().Sum(-1).Floats() {
		assert.InDelta(t, 1, sum, 1e-5)
	}
	_, instances := s.Accuracies(logp)
	for k := 1; k < 4; k++ {
		assert.Equal(t, []float64{1, 1, 1, 1}, instances[k])
	}
	alone := &fewshot.Sequence{Images: s.Images.Narrow(1, 2, 1), Labels: s.Labels.Narrow(1, 2, 1)}
	assert.InDeltaSlice(t, logp.Narrow(1, 2, 1).Contiguous().Floats(), n.LogProbs(p, alone).Floats(), 1e-5)
	changed := &fewshot.Sequence{Images: s.Images, Labels: tensor.Cat(0, s.Labels.Narrow(0, 0, 6), s.Labels.Narrow(0, 6, 6).ZerosLike())}
	assert.InDeltaSlice(t, logp.Narrow(0, 0, 7).Floats(), n.LogProbs(p, changed).Narrow(0, 0, 7).Floats(), 1e-5)
}

// The loss falls to zero where classes are apart by the margin, and training raises the accuracy on new episodes.
func TestLearns(t *testing.T) {
	n, b := build(t, rarenet.Config{Width: 16, Dropout: .1})
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	t.Cleanup(opt.Free)
	r := rand.New(rand.NewPCG(2, 1))
	var first, last float64
	for step := range 80 {
		require.NoError(t, tensor.Do(func() error {
			loss, logp := n.Loss(&nn.Pass{Training: true, Rand: r}, sequence(r, 4, 3, 3, .4))
			assert.Equal(t, []int64{9, 4, 1, 3}, logp.Shape())
			if step < 10 {
				first += loss.Float() / 10
			} else if step >= 70 {
				last += loss.Float() / 10
			}
			opt.Step(tensor.Grad(loss, b.Params().Tensors()...), 1e-2)
			return nil
		}))
	}
	assert.Less(t, last, .8*first)
}

// A single image has a loss of zero and equal answers; identical images give no NaN in loss or gradient.
func TestStaysFinite(t *testing.T) {
	testkit.Enter(t)
	n, b := build(t, rarenet.Config{Width: 4})
	one := sequence(rand.New(rand.NewPCG(1, 1)), 2, 1, 1, 0)
	loss, logp := n.Loss(&nn.Pass{Training: true}, one)
	assert.Zero(t, loss.Float())
	assert.InDelta(t, 1./3, logp.Exp().Floats()[0], 1e-6)
	blank := sequence(rand.New(rand.NewPCG(1, 1)), 2, 3, 3, 0)
	blank.Images = blank.Images.ZerosLike()
	loss, _ = n.Loss(&nn.Pass{Training: true}, blank)
	for _, g := range tensor.Grad(loss, b.Params().Tensors()...) {
		assert.True(t, g == nil || g.Finite())
	}
}
