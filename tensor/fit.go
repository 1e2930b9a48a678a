package tensor

// #include "internal/kernels/memory/fit.h"
import "C"

import "unsafe"

// FitRule says what models [Fit] writes, and what a write reduces. Package memory/fastweight documents the parts.
type FitRule struct {
	Layers           int // with a GELU between them, in its tanh form
	Biased, Residual bool
	Loss             FitLoss
	Threshold, P     float64 // of the losses
	LossScale        float64
	NormEps          float64 // of a residual model
	Window           int64   // at least 1
	// Simplex keeps columns of weights on a simplex, Orthogonal makes changes orthogonal by so many steps of [NewtonSchulz] with the
	// coefficients Newton. They exclude each other, biases and positions.
	Simplex    bool
	Orthogonal int64
	Newton     [3]float64
}

// FitLoss is what a write reduces, for the model's output y for a key and the value v, with the error e = y - v.
type FitLoss int

const (
	// FitDot is -⟨y, v⟩.
	FitDot FitLoss = iota
	// FitSquared is ½‖e‖².
	FitSquared
	// FitHuber is ½‖e‖² where ‖e‖ is at most the threshold, and the threshold times Σ|eᵢ| beyond it.
	FitHuber
	// FitPNorm is Σ|eᵢ|ᵖ.
	FitPNorm
)

// FitState is what a mini-batch of tokens begins with: weights [batch, heads, in, out] of each layer, and after each its bias [batch,
// heads, 1, out] if there are biases; the momenta of these, or the sums of their changes in this mini-batch, nil for zero; and the
// weights at which gradients are taken, nil for Weights.
type FitState struct{ Weights, Sums, Starts []*Tensor }

// FitTokens are n tokens of a mini-batch. All but Key, Value and what is shared are [batch, heads, n, ...].
type FitTokens struct {
	Key, Value *Tensor // [batch, heads, tokens, width], those of the mini-batch and the earlier ones that the window reaches
	Query      *Tensor // [..., key]; nil reads nothing
	Rate       *Tensor // [..., 1]; nil stands for ones
	Decay      *Tensor // [..., 1], logarithms; nil keeps all
	Momentum   *Tensor // [..., 1]; nil for none
	// Positions [n] are factors of the sum of changes so far, which is added to Weights; they exclude Decay and Momentum.
	Positions  *Tensor
	Gain, Bias *Tensor // of the layer norm of a residual model, [heads, 1, value]
}

// FitLayers is how many layers [Fit] takes at most.
const FitLayers = 8

// Fit writes a mini-batch of tokens to models and returns what each token reads after its own write, [batch, heads, n, value], nil
// without queries, the weights after the last, and with momenta or positions the sums. All gradients are taken at the weights before
// the first token. It is one operation forward and one backward, in which each thread has its own sequences, and results do not depend
// on the number of threads; the backward pass computes again instead of storing what lies between. It requires [FusesSteps] and has
// no second-order gradient. The reference implementation is in package memory/fastweight.
func Fit(r FitRule, s FitState, t FitTokens, n int64) (read *Tensor, weights, sums []*Tensor) {
	const op = "Fit"
	var operands []*Tensor
	pointer := func(x *Tensor) unsafe.Pointer {
		if x == nil {
			return nil
		}
		operands = append(operands, x)
		return unsafe.Pointer(x.ptr(op))
	}
	each := r.Layers
	if r.Biased {
		each *= 2
	}
	layers := func(xs []*Tensor) *unsafe.Pointer {
		if xs == nil {
			return nil
		}
		if len(xs) != each {
			panic(&Error{Op: op, Msg: "want a tensor for each layer, and for each bias"})
		}
		operands = append(operands, xs...)
		return first(pointers(op, xs))
	}
	rule := C.struct_eg_fit_rule{
		layers: C.int64_t(r.Layers), window: C.int64_t(max(r.Window, 1)), loss: C.int(r.Loss), biased: C.int(truth(r.Biased)),
		residual: C.int(truth(r.Residual)), threshold: C.double(r.Threshold), p: C.double(r.P), scale: C.double(r.LossScale), eps: C.double(r.NormEps),
		simplex: C.int(truth(r.Simplex)), orthogonal: C.int64_t(r.Orthogonal),
		newton: [3]C.double{C.double(r.Newton[0]), C.double(r.Newton[1]), C.double(r.Newton[2])},
	}
	out := make([]unsafe.Pointer, 1+2*each)
	count := C.eg_fit(&rule, C.int64_t(n), layers(s.Weights), layers(s.Sums), layers(s.Starts), pointer(t.Key), pointer(t.Value),
		pointer(t.Query), pointer(t.Rate), pointer(t.Decay), pointer(t.Momentum), pointer(t.Positions), pointer(t.Gain), pointer(t.Bias), &out[0])
	all := several(op, out[:max(count, 0)], count > 0, operands...)
	if t.Query != nil {
		read, all = all[0], all[1:]
	}
	if len(all) > each {
		sums = all[each:]
	}
	return read, all[:each], sums
}
