package nn

import (
	"math/rand/v2"

	"github.com/engram-go/engram/tensor"
)

// Drawn returns a tensor of random values on a device. fill draws them from the pass's generator; values are zero before. Whatever
// a part of a network draws, it draws here, so that a step that is captured as a graph gets new values: see [Noise].
func Drawn[E tensor.Element](p *Pass, on tensor.Device, fill func(r *rand.Rand, values []E), shape ...int64) *tensor.Tensor {
	draw := func(r *rand.Rand) *tensor.Tensor {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		values := make([]E, n)
		fill(r, values)
		return tensor.Upload(values, on, shape...)
	}
	if p.noise == nil {
		return draw(p.Rand)
	}
	return p.noise.drawn(p, draw)
}

// Noise holds the random tensors of a training step that is repeated with the same shapes, such as dropout's masks: a captured
// graph reads them from memory, and they are drawn anew, in the same order, before each replay. The zero value has recorded no
// step.
type Noise struct {
	draws     []noiseDraw
	next      int
	recording bool
	drawing   bool
	raw       bool // something was drawn past [Drawn]
}

type noiseDraw struct {
	to   *tensor.Tensor
	draw func(r *rand.Rand) *tensor.Tensor
}

// Record has a pass remember what it draws. It draws what it would draw without.
func (n *Noise) Record(p *Pass) {
	n.Free()
	*n = Noise{recording: true}
	p.noise = n
	if p.Rand != nil {
		p.Rand = rand.New(watched{p.Rand, n})
	}
}

// Whole reports whether all that a recorded pass drew was drawn through [Drawn].
func (n *Noise) Whole() bool { return !n.raw }

// Renew draws all tensors anew from a pass's generator, and has the pass use them.
func (n *Noise) Renew(p *Pass) {
	scope := tensor.Enter()
	defer scope.Leave()
	for _, d := range n.draws {
		d.to.Assign(d.draw(p.Rand))
	}
	n.recording, n.next = false, 0
	p.noise = n
}

// Free releases the tensors.
func (n *Noise) Free() {
	for _, d := range n.draws {
		d.to.Free()
	}
	n.draws = nil
}

func (n *Noise) drawn(p *Pass, draw func(r *rand.Rand) *tensor.Tensor) *tensor.Tensor {
	if n.recording {
		n.record(p, draw)
	}
	if n.next == len(n.draws) {
		panic(&tensor.Error{Op: "Drawn", Msg: "a step that is repeated draws more than the first time"})
	}
	n.next++
	return n.draws[n.next-1].to
}

func (n *Noise) record(p *Pass, draw func(r *rand.Rand) *tensor.Tensor) {
	scope := tensor.Enter()
	defer scope.Leave()
	n.drawing = true
	defer func() { n.drawing = false }()
	tensor.Untraced(func() {
		values := draw(p.Rand)
		to := tensor.Empty(values.DType(), values.Device(), values.Shape()...)
		to.Assign(values)
		n.draws = append(n.draws, noiseDraw{to.Own(), draw})
	})
}

// watched is a generator that notices what is drawn from it past [Drawn].
type watched struct {
	*rand.Rand
	noise *Noise
}

// Uint64 implements [rand.Source].
func (w watched) Uint64() uint64 {
	if !w.noise.drawing {
		w.noise.raw = true
	}
	return w.Rand.Uint64()
}
