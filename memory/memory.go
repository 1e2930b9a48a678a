// Package memory contains memories that a network writes to and reads from. A memory holds parameters and settings
// only; its content is a [State], a value that Write takes and returns.
//
// A memory has one of two interfaces. [NTM], [LRUA], [DNC], [Sparse], [Relational] and, for baselines, [None] are [Recurrent]: a
// controller drives them step by step. [NUTM] wraps one of them. [KeyValue], [Prototype] and [Bounded], which writes as NTM, LRUA or DNC do, are
// [Associative]: they store keys with values and answer queries, once or in several [Hops]. Their building blocks,
// from content addressing to temporal links, are exported functions.
//
// A service keeps a state between requests with [Own], saves it with [nn.Save] and loads it with [Restorer]; see the
// example Service. A wrong state, shape or setting panics with a [*tensor.Error], which [tensor.Do] returns.
package memory

import (
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// State is the content of a memory for a batch of independent tasks.
type State interface {
	// Tensors returns the state's tensors under stable names, to keep, plot, count or save: [nn.Save] writes them,
	// and [Restorer] restores the state.
	Tensors() []nn.Named
}

// Numbers returns how many floating-point numbers a state holds.
func Numbers(s State) (n int64) {
	for _, t := range s.Tensors() {
		if d := t.Tensor.DType(); d == tensor.Float32 || d == tensor.Float64 {
			n += t.Tensor.Numel()
		}
	}
	return n
}

// A Mapper is the state of a recurrent memory to whose tensors a function can be applied elementwise.
type Mapper interface {
	State
	// Map returns the state with f applied to each of its tensors.
	Map(f func(*tensor.Tensor) *tensor.Tensor) State
}

// An Associative memory stores values under keys and answers queries. A metric-based network writes its support set
// and reads with its queries.
type Associative interface {
	// Init returns the empty state for a batch of tasks.
	Init(batch int64) State
	// Write returns prev with values [batch, n, value] stored under keys [batch, n, key]. For classes the values are
	// one-hot, one column per class. Values with more columns than earlier ones add classes, for which stored values
	// are zero. Fewer columns, another key width or another batch size panic with a [*tensor.Error].
	Write(p *nn.Pass, prev State, keys, values *tensor.Tensor) State
	// Read returns the values [batch, queries, value] for queries [batch, queries, key], and the attention [batch,
	// queries, slots] by which they are averaged.
	Read(p *nn.Pass, s State, queries *tensor.Tensor) (values, attention *tensor.Tensor)
}

// A Recurrent memory is driven step by step by a controller, whose output determines where and what to write and
// read. All that carries over between steps is in the state.
type Recurrent interface {
	// Init returns the state before the first step, for a batch of sequences, with the type of the memory's
	// parameters in p.
	Init(p *nn.Pass, batch int64) State
	// Step takes the controller's output [batch, control] and the previous state, and returns the vectors read,
	// concatenated over the heads, [batch, heads·width], and the next state. It must not modify prev.
	Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State)
	// ReadWidth returns heads·width, the size of a read.
	ReadWidth() int64
}

// An Interfaced memory is driven through one linear layer of the controller's output, its interface: Step is StepInterface of what
// the layer emits. [NUTM] mixes several such layers.
type Interfaced interface {
	Recurrent
	// Interface returns the layer, from the controller's output to what drives the memory.
	Interface() *nn.Linear
	// StepInterface is Step for what drives the memory, [batch, emission].
	StepInterface(p *nn.Pass, emission *tensor.Tensor, prev State) (read *tensor.Tensor, next State)
}

// An Unroller is a [Recurrent] memory for which [tensor.Unroll] can run a whole sequence in one operation.
type Unroller interface {
	Recurrent
	// Unroll describes the memory before the first step of a batch of sequences: its fused memory, its emission layer
	// and its initial state. ok is false if the fused memory does not support its settings.
	Unroll(p *nn.Pass, batch int64) (m *tensor.UnrolledMemory, ok bool)
}

// A Matcher returns scores instead of reading, for networks that score each class independently, without a softmax.
type Matcher interface {
	Associative
	// Match fits a [metric.Fitted] to the content first. It returns the metric's scores [batch, queries, slots] for queries
	// [batch, queries, key], and each slot's share of the values, [batch, slots, value]. An empty slot has zero shares and meaningless scores.
	Match(p *nn.Pass, s State, queries *tensor.Tensor) (scores, shares *tensor.Tensor)
}

// A Linearizer is a memory that can read by its scores without the softmax: Sukhbaatar et al. 2015, section 4.2. It
// stores each pair in its own slot, in the order of writing.
type Linearizer interface {
	Associative
	// Linear returns the memory without the softmax if on is true, and with it otherwise.
	Linear(on bool) Associative
}

// A ClassMemory merges keys by class, so the values written must be labels.
type ClassMemory interface {
	Associative
	MergesClasses()
}

// An Ordered memory may answer differently where pairs that are written at once come in another order.
type Ordered interface {
	Associative
	// Ordered reports whether the order matters.
	Ordered() bool
}

// fitted returns the metric that scores slots with keys [batch, slots, key] and shares [batch, slots, value], fitted
// to them if it depends on the support set.
func fitted(m metric.Metric, keys, shares *tensor.Tensor) metric.Metric {
	if f, ok := m.(metric.Fitted); ok {
		return f.Fit(metric.NewMoments(keys, shares), shares)
	}
	return m
}

// A LogReader reads the logarithms of values directly. The values themselves underflow where the attention is sharp,
// and their logarithm then has no gradient.
type LogReader interface {
	// LogRead returns the logarithm [batch, queries, value] of what Read would return for queries [batch, queries, key].
	LogRead(p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor
}

// logZero replaces the logarithm of zero. It is finite, to keep gradients, and below the logarithm of any attention,
// so that a slot without a value never hides a slot with it.
const logZero = -1e30

// smallest is the threshold below which values count as zero; float32 and bfloat16 can represent it.
const smallest = 1e-30

// logOf returns the logarithm of non-negative values, logZero for zero.
func logOf(values *tensor.Tensor) *tensor.Tensor {
	kept, zeros := values.ClampMin(smallest), values.ZerosLike()
	return tensor.Where(values.Gt(zeros.AddScalar(smallest)), kept.Log(), zeros.AddScalar(logZero))
}

// LogRead returns the logarithm of what m reads, [batch, queries, value], using [LogReader] if m implements it. With
// one-hot values these are log-probabilities of the classes.
func LogRead(m Associative, p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor {
	if r, ok := m.(LogReader); ok {
		return r.LogRead(p, s, queries)
	}
	values, _ := m.Read(p, s, queries)
	return values.ClampMin(smallest).Log() // a zero here is an underflow
}
