package nn

import (
	"fmt"
	"math"

	"github.com/engram-go/engram/tensor"
)

// LSTMState is the state that an LSTM passes from one step to the next.
type LSTMState struct {
	Hidden *tensor.Tensor // [batch, size], or [layers·directions, batch, size] for LSTM
	Cell   *tensor.Tensor // as Hidden
}

// LSTMCell is one step of a long short-term memory with forget gates: Gers et al. 2000, in PyTorch's layout (gates in
// the order input, forget, cell, output, and two biases).
type LSTMCell struct {
	InputWeight  *Param // [4·size, in]
	HiddenWeight *Param // [4·size, size]
	InputBias    *Param // [4·size]
	HiddenBias   *Param // [4·size]
	size         int64
}

// NewLSTMCell makes a cell, initialised as in PyTorch: all from U(-1/√size, 1/√size).
func NewLSTMCell(b *Builder, in, size int64) *LSTMCell {
	return newLSTMCell(b, in, size, "")
}

func newLSTMCell(b *Builder, in, size int64, suffix string) *LSTMCell {
	u := Uniform(1 / math.Sqrt(float64(size)))
	return &LSTMCell{
		InputWeight:  b.Param("weight_ih"+suffix, u, 4*size, in),
		HiddenWeight: b.Param("weight_hh"+suffix, u, 4*size, size),
		InputBias:    b.Param("bias_ih"+suffix, u, 4*size),
		HiddenBias:   b.Param("bias_hh"+suffix, u, 4*size),
		size:         size,
	}
}

// Init returns the zero state.
func (l *LSTMCell) Init(batch int64) LSTMState {
	zeros := func() *tensor.Tensor {
		return tensor.Full(0, tensor.Float32, l.InputWeight.value.Device(), batch, l.size)
	}
	return LSTMState{Hidden: zeros(), Cell: zeros()}
}

// Step takes x [batch, in] and the previous state and returns the next; its Hidden is the output. All after the
// linear maps is fused where possible; see [tensor.LSTMStep].
func (l *LSTMCell) Step(p *Pass, x *tensor.Tensor, prev LSTMState) LSTMState {
	return l.Gate(p, tensor.Linear(x, p.Value(l.InputWeight), p.Value(l.InputBias)).
		Add(tensor.Linear(prev.Hidden, p.Value(l.HiddenWeight), p.Value(l.HiddenBias))), prev)
}

// Gate is Step after its linear maps, whose sums are gates [batch, 4·size]: for networks that compute these in another way.
func (l *LSTMCell) Gate(p *Pass, gates *tensor.Tensor, prev LSTMState) LSTMState {
	if !p.HigherOrder && tensor.FusesSteps(gates) {
		hidden, cell := tensor.LSTMStep(gates, prev.Cell)
		return LSTMState{Hidden: hidden, Cell: cell}
	}
	gate := func(i int64) *tensor.Tensor { return gates.Narrow(1, i*l.size, l.size) }
	in, forget, cell, out := gate(0).Sigmoid(), gate(1).Sigmoid(), gate(2).Tanh(), gate(3).Sigmoid()
	c := forget.Mul(prev.Cell).Add(in.Mul(cell))
	return LSTMState{Hidden: out.Mul(c.Tanh()), Cell: c}
}

// LSTMConfig configures [NewLSTM]. The default is one layer.
type LSTMConfig struct {
	In, Size      int64
	Layers        int64
	Bidirectional bool
}

// LSTM is a stack of LSTM layers run over whole sequences.
type LSTM struct {
	cells  []*LSTMCell // by layer, then direction
	config LSTMConfig
}

// NewLSTM makes a stack with PyTorch's parameter names, initialised as in PyTorch.
func NewLSTM(b *Builder, c LSTMConfig) *LSTM {
	c.Layers = max(c.Layers, 1)
	l := &LSTM{config: c}
	in := c.In
	for layer := range c.Layers {
		suffix := fmt.Sprintf("_l%d", layer)
		l.cells = append(l.cells, newLSTMCell(b, in, c.Size, suffix))
		if c.Bidirectional {
			l.cells = append(l.cells, newLSTMCell(b, in, c.Size, suffix+"_reverse"))
		}
		in = c.Size * l.directions()
	}
	tensor.FlattenLSTM(l.weights((*Param).Value), c.Layers, c.Bidirectional)
	return l
}

// weights returns the weights of all cells in the order of [tensor.LSTM].
func (l *LSTM) weights(value func(*Param) *tensor.Tensor) []*tensor.Tensor {
	var out []*tensor.Tensor
	for _, c := range l.cells {
		out = append(out, value(c.InputWeight), value(c.HiddenWeight), value(c.InputBias), value(c.HiddenBias))
	}
	return out
}

func (l *LSTM) directions() int64 {
	if l.config.Bidirectional {
		return 2
	}
	return 1
}

// Init returns the zero state, [layers·directions, batch, size].
func (l *LSTM) Init(batch int64) LSTMState {
	zeros := func() *tensor.Tensor {
		return tensor.Full(0, tensor.Float32, l.cells[0].InputWeight.value.Device(), l.config.Layers*l.directions(), batch, l.config.Size)
	}
	return LSTMState{Hidden: zeros(), Cell: zeros()}
}

// Forward runs over x [time, batch, in] and returns the last layer's outputs [time, batch, directions·size] and the
// last state.
func (l *LSTM) Forward(p *Pass, x *tensor.Tensor, prev LSTMState) (*tensor.Tensor, LSTMState) {
	y, h, c := tensor.LSTM(x, prev.Hidden, prev.Cell, l.weights(p.Value), l.config.Layers, l.config.Bidirectional)
	return y, LSTMState{Hidden: h, Cell: c}
}

// Outputs is the output of [LSTM.Forward] from a state of zeros. A layer and direction is one operation where there is one; see
// [tensor.Unroll].
func (l *LSTM) Outputs(p *Pass, x *tensor.Tensor) *tensor.Tensor {
	weights := l.weights(p.Value)
	if p.HigherOrder || !tensor.FusesSteps(x) || weights[0].DType() != x.DType() {
		zeros := func() *tensor.Tensor {
			return tensor.Full(0, x.DType(), x.Device(), l.config.Layers*l.directions(), x.Dim(1), l.config.Size)
		}
		y, _ := l.Forward(p, x, LSTMState{Hidden: zeros(), Cell: zeros()})
		return y
	}
	const perCell = 4
	for range l.config.Layers {
		y := tensor.Unroll(x, tensor.Unrolled{Layers: [][]*tensor.Tensor{weights[:perCell]}})
		weights = weights[perCell:]
		if l.config.Bidirectional {
			back := tensor.Unroll(x.Flip(0), tensor.Unrolled{Layers: [][]*tensor.Tensor{weights[:perCell]}})
			y, weights = tensor.Cat(2, y, back.Flip(0)), weights[perCell:]
		}
		x = y
	}
	return x
}
