package tensor

// #include "internal/kernels/memory/tokens.h"
import "C"

import "unsafe"

// TokenFeatures is a map of keys and queries, elementwise.
type TokenFeatures int

const (
	// TokenIdentity leaves them as they are.
	TokenIdentity TokenFeatures = iota
	// TokenELU is elu(x) + 1.
	TokenELU
	// TokenSiLU is x·σ(x).
	TokenSiLU
)

// An Emission says what a linear layer emits for each token of a fast-weight memory, in this order, each part for all heads: a query
// [key], and of each write a key [key], a value [value] and, where there are such, a rate [1]; a decay [channels]; and of each write
// a momentum [1]. Package memory/fastweight documents the parts.
type Emission struct {
	Heads, Key, Value, Writes int64
	Features                  TokenFeatures
	Unit                      float64 // added to the squared length of features that are normalised; 0 leaves them as they are
	QueryScale                float64 // multiplies queries
	MaxRate                   float64 // of the rates; 0 for none
	Channels                  int64   // of the decay: 0 for none, 1, or Key
	Momentum                  bool
	Ones                      bool // whether a one follows each value
}

// Width is the number of values of a token.
func (e Emission) Width() int64 {
	perWrite := e.Key + e.Value
	if e.MaxRate > 0 {
		perWrite++
	}
	if e.Momentum {
		perWrite++
	}
	return e.Heads * (e.Key + e.Channels + e.Writes*perWrite)
}

// FastWeightTokens returns what emissions [batch, time, width] write and ask, each part as in [DeltaTokens], and the momenta,
// [batch, heads, time·writes, 1]: keys and queries through their features, rates and momenta through a sigmoid, and decays as
// -e^A·softplus(x + b) with the rates A [heads] and the biases b [heads, channels]. Parts that are not there are nil. It is one
// operation forward and one backward, requires [FusesSteps] and has no second-order gradient. The reference implementation is in
// package memory/fastweight.
func FastWeightTokens(e Emission, x, decayRate, decayBias *Tensor) (tokens DeltaTokens, momentum *Tensor) {
	const op = "FastWeightTokens"
	how := C.struct_eg_emission{
		heads: C.int64_t(e.Heads), key: C.int64_t(e.Key), value: C.int64_t(e.Value), writes: C.int64_t(e.Writes), channels: C.int64_t(e.Channels),
		features: C.int(e.Features), unit: C.double(e.Unit), query_scale: C.double(e.QueryScale), max_rate: C.double(e.MaxRate),
		momentum: C.int(truth(e.Momentum)), ones: C.int(truth(e.Ones)),
	}
	operands := []*Tensor{x}
	var rate, bias unsafe.Pointer
	if e.Channels > 0 {
		operands = append(operands, decayRate, decayBias)
		rate, bias = unsafe.Pointer(decayRate.ptr(op)), unsafe.Pointer(decayBias.ptr(op))
	}
	var out [6]unsafe.Pointer
	n := C.eg_fast_weight_tokens(&how, unsafe.Pointer(x.ptr(op)), rate, bias, &out[0])
	all := several(op, out[:max(n, 0)], n > 0, operands...)
	take := func(there bool) *Tensor {
		if !there {
			return nil
		}
		t := all[0]
		all = all[1:]
		return t
	}
	tokens = DeltaTokens{Query: take(true), Key: take(true), Value: take(true), Rate: take(e.MaxRate > 0), Decay: take(e.Channels > 0)}
	return tokens, take(e.Momentum)
}
