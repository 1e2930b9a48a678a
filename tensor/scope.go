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
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// MaxScopes is the maximum number of goroutines that hold scopes at once; others wait until one leaves its outermost
// scope. [Do] documents the cost of a scope.
const MaxScopes = 1024

// places has one element per goroutine that holds a scope.
var places = make(chan struct{}, MaxScopes)

// maxSlots is the number of threads with a slot in slots; runtime.cpp has the same constant.
const maxSlots = 4096

// A slot replaces a thread-local variable. Only its own thread uses it, but Go's memory model does not know threads:
// goroutines that run on one thread in turn are ordered by innermost, which each of them stores last and loads first.
type slot struct {
	innermost atomic.Pointer[Scope] // the innermost open scope of the thread
	gradAsked atomic.Bool           // whether the innermost of WithGrad and NoGrad is WithGrad
	spare     []*Tensor             // the list of a left scope, for reuse
	trace     *trace                // watches copies for a [Graph]; usually nil
}

var slots [maxSlots]slot

// furtherSlots holds the slots of threads after the first maxSlots, by the thread's number.
var furtherSlots sync.Map

// threadSlot returns the slot of this thread, to which the goroutine must be locked.
func threadSlot() *slot { return slotAt(int(C.eg_slot())) }

// slotAt returns slot i, or this thread's further slot if i is negative.
func slotAt(i int) *slot {
	if i >= 0 {
		return &slots[i]
	}
	id := syscall.Gettid()
	if s, ok := furtherSlots.Load(id); ok {
		return s.(*slot)
	}
	s, _ := furtherSlots.LoadOrStore(id, new(slot))
	return s.(*slot)
}

// maxSpare limits the size of a list that is kept for reuse.
const maxSpare = 1 << 12

var live atomic.Int64

// Live returns the number of tensors that have not been freed, over all scopes and owners. Tensors held only by
// autograd graphs do not count.
func Live() int64 { return live.Load() }

// A Scope owns the tensors that are made while it is the innermost scope of its goroutine.
type Scope struct {
	parent  *Scope
	slot    *slot
	placed  bool // counts towards MaxScopes
	tensors []*Tensor
}

// Enter opens a scope on this goroutine and locks the goroutine to its thread until the scope is left. Scopes nest
// and are left in reverse order. A goroutine without a scope waits while [MaxScopes] others hold some.
func Enter() *Scope {
	s, _ := enter(context.Background(), true) // no error: this context never ends
	return s
}

// enter opens a scope, which occupies a place if it is the goroutine's outermost one and placed is set. It returns
// the context's error if the context ends before a place is free.
func enter(ctx context.Context, placed bool) (*Scope, error) {
	runtime.LockOSThread()
	own := threadSlot()
	parent := own.innermost.Load()
	if placed = placed && parent == nil; placed {
		select {
		case places <- struct{}{}:
		default: // wait without a thread
			runtime.UnlockOSThread()
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return nil, fmt.Errorf("tensor: waiting for one of %d scopes to be left: %w", MaxScopes, ctx.Err())
			}
			runtime.LockOSThread()
			own = threadSlot()
			own.innermost.Load() // orders the thread's goroutines
		}
	}
	C.eg_enter()
	s := &Scope{parent: parent, slot: own, placed: placed, tensors: own.spare}
	own.spare = nil
	own.innermost.Store(s)
	return s, nil
}

// Innermost returns the innermost open scope of this goroutine, or nil.
func Innermost() *Scope {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return threadSlot().innermost.Load()
}

// Beside opens a scope on this goroutine, which works for the goroutine that holds s. It does not count towards
// [MaxScopes], so that goroutines that hold scopes and wait for their helpers never block one another. s must stay
// open until the scope is left. On a nil s it is [Enter].
func (s *Scope) Beside() *Scope {
	beside, _ := enter(context.Background(), s == nil)
	if s != nil && traces.Load() != 0 && s.slot != beside.slot {
		if t := s.slot.trace; t != nil {
			t.elsewhere.Store(true)
		}
	}
	return beside
}

// Leave frees the scope's tensors. It must be called on the goroutine that entered, innermost scope first.
func (s *Scope) Leave() {
	if own := threadSlot(); own != s.slot || own.innermost.Load() != s {
		panic(&Error{Op: "Leave", Msg: "the scope is not the innermost one of this goroutine"})
	}
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
		s.slot.spare = s.tensors[:0]
	}
	s.tensors = nil
	s.slot.innermost.Store(s.parent)
	runtime.UnlockOSThread()
	if s.placed {
		<-places
	}
}

// Keep moves t to the enclosing scope, or to the caller if there is none, and returns it. It does nothing if t does
// not belong to s.
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
	if s := threadSlot().innermost.Load(); s != nil {
		return s
	}
	panic(&Error{Op: op, Msg: "no scope is open on this goroutine; call it inside tensor.Do or after tensor.Enter"})
}

// Do runs f in a new scope and returns f's error, or the [*Error] that an operation of f panicked with.
//
// Entering and leaving a scope takes less than a microsecond. A goroutine that holds a scope occupies an OS thread,
// about 250 kB of memory and, if operations use several threads ([SetThreads]), a team of threads. At most
// [MaxScopes] goroutines hold scopes at once; others wait in Do without a thread. If MaxScopes goroutines hold scopes
// and wait for other goroutines to enter theirs, they wait forever: use [Scope.Beside] in the others, or limit the
// wait with [DoContext]. More goroutines than processor cores do not compute faster, so a service should admit fewer
// than MaxScopes.
func Do(f func() error) error { return DoContext(context.Background(), f) }

// DoContext is [Do] with a limited wait: if ctx ends before f begins, it returns an error that wraps the context's,
// and f does not run. It does not interrupt f.
func DoContext(ctx context.Context, f func() error) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("tensor: %w", err)
	}
	s, err := enter(ctx, true)
	if err != nil {
		return err
	}
	defer s.Leave()
	defer Catch(&err)
	return f()
}

// Eval runs f in a new scope, moves its result to the enclosing one and frees all other tensors of f.
func Eval(f func() *Tensor) *Tensor {
	s := Enter()
	defer s.Leave()
	return s.Keep(f())
}
