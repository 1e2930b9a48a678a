package memory

import (
	"cmp"
	"fmt"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// RelationalConfig configures [NewRelational]. Control is required. The default is 8 slots of 8 heads of width 32, one block and
// unit gates.
type RelationalConfig struct {
	Control int64 // width of the controller's output
	Slots   int64
	Heads   int64 // of the attention
	Width   int64 // of a head; a slot has heads·width numbers
	Blocks  int64 // of attention and layers per step, each with parameters of its own
	Layers  int64 // after the attention of a block; default 2
	Gates   RelationalGates
}

// RelationalGates are the gates between the old memory and the new one: Santoro et al. 2018, section 3.4.
type RelationalGates int

const (
	// UnitGates has a gate for each number of a slot.
	UnitGates RelationalGates = iota
	// SlotGates has one for each slot, "memory" in the public code.
	SlotGates
	// NoGates replaces the memory.
	NoGates
)

// Relational is the relational memory core of Santoro et al. 2018 ("Relational recurrent neural networks"), section 3: at each
// step the slots attend to one another and to the input. The input becomes a row M' = [M; x·W]; attention with the layer norm on
// queries, keys and values gives A; X = LN(M' + A) and X = LN(X + MLP(X)), for each block; and without the input's row
//
//	M ← σ(i)⊙tanh(X) + σ(f + 1)⊙M
//
// with gates i, f linear in tanh(M) and the input. What is read is the whole memory. It starts as the identity, with columns of
// zeros or cut off where it is not square. Details follow the public code of Sonnet.
type Relational struct {
	config RelationalConfig
	in     *nn.Linear
	blocks []relationalBlock
	gate   [2]*nn.Linear // of the input and of the memory; nil without gates
}

type relationalBlock struct {
	qkv    *nn.Linear
	norms  [3]*nn.LayerNorm // of queries, keys and values; after the attention; after the layers
	layers []*nn.Linear
}

// layerNormEps is added to the variance, as in the public code.
const layerNormEps = 1e-5

func newLayerNorm(b *nn.Builder, width int64) *nn.LayerNorm {
	return nn.LayerNormOf(b.Param("gain", nn.Constant(1), width), b.Param("bias", nn.Constant(0), width), layerNormEps)
}

// NewRelational makes a relational memory core.
func NewRelational(b *nn.Builder, c RelationalConfig) *Relational {
	c.Slots, c.Heads, c.Width = cmp.Or(c.Slots, 8), cmp.Or(c.Heads, 8), cmp.Or(c.Width, 32)
	c.Blocks, c.Layers = cmp.Or(c.Blocks, 1), cmp.Or(c.Layers, 2)
	width := c.Heads * c.Width
	m := &Relational{config: c, in: nn.NewLinear(b.In("input"), c.Control, width)}
	for i := range c.Blocks {
		in := b.In(fmt.Sprintf("block%d", i+1))
		k := relationalBlock{qkv: nn.NewLinear(in.In("qkv"), width, 3*width), norms: [3]*nn.LayerNorm{
			newLayerNorm(in.In("qkv_norm"), 3*width), newLayerNorm(in.In("attention_norm"), width), newLayerNorm(in.In("mlp_norm"), width),
		}}
		for j := range c.Layers {
			k.layers = append(k.layers, nn.NewLinear(in.In(fmt.Sprintf("mlp%d", j+1)), width, width))
		}
		m.blocks = append(m.blocks, k)
	}
	if c.Gates != NoGates {
		gates := int64(2)
		if c.Gates == UnitGates {
			gates *= width
		}
		m.gate = [2]*nn.Linear{nn.NewLinear(b.In("input_gates"), width, gates), nn.NewLinear(b.In("memory_gates"), width, gates)}
	}
	return m
}

// RelationalState is the state of a [Relational] between steps.
type RelationalState struct {
	Memory *tensor.Tensor // [batch, slots, heads·width]
}

// Tensors implements [State].
func (s RelationalState) Tensors() []nn.Named {
	return []nn.Named{{Name: "memory", Tensor: s.Memory}}
}

// Map implements [Mapper].
func (s RelationalState) Map(f func(*tensor.Tensor) *tensor.Tensor) State {
	return RelationalState{f(s.Memory)}
}

func (m *Relational) width() int64 { return m.config.Heads * m.config.Width }

// ReadWidth implements [Recurrent].
func (m *Relational) ReadWidth() int64 { return m.config.Slots * m.width() }

// Init implements [Recurrent].
func (m *Relational) Init(p *nn.Pass, batch int64) State {
	like, slots, width := p.Value(m.in.Weight), m.config.Slots, m.width()
	side := max(slots, width)
	start := tensor.Eye(side, like.DType(), like.Device()).Narrow(0, 0, slots).Narrow(1, 0, width)
	return RelationalState{start.Unsqueeze(0).Expand(batch, slots, width)}
}

// Step implements [Recurrent].
func (m *Relational) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	s := stateOf[RelationalState]("Relational.Step", prev)
	input := m.in.Forward(p, control).Unsqueeze(1) // [batch, 1, width]
	x := tensor.Cat(1, s.Memory, input)
	for _, k := range m.blocks {
		x = k.norms[1].Forward(p, x.Add(m.attend(p, k, x)))
		y := x
		for i, l := range k.layers {
			if i > 0 {
				y = y.ReLU()
			}
			y = l.Forward(p, y)
		}
		x = k.norms[2].Forward(p, x.Add(y))
	}
	x = x.Narrow(1, 0, m.config.Slots)
	if m.gate[0] != nil {
		gates := m.gate[0].Forward(p, input).Add(m.gate[1].Forward(p, s.Memory.Tanh())).Split(2, 2) // each [batch, slots, width or 1]
		x = x.Tanh().Mul(gates[0].Sigmoid()).Add(s.Memory.Mul(gates[1].AddScalar(1).Sigmoid()))
	}
	return x.Flatten(1, 2), RelationalState{x}
}

// attend returns the attention of the rows of x [batch, rows, width] to one another, of the same shape.
func (m *Relational) attend(p *nn.Pass, k relationalBlock, x *tensor.Tensor) *tensor.Tensor {
	c, batch, rows := m.config, x.Dim(0), x.Dim(1)
	all := k.norms[0].Forward(p, k.qkv.Forward(p, x)).Reshape(batch, rows, c.Heads, 3*c.Width) // each head's query, key and value
	var qkv [3]*tensor.Tensor
	for i := range qkv {
		qkv[i] = all.Narrow(3, int64(i)*c.Width, c.Width).Reshape(batch, rows, m.width())
	}
	return nn.MultiHead(p, qkv[0], qkv[1], qkv[2], nil, c.Heads)
}

// Restore implements [Restorer].
func (m *Relational) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	r := restore(fmt.Sprintf("a relational memory of %d slots of width %d", m.config.Slots, m.width()), ts)
	return RelationalState{r.take("memory", m.config.Slots, m.width())}, r.done()
}

var (
	_ Recurrent = (*Relational)(nil)
	_ Restorer  = (*Relational)(nil)
)
