package memory

import (
	"cmp"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// DNCConfig configures [NewDNC]. Control is required. The defaults are 128 slots of width 20 and one read head, as in
// [NTMConfig], for comparison; Graves et al. 2016 choose them per task.
type DNCConfig struct {
	Control      int64 // width of the controller's output
	Slots, Width int64
	Reads        int64
	// Memory selects the initial memory.
	Memory Initial
	// Clip limits the emissions of the heads to ±Clip before their non-linearities; default 20, negative for no
	// limit. The authors' code clips the controller's output to 20.
	Clip float64
	// Masked, Deallocated and Sharpened are the repairs of Csordás and Schmidhuber 2019 ("Improving Differentiable Neural
	// Computers Through Memory Masking, De-allocation, and Link Distribution Sharpness Control"), section 3. A memory with any
	// of them runs step by step and is not fused.
	//
	// Masked compares a key with the slots under a mask that the head emits, so that a part of a slot can be found by another
	// part: m = 0.1 + 0.9·σ(·).
	Masked bool
	// Deallocated erases the slots that are freed; the paper of 2016 only lowers their usage.
	Deallocated bool
	// Sharpened raises the forward and backward weightings to a power of at least one that the head emits, and normalises them.
	Sharpened bool
}

// repaired reports whether the memory has what the fused step has not.
func (c DNCConfig) repaired() bool { return c.Masked || c.Deallocated || c.Sharpened }

// repairs is how many numbers the repairs need of the interface vector.
func (c DNCConfig) repairs() (n int64) {
	if c.Masked {
		n += (c.Reads + 1) * c.Width
	}
	if c.Sharpened {
		n += 2 * c.Reads
	}
	return n
}

// DNC is the memory of the Differentiable Neural Computer: Graves et al. 2016, Methods. It has one write head. A step
// frees, writes and then reads the result. One linear layer emits the interface vector: keys and write vectors are
// linear, strengths 1 + softplus, gates and the erase vector sigmoid, read modes softmax. Initially, as in the paper,
// usage and all weightings are zero; [Initial] selects the memory.
type DNC struct {
	config DNCConfig
	emit   *nn.Linear
	memory initialMemory
}

// NewDNC makes a DNC's memory.
func NewDNC(b *nn.Builder, c DNCConfig) *DNC {
	c.Slots, c.Width, c.Reads, c.Clip = cmp.Or(c.Slots, 128), cmp.Or(c.Width, 20), cmp.Or(c.Reads, 1), cmp.Or(c.Clip, 20)
	return &DNC{
		config: c,
		emit:   nn.NewLinear(b.In("interface"), c.Control, c.Reads*c.Width+3*c.Width+5*c.Reads+3+c.repairs()),
		memory: newInitialMemory(b, c.Memory, c.Slots, c.Width),
	}
}

// DNCState is the state of a [DNC] between steps.
type DNCState struct {
	Memory     *tensor.Tensor // [batch, slots, width]
	Usage      *tensor.Tensor // [batch, 1, slots]
	Link       *tensor.Tensor // [batch, slots, slots]
	Precedence *tensor.Tensor // [batch, 1, slots]
	Read       *tensor.Tensor // [batch, reads, slots], the read weightings
	Write      *tensor.Tensor // [batch, 1, slots], the write weighting
	mask       *tensor.Tensor // of Link's diagonal
}

// Tensors implements [State].
func (s DNCState) Tensors() []nn.Named {
	return []nn.Named{
		{Name: "memory", Tensor: s.Memory}, {Name: "usage", Tensor: s.Usage}, {Name: "link", Tensor: s.Link},
		{Name: "precedence", Tensor: s.Precedence}, {Name: "read", Tensor: s.Read}, {Name: "write", Tensor: s.Write},
	}
}

// Map implements [Mapper].
func (s DNCState) Map(f func(*tensor.Tensor) *tensor.Tensor) State {
	s.Memory, s.Usage, s.Link, s.Precedence, s.Read, s.Write = f(s.Memory), f(s.Usage), f(s.Link), f(s.Precedence), f(s.Read), f(s.Write)
	return s
}

// ReadWidth implements [Recurrent].
func (m *DNC) ReadWidth() int64 { return m.config.Reads * m.config.Width }

// Init implements [Recurrent].
func (m *DNC) Init(p *nn.Pass, batch int64) State {
	c, like := m.config, p.Value(m.emit.Weight)
	none := zeros(like, batch, 1, c.Slots)
	return DNCState{
		Memory: m.memory.expand(p, like, batch), Usage: none, Precedence: none, Write: none,
		Link: zeros(like, batch, c.Slots, c.Slots), Read: zeros(like, batch, c.Reads, c.Slots),
		mask: offDiagonal(like, c.Slots),
	}
}

// Step implements [Recurrent]. It is fused where possible; see [tensor.MemoryStep].
func (m *DNC) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	c, s := m.config, stateOf[DNCState]("DNC.Step", prev)
	emission := m.emit.Forward(p, control)
	if fuses(p, emission, s.Memory) && !c.repaired() {
		read, next := tensor.MemoryStep(m.kernel(), emission, s.all()...)
		return read, DNCState{
			Memory: next[0], Usage: next[1], Link: next[2], Precedence: next[3], Read: next[4], Write: next[5], mask: s.mask,
		}
	}
	e := parts{from: clip(emission, c.Clip)}
	readKeys := e.next(c.Reads, c.Width)
	writeKey := e.next(1, c.Width)
	add := e.next(1, c.Width)
	erase := e.next(1, c.Width).Sigmoid()
	strengths := e.next(c.Reads+1, 1).Softplus().AddScalar(1) // of the read heads and the write head
	gates := e.next(c.Reads+2, 1).Sigmoid()                   // free gates, allocation gate, write gate
	modes := e.next(c.Reads, 3).Softmax(-1)
	var readMasks, writeMask, backward, forward *tensor.Tensor
	if c.Masked {
		masks := e.next(c.Reads+1, c.Width).Sigmoid().MulScalar(1 - leastMask).AddScalar(leastMask)
		readMasks, writeMask = masks.Narrow(1, 0, c.Reads), masks.Narrow(1, c.Reads, 1)
	}
	if c.Sharpened {
		powers := e.next(2*c.Reads, 1).Softplus().AddScalar(1)
		backward, forward = powers.Narrow(1, 0, c.Reads), powers.Narrow(1, c.Reads, c.Reads)
	}

	after := DNCState{mask: s.mask}
	retained := Retention(gates.Narrow(1, 0, c.Reads), s.Read)
	after.Usage = Usage(s.Usage, s.Write, retained)
	content := MaskedContentWeighting(s.Memory, writeKey, writeMask, strengths.Narrow(1, c.Reads, 1))
	allocated := Interpolate(gates.Narrow(1, c.Reads, 1), Allocation(after.Usage), content)
	after.Write = allocated.Mul(gates.Narrow(1, c.Reads+1, 1))
	before := s.Memory
	if c.Deallocated {
		before = before.Mul(retained.Transpose(1, 2))
	}
	after.Memory = EraseAdd(before, after.Write, erase, add)

	after.Link = link(s.Link, s.Precedence, after.Write, s.mask)
	after.Precedence = Precedence(s.Precedence, after.Write)
	content = MaskedContentWeighting(after.Memory, readKeys, readMasks, strengths.Narrow(1, 0, c.Reads))
	to, from := Backward(after.Link, s.Read), Forward(after.Link, s.Read)
	if c.Sharpened {
		to, from = SharpenLinks(to, backward), SharpenLinks(from, forward)
	}
	after.Read = ReadModes(modes, to, content, from)
	return ReadVectors(after.Memory, after.Read).Flatten(1, 2), after
}

// all returns the state in the order of [tensor.MemoryStep].
func (s DNCState) all() []*tensor.Tensor {
	return []*tensor.Tensor{s.Memory, s.Usage, s.Link, s.Precedence, s.Read, s.Write}
}

func (m *DNC) kernel() tensor.MemoryKernel {
	return tensor.MemoryKernel{Name: "dnc", Settings: []float64{float64(m.config.Reads), m.config.Clip}}
}

// Unroll implements [Unroller].
func (m *DNC) Unroll(p *nn.Pass, batch int64) (*tensor.UnrolledMemory, bool) {
	s := m.Init(p, batch).(DNCState)
	return &tensor.UnrolledMemory{
		Kernel: m.kernel(), Weight: p.Value(m.emit.Weight), Bias: p.Value(m.emit.Bias), State: s.all(),
	}, !m.config.repaired()
}

var _ Unroller = (*DNC)(nil)
