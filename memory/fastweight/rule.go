// Package fastweight holds memories whose content is the weights of a small model: writing is a step of an online learner
// that fits the model to a key and its value, reading is the model's output for a query. One [Rule] covers linear attention
// (Katharopoulos et al. 2020), the delta rule (Schlag et al. 2021; Yang et al. 2024), its gates per head (Yang, Kautz and
// Hatamizadeh 2024) and per channel (Kimi Linear 2025), products of Householder matrices (DeltaProduct, Siems et al. 2025),
// test-time training (Sun et al. 2024), Titans (Behrouz et al. 2025) and losses of MIRAS (Behrouz et al. 2025). The named
// settings are functions that return a [Config], such as [GatedDelta].
//
// A memory has two faces: [NewRecurrent] makes one that a controller drives, [NewAssociative] one that is written with keys
// and values and answers queries. [Rule.Run] is what both share, for networks that compute keys and values of a whole
// sequence themselves.
package fastweight

import (
	"fmt"

	"github.com/engram-go/engram/tensor"
)

// Loss is what a write reduces, for the model's output y for a key and the value v, with the error e = y - v.
type Loss = tensor.FitLoss

const (
	// Dot is -⟨y, v⟩: linear attention.
	Dot = tensor.FitDot
	// Squared is ½‖e‖²: the delta rule.
	Squared = tensor.FitSquared
	// Huber is ½‖e‖² where ‖e‖ is at most [Rule.Threshold], and the threshold times Σ|eᵢ| beyond it: Yaad in Behrouz et al.
	// 2025 (MIRAS), section 5.
	Huber = tensor.FitHuber
	// PNorm is Σ|eᵢ|ᵖ with p = [Rule.P]: Moneta in the same paper.
	PNorm = tensor.FitPNorm
)

// smooth is added to a squared error before its root is taken, so that the gradients of [Huber] and [PNorm] are smooth.
const smooth = 1e-6

// Rule is how weights are written. What differs from token to token is in [Tokens].
type Rule struct {
	Loss      Loss
	Threshold float64 // of Huber; default 1
	P         float64 // of PNorm; default 3
	// LossScale multiplies the loss; default 1. Titans' loss ‖e‖² is Squared with 2.
	LossScale float64
	// Depth is the number of layers; default 1, a matrix. Between layers there is a GELU, in its tanh form.
	Depth int
	// Biased gives every layer a bias, which is written as the weights are.
	Biased bool
	// Residual makes the model x + LN(f(x)) of the layers f, where LN is layer norm with gain and bias of [Shared]: Sun et al.
	// 2024, section 2.7. Keys and values have the same width.
	Residual bool
	// NormEps is added to the variance of the layer norm; default 1e-6, as in the public code of Sun et al. 2024.
	NormEps float64
	// Simplex keeps the columns of the matrices on a simplex: a state holds logits L, the weights of a layer are W = in·softmax(L)
	// over its inputs, and a write is W ← in·softmax(α·log W - η·∇ℓ(W)), which is L ← α·L - η·∇ℓ: a retention by the
	// Kullback-Leibler divergence, Memora in Behrouz et al. 2025 (2504.13173), section 5.3. It excludes Biased.
	Simplex bool
	// DecayFirst takes the gradient at the weights after the decay, as the gated delta rule does. Otherwise it is taken at the
	// weights before the decay, as in Titans.
	DecayFirst bool
	// MiniBatch takes the gradients of so many tokens at the weights before the first of them: Sun et al. 2024, section 2.4.
	// Default 1. It excludes DecayFirst.
	MiniBatch int64
	// Writes is the number of pairs that are written per token, before the token's one read: Siems et al. 2025. The decay
	// applies once, before the first. Default 1.
	Writes int64
	// Window takes the gradient of the sum of the losses of the last Window tokens, at the weights of the moment, or those before the
	// mini-batch: the Omega rule of Behrouz et al. 2025 (2505.23735, ATLAS), eq. 9, with weights of one. Default 1. It excludes Writes.
	Window int64
	// Orthogonal makes the change of the weights nearly orthogonal by so many steps of Newton and Schulz before the rate multiplies
	// it, as the optimiser Muon does: the momentum then gathers gradients without rates. Default 0, none.
	Orthogonal int
	// Chunk is the length of a chunk in the chunked form of LibTorch's operations; default 32, or 16 with a decay per channel.
	Chunk int64
}

func (r Rule) withDefaults() Rule {
	if r.Threshold == 0 {
		r.Threshold = 1
	}
	if r.P == 0 {
		r.P = 3
	}
	if r.NormEps == 0 {
		r.NormEps = 1e-6
	}
	if r.LossScale == 0 {
		r.LossScale = 1
	}
	r.Depth, r.MiniBatch, r.Writes, r.Window = max(r.Depth, 1), max(r.MiniBatch, 1), max(r.Writes, 1), max(r.Window, 1)
	return r
}

// Tokens are what a sequence writes and asks. All are [batch, heads, time, ...]; with several writes per token the time of
// Key, Value, Rate and Momentum is time·writes, the writes of a token one after another.
type Tokens struct {
	Query *tensor.Tensor // [..., key]; nil reads nothing
	Key   *tensor.Tensor // [..., key]
	Value *tensor.Tensor // [..., value]
	// Rate is the learning rate, [..., 1]; nil stands for 1.
	Rate *tensor.Tensor
	// Decay is the logarithm of the factor that the weights keep, at most zero, [..., 1]; or [..., key], a factor per row of a
	// matrix. Nil keeps all.
	Decay *tensor.Tensor
	// Momentum is the factor that the momentum keeps, [..., 1]; nil is gradient descent without momentum.
	Momentum *tensor.Tensor
}

// Shared are parameters of a rule that no write changes. The zero value is for rules without them.
type Shared struct {
	Gain, Bias *tensor.Tensor // of the layer norm of a residual model, [heads, 1, key]
	// Positions are factors of the rates by the position within a mini-batch, [mini-batch]: after i tokens the weights are
	// those before the mini-batch less Positions[i] times the sum of rate·gradient over its first i tokens. Nil stands for ones.
	Positions *tensor.Tensor
	// HigherOrder asks for gradients that can be differentiated again, as [nn.Pass] does.
	HigherOrder bool
}

// Run writes the tokens in their order to a state and returns what each token reads after its own writes, [batch, heads,
// time, value], nil without queries, and the state after the last. A matrix without bias, with the losses Dot and Squared, no
// momentum, window or mini-batch, and a decay only before the gradient, is one operation on the CPU, and takes the chunked form
// elsewhere and where gradients are to be differentiated again. Other rules with one write per token and no
// decay per channel take one operation for each mini-batch, or each token, under the same conditions. Otherwise rules with mini-batches are
// composed of LibTorch's operations mini-batch by mini-batch, and the rest token by token; see [Rule.Steps].
func (r Rule) Run(shared Shared, s State, t Tokens) (read *tensor.Tensor, next State) {
	r = r.withDefaults()
	r.check(t)
	if r.chunks(t) && !shared.HigherOrder && tensor.FusesSteps(t.Key) {
		return r.fused(s, t)
	}
	if r.chunks(t) && t.Key.Dim(2) > 1 {
		return r.chunked(s, t)
	}
	if r.fits(shared, t) && !shared.HigherOrder && tensor.FusesSteps(t.Key) {
		return r.fit(shared, s, t)
	}
	if r.batches(t) && t.Key.Dim(2) > 1 {
		return r.batched(shared, s, t)
	}
	return r.Steps(shared, s, t)
}

// check refuses tokens that are not a sequence.
func (r Rule) check(t Tokens) {
	k, v := t.Key.Shape(), t.Value.Shape()
	shapes := [][]int64{k, v}
	wrong := func(want string) { panic(&tensor.Error{Op: "fastweight.Run", Shapes: shapes, Msg: want}) }
	if len(k) != 4 || len(v) != 4 || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || k[2] == 0 || k[2]%r.Writes != 0 {
		wrong(fmt.Sprintf("want keys [batch, heads, time, key] and values [batch, heads, time, value] of a time that is a multiple of %d, and at least one token", r.Writes))
	}
	if r.Residual && k[3] != v[3] {
		wrong("a residual model needs keys and values of the same width")
	}
	for _, part := range []*tensor.Tensor{t.Rate, t.Momentum} {
		if part != nil && (part.Rank() != 4 || part.Dim(2) != k[2] || part.Dim(3) != 1) {
			shapes = append(shapes, part.Shape())
			wrong("want rates and momenta [batch, heads, time, 1]")
		}
	}
	if d := t.Decay; d != nil {
		shapes = append(shapes, d.Shape())
		perChannel := d.Rank() == 4 && d.Dim(3) == k[3]
		if d.Rank() != 4 || d.Dim(2)*r.Writes != k[2] || d.Dim(3) != 1 && !perChannel {
			wrong("want a decay [batch, heads, time, 1] or [batch, heads, time, key]")
		}
		if d.Dim(3) != 1 && (r.Depth > 1 || r.Biased) {
			wrong("a decay per channel needs a matrix without bias")
		}
	}
	if r.Window > 1 && r.Writes > 1 {
		wrong("a window goes with one write per token")
	}
	if r.Simplex && r.Biased {
		wrong("weights on a simplex have no bias")
	}
	if r.DecayFirst && r.MiniBatch > 1 {
		wrong("gradients of a mini-batch are taken at its start, not after a decay")
	}
}

// Steps is [Rule.Run] token by token: the reference implementation.
func (r Rule) Steps(shared Shared, s State, t Tokens) (read *tensor.Tensor, next State) {
	r = r.withDefaults()
	r.check(t)
	m := model{r, shared}
	at := func(x *tensor.Tensor, i int64) *tensor.Tensor {
		if x == nil {
			return nil
		}
		return x.Narrow(2, i, 1)
	}
	var reads []*tensor.Tensor
	for i := range t.Key.Dim(2) {
		one := Tokens{Key: at(t.Key, i), Value: at(t.Value, i), Rate: at(t.Rate, i), Momentum: at(t.Momentum, i)}
		if i%r.Writes == 0 {
			one.Decay = at(t.Decay, i/r.Writes)
		}
		s = r.step(m, s, one)
		if t.Query != nil && i%r.Writes == r.Writes-1 {
			reads = append(reads, m.forward(m.effective(s.Weights), at(t.Query, i/r.Writes)).y)
		}
	}
	if t.Query != nil {
		read = tensor.Cat(2, reads...)
	}
	return read, s
}

// step writes one pair.
func (r Rule) step(m model, s State, t Tokens) State {
	position := s.position % r.MiniBatch
	if r.MiniBatch > 1 && position == 0 {
		s.Start = s.Weights
		if m.Positions != nil {
			s.Sum = nil
		}
	}
	kept := s.Weights
	if t.Decay != nil {
		factor := t.Decay.Exp().Transpose(2, 3) // [batch, heads, 1 or key, 1]
		kept = apply(kept, func(_ int, w *tensor.Tensor) *tensor.Tensor { return w.Mul(factor) })
	}
	from := s.Weights
	switch {
	case r.MiniBatch > 1:
		from = s.Start
	case r.DecayFirst:
		from = kept
	}
	next := s
	next.position = (position + 1) % r.MiniBatch
	key, value, seen := r.window(s, t.Key, t.Value)
	next.Seen = seen
	gradients := m.gradients(m.effective(from), key, value)
	rated := func(_ int, g *tensor.Tensor) *tensor.Tensor {
		if t.Rate != nil {
			g = g.Mul(t.Rate)
		}
		return g
	}
	if r.Orthogonal > 0 {
		change := apply(gradients, func(_ int, g *tensor.Tensor) *tensor.Tensor { return g.Neg() })
		if t.Momentum != nil {
			if s.Sum != nil {
				change = apply(change, func(i int, c *tensor.Tensor) *tensor.Tensor { return c.Add(s.Sum[i].Mul(t.Momentum)) })
			}
			next.Sum = change
		}
		next.Weights = add(kept, apply(apply(change, func(_ int, c *tensor.Tensor) *tensor.Tensor { return m.orthogonal(c) }), rated))
		return next
	}
	change := apply(gradients, func(i int, g *tensor.Tensor) *tensor.Tensor { return rated(i, g).Neg() })
	switch {
	case m.Positions != nil:
		next.Sum = add(s.Sum, change)
		factor := m.Positions.Narrow(0, position, 1)
		next.Weights = apply(next.Sum, func(i int, sum *tensor.Tensor) *tensor.Tensor { return s.Start[i].Add(sum.Mul(factor)) })
	case t.Momentum != nil:
		if s.Sum != nil {
			change = apply(change, func(i int, c *tensor.Tensor) *tensor.Tensor { return c.Add(s.Sum[i].Mul(t.Momentum)) })
		}
		next.Sum, next.Weights = change, add(kept, change)
	default:
		next.Weights = add(kept, change)
	}
	return next
}

// window returns tokens with those before them that a window reaches, and what the next token's window has of them.
func (r Rule) window(s State, key, value *tensor.Tensor) (keys, values *tensor.Tensor, seen []*tensor.Tensor) {
	if r.Window == 1 {
		return key, value, nil
	}
	if s.Seen != nil {
		key, value = tensor.Cat(2, s.Seen[0], key), tensor.Cat(2, s.Seen[1], value)
	}
	last := min(r.Window-1, key.Dim(2))
	return key, value, apply([]*tensor.Tensor{key, value}, func(_ int, x *tensor.Tensor) *tensor.Tensor { return x.Narrow(2, x.Dim(2)-last, last) })
}

// newtonSchulz are the coefficients of the iteration X ← aX + (bA + cA²)X, A = XXᵀ, of the optimiser Muon: Jordan et al. 2024.
var newtonSchulz = [3]float64{3.4445, -4.7750, 2.0315}

// orthogonal brings the singular values of a matrix [..., in, out] near to one, in one operation where there is one.
func (m model) orthogonal(x *tensor.Tensor) *tensor.Tensor {
	if !m.HigherOrder && tensor.FusesSteps(x) {
		return tensor.NewtonSchulz(x, newtonSchulz, int64(m.Orthogonal), smooth)
	}
	x = x.Mul(x.Square().SumKeep(-2, -1).AddScalar(smooth).PowScalar(-.5))
	wide := x.Dim(-2) > x.Dim(-1) // the product of the smaller side
	if wide {
		x = x.Transpose(-2, -1)
	}
	for range m.Orthogonal {
		a := x.MatMul(x.Transpose(-2, -1))
		x = x.MulScalar(newtonSchulz[0]).Add(a.MulScalar(newtonSchulz[1]).Add(a.MatMul(a).MulScalar(newtonSchulz[2])).MatMul(x))
	}
	if wide {
		x = x.Transpose(-2, -1)
	}
	return x
}

func apply(xs []*tensor.Tensor, f func(i int, x *tensor.Tensor) *tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(xs))
	for i, x := range xs {
		out[i] = f(i, x)
	}
	return out
}

// add returns a + b, and b where a is nil.
func add(a, b []*tensor.Tensor) []*tensor.Tensor {
	if a == nil {
		return b
	}
	return apply(a, func(i int, x *tensor.Tensor) *tensor.Tensor { return x.Add(b[i]) })
}
