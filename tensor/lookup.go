package tensor

// #include "internal/kernels/memory/attention.h"
// #include "internal/kernels/memory/lookup.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// EmbeddingBag returns the sum of the weighted rows of a table [rows, width] for each bag, [bags, width]: bag i is
// the indices [n] (int64) from offsets[i] to the next bag's, each with its weight [n]. Bags may be empty. The weights
// get no gradient. If [FusesSteps] holds for the table it is one operation of Engram, without a second-order
// gradient: LibTorch's operation sorts the indices for the gradient, which takes longer than the sums. Otherwise it
// is LibTorch's.
func EmbeddingBag(table, indices, offsets, weights *Tensor) *Tensor {
	const op, sum = "EmbeddingBag", 0
	if FusesSteps(table) {
		bags := C.eg_embedding_bag(unsafe.Pointer(table.ptr(op)), unsafe.Pointer(indices.ptr(op)), unsafe.Pointer(offsets.ptr(op)), unsafe.Pointer(weights.ptr(op)))
		return result(op, libtch.Ctensor(bags), table, indices, offsets, weights)
	}
	var out [4]libtch.Ctensor
	libtch.AtgEmbeddingBag(&out[0], table.ptr(op), indices.ptr(op), offsets.ptr(op), 0, sum, 0, weights.ptr(op), 0)
	bags := result(op, out[0], table, indices, offsets, weights)
	for _, c := range out[1:] { // used only by its mean and maximum
		libtch.AtFree(c)
	}
	return bags
}

// Attend reads values [batch, slots, value] by the dot products of queries [batch, queries, key] with keys [batch,
// slots, key], times a scale and, if softmax is set, through a softmax over the slots. It returns the weighted sums
// [batch, queries, value] and the weights, the attention [batch, queries, slots]. It requires [FusesSteps] and has no
// second-order gradient. The reference implementation is the read of memory.KeyValue with metric.Dot.
func Attend(queries, keys, values *Tensor, scale float64, softmax bool) (read, attention *Tensor) {
	const op = "Attend"
	var out [2]unsafe.Pointer
	ok := C.eg_attend(unsafe.Pointer(queries.ptr(op)), unsafe.Pointer(keys.ptr(op)), unsafe.Pointer(values.ptr(op)), C.double(scale), C.int(truth(softmax)), &out[0])
	all := several(op, out[:], ok == 0, queries, keys, values)
	return all[0], all[1]
}

// AttendHeads is multi-head attention: for each of the heads, which share the width equally, softmax(q·kᵀ/√(width/heads) + mask)·v
// for queries [batch, queries, width], and keys and values [batch, keys, width]. mask is nil or is broadcast to [batch, heads,
// queries, keys]; it gets no gradient. The result is [batch, queries, width]. It requires [FusesSteps] and has no second-order
// gradient. The reference implementation is nn.Attention.
func AttendHeads(queries, keys, values, mask *Tensor, heads int64) *Tensor {
	const op = "AttendHeads"
	operands := []*Tensor{queries, keys, values}
	var hidden unsafe.Pointer
	if mask != nil {
		hidden = unsafe.Pointer(mask.ptr(op))
		operands = append(operands, mask)
	}
	read := C.eg_attend_heads(unsafe.Pointer(queries.ptr(op)), unsafe.Pointer(keys.ptr(op)), unsafe.Pointer(values.ptr(op)), hidden, C.int64_t(heads))
	return result(op, libtch.Ctensor(read), operands...)
}
