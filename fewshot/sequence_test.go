package fewshot_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/fewshot"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/tensor"
)

// Two time steps, three episodes, labels of two letters from an alphabet of two.
func TestSequenceIsItsBatch(t *testing.T) {
	testkit.Enter(t)
	b := &episode.SequenceBatch{
		Time: 2, Sequences: 3, Length: 2, Letters: 2, Channels: 1, Height: 1, Width: 2,
		Images: episode.Pixels{Values: []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}, Labels: []int64{0, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0},
		Instances: []int{1, 1, 1, 2, 1, 2},
	}
	s := fewshot.NewSequence(b, tensor.CPU)
	assert.Equal(t, []int64{2, 3, 1, 1, 2}, s.Images.Shape())
	assert.Equal(t, b.Images.Values, tensor.Values[float32](s.Images))
	assert.Equal(t, []int64{2, 3, 2}, s.Labels.Shape())
	assert.Equal(t, b.Labels, tensor.Values[int64](s.Labels))
	assert.Equal(t, b.Instances, s.Instances)

	// Every letter has probability 3/4 for 1. A label is correct where both letters are 1: only the second episode's first.
	p := make([]float64, 2*3*2*2)
	for i := range p {
		p[i] = math.Log([]float64{.25, .75}[i%2])
	}
	logp := tensor.New(p, 2, 3, 2, 2)
	all, instances := s.Accuracies(logp)
	assert.Equal(t, []float64{0, .5, 0}, all)
	assert.Len(t, instances, 2)
	ones := 5. // of 12 letters
	assert.InDelta(t, -2*(ones*math.Log(.75)+(12-ones)*math.Log(.25))/12, s.NLL(logp).Float(), 1e-12)
}

func TestPairsAreTheirBatch(t *testing.T) {
	testkit.Enter(t)
	b := &episode.PairBatch{
		Pairs: 3, Channels: 1, Height: 1, Width: 2,
		Left: episode.Pixels{Values: []float32{0, 1, 2, 3, 4, 5}}, Right: episode.Pixels{Values: []float32{6, 7, 8, 9, 10, 11}}, Same: []float32{1, 0, 1},
	}
	p := fewshot.NewPairs(b, tensor.CPU)
	assert.Equal(t, []int64{3, 1, 1, 2}, p.Left.Shape())
	assert.Equal(t, b.Left.Values, tensor.Values[float32](p.Left))
	assert.Equal(t, b.Right.Values, tensor.Values[float32](p.Right))
	assert.Equal(t, []float64{1, 1, 0}, p.Accuracies(tensor.New([]float32{.1, -.1, 0}, 3)), "a logit of 0 does not mean the same class")
}
