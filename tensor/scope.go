package tensor

// #include <stdlib.h>
// #include "engram.h"
// #cgo CXXFLAGS: -std=c++17 -O3 -g0 -fopenmp -Wno-psabi
// #cgo LDFLAGS: -ldl -lgomp
// #cgo noescape eg_free
// #cgo nocallback eg_free
// #cgo nocallback eg_slot
// #cgo nocallback eg_enter
import "C"

import (
	"runtime"
	"sync/atomic"
	"unsafe"
)

// maxThreads is the number of threads that may hold a scope at once; engram.cpp has the same figure.
const maxThreads = 4096

// innermost holds each thread's innermost open scope, by the thread's slot. It is what a thread-local variable would
// be; a slot is read and written by its own thread only.
var innermost [maxThreads]*Scope

// spare holds, for each thread, the list of a scope that was left, for the next one to fill.
var spare [maxThreads][]*Tensor

// maxSpare bounds what a thread keeps.
const maxSpare = 1 << 12

var live atomic.Int64

// Live returns the number of tensors that have not been freed, over all scopes and owners.
func Live() int64 { return live.Load() }

// A Scope owns the tensors that are made while it is the innermost one of its goroutine.
type Scope struct {
	parent  *Scope
	slot    int
	tensors []*Tensor
}

// Enter opens a scope on this goroutine and ties the goroutine to its thread until the scope is left. Scopes nest and
// are left in the opposite order.
func Enter() *Scope {
	runtime.LockOSThread()
	slot := int(C.eg_enter())
	if slot < 0 {
		runtime.UnlockOSThread()
		panic(&Error{Op: "Enter", Msg: "too many threads hold a scope at once"})
	}
	s := &Scope{parent: innermost[slot], slot: slot, tensors: spare[slot]}
	spare[slot] = nil
	innermost[slot] = s
	return s
}

// Leave frees the scope's tensors. It must be called on the goroutine that entered, innermost scope first.
func (s *Scope) Leave() {
	if innermost[s.slot] != s || int(C.eg_slot()) != s.slot {
		panic(&Error{Op: "Leave", Msg: "the scope is not the innermost one of this goroutine"})
	}
	innermost[s.slot] = s.parent
	var batch [64]unsafe.Pointer
	n := 0
	flush := func() {
		C.eg_free(&batch[0], C.int(n))
		live.Add(int64(-n))
		n = 0
	}
	for _, t := range s.tensors {
		if t.scope != s || t.c == nil {
			continue
		}
		batch[n] = unsafe.Pointer(t.c)
		t.c, t.scope = nil, nil
		if n++; n == len(batch) {
			flush()
		}
	}
	if n > 0 {
		flush()
	}
	if cap(s.tensors) <= maxSpare {
		clear(s.tensors)
		spare[s.slot] = s.tensors[:0]
	}
	s.tensors = nil
	runtime.UnlockOSThread()
}

// Keep hands t to the enclosing scope, or to the caller where there is none, and returns it. A tensor that does not
// belong to s is returned as it is.
func (s *Scope) Keep(t *Tensor) *Tensor {
	if t == nil || t.scope != s {
		return t
	}
	t.scope = s.parent
	if s.parent != nil {
		s.parent.tensors = append(s.parent.tensors, t)
	}
	return t
}

// current returns the innermost scope of this goroutine.
func current(op string) *Scope {
	if slot := int(C.eg_slot()); slot >= 0 {
		if s := innermost[slot]; s != nil {
			return s
		}
	}
	panic(&Error{Op: op, Msg: "no scope is open on this goroutine; call it inside tensor.Do or after tensor.Enter"})
}

// Do runs f in a scope of its own and returns f's error, or the [*Error] that an operation of f panicked with.
func Do(f func() error) (err error) {
	s := Enter()
	defer s.Leave()
	defer Catch(&err)
	return f()
}

// Eval runs f in a scope of its own, hands its result to the enclosing one and frees everything else that f made.
func Eval(f func() *Tensor) *Tensor {
	s := Enter()
	defer s.Leave()
	return s.Keep(f())
}
