package tensor

// #include "internal/kernels/memory/lookup.h"
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// EmbeddingBag returns a sum of weighted rows of a table [rows, width] for each bag, [bags, width]: bag i is the indices
// [n] (int64) from offsets[i] on to the next bag's, each with its weight [n]. A bag may be empty. No gradient goes to the
// weights. Where [FusesSteps] says so of the table it is one operation of Engram's, without a second-order gradient, since
// LibTorch's sorts the indices for its gradient, which takes longer than the sums; else it is LibTorch's.
func EmbeddingBag(table, indices, offsets, weights *Tensor) *Tensor {
	const op, sum = "EmbeddingBag", 0
	if FusesSteps(table) {
		bags := C.eg_embedding_bag(unsafe.Pointer(table.ptr(op)), unsafe.Pointer(indices.ptr(op)), unsafe.Pointer(offsets.ptr(op)), unsafe.Pointer(weights.ptr(op)))
		return result(op, libtch.Ctensor(bags), table, indices, offsets, weights)
	}
	var out [4]libtch.Ctensor
	libtch.AtgEmbeddingBag(&out[0], table.ptr(op), indices.ptr(op), offsets.ptr(op), 0, sum, 0, weights.ptr(op), 0)
	bags := result(op, out[0], table, indices, offsets, weights)
	for _, c := range out[1:] { // which only its mean and maximum have a use for
		libtch.AtFree(c)
	}
	return bags
}

// Attend reads values [batch, slots, value] by how far the queries [batch, queries, key] go along the keys [batch, slots,
// key]: their dot products times a scale, through a softmax over the slots where it says so, weigh the values. It returns the
// sums [batch, queries, value] and the attention [batch, queries, slots]. It takes what [FusesSteps] says, and has no
// second-order gradient. Its twin is memory.KeyValue's read by metric.Dot.
func Attend(queries, keys, values *Tensor, scale float64, softmax bool) (read, attention *Tensor) {
	const op = "Attend"
	var out [2]unsafe.Pointer
	ok := C.eg_attend(unsafe.Pointer(queries.ptr(op)), unsafe.Pointer(keys.ptr(op)), unsafe.Pointer(values.ptr(op)), C.double(scale), C.int(truth(softmax)), &out[0])
	all := several(op, out[:], ok == 0, queries, keys, values)
	return all[0], all[1]
}
