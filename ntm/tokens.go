package ntm

import (
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// TokensConfig configures [NewTokens]. Its Inputs are set from Tokens and Embedding.
type TokensConfig struct {
	Config
	// Tokens is the number of input tokens.
	Tokens int64
	// Embedding is the width of a token's learned vector. The default gives the controller a token as a one-hot vector, as
	// Graves et al. 2016 do.
	Embedding int64
}

// Tokens is a network that reads a sequence of tokens, one at each step, and names a class at some of them.
type Tokens struct {
	net    *Net
	tokens int64
	table  *nn.Param // [tokens, embedding]; nil for one-hot vectors
}

// NewTokens makes a network.
func NewTokens(b *nn.Builder, c TokensConfig) *Tokens {
	n := &Tokens{tokens: c.Tokens}
	if c.Inputs = c.Tokens; c.Embedding > 0 {
		c.Inputs = c.Embedding
		n.table = b.Param("tokens", nn.Normal(0, 1), c.Tokens, c.Embedding)
	}
	n.net = New(b, c.Config)
	return n
}

// Forward returns the scores [n, outputs] before the softmax at the steps that at lists, as indices into the flattened inputs, for
// inputs [batch, time] (int64).
func (n *Tokens) Forward(p *nn.Pass, inputs, at *tensor.Tensor) *tensor.Tensor {
	batch, time := inputs.Dim(0), inputs.Dim(1)
	steps := inputs.Transpose(0, 1).Reshape(-1)
	var x *tensor.Tensor
	if n.table != nil {
		x = p.Value(n.table).IndexSelect(0, steps)
	} else {
		x = steps.OneHot(n.tokens).To(n.net.dtype(p))
	}
	y := n.net.controller.Forward(p, x.Reshape(time, batch, -1), nil)
	return n.net.outputs(p, y.Transpose(0, 1).Reshape(batch*time, -1).IndexSelect(0, at))
}

// dtype is the type of the network's parameters in a pass.
func (n *Net) dtype(p *nn.Pass) tensor.DType { return p.Value(n.out.Weight).DType() }

// State returns how many numbers the memory carries of one sequence, whatever its length.
func (n *Tokens) State(int64) (numbers int64) {
	scope := tensor.Enter()
	defer scope.Leave()
	tensor.NoGrad(func() { numbers = memory.Numbers(n.net.controller.Init(&nn.Pass{}, 1).Memory) })
	return numbers
}
