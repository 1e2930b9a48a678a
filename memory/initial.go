package memory

import (
	"math"
	"math/rand/v2"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Initial selects the initial memory, on which published results depend. Collier and Beel 2018 (Implementing Neural
// Turing Machines) compare the three on the NTM's tasks; a constant converges fastest and most reliably.
type Initial int

const (
	// ConstantMemory fills every slot with 1e-6, as Collier and Beel 2018 do.
	ConstantMemory Initial = iota
	// LearnedMemory is a parameter, initialised like RandomMemory.
	LearnedMemory
	// RandomMemory is drawn once from U(-b, b) with b = 1/√(slots+width), saved with the parameters and not trained,
	// as in the public pytorch-ntm.
	RandomMemory
)

// initialConstant is the value of Collier and Beel.
const initialConstant = 1e-6

// initialMemory is the memory before the first step.
type initialMemory struct {
	memory       *nn.Param // [slots, width]; nil for a constant
	slots, width int64
}

func newInitialMemory(b *nn.Builder, how Initial, slots, width int64) initialMemory {
	f := initialMemory{slots: slots, width: width}
	draw := nn.Uniform(1 / math.Sqrt(float64(slots+width)))
	switch how {
	case LearnedMemory:
		f.memory = b.Param("initial_memory", draw, slots, width)
	case RandomMemory:
		f.memory = b.Buffer("initial_memory", draw, slots, width)
	}
	return f
}

// expand returns the memory [batch, slots, width], with the type and device of like.
func (f initialMemory) expand(p *nn.Pass, like *tensor.Tensor, batch int64) *tensor.Tensor {
	if f.memory == nil {
		return tensor.Full(initialConstant, like.DType(), like.Device(), batch, f.slots, f.width)
	}
	return p.Value(f.memory).To(like.DType()).Unsqueeze(0).Expand(batch, f.slots, f.width)
}

// falling sets logits to 0, -1, -2, … over the slots, so that their softmax peaks at the first.
func falling(_ *rand.Rand, shape []int64, out []float32) {
	slots := int(shape[len(shape)-1])
	for i := range out {
		out[i] = -float32(i % slots)
	}
}
