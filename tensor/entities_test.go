package tensor_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/tensor"
)

// entities are stories of several lengths, one of them without sentences.
func entities() tensor.EntityNetwork {
	const slots, width, steps, stories = 5, 20, 6, 4
	r := rand.New(rand.NewPCG(6, 0))
	leaf := func(shape ...int64) *tensor.Tensor { return normal(r, 0, .3, shape...).RequireGrad() }
	return tensor.EntityNetwork{
		First: leaf(slots, width), Sentences: leaf(steps, stories, width), Inputs: leaf(steps, stories, width), FromKeys: leaf(slots, width),
		ToKeys: leaf(steps, stories, slots), State: leaf(width, width), Slope: leaf(width), Lengths: []int64{6, 0, 3, 5}, Eps: 1e-8,
	}
}

// Stories are computed by one thread each, so that results do not depend on the number of threads; a story ends at its length.
func TestTrackEntities(t *testing.T) {
	before := tensor.Threads()
	defer tensor.SetThreads(before)
	balanced(t, func() {
		n := entities()
		all := func(threads int) (out [][]float64) {
			tensor.SetThreads(threads)
			slots := tensor.TrackEntities(n)
			out = append(out, slots.Floats())
			for _, g := range tensor.Grad(slots.Square().Mul(slots).Sum(), n.First, n.Sentences, n.Inputs, n.FromKeys, n.ToKeys, n.Slope) {
				out = append(out, g.Floats())
			}
			return out
		}
		got := all(2)
		assert.Equal(t, got, all(1))
		slots := tensor.TrackEntities(n)
		assert.Equal(t, n.First.Floats(), slots.Select(0, 1).Floats(), "a story without sentences")
		short := n
		short.Lengths = []int64{3, 0, 3, 3}
		assert.Equal(t, slots.Select(0, 2).Floats(), tensor.TrackEntities(short).Select(0, 2).Floats(), "other stories change nothing")
	})
}

func TestTrackEntitiesRefuses(t *testing.T) {
	balanced(t, func() {
		for message, change := range map[string]func(n *tensor.EntityNetwork){
			"a length for each story":              func(n *tensor.EntityNetwork) { n.Lengths = n.Lengths[1:] },
			"a story is longer than the sentences": func(n *tensor.EntityNetwork) { n.Lengths = []int64{7, 0, 3, 5} },
			"want gates [steps, stories, slots]":   func(n *tensor.EntityNetwork) { n.ToKeys = n.ToKeys.Narrow(2, 0, 4) },
			"want a state matrix [width, width]":   func(n *tensor.EntityNetwork) { n.State = n.State.Narrow(0, 0, 4) },
			"want tensors of one type on the CPU":  func(n *tensor.EntityNetwork) { n.Slope = n.Slope.To(tensor.Float64) },
			"what keys add [slots, width]":         func(n *tensor.EntityNetwork) { n.FromKeys = n.FromKeys.Narrow(0, 0, 2) },
			"has no second-order gradient": func(n *tensor.EntityNetwork) {
				y := tensor.TrackEntities(*n).Square().Sum()
				tensor.GradWith([]*tensor.Tensor{y}, []*tensor.Tensor{n.First}, tensor.GradOptions{Create: true})
			},
		} {
			n := entities()
			assert.ErrorContains(t, tensor.Do(func() error {
				change(&n)
				tensor.TrackEntities(n)
				return nil
			}), message)
		}
	})
}
