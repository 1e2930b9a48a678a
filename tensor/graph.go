package tensor

// #include "internal/kernels/runtime/graph.h"
import "C"

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"unsafe"

	"github.com/sugarme/gotch/libtch"
)

// GraphsBuilt reports whether this build has CUDA graphs: LibTorch is one for CUDA, and CUDA's headers were there.
func GraphsBuilt() bool { return C.eg_graphs_built() != 0 }

// Graphs are computations on one device that never run at the same time and whose results are used before another one of
// them runs. They share memory.
type Graphs struct {
	on Device
	c  unsafe.Pointer // nil on the CPU
}

// NewGraphs returns an empty set of graphs. On a CUDA device it is an error if this build has no CUDA graphs.
func NewGraphs(on Device) (*Graphs, error) {
	g := &Graphs{on: on}
	if on != CPU {
		if g.c = C.eg_graphs_new(C.int(on)); g.c == nil {
			return nil, &Error{Op: "NewGraphs", Msg: lastError()}
		}
	}
	return g, nil
}

// Free releases the set, whose graphs must have been freed.
func (g *Graphs) Free() {
	if g != nil && g.c != nil {
		C.eg_graphs_free(g.c)
		g.c = nil
	}
}

// A Graph is a computation that is repeated many times on the same operands, whose values change in between. On a CUDA device it
// is captured once, as a CUDA graph, and then replayed: the device gets hundreds of operations with one call.
//
// [Graph.Run] runs the function the first time and records what it copies from Go to the device; it runs it the second time and
// compares; from the third time on it replays. A replay computes on the operands' memory and overwrites the results of the one
// before. What the function copies to the device is a constant of the graph. A function that copies other values the second time,
// reads values, or computes on several goroutines cannot be captured: [Graph.Problem] says so, and Run goes on running it.
//
// On the CPU a replay runs the function too, into the same results, and panics where the function does what a capture would not
// notice. This is slower than the function alone; it is there to test on any machine what depends on graphs.
type Graph struct {
	set   *Graphs
	f     func() []*Tensor
	runs  int
	trace trace
	c     unsafe.Pointer // the CUDA graph
	kept  []*Tensor      // the tensors of the capture
	out   []*Tensor      // what a replay overwrites
}

// New returns the graph of a function. Its results may have nil elements, always the same ones.
func (g *Graphs) New(f func() []*Tensor) *Graph {
	return &Graph{set: g, f: f, trace: trace{seed: maphash.MakeSeed()}}
}

// Problem says why the computation is not captured, or "". It is known after the second run.
func (g *Graph) Problem() string { return g.trace.problem }

// Replays reports whether the next run is a replay.
func (g *Graph) Replays() bool { return g.out != nil }

// rehearsals is the number of runs before the capture.
const rehearsals = 2

// Run runs the computation. Results of the first two runs belong to the innermost scope. Later ones belong to the graph; the next
// run overwrites them, and no gradient flows through them. It panics like the function, and where a capture fails.
func (g *Graph) Run() []*Tensor {
	switch {
	case g.Problem() != "":
		return g.f()
	case g.runs < rehearsals:
		g.runs++
		return g.rehearse()
	case g.set.c == nil:
		g.imitate()
		return g.out
	case g.c == nil:
		g.capture()
	}
	if C.eg_graph_replay(g.c) != 0 {
		fail("Graph")
	}
	return g.out
}

// rehearse runs the function and records what it does, or compares it with the first run. It runs where the capture will, so that
// the libraries below have what they keep for a stream.
func (g *Graph) rehearse() (out []*Tensor) {
	g.aside(func() {
		g.trace.first, g.trace.strict = g.runs == 1, false
		out = g.trace.run(g.f)
	})
	return out
}

// aside calls f on the stream of the graphs.
func (g *Graph) aside(f func()) {
	if g.set.c == nil {
		f()
		return
	}
	current("Graph")
	if C.eg_graphs_enter(g.set.c) != 0 {
		fail("Graph")
	}
	defer func() {
		if C.eg_graphs_leave(g.set.c) != 0 {
			fail("Graph")
		}
	}()
	f()
}

// capture captures the function on the stream of the graphs.
func (g *Graph) capture() {
	const op = "Graph"
	g.trace.first, g.trace.strict = false, true
	g.aside(func() {
		s := Enter()
		defer s.Leave()
		if C.eg_graph_begin(g.set.c) != 0 {
			fail(op)
		}
		ended := false
		defer func() {
			if !ended {
				C.eg_graph_drop(g.set.c)
			}
		}()
		out := g.trace.run(g.f)
		ended = true
		if g.c = C.eg_graph_end(g.set.c); g.c == nil {
			fail(op)
		}
		// The graph computes on the memory of these tensors.
		g.kept = s.disown()
		for _, t := range out {
			if t != nil {
				t = t.Detach().Own()
			}
			g.out = append(g.out, t)
		}
	})
}

// imitate is a replay on the CPU.
func (g *Graph) imitate() {
	g.trace.first, g.trace.strict = false, true
	out := g.trace.run(g.f) // in the caller's scope: others than the results may be read, too
	if g.out == nil {
		g.out = make([]*Tensor, len(out))
		for i, t := range out {
			if t != nil {
				g.out[i] = Empty(t.DType(), t.Device(), t.Shape()...).Own()
			}
		}
	}
	for i, t := range out {
		if t != nil {
			g.out[i].Assign(t.Detach())
		}
	}
}

// Free releases the graph and its results.
func (g *Graph) Free() {
	if g.c != nil {
		C.eg_graph_free(g.c)
		g.c = nil
	}
	for _, list := range [][]*Tensor{g.out, g.kept, g.trace.constants} {
		for _, t := range list {
			t.Free()
		}
	}
	g.out, g.kept, g.trace.constants = nil, nil, nil
}

// disown removes all tensors from s and returns them.
func (s *Scope) disown() (all []*Tensor) {
	for _, t := range s.tensors {
		if t.scope == s && t.c != nil {
			t.scope = nil
			all = append(all, t)
		}
	}
	return all
}

// traces is the number of traces that are recording, so that operations outside them pay for one comparison.
var traces atomic.Int32

// A trace watches the copies between Go's memory and the device of a function that is captured.
type trace struct {
	seed    maphash.Seed
	first   bool // records
	strict  bool // panics where the function cannot be captured
	problem string

	copies    []uint64  // checksums of what the first run copied
	copied    int       // of this run
	constants []*Tensor // what the first run copied to a CUDA device
	used      int       // of this run

	elsewhere atomic.Bool // other goroutines have computed for it
}

// run calls f under the trace.
func (t *trace) run(f func() []*Tensor) []*Tensor {
	own := current("Graph").slot
	if own.trace != nil {
		panic(&Error{Op: "Graph", Msg: "a graph runs inside another one"})
	}
	t.copied, t.used = 0, 0
	traces.Add(1)
	own.trace = t
	defer func() {
		own.trace = nil
		traces.Add(-1)
	}()
	out := f()
	if t.elsewhere.Load() {
		t.refuse("Beside", "computes on several goroutines")
	}
	if t.copied < len(t.copies) {
		t.refuse("Graph", "copies less data to the device than the first time")
	}
	return out
}

// tracing returns the trace of this goroutine, or nil.
func tracing() *trace {
	if traces.Load() == 0 {
		return nil
	}
	return threadSlot().trace
}

// Untraced runs f inside a computation of a [Graph] and leaves out its copies: for values that the caller renews before each run.
func Untraced(f func()) {
	t := tracing()
	if t == nil {
		f()
		return
	}
	own := threadSlot()
	own.trace = nil
	defer func() { own.trace = t }()
	f()
}

func (t *trace) refuse(op, what string) {
	if t.strict {
		panic(&Error{Op: op, Msg: "the computation is captured, and " + what})
	}
	if t.problem == "" {
		t.problem = fmt.Sprintf("it %s (%s)", what, op)
	}
}

// reads notes that an operation reads values of a tensor.
func (t *trace) reads(op string) {
	if t != nil {
		t.refuse(op, "reads values of a tensor")
	}
}

// copiesFrom notes that an operation copies data from Go's memory.
func (t *trace) copiesFrom(op string, data []byte) {
	if t == nil {
		return
	}
	sum := maphash.Bytes(t.seed, data)
	switch {
	case t.first:
		t.copies = append(t.copies, sum)
	case t.copied >= len(t.copies) || t.copies[t.copied] != sum:
		t.refuse(op, "copies other data to the device each time")
	}
	t.copied++
}

// crosses returns the tensor that copy makes on a CUDA device: in a capture the one that the first run made, because there
// is no copying from Go's memory in a graph.
func (t *trace) crosses(op string, copy func() *Tensor) *Tensor {
	if t == nil {
		return copy()
	}
	if t.strict {
		if t.used == len(t.constants) {
			t.refuse(op, "copies more data to the device than the first time")
		}
		c := t.constants[t.used]
		t.used++
		return unary(op, libtch.AtgDetach, c)
	}
	out := copy()
	if t.first {
		c := Empty(out.DType(), out.Device(), out.Shape()...)
		c.Assign(out)
		t.constants = append(t.constants, c.Own())
	}
	return out
}
