package matchingnet

import (
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// DefaultReads is the number of times that a query reads the support set. The paper does not state it.
const DefaultReads = 5

// Context makes embeddings depend on the whole support set: the fully conditional embeddings of Vinyals et al. 2016,
// section 2.1.2 and appendix A.
type Context struct {
	support *nn.LSTM
	query   *nn.LSTMCell
	reads   int
	size    int64
}

// NewContext makes the two LSTMs for embeddings of a width, initialised as in PyTorch. Zero reads means [DefaultReads].
func NewContext(b *nn.Builder, width int64, reads int) *Context {
	if reads == 0 {
		reads = DefaultReads
	}
	return &Context{
		support: nn.NewLSTM(b.In("support"), nn.LSTMConfig{In: width, Size: width, Bidirectional: true}),
		query:   nn.NewLSTMCell(b.In("query"), 2*width, width),
		reads:   reads,
		size:    width,
	}
}

// Forward returns the full-context embeddings of support examples [tasks, support, width] and queries [tasks, query, width],
// of the same shapes.
func (c *Context) Forward(p *nn.Pass, support, query *tensor.Tensor) (g, f *tensor.Tensor) {
	g = c.embedSupport(p, support)
	return g, c.embedQueries(p, g, query)
}

// embedSupport implements appendix A.2: a bidirectional LSTM runs over the support set, and
//
//	g(xᵢ, S) = →hᵢ + ←hᵢ + g'(xᵢ)
func (c *Context) embedSupport(p *nn.Pass, support *tensor.Tensor) *tensor.Tensor {
	x := support.Transpose(0, 1) // [support, tasks, width]
	y := c.support.Outputs(p, x)
	return y.Narrow(2, 0, c.size).Add(y.Narrow(2, c.size, c.size)).Add(x).Transpose(0, 1)
}

// embedQueries implements appendix A.1, eqs. 3 to 6: in every step an LSTM takes the query's embedding f' and the vector r
// that its last output reads from the support set by attention,
//
//	r = Σᵢ softmax(hᵀg(xᵢ))·g(xᵢ);  h ← LSTM(f', [h, r]) + f'
//
// starting at h = 0, whose attention is uniform. Here r is concatenated to f' instead of h, which gives the same sums.
func (c *Context) embedQueries(p *nn.Pass, g, query *tensor.Tensor) *tensor.Tensor {
	set := memory.NewKeyValue(memory.KeyValueConfig{Metric: metric.Dot{}})
	written := set.Write(p, set.Init(g.Dim(0)), g, g)
	x := query.Flatten(0, 1) // [tasks·query, width]
	// What the gates have of f' is the same in all steps.
	in, size := p.Value(c.query.InputWeight), c.size
	same := tensor.Linear(x, in.Narrow(1, 0, size), p.Value(c.query.InputBias).Add(p.Value(c.query.HiddenBias)))
	recurrent := tensor.Cat(1, in.Narrow(1, size, size), p.Value(c.query.HiddenWeight))
	zeros := func() *tensor.Tensor { return tensor.Full(0, x.DType(), x.Device(), x.Dim(0), size) }
	state := nn.LSTMState{Hidden: zeros(), Cell: zeros()}
	for range c.reads {
		read, _ := set.Read(p, written, state.Hidden.Reshape(query.Shape()...))
		gates := tensor.Linear(tensor.Cat(1, read.Flatten(0, 1), state.Hidden), recurrent, nil).Add(same)
		state = c.query.Gate(p, gates, state)
		state.Hidden = state.Hidden.Add(x)
	}
	return state.Hidden.Reshape(query.Shape()...)
}
