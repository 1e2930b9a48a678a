package nn_test

import (
	"testing"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
)

// A step that is repeated drops, each time, what one drops that is not.
func TestNoiseIsRenewed(t *testing.T) {
	live := tensor.Live()
	var n nn.Noise
	pass := func(step uint64) *nn.Pass { return &nn.Pass{Training: true, Rand: stream.New(1, "noise", step)} }
	net := func(p *nn.Pass, x *tensor.Tensor) []float64 {
		return nn.DropBlock(p, nn.Dropout(p, x, .5).Reshape(1, 2, 4, 4), .3, 2).Floats()
	}
	scope := tensor.Enter()
	x := tensor.Ones(32)
	for step := range uint64(4) {
		want := net(pass(step), x)
		p := pass(step)
		if step == 0 {
			n.Record(p)
		} else {
			n.Renew(p)
		}
		assert.Equal(t, want, net(p, x), "step %d", step)
		assert.True(t, n.Whole())
	}
	p := pass(5)
	n.Renew(p)
	net(p, x)
	assert.Panics(t, func() { nn.Dropout(p, x, .5) }, "draws more than the recorded step")
	scope.Leave()
	n.Free()
	assert.Equal(t, live, tensor.Live())
}

func TestNoiseNoticesOtherDraws(t *testing.T) {
	scope := tensor.Enter()
	defer scope.Leave()
	var n nn.Noise
	defer n.Free()
	p := &nn.Pass{Training: true, Rand: stream.New(1, "noise", 0)}
	want := stream.New(1, "noise", 0).Float64()
	n.Record(p)
	assert.Equal(t, want, p.Rand.Float64())
	assert.False(t, n.Whole())
}
