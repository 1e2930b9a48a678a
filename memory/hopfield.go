package memory

import (
	"math"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// HopfieldConfig configures [NewHopfield].
type HopfieldConfig struct {
	// Beta is the inverse temperature; default 1/√key, with which one association is the attention of a transformer.
	Beta float64
	// Updates is how often a query is moved towards the stored keys before the values are read; default 0, one association as
	// in the authors' layers.
	Updates int
	// Unnormed compares keys and queries as they are. By default both are normalised to mean 0 and variance 1 over their width:
	// the layer norm of the authors' layers, without gain and bias.
	Unnormed bool
	// Linear reads by the scores, without the softmax and without updates, as [KeyValueConfig.Linear] does.
	Linear bool
}

// Hopfield is a modern Hopfield network with continuous states: Ramsauer et al. 2020, "Hopfield Networks is All You Need". It
// keeps every pair. A query ξ is first moved by Updates steps, none of which raises the energy of eq. 2, and then read:
//
//	ξ ← Kᵀ·softmax(β·K·ξ) (eq. 3),  read = Vᵀ·softmax(β·K·ξ)
type Hopfield struct {
	config HopfieldConfig
	pairs  KeyValue // writes, and holds the state
}

// NewHopfield makes a Hopfield memory.
func NewHopfield(c HopfieldConfig) *Hopfield { return &Hopfield{config: c} }

// Init implements [Associative].
func (m *Hopfield) Init(batch int64) State { return m.pairs.Init(batch) }

// Write implements [Associative]. The first pairs are held as they are, not copied.
func (m *Hopfield) Write(p *nn.Pass, prev State, keys, values *tensor.Tensor) State {
	return m.pairs.Write(p, prev, keys, values)
}

// Linear implements [Linearizer].
func (m *Hopfield) Linear(on bool) Associative {
	c := m.config
	c.Linear = on
	return &Hopfield{config: c}
}

// Restore implements [Restorer].
func (m *Hopfield) Restore(ts []nn.Named) (State, error) { return m.pairs.Restore(ts) }

// layerEps is added to the variance of a normalised key; PyTorch's default.
const layerEps = 1e-5

func (m *Hopfield) normed(x *tensor.Tensor) *tensor.Tensor {
	if m.config.Unnormed {
		return x
	}
	x = x.Sub(x.MeanKeep(-1))
	return x.Mul(x.Square().MeanKeep(-1).AddScalar(layerEps).PowScalar(-.5))
}

// compared returns keys and queries as they are compared, and the inverse temperature.
func (m *Hopfield) compared(op string, s KeyValueState, queries *tensor.Tensor) (keys, state *tensor.Tensor, beta float64) {
	if s.Keys == nil {
		panic(&tensor.Error{Op: op, Msg: "nothing has been written yet"})
	}
	if beta = m.config.Beta; beta == 0 {
		beta = 1 / math.Sqrt(float64(queries.Dim(2)))
	}
	return m.normed(s.Keys), m.normed(queries), beta
}

// associate reads values by the scores β·K·ξ of a state, through a softmax unless the memory is linear: one operation where there is one.
func (m *Hopfield) associate(p *nn.Pass, state, keys, values *tensor.Tensor, beta float64) (read, attention *tensor.Tensor) {
	if !p.HigherOrder && tensor.FusesSteps(state) {
		return tensor.Attend(state, keys, values, beta, !m.config.Linear)
	}
	attention = state.MatMul(keys.Transpose(1, 2)).MulScalar(beta)
	if !m.config.Linear {
		attention = attention.Softmax(-1)
	}
	return attention.MatMul(values), attention
}

// updated moves a state towards the keys.
func (m *Hopfield) updated(p *nn.Pass, state, keys *tensor.Tensor, beta float64) *tensor.Tensor {
	if !m.config.Linear {
		for range m.config.Updates {
			state, _ = m.associate(p, state, keys, keys, beta)
		}
	}
	return state
}

// Read implements [Associative].
func (m *Hopfield) Read(p *nn.Pass, s State, queries *tensor.Tensor) (values, attention *tensor.Tensor) {
	const op = "Hopfield.Read"
	held := stateOf[KeyValueState](op, s)
	checkPass(op, p)
	keys, state, beta := m.compared(op, held, queries)
	return m.associate(p, m.updated(p, state, keys, beta), keys, held.Values, beta)
}

// LogRead implements [LogReader]. Where no slot has any of a value it is [logZero].
func (m *Hopfield) LogRead(p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor {
	const op = "Hopfield.LogRead"
	held := stateOf[KeyValueState](op, s)
	if m.config.Linear {
		panic(&tensor.Error{Op: op, Msg: "what is read without a softmax has no logarithm"})
	}
	checkPass(op, p)
	keys, state, beta := m.compared(op, held, queries)
	attention := m.updated(p, state, keys, beta).MatMul(keys.Transpose(1, 2)).MulScalar(beta).LogSoftmax(-1)
	return attention.Unsqueeze(-1).Add(logOf(held.Values).Unsqueeze(1)).LogSumExp(-2)
}

// Energy returns the energy [batch, queries] of queries as states of the network: eq. 2 without its constants,
// -log Σ exp(β·K·ξ)/β + ½·ξᵀξ. The queries are taken as they are, not normalised.
func (m *Hopfield) Energy(s State, queries *tensor.Tensor) *tensor.Tensor {
	const op = "Hopfield.Energy"
	keys, _, beta := m.compared(op, stateOf[KeyValueState](op, s), queries)
	stored := queries.MatMul(keys.Transpose(1, 2)).MulScalar(beta).LogSumExp(-1).MulScalar(-1 / beta)
	return stored.Add(queries.Square().Sum(-1).MulScalar(.5))
}

var (
	_ LogReader  = (*Hopfield)(nil)
	_ Linearizer = (*Hopfield)(nil)
	_ Restorer   = (*Hopfield)(nil)
)
