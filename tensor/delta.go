package tensor

// #include "internal/kernels/memory/delta.h"
import "C"

import "unsafe"

// DeltaTokens are what sequences write and ask in [Delta]. All are [batch, heads, time, ...].
type DeltaTokens struct {
	Key, Value *Tensor // [..., key] and [..., value]
	Rate       *Tensor // [..., 1]
	Decay      *Tensor // [..., 1] or [..., key], the logarithm of the factor that the state, or a row of it, keeps before each write; nil keeps all
	Query      *Tensor // [..., key]; nil reads nothing
}

// Delta writes tokens to matrices [batch, heads, key, value] by the delta rule, or by linear attention unless squared is set, and
// returns what each token reads after its own write, [batch, heads, time, value], nil without queries, and the matrices after the
// last token. A sequence is one operation forward and one backward, token by token; each thread has its own sequences, and results do
// not depend on the number of threads. It requires [FusesSteps] and has no second-order gradient. The reference implementation is in
// package memory/fastweight.
func Delta(state *Tensor, t DeltaTokens, squared bool) (read, next *Tensor) {
	const op = "Delta"
	operands := []*Tensor{state, t.Key, t.Value, t.Rate}
	optional := func(x *Tensor) unsafe.Pointer {
		if x == nil {
			return nil
		}
		operands = append(operands, x)
		return unsafe.Pointer(x.ptr(op))
	}
	decay, query := optional(t.Decay), optional(t.Query)
	var out [2]unsafe.Pointer
	n := C.eg_delta(unsafe.Pointer(state.ptr(op)), unsafe.Pointer(t.Key.ptr(op)), unsafe.Pointer(t.Value.ptr(op)), unsafe.Pointer(t.Rate.ptr(op)),
		decay, query, C.int(truth(squared)), &out[0])
	all := several(op, out[:max(n, 0)], n > 0, operands...)
	if t.Query == nil {
		return nil, all[0]
	}
	return all[0], all[1]
}
