package memory

import (
	"errors"
	"fmt"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Restorer is a memory whose states can be saved and restored. All memories of this package implement it.
type Restorer interface {
	// Restore returns the state whose [State.Tensors] are ts, in any order. The state holds the tensors, not copies.
	// For a file read by [nn.Open], [nn.State.Tensors] returns ts. No tensors give the empty state, if the memory has
	// one. The error lists every tensor that is missing, unknown, or of a shape or type that does not match the
	// memory's settings.
	Restore(ts []nn.Named) (State, error)
}

// Own moves a state's tensors out of their scopes, to keep them until [Free]. A state written outside training holds
// no graph, so its tensors are all the memory that it needs.
func Own(s State) State {
	for _, t := range allTensors(s) {
		t.Own()
	}
	return s
}

// Free frees the tensors of a state returned by [Own], except those that the following state, next, shares. next may
// be nil.
func Free(s, next State) {
	var kept []*tensor.Tensor
	if next != nil {
		kept = allTensors(next)
	}
	for _, t := range allTensors(s) {
		if !slices.Contains(kept, t) {
			t.Free()
		}
	}
}

// allTensors returns all tensors of a state, also those that need not be saved.
func allTensors(s State) []*tensor.Tensor {
	if h, ok := s.(interface{ held() []*tensor.Tensor }); ok {
		return h.held()
	}
	var out []*tensor.Tensor
	for _, n := range s.Tensors() {
		out = append(out, n.Tensor)
	}
	if d, ok := s.(DNCState); ok && d.mask != nil {
		out = append(out, d.mask)
	}
	return out
}

// stateOf converts a state to the memory's own type, or panics.
func stateOf[S State](op string, s State) S {
	own, ok := s.(S)
	if !ok {
		panic(&tensor.Error{Op: op, Msg: fmt.Sprintf("the state is %s, want %T; start with the memory's Init or Restore", typeOf(s), own)})
	}
	return own
}

func typeOf(s State) string {
	if s == nil {
		return "nil"
	}
	return fmt.Sprintf("%T", s)
}

// anySize is a size that the memory's settings do not determine.
const anySize = -1

// restored reads the tensors of a saved state and collects errors.
type restored struct {
	memory string
	left   map[string]*tensor.Tensor
	batch  int64
	dtype  tensor.DType
	errs   []error
}

func restore(memory string, ts []nn.Named) *restored {
	r := &restored{memory: memory, left: map[string]*tensor.Tensor{}, batch: anySize}
	for _, t := range ts {
		switch {
		case t.Tensor == nil:
			r.fault("%s is nil", t.Name)
		case r.left[t.Name] != nil:
			r.fault("duplicate tensor %s", t.Name)
		}
		r.left[t.Name] = t.Tensor
	}
	return r
}

func (r *restored) fault(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

// has reports whether a tensor of this name is left.
func (r *restored) has(name string) bool { return r.left[name] != nil }

// take returns the tensor of this name, or nil after a fault. Its sizes after the batch must be those given; batch
// and type must be those of earlier tensors.
func (r *restored) take(name string, sizes ...int64) *tensor.Tensor {
	t, ok := r.left[name]
	delete(r.left, name)
	if t == nil {
		if !ok {
			r.fault("%s is missing", name)
		}
		return nil
	}
	shape, dtype := t.Shape(), t.DType()
	want := append([]int64{r.batch}, sizes...)
	fits := len(shape) == len(want)
	for i := range want {
		fits = fits && (want[i] == anySize || shape[i] == want[i]) && shape[i] > 0
	}
	if !fits {
		r.fault("%s has the shape %v, want %s", name, shape, sizesString(want))
		return nil
	}
	switch {
	case dtype != tensor.Float32 && dtype != tensor.Float64 && dtype != tensor.BFloat16:
		r.fault("%s is %v, want a floating-point type", name, dtype)
		return nil
	case r.batch != anySize && dtype != r.dtype:
		r.fault("%s is %v, the other tensors are %v", name, dtype, r.dtype)
		return nil
	}
	r.batch, r.dtype = shape[0], dtype
	return t
}

// takeCount returns the value of an int64 tensor [1] between least and most, or 0 after a fault.
func (r *restored) takeCount(name string, least, most int64) int64 {
	t, ok := r.left[name]
	delete(r.left, name)
	switch {
	case t == nil:
		if !ok {
			r.fault("%s is missing", name)
		}
	case t.DType() != tensor.Int64 || !slices.Equal(t.Shape(), []int64{1}):
		r.fault("%s is %v of the shape %v, want int64 of the shape [1]", name, t.DType(), t.Shape())
	default:
		v := tensor.Values[int64](t)[0]
		if v >= least && v <= most {
			return v
		}
		r.fault("%s is %d, want %d to %d", name, v, least, most)
	}
	return 0
}

// done returns an error that lists all faults, or nil.
func (r *restored) done() error {
	var unknown []string
	for name := range r.left {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		r.fault("%s is not a tensor of this memory's state", name)
	}
	if len(r.errs) == 0 {
		return nil
	}
	return fmt.Errorf("memory: the state does not match %s: %w", r.memory, errors.Join(r.errs...))
}

// size returns dimension i of a tensor that may be missing.
func size(t *tensor.Tensor, i int) int64 {
	if t == nil {
		return anySize
	}
	return t.Dim(i)
}

func sizesString(sizes []int64) string {
	s := "["
	for i, n := range sizes {
		if i > 0 {
			s += " "
		}
		if n == anySize {
			s += "any"
		} else {
			s += fmt.Sprint(n)
		}
	}
	return s + "]"
}

// Restore implements [Restorer].
func (m *KeyValue) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	if len(ts) == 0 {
		return m.Init(0), nil
	}
	r := restore("a key-value memory", ts)
	keys := r.take("keys", anySize, anySize)
	values := r.take("values", size(keys, 1), anySize)
	return KeyValueState{keys, values}, r.done()
}

// Restore implements [Restorer].
func (m *Prototype) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	if len(ts) == 0 {
		return m.Init(0), nil
	}
	r := restore("a prototype memory of this metric", ts)
	s := PrototypeState{Sums: r.take("sums", anySize, anySize)}
	s.Counts = r.take("counts", size(s.Sums, 1), 1)
	if m.fitted() {
		s.Scatters = r.take("scatters", size(s.Sums, 1), size(s.Sums, 2), size(s.Sums, 2))
	}
	return s, r.done()
}

// Restore implements [Restorer].
func (m *Bounded) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	if len(ts) == 0 {
		return m.Init(0), nil
	}
	r := restore(fmt.Sprintf("a bounded memory of %d slots", m.config.Slots), ts)
	s := BoundedState{width: r.left[widthName]}
	s.Slots = r.take("slots", m.config.Slots, anySize)
	s.Focus = r.take("focus", 1, m.config.Slots)
	most := size(s.Slots, 2) - 2 // a slot has at least one value and a mass
	if s.Slots == nil {
		most = 1 << 62
	}
	s.key = r.takeCount(widthName, 1, most)
	return s, r.done()
}

// Restore implements [Restorer].
func (m *NTM) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	c := m.config
	r := restore(fmt.Sprintf("an NTM memory of %d slots of width %d and %d heads", c.Slots, c.Width, c.Reads+c.Writes), ts)
	s := NTMState{Memory: r.take("memory", c.Slots, c.Width), reads: c.Reads}
	s.Weightings = r.take("weightings", c.Reads+c.Writes, c.Slots)
	return s, r.done()
}

// Restore implements [Restorer].
func (m *LRUA) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	c := m.config
	r := restore(fmt.Sprintf("an LRUA memory of %d slots of width %d and %d heads", c.Slots, c.Width, c.Heads), ts)
	s := LRUAState{Memory: r.take("memory", c.Slots, c.Width)}
	s.Read = r.take("read", c.Heads, c.Slots)
	s.Usage = r.take("usage", 1, c.Slots)
	if r.has("write") { // absent before the first step
		s.Write = r.take("write", c.Heads, c.Slots)
	}
	return s, r.done()
}

// Restore implements [Restorer].
func (m *DNC) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	c := m.config
	r := restore(fmt.Sprintf("a DNC memory of %d slots of width %d, %d read heads and %d write heads", c.Slots, c.Width, c.Reads, c.Writes), ts)
	s := DNCState{Memory: r.take("memory", c.Slots, c.Width)}
	s.Usage = r.take("usage", 1, c.Slots)
	if !c.ContentOnly {
		s.Link = r.take("link", m.linkShape(1)[1:]...)
		s.Precedence = r.take("precedence", c.Writes, c.Slots)
	}
	s.Read = r.take("read", c.Reads, c.Slots)
	s.Write = r.take("write", c.Writes, c.Slots)
	if s.Memory != nil && !c.ContentOnly {
		s.mask = offDiagonal(s.Memory, c.Slots)
	}
	return s, r.done()
}

// Restore implements [Restorer].
func (None) Restore(ts []nn.Named) (State, error) {
	return NoneState{}, restore("no memory", ts).done()
}

var (
	_ Restorer = (*KeyValue)(nil)
	_ Restorer = (*Prototype)(nil)
	_ Restorer = (*Bounded)(nil)
	_ Restorer = (*NTM)(nil)
	_ Restorer = (*LRUA)(nil)
	_ Restorer = (*DNC)(nil)
	_ Restorer = None{}
)
