package fastweight

import (
	"github.com/engram-go/engram/tensor"
)

// fits reports whether a mini-batch of the tokens is one operation, [tensor.Fit]: there is one write per token, and gradients are taken
// before a decay that keeps a share of all weights.
func (r Rule) fits(shared Shared, t Tokens) bool {
	decays, own := t.Decay != nil, r.Simplex || r.Orthogonal > 0
	return r.Depth <= tensor.FitLayers && r.Writes == 1 && (!decays || t.Decay.Dim(3) == 1 && !r.DecayFirst) &&
		(shared.Positions == nil || !decays && t.Momentum == nil && !own) && !(own && r.Biased) && !(r.Simplex && r.Orthogonal > 0)
}

// fit is [Rule.Steps] with an operation for each mini-batch.
func (r Rule) fit(shared Shared, s State, t Tokens) (read *tensor.Tensor, next State) {
	rule := tensor.FitRule{
		Layers: r.Depth, Biased: r.Biased, Residual: r.Residual, Loss: r.Loss, Threshold: r.Threshold, P: r.P,
		LossScale: r.LossScale, NormEps: r.NormEps, Window: r.Window,
		Simplex: r.Simplex, Orthogonal: int64(r.Orthogonal), Newton: newtonSchulz,
	}
	var reads []*tensor.Tensor
	for time, at := t.Key.Dim(2), int64(0); at < time; {
		n := min(r.MiniBatch-s.position, time-at)
		part := t.part(at, n)
		tokens := tensor.FitTokens{
			Query: part.Query, Rate: part.Rate, Decay: part.Decay, Momentum: part.Momentum, Gain: shared.Gain, Bias: shared.Bias,
		}
		next := s
		tokens.Key, tokens.Value, next.Seen = r.window(s, part.Key, part.Value)
		from := tensor.FitState{Weights: s.Weights, Sums: s.Sum}
		if r.MiniBatch > 1 && s.position == 0 {
			next.Start = s.Weights
		}
		if shared.Positions != nil {
			tokens.Positions = shared.Positions.Narrow(0, s.position, n)
			from.Weights = next.Start
			if s.position == 0 {
				from.Sums = nil
			}
		} else if s.position > 0 {
			from.Starts = s.Start
		}
		read, next.Weights, next.Sum = tensor.Fit(rule, from, tokens, n)
		reads = append(reads, read)
		next.position = (s.position + n) % r.MiniBatch
		s, at = next, at+n
	}
	if t.Query == nil {
		return nil, s
	}
	return tensor.Cat(2, reads...), s
}

// part returns n of the tokens; there is one write for each.
func (t Tokens) part(from, n int64) Tokens {
	part := func(x *tensor.Tensor) *tensor.Tensor {
		if x == nil {
			return nil
		}
		return x.Narrow(2, from, n)
	}
	return Tokens{Query: part(t.Query), Key: part(t.Key), Value: part(t.Value), Rate: part(t.Rate), Decay: part(t.Decay), Momentum: part(t.Momentum)}
}

// batches reports whether the rule has a form by mini-batches for the tokens: gradients are taken at the start of a mini-batch, and
// weights decay as a whole.
func (r Rule) batches(t Tokens) bool {
	return r.MiniBatch > 1 && r.Writes == 1 && (t.Decay == nil || t.Decay.Dim(3) == 1)
}

// batched is [Rule.Steps] mini-batch by mini-batch. All gradients of a mini-batch are taken at its first weights W, for layer l and
// token j the outer product of the layer's input xⱼ and the gradient dⱼ by its output, so the weights after token i are
//
//	Wᵢ = Aᵢ·W + Bᵢ·S - Σ_{j≤i} Cᵢⱼ·xⱼdⱼᵀ
//
// with the momentum S and coefficients of rates, decays and momenta alone. No Wᵢ is made: the layer's output for a query's a is
// Aᵢ·aW + Bᵢ·aS - Σⱼ Cᵢⱼ·(a·xⱼ)·dⱼ. It is the dual form of Sun et al. 2024, section 2.5, with decay and momentum; with a window, j
// begins before the mini-batch. Where the weights are not a sum of gradients, because they are a softmax or changes are made orthogonal,
// all Wᵢ are made at once. A mini-batch that the state has begun is ended step by step.
func (r Rule) batched(shared Shared, s State, t Tokens) (read *tensor.Tensor, next State) {
	time := t.Key.Dim(2)
	var reads []*tensor.Tensor
	add := func(x *tensor.Tensor) {
		if x != nil {
			reads = append(reads, x)
		}
	}
	var at int64
	if begun := s.position % r.MiniBatch; begun > 0 {
		at = min(r.MiniBatch-begun, time)
		read, s = r.Steps(shared, s, t.part(0, at))
		add(read)
	}
	for ; at < time; at += r.MiniBatch {
		n := min(r.MiniBatch, time-at)
		read, s = r.miniBatch(model{r, shared}, s, t.part(at, n))
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
	key, value, seen := r.window(s, t.Key, t.Value)
	next = s
	next.Seen, next.Start, next.position = seen, s.Weights, n%r.MiniBatch
	inputs, slopes := m.backward(m.effective(s.Weights), key, value)
	c := r.coefficients(m.Shared, s, t, key.Dim(2))
	if r.Simplex || r.Orthogonal > 0 {
		return r.materialised(m, s, t, inputs, slopes, c, next)
	}
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
	kept := apply(s.Weights, func(_ int, w *tensor.Tensor) *tensor.Tensor {
		if c.decay == nil {
			return w
		}
		return w.Mul(last(c.decay))
	})
	if c.momentum != nil {
		kept = apply(kept, func(i int, w *tensor.Tensor) *tensor.Tensor { return w.Add(s.Sum[i].Mul(last(c.momentum))) })
	}
	next.Weights = written(kept, last(c.changes))
	if c.sum != nil {
		var held []*tensor.Tensor
		if c.heldSum != nil && s.Sum != nil {
			held = apply(s.Sum, func(_ int, x *tensor.Tensor) *tensor.Tensor { return x.Mul(c.heldSum) })
		}
		next.Sum = written(held, c.sum)
	}
	return read, next
}

// materialised is miniBatch with the weights after each token, of layers' inputs and slopes at the tokens of the window and the
// mini-batch. It completes next.
func (r Rule) materialised(m model, s State, t Tokens, inputs, slopes []*tensor.Tensor, c coefficients, next State) (*tensor.Tensor, State) {
	batch, heads, n := t.Key.Dim(0), t.Key.Dim(1), t.Key.Dim(2)
	gradients := make([]*tensor.Tensor, len(s.Weights)) // of each token, [batch, heads, tokens, in, out]
	for l := range r.Depth {
		at := l * r.perLayer()
		gradients[at] = inputs[l].Unsqueeze(-1).Mul(slopes[l].Unsqueeze(-2))
		if r.Biased {
			gradients[at+1] = slopes[l].Unsqueeze(-2)
		}
	}
	// mixed returns the sums of x [batch, heads, tokens, in, out] by coefficients [batch, heads, n, tokens].
	mixed := func(by, x *tensor.Tensor) *tensor.Tensor {
		return by.MatMul(x.Flatten(3, 4)).Reshape(batch, heads, n, x.Dim(3), x.Dim(4))
	}
	kept := func(x, by *tensor.Tensor) *tensor.Tensor { // of x [batch, heads, in, out] after each token
		if by == nil {
			return x.Unsqueeze(2).Expand(batch, heads, n, x.Dim(2), x.Dim(3))
		}
		return x.Unsqueeze(2).Mul(by.Unsqueeze(-1))
	}
	last := func(x *tensor.Tensor) *tensor.Tensor { return x.Select(2, n-1) }
	momenta := make([]*tensor.Tensor, len(s.Weights)) // after each token, of changes that are made orthogonal
	weights := apply(s.Weights, func(i int, w *tensor.Tensor) *tensor.Tensor {
		if r.Orthogonal == 0 {
			sum := kept(w, c.decay).Sub(mixed(c.changes, gradients[i]))
			if c.momentum != nil {
				sum = sum.Add(kept(s.Sum[i], c.momentum))
			}
			return sum
		}
		momenta[i] = mixed(c.gathered, gradients[i]).Neg()
		if c.held != nil {
			momenta[i] = momenta[i].Add(kept(s.Sum[i], c.held))
		}
		return kept(w, c.decay).Add(mixed(c.rated, m.orthogonal(momenta[i])))
	})
	next.Weights = apply(weights, func(_ int, w *tensor.Tensor) *tensor.Tensor { return last(w) })
	switch {
	case c.sum == nil:
	case r.Orthogonal > 0:
		next.Sum = apply(momenta, func(_ int, x *tensor.Tensor) *tensor.Tensor { return last(x) })
	default:
		next.Sum = apply(gradients, func(i int, g *tensor.Tensor) *tensor.Tensor {
			sum := c.sum.MatMul(g.Flatten(3, 4)).Reshape(batch, heads, g.Dim(3), g.Dim(4)).Neg()
			if c.heldSum != nil && s.Sum != nil {
				sum = sum.Add(s.Sum[i].Mul(c.heldSum))
			}
			return sum
		})
	}
	if t.Query == nil {
		return nil, next
	}
	// Each token has a model of its own, as a head has.
	each := m
	perToken := func(x *tensor.Tensor) *tensor.Tensor { // [heads, 1, width]
		return x.Unsqueeze(1).Expand(heads, n, 1, x.Dim(2)).Reshape(heads*n, 1, x.Dim(2))
	}
	if r.Residual {
		each.Gain, each.Bias = perToken(m.Gain), perToken(m.Bias)
	}
	own := apply(m.effective(weights), func(_ int, w *tensor.Tensor) *tensor.Tensor { return w.Flatten(1, 2) })
	y := each.forward(own, t.Query.Reshape(batch, heads*n, 1, t.Query.Dim(3))).y
	return y.Reshape(batch, heads, n, y.Dim(3)), next
}

// coefficients are those of a mini-batch of n tokens, and of the tokens before it that the window reaches.
type coefficients struct {
	decay    *tensor.Tensor // A, [batch, heads, n, 1]; nil for ones
	momentum *tensor.Tensor // B, [batch, heads, n, 1]; nil where the momentum is zero
	changes  *tensor.Tensor // C times the rates, [batch, heads, n, tokens]
	sum      *tensor.Tensor // of the gradients in the next [State.Sum], [batch, heads, 1, tokens]; nil where the rule has none
	heldSum  *tensor.Tensor // what is kept of the old sum, [batch, heads, 1, 1]; nil for nothing

	// For changes that are made orthogonal: of the gradients in the momentum after each token, [batch, heads, n, tokens]; what that
	// keeps of the old one, [batch, heads, n, 1], nil where it is zero; and of the orthogonal changes in the weights, [batch, heads, n, n].
	gathered, held, rated *tensor.Tensor
}

// kept returns x [batch, heads, n or 1, width] times A.
func (c coefficients) kept(x *tensor.Tensor) *tensor.Tensor {
	if c.decay == nil {
		return x
	}
	return x.Mul(c.decay)
}

// coefficients returns them for tokens of a mini-batch, whose losses, with those before it in the window, are of so many tokens.
func (r Rule) coefficients(shared Shared, s State, t Tokens, tokens int64) (c coefficients) {
	batch, heads, n := t.Key.Dim(0), t.Key.Dim(1), t.Key.Dim(2)
	rates := func(x *tensor.Tensor) *tensor.Tensor {
		if t.Rate == nil {
			return x
		}
		return x.Mul(t.Rate.Transpose(2, 3))
	}
	// windowed takes coefficients of the tokens' writes to those of the losses that a write sums.
	windowed := func(x *tensor.Tensor) *tensor.Tensor {
		if r.Window == 1 {
			return x
		}
		return x.MatMul(r.band(n, tokens, t.Key))
	}
	_, inclusive := triangles(n, t.Key)
	zeros := tensor.Full(0, t.Key.DType(), t.Key.Device(), batch, heads, n, n)
	if shared.Positions != nil {
		c.changes = windowed(rates(zeros.Add(inclusive.Mul(shared.Positions.Narrow(0, 0, n).Unsqueeze(-1)))))
		c.sum = windowed(rates(zeros.Narrow(2, 0, 1).AddScalar(1)))
		return c
	}
	// The product of the decays from j+1 to i, for j ≤ i.
	decays := zeros.Add(inclusive)
	if t.Decay != nil {
		g := t.Decay.CumSum(2)
		c.decay = g.Exp()
		decays = g.Sub(g.Transpose(-2, -1)).Mul(inclusive).Exp().Mul(inclusive) // only differences are exponentiated
	}
	c.rated = rates(decays)
	identity := tensor.Eye(n, t.Key.DType(), t.Key.Device())
	if t.Momentum == nil {
		c.changes = windowed(c.rated)
		if r.Orthogonal > 0 {
			c.gathered = windowed(zeros.Add(identity))
		}
		return c
	}
	// The momentum after token i is Σ_j Pᵢⱼ·changeⱼ with P = (I - N)⁻¹, where N has the factors of the tokens below the diagonal: a
	// factor may be zero, so that it has no logarithm. The first factor multiplies what the state holds.
	system := identity
	if n > 1 { // ones just below the diagonal
		row := tensor.Cat(0, identity.Narrow(0, 0, 1).ZerosLike(), identity.Narrow(0, 0, n-1))
		system = identity.Sub(t.Momentum.Mul(row))
	}
	p := system.SolveLower(zeros.Add(identity))
	held := p.Narrow(3, 0, 1).Mul(t.Momentum.Narrow(2, 0, 1)) // [batch, heads, n, 1]
	if s.Sum != nil {
		c.held, c.momentum = held, decays.MatMul(held)
		c.heldSum = held.Narrow(2, n-1, 1)
	}
	if r.Orthogonal > 0 {
		c.gathered = windowed(p)
	}
	c.sum = windowed(rates(p.Narrow(2, n-1, 1)))
	c.changes = windowed(rates(decays.MatMul(p)))
	return c
}

// band has ones where the write of a token of n, the last of so many tokens, sums the loss of a token: [n, tokens].
func (r Rule) band(n, tokens int64, like *tensor.Tensor) *tensor.Tensor {
	ones := make([]float32, n*tokens)
	for i := range n {
		last := tokens - n + i
		for j := max(0, last-r.Window+1); j <= last; j++ {
			ones[i*tokens+j] = 1
		}
	}
	return tensor.New(ones, n, tokens).To(like.DType()).On(like.Device())
}
