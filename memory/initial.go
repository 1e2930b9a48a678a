package memory

import (
	"math"
	"math/rand/v2"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Initial is how a memory starts, on which published results depend. Collier and Beel 2018 (Implementing Neural Turing
// Machines) compare the three on the NTM's tasks, and a constant converges fastest and most surely.
type Initial int

const (
	// ConstantMemory fills every slot with 1e-6, as Collier and Beel 2018 do.
	ConstantMemory Initial = iota
	// LearnedMemory is a parameter, which starts as RandomMemory does.
	LearnedMemory
	// RandomMemory is drawn once from U(-b, b) with b = 1/√(slots+width), saved with the parameters and not trained: the
	// draw of the public pytorch-ntm.
	RandomMemory
)

// initialConstant is Collier and Beel's.
const initialConstant = 1e-6

// first is a memory before the first step.
type first struct {
	memory       *nn.Param // [slots, width]; nil for a constant
	slots, width int64
}

func newFirst(b *nn.Builder, how Initial, slots, width int64) first {
	f := first{slots: slots, width: width}
	draw := nn.Uniform(1 / math.Sqrt(float64(slots+width)))
	switch how {
	case LearnedMemory:
		f.memory = b.Param("initial_memory", draw, slots, width)
	case RandomMemory:
		f.memory = b.Buffer("initial_memory", draw, slots, width)
	}
	return f
}

// expand returns the memory [batch, slots, width] for a batch, of the type and on the device of like.
func (f first) expand(p *nn.Pass, like *tensor.Tensor, batch int64) *tensor.Tensor {
	if f.memory == nil {
		return tensor.Full(initialConstant, like.DType(), like.Device(), batch, f.slots, f.width)
	}
	return p.Value(f.memory).To(like.DType()).Unsqueeze(0).Expand(batch, f.slots, f.width)
}

// falling starts logits at 0, -1, -2, … over the slots, so that their softmax is peaked on the first.
func falling(_ *rand.Rand, shape []int64, out []float32) {
	slots := int(shape[len(shape)-1])
	for i := range out {
		out[i] = -float32(i % slots)
	}
}
