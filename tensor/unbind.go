package tensor

// #include <stdlib.h>
import "C"

import (
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Unbind returns the elements of a dimension, which it removes, without copying. Where a gradient flows through all of
// them it costs one pass over t; a Select each costs one pass an element.
func (t *Tensor) Unbind(dim int) []*Tensor {
	n := t.Dim(dim)
	list := libtch.AtgUnbind(t.ptr("Unbind"), int64(dim))
	if list == nil {
		fail("Unbind", t)
	}
	defer C.free(unsafe.Pointer(list))
	out := make([]*Tensor, n)
	for i, c := range unsafe.Slice(list, n) {
		out[i] = adopt("Unbind", c)
	}
	return out
}
