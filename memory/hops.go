package memory

import (
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Hops reads a memory several times, updating the query after each read: Sukhbaatar et al. 2015, section 2.2. The
// update can be a sum, as there, or any controller with a state, as in the read blocks of Vinyals et al. 2016,
// appendix A.1.
type Hops struct {
	// Memory is the memory to read.
	Memory Associative
	// Next returns the next query [batch, queries, key] for the last query and the values read [batch, queries,
	// value], at a hop counted from zero. The default is their sum, as in the paper.
	Next func(p *nn.Pass, hop int, query, read *tensor.Tensor) *tensor.Tensor
}

// Read reads the states in order with queries [batch, queries, key]. It returns the query after the last read and the
// attention [batch, queries, slots] of each hop. The states may differ or be the same.
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
