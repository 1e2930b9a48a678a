package fastweight

import (
	"fmt"

	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// State is what a rule carries from one token to the next. No step changes it.
type State struct {
	// Weights are those of each layer, [batch, heads, in, out], each followed by its bias [batch, heads, 1, out] where there are
	// biases. They are nil before the first write of a memory that learns the width of its values from it.
	Weights []*tensor.Tensor
	// Sum is the momentum, or the sum of the changes since the start of a mini-batch, of each of the weights; nil while it is
	// zero.
	Sum []*tensor.Tensor
	// Start are the weights before the mini-batch; nil without mini-batches.
	Start []*tensor.Tensor
	// Seen are the keys and the values of the last tokens of a window, [batch, heads, n, ...]; nil without one.
	Seen     []*tensor.Tensor
	position int64 // in the mini-batch
	columns  int64 // the width of the values that an associative memory was written, where it is not that of the weights
}

const (
	positionName = "position"
	columnsName  = "columns"
)

// Tensors implements [memory.State].
func (s State) Tensors() []nn.Named {
	var out []nn.Named
	for _, part := range s.parts() {
		for i, t := range part.of {
			out = append(out, nn.Named{Name: fmt.Sprintf("%s%d", part.name, i), Tensor: t})
		}
	}
	if s.Start != nil {
		out = append(out, nn.Named{Name: positionName, Tensor: tensor.New([]int64{s.position}, 1)})
	}
	if s.columns > 0 {
		out = append(out, nn.Named{Name: columnsName, Tensor: tensor.New([]int64{s.columns}, 1)})
	}
	return out
}

type part struct {
	name string
	of   []*tensor.Tensor
}

func (s State) parts() []part {
	return []part{{"weights", s.Weights}, {"sum", s.Sum}, {"start", s.Start}, {"seen", s.Seen}}
}

// Map implements [memory.Mapper].
func (s State) Map(f func(*tensor.Tensor) *tensor.Tensor) memory.State {
	each := func(xs []*tensor.Tensor) []*tensor.Tensor {
		if xs == nil {
			return nil
		}
		return apply(xs, func(_ int, x *tensor.Tensor) *tensor.Tensor { return f(x) })
	}
	s.Weights, s.Sum, s.Start, s.Seen = each(s.Weights), each(s.Sum), each(s.Start), each(s.Seen)
	return s
}

// stateOf returns a state as this package's.
func stateOf(op string, s memory.State) State {
	own, ok := s.(State)
	if !ok {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the state is a %T, and a %T is wanted: start with the memory's own Init or Restore", s, own)})
	}
	return own
}

var _ memory.Mapper = State{}
