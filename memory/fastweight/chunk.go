package fastweight

import (
	"github.com/engram-go/engram/tensor"
)

// chunks reports whether the rule has a chunked form for the tokens.
func (r Rule) chunks(t Tokens) bool {
	return r.Depth == 1 && !r.Biased && !r.Residual && r.MiniBatch == 1 && r.Window == 1 && r.Orthogonal == 0 && t.Momentum == nil &&
		(r.Loss == Dot || r.Loss == Squared && (t.Decay == nil || r.DecayFirst))
}

// fused is [Rule.Steps] for the rules that have a chunked form, in one operation; see [tensor.Delta].
func (r Rule) fused(s State, t Tokens) (read *tensor.Tensor, next State) {
	o := tensor.DeltaTokens{Key: t.Key, Value: t.Value, Rate: t.Rate}
	if o.Rate == nil {
		o.Rate = tensor.Full(1, t.Key.DType(), t.Key.Device(), t.Key.Dim(0), t.Key.Dim(1), t.Key.Dim(2), 1)
	}
	if r.LossScale != 1 {
		o.Rate = o.Rate.MulScalar(r.LossScale)
	}
	if t.Decay != nil {
		o.Decay = r.perWrite(t.Decay, true)
	}
	if t.Query != nil {
		o.Query = r.perWrite(t.Query, false)
	}
	read, weights := tensor.Delta(s.Weights[0], o, r.Loss == Squared)
	if read != nil {
		read = r.perToken(read)
	}
	s.Weights = []*tensor.Tensor{weights}
	return read, s
}

// perToken returns what each token reads after the last of its writes.
func (r Rule) perToken(read *tensor.Tensor) *tensor.Tensor {
	if r.Writes == 1 {
		return read
	}
	batch, heads, time := read.Dim(0), read.Dim(1), read.Dim(2)
	return read.Reshape(batch, heads, time/r.Writes, r.Writes, -1).Select(3, r.Writes-1)
}

// chunked is [Rule.Steps] for a matrix, chunk by chunk: within a chunk everything is a product of matrices, and only the
// state goes from chunk to chunk. Yang et al. 2024 (2406.06484), section 3.2; with decay, Yang et al. 2024 (2412.06464),
// section 3.3, and Kimi Linear 2025 (2510.26692), section 3. In a chunk with rows K, V, Q, rates B, and G the running sum of
// the decay's logarithms, D[i, j] = exp(Gᵢ - Gⱼ) for j ≤ i and else 0:
//
//	T = (I + tril(B·(KKᵀ⊙D), -1))⁻¹,  U = T·B·V,  W = T·B·(e^G⊙K)
//	Ũ = U - W·S,  O = (e^G⊙Q)·S + (QKᵀ⊙D)·Ũ,  S ← e^(G_last)⊙S + (e^(G_last-G)⊙K)ᵀ·Ũ
//
// With the loss Dot, Ũ is B·V. Only differences of G are exponentiated, which are at most zero, so nothing overflows. The last
// chunk is filled up with tokens of rate and decay zero, which change nothing.
func (r Rule) chunked(s State, t Tokens) (read *tensor.Tensor, next State) {
	c := r.Chunk
	perChannel := t.Decay != nil && t.Decay.Dim(3) > 1
	if c == 0 {
		if c = 32; perChannel {
			c = 16
		}
	}
	batch, heads, time := t.Key.Dim(0), t.Key.Dim(1), t.Key.Dim(2)
	c = min(c, time)
	count := (time + c - 1) / c
	chunks := func(x *tensor.Tensor) *tensor.Tensor { // [batch, heads, chunks, c, width]
		if missing := count*c - time; missing > 0 {
			x = tensor.Cat(2, x, tensor.Full(0, x.DType(), x.Device(), batch, heads, missing, x.Dim(3)))
		}
		return x.Reshape(batch, heads, count, c, x.Dim(3))
	}
	keys, values := chunks(t.Key), chunks(t.Value)
	var queries *tensor.Tensor
	if t.Query != nil {
		queries = chunks(r.perWrite(t.Query, false))
	}
	rate := t.Rate
	if r.LossScale != 1 {
		if rate == nil {
			rate = tensor.Full(1, t.Key.DType(), t.Key.Device(), batch, heads, time, 1)
		}
		rate = rate.MulScalar(r.LossScale)
	}
	if rate != nil {
		rate = chunks(rate)
	}
	scaled := func(x *tensor.Tensor) *tensor.Tensor {
		if rate == nil {
			return x
		}
		return x.Mul(rate)
	}
	strict, inclusive := triangles(c, t.Key)

	fromStart := func(x *tensor.Tensor) *tensor.Tensor { return x } // e^G ⊙ x
	toEnd := fromStart                                              // e^(G_last - G) ⊙ x
	// between returns ab^T ⊙ D, by a decay per channel inside the product.
	between := func(a, b *tensor.Tensor) *tensor.Tensor { return a.MatMul(b.Transpose(-2, -1)) }
	var kept *tensor.Tensor // e^(G_last), [batch, heads, chunks, 1 or key, 1]
	if t.Decay != nil {
		g := chunks(r.perWrite(t.Decay, true)).CumSum(3)
		last := g.Narrow(3, c-1, 1)
		start, end := g.Exp(), last.Sub(g).Exp()
		fromStart = func(x *tensor.Tensor) *tensor.Tensor { return x.Mul(start) }
		toEnd = func(x *tensor.Tensor) *tensor.Tensor { return x.Mul(end) }
		kept = last.Exp().Transpose(-2, -1)
		if perChannel {
			mask := inclusive.Unsqueeze(-1)                                   // [c, c, 1]
			d := g.Unsqueeze(4).Sub(g.Unsqueeze(3)).Mul(mask).Exp().Mul(mask) // [batch, heads, chunks, c, c, key]
			between = func(a, b *tensor.Tensor) *tensor.Tensor {
				return a.Unsqueeze(4).Mul(b.Unsqueeze(3)).Mul(d).Sum(-1)
			}
		} else {
			d := g.Sub(g.Transpose(-2, -1)).Mul(inclusive).Exp()
			between = func(a, b *tensor.Tensor) *tensor.Tensor { return a.MatMul(b.Transpose(-2, -1)).Mul(d) }
		}
	}

	u := scaled(values)
	var w *tensor.Tensor
	if r.Loss == Squared {
		identity := tensor.Eye(c, keys.DType(), keys.Device())
		a := scaled(between(keys, keys)).Mul(strict).Add(identity)
		solved := a.SolveLower(tensor.Cat(-1, u, scaled(fromStart(keys))))
		u = solved.Narrow(-1, 0, values.Dim(-1))
		w = solved.Narrow(-1, values.Dim(-1), keys.Dim(-1))
	}
	ends := toEnd(keys).Transpose(-2, -1) // [batch, heads, chunks, key, c]
	var starts, scores *tensor.Tensor
	if queries != nil {
		starts, scores = fromStart(queries), between(queries, keys).Mul(inclusive)
	}

	weights := s.Weights[0]
	var reads []*tensor.Tensor
	at := func(x *tensor.Tensor, i int64) *tensor.Tensor { return x.Select(2, i) }
	for i := range count {
		change := at(u, i)
		if w != nil {
			change = change.Sub(at(w, i).MatMul(weights))
		}
		if queries != nil {
			reads = append(reads, at(starts, i).MatMul(weights).Add(at(scores, i).MatMul(change)))
		}
		if kept != nil {
			weights = weights.Mul(at(kept, i))
		}
		weights = weights.Add(at(ends, i).MatMul(change))
	}
	if queries != nil {
		read = r.perToken(tensor.Cat(2, reads...).Narrow(2, 0, time))
	}
	s.Weights = []*tensor.Tensor{weights}
	return read, s
}

// perWrite repeats what a token has for each of its writes; first leaves it to the first write, and zeros to the others.
func (r Rule) perWrite(x *tensor.Tensor, first bool) *tensor.Tensor {
	if r.Writes == 1 {
		return x
	}
	batch, heads, time, width := x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3)
	x = x.Unsqueeze(3)
	rest := x.Expand(batch, heads, time, r.Writes-1, width)
	if first {
		rest = rest.ZerosLike()
	}
	return tensor.Cat(3, x, rest).Reshape(batch, heads, time*r.Writes, width)
}

// triangles returns ones below the diagonal, [n, n], without it and with it.
func triangles(n int64, like *tensor.Tensor) (strict, inclusive *tensor.Tensor) {
	below, with := make([]float32, n*n), make([]float32, n*n)
	for i := range n {
		for j := range i + 1 {
			with[i*n+j] = 1
			if j < i {
				below[i*n+j] = 1
			}
		}
	}
	make := func(v []float32) *tensor.Tensor { return tensor.New(v, n, n).To(like.DType()).On(like.Device()) }
	return make(below), make(with)
}
