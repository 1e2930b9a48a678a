package fastweight

import (
	"github.com/engram-go/engram/tensor"
)

// batches reports whether the rule has a form by mini-batches for the tokens: gradients are taken at the start of a mini-batch, and
// weights decay as a whole.
func (r Rule) batches(t Tokens) bool {
	return r.MiniBatch > 1 && r.Writes == 1 && r.Window == 1 && r.Orthogonal == 0 && !r.Simplex && (t.Decay == nil || t.Decay.Dim(3) == 1)
}

// batched is [Rule.Steps] mini-batch by mini-batch. All gradients of a mini-batch are taken at its first weights W, for layer l and
// token j the outer product of the layer's input xⱼ and the gradient dⱼ by its output, so the weights after token i are
//
//	Wᵢ = Aᵢ·W + Bᵢ·S - Σ_{j≤i} Cᵢⱼ·xⱼdⱼᵀ
//
// with the momentum S and coefficients of rates, decays and momenta alone. No Wᵢ is made: the layer's output for a query's a is
// Aᵢ·aW + Bᵢ·aS - Σⱼ Cᵢⱼ·(a·xⱼ)·dⱼ. It is the dual form of Sun et al. 2024, section 2.5, with decay and momentum. A mini-batch
// that the state has begun is ended step by step.
func (r Rule) batched(shared Shared, s State, t Tokens) (read *tensor.Tensor, next State) {
	time := t.Key.Dim(2)
	part := func(x *tensor.Tensor, from, n int64) *tensor.Tensor {
		if x == nil {
			return nil
		}
		return x.Narrow(2, from, n)
	}
	tokens := func(from, n int64) Tokens {
		return Tokens{
			Query: part(t.Query, from, n), Key: part(t.Key, from, n), Value: part(t.Value, from, n),
			Rate: part(t.Rate, from, n), Decay: part(t.Decay, from, n), Momentum: part(t.Momentum, from, n),
		}
	}
	var reads []*tensor.Tensor
	add := func(x *tensor.Tensor) {
		if x != nil {
			reads = append(reads, x)
		}
	}
	var at int64
	if begun := s.position % r.MiniBatch; begun > 0 {
		at = min(r.MiniBatch-begun, time)
		read, s = r.Steps(shared, s, tokens(0, at))
		add(read)
	}
	for ; at < time; at += r.MiniBatch {
		n := min(r.MiniBatch, time-at)
		read, s = r.miniBatch(model{r, shared}, s, tokens(at, n))
		add(read)
	}
	if t.Query != nil {
		read = tensor.Cat(2, reads...)
	}
	return read, s
}

// miniBatch writes and reads the tokens of a mini-batch, or of its beginning.
func (r Rule) miniBatch(m model, s State, t Tokens) (read *tensor.Tensor, next State) {
	n := t.Key.Dim(2)
	inputs, slopes := m.backward(s.Weights, t.Key, t.Value)
	c := r.coefficients(m.Shared, s, t)
	if t.Query != nil {
		h := t.Query
		for l := range r.Depth {
			if l > 0 {
				h = GELU(h)
			}
			at := l * r.perLayer()
			out := c.kept(h.MatMul(s.Weights[at]))
			if c.momentum != nil {
				out = out.Add(h.MatMul(s.Sum[at]).Mul(c.momentum))
			}
			out = out.Sub(h.MatMul(inputs[l].Transpose(-2, -1)).Mul(c.changes).MatMul(slopes[l]))
			if r.Biased {
				out = out.Add(c.kept(s.Weights[at+1]))
				if c.momentum != nil {
					out = out.Add(s.Sum[at+1].Mul(c.momentum))
				}
				out = out.Sub(c.changes.MatMul(slopes[l]))
			}
			h = out
		}
		read = m.norm(t.Query, h).y
	}
	// written returns what is left of the weights or the momentum, less the gradients by their coefficients [..., 1, n].
	written := func(kept []*tensor.Tensor, by *tensor.Tensor) []*tensor.Tensor {
		column := by.Transpose(-2, -1)
		out := make([]*tensor.Tensor, len(s.Weights))
		for l := range r.Depth {
			at, scaled := l*r.perLayer(), slopes[l].Mul(column)
			out[at] = inputs[l].Transpose(-2, -1).MatMul(scaled).Neg()
			if r.Biased {
				out[at+1] = scaled.SumKeep(2).Neg()
			}
		}
		return add(kept, out)
	}
	last := func(x *tensor.Tensor) *tensor.Tensor { return x.Narrow(2, n-1, 1) }
	next = s
	kept := apply(s.Weights, func(_ int, w *tensor.Tensor) *tensor.Tensor {
		if c.decay == nil {
			return w
		}
		return w.Mul(last(c.decay))
	})
	if c.momentum != nil {
		kept = apply(kept, func(i int, w *tensor.Tensor) *tensor.Tensor { return w.Add(s.Sum[i].Mul(last(c.momentum))) })
	}
	next.Weights, next.Start = written(kept, last(c.changes)), s.Weights
	if c.sum != nil {
		var held []*tensor.Tensor
		if c.heldSum != nil && s.Sum != nil {
			held = apply(s.Sum, func(_ int, x *tensor.Tensor) *tensor.Tensor { return x.Mul(c.heldSum) })
		}
		next.Sum = written(held, c.sum)
	}
	next.position = n % r.MiniBatch
	return read, next
}

// coefficients are those of a mini-batch of n tokens.
type coefficients struct {
	decay    *tensor.Tensor // A, [batch, heads, n, 1]; nil for ones
	momentum *tensor.Tensor // B, [batch, heads, n, 1]; nil where the momentum is zero
	changes  *tensor.Tensor // C times the rates, [batch, heads, n, n], lower triangular
	sum      *tensor.Tensor // of the gradients in the next [State.Sum], [batch, heads, 1, n]; nil where the rule has none
	heldSum  *tensor.Tensor // what is kept of the old sum, [batch, heads, 1, 1]; nil for nothing
}

// kept returns x [batch, heads, n or 1, width] times A.
func (c coefficients) kept(x *tensor.Tensor) *tensor.Tensor {
	if c.decay == nil {
		return x
	}
	return x.Mul(c.decay)
}

func (r Rule) coefficients(shared Shared, s State, t Tokens) (c coefficients) {
	batch, heads, n := t.Key.Dim(0), t.Key.Dim(1), t.Key.Dim(2)
	rates := func(x *tensor.Tensor) *tensor.Tensor {
		if t.Rate == nil {
			return x
		}
		return x.Mul(t.Rate.Transpose(2, 3))
	}
	_, inclusive := triangles(n, t.Key)
	zeros := tensor.Full(0, t.Key.DType(), t.Key.Device(), batch, heads, n, n)
	if shared.Positions != nil {
		c.changes = rates(zeros.Add(inclusive.Mul(shared.Positions.Narrow(0, 0, n).Unsqueeze(-1))))
		c.sum = rates(zeros.Narrow(2, 0, 1).AddScalar(1))
		return c
	}
	// The product of the decays from j+1 to i, for j ≤ i.
	if t.Decay != nil {
		g := t.Decay.CumSum(2)
		c.decay = g.Exp()
		c.changes = g.Sub(g.Transpose(-2, -1)).Mul(inclusive).Exp().Mul(inclusive) // only differences are exponentiated
	} else {
		c.changes = zeros.Add(inclusive)
	}
	if t.Momentum == nil {
		c.changes = rates(c.changes)
		return c
	}
	// The momentum after token i is Σ_j Pᵢⱼ·changeⱼ with P = (I - N)⁻¹, where N has the factors of the tokens below the diagonal: a
	// factor may be zero, so that it has no logarithm. The first factor multiplies what the state holds.
	identity := tensor.Eye(n, t.Key.DType(), t.Key.Device())
	system := identity
	if n > 1 { // ones just below the diagonal
		row := tensor.Cat(0, identity.Narrow(0, 0, 1).ZerosLike(), identity.Narrow(0, 0, n-1))
		system = identity.Sub(t.Momentum.Mul(row))
	}
	p := system.SolveLower(zeros.Add(identity))
	held := p.Narrow(3, 0, 1).Mul(t.Momentum.Narrow(2, 0, 1)) // [batch, heads, n, 1]
	if s.Sum != nil {
		c.momentum = c.changes.MatMul(held)
		c.heldSum = held.Narrow(2, n-1, 1)
	}
	c.sum = rates(p.Narrow(2, n-1, 1))
	c.changes = rates(c.changes.MatMul(p))
	return c
}
