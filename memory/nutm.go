package memory

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// NUTMConfig configures [NewNUTM]. Control and Memory are required.
type NUTMConfig struct {
	Control int64 // width of the controller's output
	// Programs is the number of interface weights; default 2. With one the memory is the wrapped one.
	Programs int64
	// Key is the width of a program's key; default 16.
	Key int64
	// Penalty is η: in training η·Σ cos(κᵢ, κⱼ) over the pairs of keys is added to the loss, which keeps programs apart.
	// The default is none. The paper anneals it.
	Penalty float64
	// Memory makes the wrapped memory.
	Memory func(b *nn.Builder, control int64) Interfaced
}

// NUTM stores programs: Le, Tran and Venkatesh 2020 ("Neural Stored-program Memory"), section 3. A program is the weight and the
// bias of the wrapped memory's interface. At each step a query and a strength, linear in the controller's output c, address the
// programs by their keys κ, and the mixture of the programs is the interface of that step:
//
//	w = softmax(γ·cos(q, κ)),  W = Σᵢ wᵢ·φᵢ,  ξ = c·W
//
// The first program is the wrapped memory's own interface. There is one program memory for the whole interface; the paper has
// one per head.
type NUTM struct {
	config   NUTMConfig
	memory   Interfaced
	programs []*nn.Linear
	keys     *nn.Param  // [programs, key]; nil for one program
	query    *nn.Linear // to query and strength
}

// NewNUTM makes a memory with stored programs.
func NewNUTM(b *nn.Builder, c NUTMConfig) *NUTM {
	c.Programs, c.Key = cmp.Or(c.Programs, 2), cmp.Or(c.Key, 16)
	m := &NUTM{config: c, memory: c.Memory(b.In("core"), c.Control)}
	own := m.memory.Interface()
	m.programs = []*nn.Linear{own}
	out := own.Weight.Value().Dim(0)
	for i := int64(1); i < c.Programs; i++ {
		m.programs = append(m.programs, nn.NewLinear(b.In(fmt.Sprintf("program%d", i+1)), c.Control, out))
	}
	if c.Programs > 1 {
		m.keys = b.Param("keys", nn.FanInUniform, c.Programs, c.Key)
		m.query = nn.NewLinear(b.In("query"), c.Control, c.Key+1)
	}
	return m
}

// ReadWidth implements [Recurrent].
func (m *NUTM) ReadWidth() int64 { return m.memory.ReadWidth() }

// Init implements [Recurrent]. In training it adds the penalty to the pass.
func (m *NUTM) Init(p *nn.Pass, batch int64) State {
	m.penalize(p)
	return m.memory.Init(p, batch)
}

// penalize adds the penalty to a training pass.
func (m *NUTM) penalize(p *nn.Pass) {
	if m.keys != nil && m.config.Penalty != 0 && p.Training {
		keys := p.Value(m.keys)
		unit := keys.Mul(keys.Square().SumKeep(-1).AddScalar(1e-12).PowScalar(-.5))
		cosines := unit.MatMul(unit.Transpose(0, 1)).Mul(offDiagonal(keys, m.config.Programs))
		p.Penalize(cosines.Sum().MulScalar(m.config.Penalty / 2))
	}
}

// Unroll implements [Unroller], where the wrapped memory is one: the programs, the query and the strength are one layer.
func (m *NUTM) Unroll(p *nn.Pass, batch int64) (*tensor.UnrolledMemory, bool) {
	of, ok := m.memory.(Unroller)
	if !ok {
		return nil, false
	}
	u, ok := of.Unroll(p, batch)
	if !ok || m.keys == nil {
		return u, ok
	}
	m.penalize(p)
	var weights, biases []*tensor.Tensor
	for _, l := range append(slices.Clone(m.programs), m.query) {
		weights, biases = append(weights, p.Value(l.Weight)), append(biases, p.Value(l.Bias))
	}
	u.Weight, u.Bias, u.Keys = tensor.Cat(0, weights...), tensor.Cat(0, biases...), p.Value(m.keys)
	return u, true
}

// Weighting returns the weights of the programs, [batch, programs], for the controller's output [batch, control].
func (m *NUTM) Weighting(p *nn.Pass, control *tensor.Tensor) *tensor.Tensor {
	if m.keys == nil {
		return control.Narrow(1, 0, 1).OnesLike()
	}
	q := m.query.Forward(p, control)
	query, strength := q.Narrow(1, 0, m.config.Key).Unsqueeze(1), q.Narrow(1, m.config.Key, 1).Softplus().Unsqueeze(1)
	return ContentWeighting(p.Value(m.keys).Unsqueeze(0), query, strength).Squeeze(1)
}

// Step implements [Recurrent].
func (m *NUTM) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	if m.keys == nil {
		return m.memory.Step(p, control, prev)
	}
	w := m.Weighting(p, control)
	var emission *tensor.Tensor // Σ w·(c·φ) is c·Σ w·φ
	for i, program := range m.programs {
		each := program.Forward(p, control).Mul(w.Narrow(1, int64(i), 1))
		if emission == nil {
			emission = each
		} else {
			emission = emission.Add(each)
		}
	}
	return m.memory.StepInterface(p, emission, prev)
}

// Restore implements [Restorer]. It panics where the wrapped memory is no Restorer.
func (m *NUTM) Restore(ts []nn.Named) (State, error) {
	r, ok := m.memory.(Restorer)
	if !ok {
		panic(&tensor.Error{Op: "NUTM.Restore", Msg: fmt.Sprintf("a %T has no states that can be restored", m.memory)})
	}
	return r.Restore(ts)
}

var (
	_ Unroller = (*NUTM)(nil)
	_ Restorer = (*NUTM)(nil)
)
