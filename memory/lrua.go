package memory

import (
	"cmp"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// LRUAConfig configures [NewLRUA]. Control is required. The defaults are those of Santoro et al. 2016: 128 slots of
// width 40, 4 heads, a usage decay of 0.95 (the paper gives 0.95 to 0.99), the key as the vector to write, no key
// strength.
type LRUAConfig struct {
	Control      int64 // width of the controller's output
	Slots, Width int64
	Heads        int64 // each head reads and writes
	Decay        float64
	// Add makes the controller emit the vector to write, as in snowkylin/ntm, the public code that comes closest to
	// the paper's figures. The paper writes the key.
	Add bool
	// Strength makes the controller emit a key strength per head, as in Graves et al. 2014. Without it no read is
	// sharp: of 128 slots the best gets a weight of at most e²/(e²+127), about 1/18.
	Strength bool
	// OwnSlots assigns each head its own least used slot, in order, and erases them all. In the paper every head
	// writes to all of them, and only the least used one is erased.
	OwnSlots bool
	// Memory selects the initial memory.
	Memory Initial
}

// LRUA is the memory of Memory-Augmented Neural Networks, with least recently used access: Santoro et al. 2016,
// section 3.2. The least used slots are as many as the heads. One linear layer emits the parameters of all heads. A
// step first writes, with weightings from the previous step, and then reads the result: the paper's eqs. 2 to 4 use
// M_t. Where the paper is silent, Engram follows snowkylin/ntm: keys and add vectors pass through tanh, each head has
// a write gate α, and initially the read weightings and the usage are on the first slot.
type LRUA struct {
	config LRUAConfig
	emit   *nn.Linear
	memory initialMemory
}

// NewLRUA makes an LRUA memory.
func NewLRUA(b *nn.Builder, c LRUAConfig) *LRUA {
	c.Slots, c.Width, c.Heads, c.Decay = cmp.Or(c.Slots, 128), cmp.Or(c.Width, 40), cmp.Or(c.Heads, 4), cmp.Or(c.Decay, .95)
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
		memory: newInitialMemory(b, c.Memory, c.Slots, c.Width),
	}
}

// LRUAState is the state of an [LRUA] between steps.
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

// Interface implements [Interfaced].
func (m *LRUA) Interface() *nn.Linear { return m.emit }

// Step implements [Recurrent].
func (m *LRUA) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	return m.StepInterface(p, m.emit.Forward(p, control), prev)
}

// StepInterface implements [Interfaced]. It is fused where possible; see [tensor.MemoryStep].
func (m *LRUA) StepInterface(p *nn.Pass, emission *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	c, s := m.config, stateOf[LRUAState]("LRUA.Step", prev)
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
	after.Usage = DecayedUsage(s.Usage, c.Decay, after.Read, after.Write).Detach() // it only selects slots
	return ReadVectors(after.Memory, after.Read).Flatten(1, 2), after
}

func (m *LRUA) kernel() tensor.MemoryKernel {
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

var (
	_ Unroller   = (*LRUA)(nil)
	_ Interfaced = (*LRUA)(nil)
)
