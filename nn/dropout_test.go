package nn_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

func TestDropout(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	x := tensor.Ones(100, 100).RequireGrad()
	train := func() *nn.Pass { return &nn.Pass{Training: true, Rand: stream.New(1, "noise")} }
	y := nn.Dropout(train(), x, .25)
	values, dropped := y.Floats(), 0
	for _, v := range values {
		if v == 0 {
			dropped++
		} else {
			assert.InDelta(t, 1/.75, v, 1e-6)
		}
	}
	assert.InDelta(t, 2500, dropped, 200)
	assert.Equal(t, values, tensor.Grad(y.Sum(), x)[0].Floats(), "the gradient passes through the kept values")
	assert.Equal(t, values, nn.Dropout(train(), x, .25).Floats(), "the same seed drops the same values")
	assert.Same(t, x, nn.Dropout(&nn.Pass{}, x, .25))
	assert.Same(t, x, nn.Dropout(&nn.Pass{Training: true}, x, 0))
}

func TestFromTensor(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	value := tensor.New([]float32{1, 2}, 2)
	p, n := b.In("a").FromTensor("w", value, true), b.FromTensor("n", tensor.New([]int64{3}, 1), false)
	assert.Equal(t, "a.w", p.Name)
	assert.True(t, p.Value().RequiresGrad())
	assert.True(t, n.Buffer)
	assert.Equal(t, tensor.Int64, n.Value().DType())
	value.Assign(tensor.Zeros(2))
	assert.Equal(t, []float64{1, 2}, p.Value().Floats(), "a copy")
	assert.Panics(t, func() { b.In("a").FromTensor("w", value, true) })
}

// DropBlock zeroes whole squares, and as many values as the probability says; what is left is scaled up.
func TestDropBlock(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	const n, channels, side, region = 20, 10, 12, 3
	x := tensor.Ones(n, channels, side, side).RequireGrad()
	train := func() *nn.Pass { return &nn.Pass{Training: true, Rand: stream.New(1, "noise")} }
	y := nn.DropBlock(train(), x, .2, region)
	values, zeros := y.Floats(), 0
	at := func(m, r, c int) float64 { return values[(m*side+r)*side+c] }
	for m := range n * channels {
		for r := range side {
			for c := range side {
				if at(m, r, c) != 0 {
					continue
				}
				zeros++
				inside := false // of a square of zeros
				for i := max(0, r-region+1); i <= min(r, side-region); i++ {
					for j := max(0, c-region+1); j <= min(c, side-region); j++ {
						all := true
						for k := range region * region {
							all = all && at(m, i+k/region, j+k%region) == 0
						}
						inside = inside || all
					}
				}
				assert.True(t, inside, "a zero at map %d, %d, %d outside any dropped square", m, r, c)
			}
		}
	}
	assert.InDelta(t, .2, float64(zeros)/float64(len(values)), .04)
	assert.InDelta(t, float64(len(values)), y.Sum().Float(), 1, "the sum stays")
	assert.Equal(t, values, tensor.Grad(y.Sum(), x)[0].Floats())
	assert.Same(t, x, nn.DropBlock(&nn.Pass{}, x, .2, region))
	assert.Same(t, x, nn.DropBlock(train(), x, 0, region))
	assert.True(t, nn.DropBlock(train(), tensor.Ones(2, 1, 2, 1), .5, 5).Finite(), "a map smaller than a region")
}
