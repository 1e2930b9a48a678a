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
	// Writes is the number of write heads, default 1. The heads take free slots one after another, and each has its own temporal
	// links, as in the authors' public code. A memory with several runs step by step and is not fused.
	Writes int64
	// Memory selects the initial memory.
	Memory Initial
	// Clip limits the emissions of the heads to ±Clip before their non-linearities; default 20, negative for no
	// limit. The authors' code clips the controller's output to 20.
	Clip float64
	// Masked, Deallocated and Sharpened are the repairs of Csordás and Schmidhuber 2019 ("Improving Differentiable Neural
	// Computers Through Memory Masking, De-allocation, and Link Distribution Sharpness Control"), section 3. A memory that is
	// Masked or Sharpened runs step by step and is not fused.
	//
	// Masked compares a key with the slots under a mask that the head emits, so that a part of a slot can be found by another
	// part: m = 0.1 + 0.9·σ(·).
	Masked bool
	// Deallocated erases the slots that are freed; the paper of 2016 only lowers their usage.
	Deallocated bool
	// Sharpened raises the forward and backward weightings to a power of at least one that the head emits, and normalises them.
	Sharpened bool

	// ContentOnly and LayerNorm are repairs of Franke, Niehues and Waibel 2018 ("Robust and Scalable Differentiable Neural Computer
	// for Question Answering"), section 3; its bypass dropout belongs to the network.
	//
	// ContentOnly leaves out the temporal links: heads read by content alone.
	ContentOnly bool
	// LayerNorm normalises the interface vector before it is divided.
	LayerNorm bool
}

// extended reports whether the memory has what the fused step has not.
func (c DNCConfig) extended() bool { return c.Masked || c.Sharpened || c.Writes > 1 }

// interfaceWidth is how many numbers the interface vector has.
func (c DNCConfig) interfaceWidth() int64 {
	n := c.Reads*c.Width + 3*c.Writes*c.Width + 2*c.Reads + 3*c.Writes + c.repairs()
	if !c.ContentOnly {
		n += (1 + 2*c.Writes) * c.Reads // read modes
	}
	return n
}

// repairs is how many numbers the repairs need of the interface vector.
func (c DNCConfig) repairs() (n int64) {
	if c.Masked {
		n += (c.Reads + c.Writes) * c.Width
	}
	if c.Sharpened {
		n += 2 * c.Reads * c.Writes
	}
	return n
}

// DNC is the memory of the Differentiable Neural Computer: Graves et al. 2016, Methods. A step frees, writes and then reads the
// result. One linear layer emits the interface vector: keys and write vectors are
// linear, strengths 1 + softplus, gates and the erase vector sigmoid, read modes softmax. Initially, as in the paper,
// usage and all weightings are zero; [Initial] selects the memory.
type DNC struct {
	config DNCConfig
	emit   *nn.Linear
	norm   *nn.LayerNorm // nil for none
	memory initialMemory
}

// interfaceEps is added to the variance of an interface vector.
const interfaceEps = 1e-5

// NewDNC makes a DNC's memory. It panics where links are to be sharpened and left out.
func NewDNC(b *nn.Builder, c DNCConfig) *DNC {
	c.Slots, c.Width, c.Reads, c.Clip = cmp.Or(c.Slots, 128), cmp.Or(c.Width, 20), cmp.Or(c.Reads, 1), cmp.Or(c.Clip, 20)
	c.Writes = cmp.Or(c.Writes, 1)
	if c.ContentOnly && c.Sharpened {
		panic("memory: a DNC that reads by content alone has no links to sharpen")
	}
	m := &DNC{config: c, emit: nn.NewLinear(b.In("interface"), c.Control, c.interfaceWidth())}
	if c.LayerNorm {
		m.norm = nn.NewLayerNorm(b.In("interface_norm"), c.interfaceWidth(), interfaceEps)
	}
	m.memory = newInitialMemory(b, c.Memory, c.Slots, c.Width)
	return m
}

// DNCState is the state of a [DNC] between steps.
type DNCState struct {
	Memory     *tensor.Tensor // [batch, slots, width]
	Usage      *tensor.Tensor // [batch, 1, slots]
	Link       *tensor.Tensor // [batch, slots, slots]; with several write heads [batch, writes, slots, slots]; nil without links
	Precedence *tensor.Tensor // [batch, writes, slots]; nil without links
	Read       *tensor.Tensor // [batch, reads, slots], the read weightings
	Write      *tensor.Tensor // [batch, writes, slots], the write weightings
	mask       *tensor.Tensor // of Link's diagonal
}

// Tensors implements [State].
func (s DNCState) Tensors() []nn.Named {
	out := []nn.Named{{Name: "memory", Tensor: s.Memory}, {Name: "usage", Tensor: s.Usage}}
	if s.Link != nil {
		out = append(out, nn.Named{Name: "link", Tensor: s.Link}, nn.Named{Name: "precedence", Tensor: s.Precedence})
	}
	return append(out, nn.Named{Name: "read", Tensor: s.Read}, nn.Named{Name: "write", Tensor: s.Write})
}

// Map implements [Mapper].
func (s DNCState) Map(f func(*tensor.Tensor) *tensor.Tensor) State {
	s.Memory, s.Usage, s.Read, s.Write = f(s.Memory), f(s.Usage), f(s.Read), f(s.Write)
	if s.Link != nil {
		s.Link, s.Precedence = f(s.Link), f(s.Precedence)
	}
	return s
}

// ReadWidth implements [Recurrent].
func (m *DNC) ReadWidth() int64 { return m.config.Reads * m.config.Width }

// Init implements [Recurrent].
func (m *DNC) Init(p *nn.Pass, batch int64) State {
	c, like := m.config, p.Value(m.emit.Weight)
	out := DNCState{
		Memory: m.memory.expand(p, like, batch), Usage: zeros(like, batch, 1, c.Slots), Read: zeros(like, batch, c.Reads, c.Slots),
		Write: zeros(like, batch, c.Writes, c.Slots),
	}
	if !c.ContentOnly {
		out.Link, out.Precedence, out.mask = zeros(like, m.linkShape(batch)...), out.Write, offDiagonal(like, c.Slots)
	}
	return out
}

func (m *DNC) linkShape(batch int64) []int64 {
	if m.config.Writes > 1 {
		return []int64{batch, m.config.Writes, m.config.Slots, m.config.Slots}
	}
	return []int64{batch, m.config.Slots, m.config.Slots}
}

// Interface implements [Interfaced].
func (m *DNC) Interface() *nn.Linear { return m.emit }

// Step implements [Recurrent].
func (m *DNC) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	return m.StepInterface(p, m.emit.Forward(p, control), prev)
}

// StepInterface implements [Interfaced]. It is fused where possible; see [tensor.MemoryStep].
func (m *DNC) StepInterface(p *nn.Pass, emission *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	c, s := m.config, stateOf[DNCState]("DNC.Step", prev)
	if m.norm != nil {
		emission = m.norm.Forward(p, emission)
	}
	if fuses(p, emission, s.Memory) && !c.extended() {
		read, next := tensor.MemoryStep(m.kernel(), emission, s.all()...)
		after := DNCState{Memory: next[0], Usage: next[1], Read: next[len(next)-2], Write: next[len(next)-1], mask: s.mask}
		if !c.ContentOnly {
			after.Link, after.Precedence = next[2], next[3]
		}
		return read, after
	}
	e := parts{from: clip(emission, c.Clip)}
	readKeys := e.next(c.Reads, c.Width)
	writeKeys := e.next(c.Writes, c.Width)
	add := e.next(c.Writes, c.Width)
	erase := e.next(c.Writes, c.Width).Sigmoid()
	strengths := e.next(c.Reads+c.Writes, 1).Softplus().AddScalar(1) // of the read heads and the write heads
	gates := e.next(c.Reads+2*c.Writes, 1).Sigmoid()                 // free gates, allocation gates, write gates
	var modes *tensor.Tensor
	if !c.ContentOnly {
		modes = e.next(c.Reads, 1+2*c.Writes).Softmax(-1)
	}
	var readMasks, writeMasks, backward, forward *tensor.Tensor
	if c.Masked {
		masks := e.next(c.Reads+c.Writes, c.Width).Sigmoid().MulScalar(1 - leastMask).AddScalar(leastMask)
		readMasks, writeMasks = masks.Narrow(1, 0, c.Reads), masks.Narrow(1, c.Reads, c.Writes)
	}
	if c.Sharpened {
		powers := e.next(2*c.Reads*c.Writes, 1).Softplus().AddScalar(1)
		backward, forward = powers.Narrow(1, 0, c.Reads*c.Writes), powers.Narrow(1, c.Reads*c.Writes, c.Reads*c.Writes)
	}

	after := DNCState{mask: s.mask}
	retained := Retention(gates.Narrow(1, 0, c.Reads), s.Read)
	written := s.Write
	if c.Writes > 1 {
		written = oneMinus(product(oneMinus(written)))
	}
	after.Usage = Usage(s.Usage, written, retained)
	content := MaskedContentWeighting(s.Memory, writeKeys, writeMasks, strengths.Narrow(1, c.Reads, c.Writes))
	allocate, write := gates.Narrow(1, c.Reads, c.Writes), gates.Narrow(1, c.Reads+c.Writes, c.Writes)
	after.Write = Interpolate(allocate, m.allocate(after.Usage, allocate.Mul(write)), content).Mul(write)
	before := s.Memory
	if c.Deallocated {
		before = before.Mul(retained.Transpose(1, 2))
	}
	after.Memory = EraseAdd(before, after.Write, erase, add)

	content = MaskedContentWeighting(after.Memory, readKeys, readMasks, strengths.Narrow(1, 0, c.Reads))
	if after.Read = content; c.ContentOnly {
		return ReadVectors(after.Memory, after.Read).Flatten(1, 2), after
	}
	after.Read = content.Mul(modes.Narrow(2, c.Writes, 1))
	var links, precedences []*tensor.Tensor
	for j := range c.Writes {
		of := func(x *tensor.Tensor) *tensor.Tensor { return x.Narrow(1, j, 1) }
		held := s.Link
		if c.Writes > 1 {
			held = held.Select(1, j)
		}
		held = link(held, of(s.Precedence), of(after.Write), s.mask)
		links, precedences = append(links, held), append(precedences, Precedence(of(s.Precedence), of(after.Write)))
		to, from := Backward(held, s.Read), Forward(held, s.Read)
		if c.Sharpened {
			to, from = SharpenLinks(to, backward.Narrow(1, j*c.Reads, c.Reads)), SharpenLinks(from, forward.Narrow(1, j*c.Reads, c.Reads))
		}
		after.Read = after.Read.Add(to.Mul(modes.Narrow(2, j, 1))).Add(from.Mul(modes.Narrow(2, c.Writes+1+j, 1)))
	}
	if after.Link, after.Precedence = links[0], precedences[0]; c.Writes > 1 {
		after.Link, after.Precedence = tensor.Stack(1, links...), tensor.Cat(1, precedences...)
	}
	return ReadVectors(after.Memory, after.Read).Flatten(1, 2), after
}

// allocate returns the allocation weightings [batch, writes, slots] of the heads, each of what those before it leave: taken are
// the products of their allocation and write gates, [batch, writes, 1].
func (m *DNC) allocate(usage, taken *tensor.Tensor) *tensor.Tensor {
	each := make([]*tensor.Tensor, m.config.Writes)
	for j := range each {
		each[j] = Allocation(usage)
		if j < len(each)-1 {
			usage = usage.Add(oneMinus(usage).Mul(taken.Narrow(1, int64(j), 1)).Mul(each[j]))
		}
	}
	return tensor.Cat(1, each...)
}

// all returns the state in the order of [tensor.MemoryStep].
func (s DNCState) all() []*tensor.Tensor {
	if s.Link == nil {
		return []*tensor.Tensor{s.Memory, s.Usage, s.Read, s.Write}
	}
	return []*tensor.Tensor{s.Memory, s.Usage, s.Link, s.Precedence, s.Read, s.Write}
}

func (m *DNC) kernel() tensor.MemoryKernel {
	return tensor.MemoryKernel{Name: "dnc", Settings: []float64{float64(m.config.Reads), m.config.Clip, flag(!m.config.ContentOnly), flag(m.config.Deallocated)}}
}

// Unroll implements [Unroller].
func (m *DNC) Unroll(p *nn.Pass, batch int64) (*tensor.UnrolledMemory, bool) {
	s := m.Init(p, batch).(DNCState)
	out := &tensor.UnrolledMemory{Kernel: m.kernel(), Weight: p.Value(m.emit.Weight), Bias: p.Value(m.emit.Bias), State: s.all()}
	if m.norm != nil {
		out.Gain, out.Shift, out.Eps = p.Value(m.norm.Gain), p.Value(m.norm.Bias), interfaceEps
	}
	return out, !m.config.extended()
}

var (
	_ Unroller   = (*DNC)(nil)
	_ Interfaced = (*DNC)(nil)
)
