package memory

import (
	"cmp"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// NTMConfig configures [NewNTM]. Control is required. The defaults are those of Graves et al. 2014, table 1 and
// section 4: 128 slots of width 20, one read head, one write head, shifts of -1, 0 and 1.
type NTMConfig struct {
	Control       int64 // width of the controller's output
	Slots, Width  int64
	Reads, Writes int64
	// Shift is the largest move of a head per step, in either direction; negative for no shift.
	Shift int64
	// Memory selects the initial memory.
	Memory Initial
	// Clip limits the emissions of the heads to ±Clip before their non-linearities; default 20, as in Collier and
	// Beel's code, negative for no limit. It limits key strength and sharpening, and thereby the gradients.
	Clip float64
}

// NTM is the memory of the Neural Turing Machine: Graves et al. 2014, section 3. One linear layer emits the
// parameters of all heads. Where the paper is silent, Engram follows the public code of Collier and Beel 2018 unless
// noted otherwise:
//   - Keys and add vectors pass through tanh, strengths through softplus, interpolation gates and erase vectors through the
//     sigmoid, shift weightings through softmax, sharpening through 1 + softplus.
//   - All heads address the previous memory; the read heads read it, and then the write heads write.
//   - The initial weightings are learned, as the softmax of a parameter initialised to 0, -1, -2, …, which peaks at the first
//     slot as in the public torch-ntm: a head initialised uniformly must first learn to focus.
type NTM struct {
	config NTMConfig
	emit   *nn.Linear
	memory initialMemory
	start  *nn.Param // [reads+writes, slots], logits of the initial weightings
}

// NewNTM makes an NTM's memory.
func NewNTM(b *nn.Builder, c NTMConfig) *NTM {
	c.Slots, c.Width, c.Reads, c.Writes = cmp.Or(c.Slots, 128), cmp.Or(c.Width, 20), cmp.Or(c.Reads, 1), cmp.Or(c.Writes, 1)
	c.Shift, c.Clip = max(cmp.Or(c.Shift, 1), 0), cmp.Or(c.Clip, 20)
	heads := c.Reads + c.Writes
	return &NTM{
		config: c,
		emit:   nn.NewLinear(b.In("heads"), c.Control, heads*(c.Width+3+2*c.Shift+1)+2*c.Writes*c.Width),
		memory: newInitialMemory(b, c.Memory, c.Slots, c.Width),
		start:  b.Param("initial_weightings", falling, heads, c.Slots),
	}
}

// NTMState is the state of an [NTM] between steps.
type NTMState struct {
	Memory *tensor.Tensor // [batch, slots, width]
	// Weightings are those of the read heads, then those of the write heads, [batch, reads+writes, slots].
	Weightings *tensor.Tensor
	reads      int64
}

// Read returns the read heads' weightings [batch, reads, slots].
func (s NTMState) Read() *tensor.Tensor { return s.Weightings.Narrow(1, 0, s.reads) }

// Write returns the write heads' weightings [batch, writes, slots].
func (s NTMState) Write() *tensor.Tensor {
	return s.Weightings.Narrow(1, s.reads, s.Weightings.Dim(1)-s.reads)
}

// Tensors implements [State].
func (s NTMState) Tensors() []nn.Named {
	return []nn.Named{{Name: "memory", Tensor: s.Memory}, {Name: "weightings", Tensor: s.Weightings}}
}

// Map implements [Mapper].
func (s NTMState) Map(f func(*tensor.Tensor) *tensor.Tensor) State {
	s.Memory, s.Weightings = f(s.Memory), f(s.Weightings)
	return s
}

// ReadWidth implements [Recurrent].
func (m *NTM) ReadWidth() int64 { return m.config.Reads * m.config.Width }

// Init implements [Recurrent].
func (m *NTM) Init(p *nn.Pass, batch int64) State {
	start := p.Value(m.start)
	w := start.Softmax(-1).Unsqueeze(0).Expand(batch, start.Dim(0), m.config.Slots)
	return NTMState{Memory: m.memory.expand(p, start, batch), Weightings: w, reads: m.config.Reads}
}

// Interface implements [Interfaced].
func (m *NTM) Interface() *nn.Linear { return m.emit }

// Step implements [Recurrent].
func (m *NTM) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	return m.StepInterface(p, m.emit.Forward(p, control), prev)
}

// StepInterface implements [Interfaced]. It is fused where possible; see [tensor.MemoryStep].
func (m *NTM) StepInterface(p *nn.Pass, emission *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	c, s := m.config, stateOf[NTMState]("NTM.Step", prev)
	if fuses(p, emission, s.Memory) && c.Shift <= c.Slots {
		read, next := tensor.MemoryStep(m.kernel(), emission, s.Memory, s.Weightings)
		return read, NTMState{Memory: next[0], Weightings: next[1], reads: c.Reads}
	}
	heads := c.Reads + c.Writes
	e := parts{from: clip(emission, c.Clip)}
	keys := e.next(heads, c.Width).Tanh()
	scales := e.next(2*heads, 1).Softplus() // strengths, and sharpening minus one
	gates := e.next(heads, 1).Sigmoid()
	shifts := e.next(heads, 2*c.Shift+1).Softmax(-1)
	erase := e.next(c.Writes, c.Width).Sigmoid()
	add := e.next(c.Writes, c.Width).Tanh()

	w := ContentWeighting(s.Memory, keys, scales.Narrow(1, 0, heads))
	w = Interpolate(gates, w, s.Weightings)
	if c.Shift > 0 {
		w = Shift(w, shifts)
	}
	w = Sharpen(w, scales.Narrow(1, heads, heads).AddScalar(1))
	after := NTMState{Weightings: w, reads: c.Reads}
	read = ReadVectors(s.Memory, after.Read()).Flatten(1, 2)
	after.Memory = EraseAdd(s.Memory, after.Write(), erase, add)
	return read, after
}

func (m *NTM) kernel() tensor.MemoryKernel {
	c := m.config
	return tensor.MemoryKernel{Name: "ntm", Settings: []float64{float64(c.Reads), float64(c.Writes), float64(c.Shift), c.Clip}}
}

// Unroll implements [Unroller].
func (m *NTM) Unroll(p *nn.Pass, batch int64) (*tensor.UnrolledMemory, bool) {
	s := m.Init(p, batch).(NTMState)
	return &tensor.UnrolledMemory{
		Kernel: m.kernel(), Weight: p.Value(m.emit.Weight), Bias: p.Value(m.emit.Bias),
		State: []*tensor.Tensor{s.Memory, s.Weightings},
	}, m.config.Shift <= m.config.Slots
}

var (
	_ Unroller   = (*NTM)(nil)
	_ Interfaced = (*NTM)(nil)
)
