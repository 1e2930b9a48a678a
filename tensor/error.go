package tensor

// #include <stdlib.h>
// #include "engram.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// Error is the failure of an operation.
type Error struct {
	Op     string    // the operation's name in this package
	Shapes [][]int64 // the operands' shapes
	Msg    string    // what went wrong
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tensor: %s", e.Op)
	for i, s := range e.Shapes {
		if i == 0 {
			b.WriteString(" of ")
		} else {
			b.WriteString(" and ")
		}
		fmt.Fprint(&b, s)
	}
	b.WriteString(": ")
	b.WriteString(e.Msg)
	return b.String()
}

// Catch, deferred, converts an operation's panic to *err; other panics continue.
//
//	func (n *Net) Predict(x []float32) (y []float32, err error) {
//		defer tensor.Catch(&err)
func Catch(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Error:
		*err = r
	default:
		panic(r)
	}
}

// fail panics with the thread's last LibTorch error.
func fail(op string, operands ...*Tensor) {
	msg := lastError()
	if msg == "" {
		msg = "failed without a message"
	}
	failWith(op, msg, operands...)
}

func failWith(op, msg string, operands ...*Tensor) {
	e := &Error{Op: op, Msg: msg}
	for _, t := range operands {
		if t != nil && t.c != nil {
			e.Shapes = append(e.Shapes, t.Shape())
		}
	}
	panic(e)
}

// lastError returns the message from our slot or gotch's, without the C++ stack trace.
func lastError() string {
	p := C.eg_error()
	if p == nil {
		p = (*C.char)(unsafe.Pointer(libtch.GetAndResetLastErr()))
	}
	if p == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(p))
	msg, _, _ := strings.Cut(C.GoString(p), "\nException raised from")
	return strings.TrimSpace(msg)
}
