// Package memory holds the memory controllers: parts that a network writes to and reads from. A memory holds parameters
// and settings only; what was written is a [State], a value that Write takes and returns.
//
// A memory has one of two faces. [NTM], [LRUA], [DNC] and, for baselines, [None] are [Recurrent]: a controller drives them
// step by step. [KeyValue], [Prototype] and [Bounded], which writes as NTM, LRUA or DNC do, are [Associative]: they hold
// keys with their values and answer queries, once or in several [Hops]. What they are made of, from content addressing to
// temporal links, are functions of their own.
//
// A service keeps a state between requests with [Own], saves it with [nn.Save] and loads it with [Restorer]; see the example
// Service. A wrong state, shape or setting panics with a [*tensor.Error], which [tensor.Do] returns.
package memory

import (
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// State is what has been written to a memory, for a batch of independent tasks.
type State interface {
	// Tensors returns the state's tensors under stable names, to keep, plot, count or save: [nn.Save] writes them, and a
	// [Restorer] makes the state of them again.
	Tensors() []nn.Named
}

// A Mapper is the state of a recurrent memory whose tensors can be put through a function, a number in and a number out.
type Mapper interface {
	State
	// Map returns the state with f applied to each of its tensors.
	Map(f func(*tensor.Tensor) *tensor.Tensor) State
}

// An Associative memory is written with keys and the values they stand for, and answers queries. A metric-based network
// writes its support set and asks about its queries.
type Associative interface {
	// Init returns the empty state for a batch of tasks.
	Init(batch int64) State
	// Write returns prev with values [batch, n, value] stored under keys [batch, n, key]. For classes the values are
	// one-hot, one column per class. Values with more columns than those before add classes: what is held has zeros there.
	// Fewer columns, another width of keys or another batch are a [*tensor.Error].
	Write(p *nn.Pass, prev State, keys, values *tensor.Tensor) State
	// Read returns the values [batch, queries, value] that queries [batch, queries, key] bring back, and the attention
	// [batch, queries, slots] that they are a mean under.
	Read(p *nn.Pass, s State, queries *tensor.Tensor) (values, attention *tensor.Tensor)
}

// A Recurrent memory is driven step by step by a controller: at each step it is told by the controller's output where and
// what to write and read, and gives back what it read. What carries over between steps is all in its state.
type Recurrent interface {
	// Init returns the state before the first step, for a batch of sequences. Its type is that of the memory's parameters
	// in p.
	Init(p *nn.Pass, batch int64) State
	// Step takes the controller's output [batch, control] and the state before it, and returns what was read, one head
	// after another [batch, heads·width], and the state after it. It leaves prev as it is.
	Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State)
	// ReadWidth returns heads·width, the size of what a step reads.
	ReadWidth() int64
}

// An Unroller is a [Recurrent] memory whose steps [tensor.Unroll] can take, all of a sequence in one operation.
type Unroller interface {
	Recurrent
	// Unroll describes the memory before the first step of a batch of sequences: its fused memory, its emitting layer and its
	// first state. ok is false where the fused memory cannot take its settings.
	Unroll(p *nn.Pass, batch int64) (m *tensor.UnrolledMemory, ok bool)
}

// A Matcher compares queries with what it holds and leaves the reading to its caller: for networks that judge each class by
// itself and take no softmax.
type Matcher interface {
	Associative
	// Match returns the metric's scores [batch, queries, slots] for queries [batch, queries, key], and how much of each value
	// a slot holds, [batch, slots, value]: zeros where a slot is empty, whose scores mean nothing.
	Match(p *nn.Pass, s State, queries *tensor.Tensor) (scores, shares *tensor.Tensor)
}

// A Linearizer is a memory that can read by its scores alone, without the softmax over them: Sukhbaatar et al. 2015, section 4.2.
// It holds each pair that it is written in a slot of its own, in the order of writing.
type Linearizer interface {
	Associative
	// Linear returns the memory with the softmax left out (on is true) or in its place.
	Linear(on bool) Associative
}

// A ClassMemory is a memory that merges keys by class, so the values that it is written must be labels.
type ClassMemory interface {
	Associative
	MergesClasses()
}

// fitted returns the metric that slots with keys [batch, slots, key] and shares [batch, slots, value] are scored by: fitted
// on them where it takes something from the support set.
func fitted(m metric.Metric, keys, shares *tensor.Tensor) metric.Metric {
	if f, ok := m.(metric.Fitted); ok {
		return f.Fit(metric.NewMoments(keys, shares), shares)
	}
	return m
}

// A LogReader reads the logarithm of the values without going through the values, which underflow where the attention is
// sharp and whose logarithm then has no gradient.
type LogReader interface {
	// LogRead returns the logarithm [batch, queries, value] of what Read would return for queries [batch, queries, key].
	LogRead(p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor
}

// logZero stands for the logarithm of zero: finite, so that no gradient is lost, and below the logarithm of any attention,
// so that a slot that holds nothing of a value never hides a slot that does.
const logZero = -1e30

// smallest is the least value that is not taken for zero; float32 and bfloat16 resolve it.
const smallest = 1e-30

// logOf returns the logarithm of values that are not negative, logZero where one is zero.
func logOf(values *tensor.Tensor) *tensor.Tensor {
	kept, zeros := values.ClampMin(smallest), values.ZerosLike()
	return tensor.Where(values.Gt(zeros.AddScalar(smallest)), kept.Log(), zeros.AddScalar(logZero))
}

// LogRead returns the logarithm of what m reads, [batch, queries, value], by m's own way where it is a [LogReader]. With
// one-hot values these are log-probabilities of the classes.
func LogRead(m Associative, p *nn.Pass, s State, queries *tensor.Tensor) *tensor.Tensor {
	if r, ok := m.(LogReader); ok {
		return r.LogRead(p, s, queries)
	}
	values, _ := m.Read(p, s, queries)
	return values.ClampMin(smallest).Log() // a zero here is an underflow
}
