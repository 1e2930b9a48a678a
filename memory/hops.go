package memory

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Hops reads a memory several times, each time with a query that the read before has moved: Sukhbaatar et al. 2015,
// section 2.2. What asks may be a sum, as there, or any controller with a state, as the read blocks of Vinyals et al. 2016,
// appendix A.1.
type Hops struct {
	// Memory is what is read.
	Memory Associative
	// Next makes the next query [batch, queries, key] of the last one and of what it brought back [batch, queries, value],
	// at a hop counted from zero. Nil stands for their sum, the paper's.
	Next func(p *nn.Pass, hop int, query, read *tensor.Tensor) *tensor.Tensor
}

// Read reads each state in turn with queries [batch, queries, key], and returns the query that the last read leads to and
// the attention [batch, queries, slots] of each hop. The states may be one and the same, or one a hop.
func (h Hops) Read(p *nn.Pass, states []State, queries *tensor.Tensor) (last *tensor.Tensor, attention []*tensor.Tensor) {
	if h.Memory == nil {
		panic(&tensor.Error{Op: "Hops.Read", Msg: "there is no memory to read; set Hops.Memory"})
	}
	for hop, s := range states {
		read, a := h.Memory.Read(p, s, queries)
		attention = append(attention, a)
		if h.Next == nil {
			queries = queries.Add(read)
		} else {
			queries = h.Next(p, hop, queries, read)
		}
	}
	return queries, attention
}
