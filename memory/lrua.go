package memory

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// LRUAConfig are the settings of [NewLRUA]. Control must be given; zero values of the others stand for Santoro et al. 2016:
// 128 slots of width 40 and 4 heads, a usage decay of 0.95 (they give 0.95 to 0.99), the key itself as what is
// written, no key strength.
type LRUAConfig struct {
	Control      int64 // the width of the controller's output
	Slots, Width int64
	Heads        int64 // each reads and writes
	Decay        float64
	// Add has the controller emit what is written apart from the key, as the public code does that comes closest to the
	// paper's figures (snowkylin/ntm). The paper writes the key.
	Add bool
	// Strength has the controller emit a key strength a head, as Graves et al. 2014 do. Without one a reading is never
	// sharp: of 128 slots the best can have e²/(e²+127), one part in eighteen.
	Strength bool
	// OwnSlots gives each head a least used slot of its own, the first head the least used one, and wipes them all. The
	// paper has every head write to all of them and wipes the least used one only.
	OwnSlots bool
	// Memory is how the memory starts.
	Memory Initial
}

// LRUA is the memory of Memory-Augmented Neural Networks with least recently used access: Santoro et al. 2016, section 3.2.
// As many slots as there are heads are the least used ones. One linear layer emits what all heads need. A step first
// writes, with the weightings that the step before left, and then reads what it has written: the paper's eqs. 2 to 4 are in
// M_t. Where the paper is silent, this is chosen, as in snowkylin/ntm: keys and added vectors come through tanh, the write
// gate's α is emitted a head, and before the first step the read weightings and the usage are on the first slot.
type LRUA struct {
	config LRUAConfig
	emit   *nn.Linear
	memory first
}

// NewLRUA makes an LRUA memory.
func NewLRUA(b *nn.Builder, c LRUAConfig) *LRUA {
	c.Slots, c.Width, c.Heads, c.Decay = or(c.Slots, 128), or(c.Width, 40), or(c.Heads, 4), or(c.Decay, .95)
	each := c.Width + 1
	if c.Add {
		each += c.Width
	}
	if c.Strength {
		each++
	}
	return &LRUA{
		config: c,
		emit:   nn.NewLinear(b.In("heads"), c.Control, c.Heads*each),
		memory: newFirst(b, c.Memory, c.Slots, c.Width),
	}
}

// LRUAState is what an [LRUA] carries from one step to the next.
type LRUAState struct {
	Memory *tensor.Tensor // [batch, slots, width]
	Read   *tensor.Tensor // [batch, heads, slots], the read weightings
	Write  *tensor.Tensor // [batch, heads, slots], the write weightings; nil before the first step
	Usage  *tensor.Tensor // [batch, 1, slots]
}

// Tensors implements [State].
func (s LRUAState) Tensors() []nn.Named {
	out := []nn.Named{{Name: "memory", Tensor: s.Memory}, {Name: "read", Tensor: s.Read}, {Name: "usage", Tensor: s.Usage}}
	if s.Write != nil {
		out = append(out, nn.Named{Name: "write", Tensor: s.Write})
	}
	return out
}

// Map implements [Mapper].
func (s LRUAState) Map(f func(*tensor.Tensor) *tensor.Tensor) State {
	s.Memory, s.Read, s.Usage = f(s.Memory), f(s.Read), f(s.Usage)
	if s.Write != nil {
		s.Write = f(s.Write)
	}
	return s
}

// ReadWidth implements [Recurrent].
func (m *LRUA) ReadWidth() int64 { return m.config.Heads * m.config.Width }

// Init implements [Recurrent].
func (m *LRUA) Init(p *nn.Pass, batch int64) State {
	c, like := m.config, p.Value(m.emit.Weight)
	return LRUAState{
		Memory: m.memory.expand(p, like, batch),
		Read:   onFirstSlot(like, batch, c.Heads, c.Slots),
		Usage:  onFirstSlot(like, batch, 1, c.Slots),
	}
}

// Step implements [Recurrent]. It is one operation where it can be; see [tensor.MemoryStep].
func (m *LRUA) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	c, s := m.config, stateOf[LRUAState]("LRUA.Step", prev)
	emission := m.emit.Forward(p, control)
	if fuses(p, emission, s.Memory) {
		read, next := tensor.MemoryStep(m.kernel(), emission, s.Memory, s.Read, s.Usage)
		return read, LRUAState{Memory: next[0], Read: next[1], Write: next[2], Usage: next[3]}
	}
	e := parts{from: emission}
	keys := e.next(c.Heads, c.Width).Tanh()
	gates := e.next(c.Heads, 1).Sigmoid()
	add := keys
	if c.Add {
		add = e.next(c.Heads, c.Width).Tanh()
	}
	var strengths *tensor.Tensor
	if c.Strength {
		strengths = e.next(c.Heads, 1).Softplus()
	}

	least := LeastUsed(s.Usage, c.Heads)
	wiped := least
	if !c.OwnSlots {
		wiped, least = least.Narrow(1, 0, 1), least.SumKeep(1)
	}
	after := LRUAState{Write: Interpolate(gates, s.Read, least)}
	after.Memory = Add(Wipe(s.Memory, wiped), after.Write, add)
	after.Read = ContentWeighting(after.Memory, keys, strengths)
	after.Usage = DecayedUsage(s.Usage, c.Decay, after.Read, after.Write).Detach() // it only ever chooses slots
	return ReadVectors(after.Memory, after.Read).Flatten(1, 2), after
}

func (m *LRUA) kernel() tensor.MemoryKernel {
	flag := func(on bool) float64 {
		if on {
			return 1
		}
		return 0
	}
	c := m.config
	return tensor.MemoryKernel{Name: "lrua", Settings: []float64{
		float64(c.Heads), c.Decay, flag(c.Add), flag(c.Strength), flag(c.OwnSlots),
	}}
}

// Unroll implements [Unroller].
func (m *LRUA) Unroll(p *nn.Pass, batch int64) (*tensor.UnrolledMemory, bool) {
	s := m.Init(p, batch).(LRUAState)
	return &tensor.UnrolledMemory{
		Kernel: m.kernel(), Weight: p.Value(m.emit.Weight), Bias: p.Value(m.emit.Bias),
		State: []*tensor.Tensor{s.Memory, s.Read, s.Usage},
	}, m.config.Heads <= m.config.Slots
}

var _ Unroller = (*LRUA)(nil)
