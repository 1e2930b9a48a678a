package memory

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// SparseConfig configures [NewSparse]. Control is required. The defaults are 128 slots of width 32, 4 heads that read 4 slots
// each, and an exact search.
type SparseConfig struct {
	Control      int64 // width of the controller's output
	Slots, Width int64
	Heads        int64 // each reads and writes
	Reads        int64 // slots that a head reads, K in the paper
	// Access is δ: a slot whose read and write weights of a step, over all heads, sum to more counts as accessed; default 0.005.
	Access float64
	// Hashed finds slots by locality-sensitive hashing, so that a step hardly depends on the number of slots; a search may miss
	// some of the nearest. Otherwise the query is compared with every slot that was written.
	Hashed bool
	// Clip limits the emissions of the heads to ±Clip before their non-linearities; default 20, negative for no limit.
	Clip float64
}

// Sparse is the sparse access memory of Rae et al. 2016 ("Scaling Memory-Augmented Neural Networks with Sparse Reads and
// Writes"), section 3. One linear layer emits, for each head, a query q, a word a, a strength β and the gates α and γ. A step
// first writes and then reads the result:
//
//	w^W = α(γ·w^R + (1-γ)·1_LRA),  M ← (1 - 1_LRA)⊙M + w^W·aᵀ
//	r = Σ_{i in top K} softmax(β·cos(q, M(i)))·M(i)
//
// with w^R of the previous step and LRA the slot least recently accessed: one for each head. Memory starts at zero.
//
// A step changes K+1 slots of each head. What changed is a new tensor of these rows, and the state knows for each slot which
// tensor its row is in; so a step, its gradient and what is kept for it do not grow with the number of slots. There is no
// gradient through the choice of slots. The paper undoes the writes in the backward pass instead.
type Sparse struct {
	config SparseConfig
	emit   *nn.Linear
}

// NewSparse makes a sparse access memory. It panics where a head cannot have as many slots as it reads, or
// the heads a least recently accessed slot each.
func NewSparse(b *nn.Builder, c SparseConfig) *Sparse {
	c.Slots, c.Width, c.Heads, c.Reads = cmp.Or(c.Slots, 128), cmp.Or(c.Width, 32), cmp.Or(c.Heads, 4), cmp.Or(c.Reads, 4)
	c.Access, c.Clip = cmp.Or(c.Access, .005), cmp.Or(c.Clip, 20)
	if c.Slots < max(c.Heads, c.Reads) {
		panic(fmt.Sprintf("memory: a sparse memory of %d slots has too few for %d heads that read %d each", c.Slots, c.Heads, c.Reads))
	}
	return &Sparse{c, nn.NewLinear(b.In("heads"), c.Control, c.Heads*(2*c.Width+3))}
}

// SparseState is the state of a [Sparse] between steps.
type SparseState struct {
	tape    *sparseTape
	version int // steps of the tape that belong to the state
	// weights are those of the last read, [batch, heads, reads], and slots their places.
	weights *tensor.Tensor
	slots   []int32
}

// A sparseTape is what the states of one sequence share: the changes of all steps, and where the rows are after the last. A step
// from the last state extends it; one from an earlier state makes a new tape of the steps up to there.
type sparseTape struct {
	mutex  sync.Mutex
	config SparseConfig
	batch  int
	base   *tensor.Tensor // [batch·slots, width], a restored memory; nil for zeros
	start  [][]int32      // the slots of each sequence before the first step, the least recently accessed first
	steps  []sparseStep
	places []place       // of each row, [batch·slots]
	order  []accessOrder // of each sequence
	index  []*neighbours
}

// sparseStep is what a step changed.
type sparseStep struct {
	rows     *tensor.Tensor // [batch·entries, width]
	slots    []int32        // of each entry; -1 for one whose slot an earlier entry of its sequence holds
	accessed [][]int32      // of each sequence, in the order of access
}

// place is where a row is: in the rows of a step, or before the first one.
type place struct{ step, entry int32 }

// unchanged is a place in the memory before the first step.
const unchanged = -1

// accessOrder is a ring of slots from the least to the most recently accessed, with slot n as its end.
type accessOrder struct{ next, prev []int32 }

func newAccessOrder(slots []int32) accessOrder {
	n := int32(len(slots))
	o := accessOrder{make([]int32, n+1), make([]int32, n+1)}
	last := n
	for _, s := range slots {
		o.next[last], o.prev[s], last = s, last, s
	}
	o.next[last], o.prev[n] = n, last
	return o
}

// touch makes a slot the most recently accessed.
func (o accessOrder) touch(slot int32) {
	end := int32(len(o.next) - 1)
	o.next[o.prev[slot]], o.prev[o.next[slot]] = o.next[slot], o.prev[slot]
	last := o.prev[end]
	o.next[last], o.prev[slot], o.next[slot], o.prev[end] = slot, last, end, slot
}

// slots lists n slots, the least recently accessed first.
func (o accessOrder) slots(n int) []int32 {
	end := int32(len(o.next) - 1)
	out := make([]int32, 0, n)
	for s := o.next[end]; s != end && len(out) < n; s = o.next[s] {
		out = append(out, s)
	}
	return out
}

// newSparseTape makes a tape of a memory of zeros, or of base [batch·slots, width], with the orders of access [batch][slots].
func newSparseTape(c SparseConfig, batch int, base *tensor.Tensor, start [][]int32) *sparseTape {
	slots := int(c.Slots)
	t := &sparseTape{config: c, batch: batch, base: base, start: start, places: slices.Repeat([]place{{unchanged, 0}}, batch*slots)}
	var rows []float32
	if base != nil {
		rows = tensor.Values[float32](base.Detach().To(tensor.Float32).On(tensor.CPU))
	}
	width := int(c.Width)
	for i := range batch {
		t.order = append(t.order, newAccessOrder(start[i]))
		index := newNeighbours(slots, width, c.Hashed)
		if base != nil {
			for s := range slots {
				index.set(int32(s), rows[(i*slots+s)*width:][:width])
			}
		}
		t.index = append(t.index, index)
	}
	return t
}

// at returns a tape that ends with the step of a version, locked: this one, or a new one where it has gone on.
func (t *sparseTape) at(version int) *sparseTape {
	t.mutex.Lock()
	if version == len(t.steps) {
		return t
	}
	defer t.mutex.Unlock()
	out := newSparseTape(t.config, t.batch, t.base, t.start)
	out.mutex.Lock()
	for _, s := range t.steps[:version] {
		out.write(s.rows, s.slots)
		out.access(s.accessed)
	}
	return out
}

// write adds a step that replaces rows, [batch·entries, width], in slots.
func (t *sparseTape) write(rows *tensor.Tensor, slots []int32) {
	values := tensor.Values[float32](rows.Detach().To(tensor.Float32).On(tensor.CPU))
	width, entries := int(t.config.Width), len(slots)/t.batch
	for e, slot := range slots {
		if slot >= 0 {
			i := e / entries
			t.places[i*int(t.config.Slots)+int(slot)] = place{int32(len(t.steps)), int32(e)}
			t.index[i].set(slot, values[e*width:][:width])
		}
	}
	t.steps = append(t.steps, sparseStep{rows: rows, slots: slots})
}

// access records which slots the last step accessed.
func (t *sparseTape) access(accessed [][]int32) {
	t.steps[len(t.steps)-1].accessed = accessed
	for i, slots := range accessed {
		for _, s := range slots {
			t.order[i].touch(s)
		}
	}
}

// gather returns the rows of slots, as many of each sequence, [batch·n, width]; zeros where a slot is negative.
func (t *sparseTape) gather(like *tensor.Tensor, slots []int32) *tensor.Tensor {
	scope := tensor.Enter()
	defer scope.Leave()
	parts := []*tensor.Tensor{zeros(like, 1, t.config.Width)}
	count := int64(1)
	offsets := map[int32]int64{} // of the rows of each step
	indices := make([]int64, len(slots))
	var before []int64 // rows of the base, and where they are asked for
	var asked []int
	n := len(slots) / t.batch
	for k, slot := range slots {
		if slot < 0 {
			continue
		}
		row := k/n*int(t.config.Slots) + int(slot)
		at := t.places[row]
		if at.step == unchanged {
			if t.base != nil {
				before, asked = append(before, int64(row)), append(asked, k)
			}
			continue
		}
		offset, ok := offsets[at.step]
		if !ok {
			offset = count
			offsets[at.step] = count
			rows := t.steps[at.step].rows
			parts = append(parts, rows)
			count += rows.Dim(0)
		}
		indices[k] = offset + int64(at.entry)
	}
	if len(before) > 0 {
		for j, k := range asked {
			indices[k] = count + int64(j)
		}
		parts = append(parts, t.base.IndexSelect(0, tensor.Upload(before, like.Device(), int64(len(before)))))
	}
	return scope.Keep(tensor.Cat(0, parts...).IndexSelect(0, tensor.Upload(indices, like.Device(), int64(len(indices)))))
}

// ReadWidth implements [Recurrent].
func (m *Sparse) ReadWidth() int64 { return m.config.Heads * m.config.Width }

// Interface implements [Interfaced].
func (m *Sparse) Interface() *nn.Linear { return m.emit }

// Init implements [Recurrent].
func (m *Sparse) Init(p *nn.Pass, batch int64) State {
	c, like := m.config, p.Value(m.emit.Weight)
	first := make([]int32, c.Slots)
	for i := range first {
		first[i] = int32(i)
	}
	var slots []int32
	for range batch * c.Heads {
		slots = append(slots, first[:c.Reads]...)
	}
	return SparseState{
		tape:    newSparseTape(c, int(batch), nil, slices.Repeat([][]int32{first}, int(batch))),
		weights: zeros(like, batch, c.Heads, c.Reads), slots: slots,
	}
}

// Step implements [Recurrent].
func (m *Sparse) Step(p *nn.Pass, control *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	return m.StepInterface(p, m.emit.Forward(p, control), prev)
}

// cosineEps is added to squared lengths, so that the square root has a gradient at zero.
const cosineEps = 1e-6

// StepInterface implements [Interfaced].
func (m *Sparse) StepInterface(_ *nn.Pass, emission *tensor.Tensor, prev State) (read *tensor.Tensor, next State) {
	c, s := m.config, stateOf[SparseState]("Sparse.Step", prev)
	scope := tensor.Enter() // what is not in the state or the graph is freed here, since a sequence may have many steps
	defer scope.Leave()
	tape := s.tape.at(s.version)
	defer tape.mutex.Unlock()
	batch := int64(tape.batch)
	e := parts{from: clip(emission, c.Clip)}
	queries, words := e.next(c.Heads, c.Width), e.next(c.Heads, c.Width)
	strengths := e.next(c.Heads, 1).Softplus().AddScalar(1)
	gates := e.next(2*c.Heads, 1).Sigmoid()
	write, mix := gates.Narrow(1, 0, c.Heads), gates.Narrow(1, c.Heads, c.Heads)

	// The entries of a sequence are, head by head, the slots of its last read and a least recently accessed one.
	weights := tensor.Cat(2, s.weights.Mul(mix), oneMinus(mix)).Mul(write) // [batch, heads, reads+1]
	slots, kept := make([]int32, 0, batch*c.Heads*(c.Reads+1)), []int32(nil)
	same, merged := []float32(nil), false // [batch, entries, entries], 1 where an entry takes another's change
	entries := int(c.Heads * (c.Reads + 1))
	for i := range tape.batch {
		least := tape.order[i].slots(int(c.Heads))
		own := slots[len(slots):]
		for h := range int(c.Heads) {
			at := (i*int(c.Heads) + h) * int(c.Reads)
			own = append(append(own, s.slots[at:at+int(c.Reads)]...), least[h])
		}
		slots = slots[:len(slots)+entries]
		from := len(same)
		same = append(same, make([]float32, entries*entries)...)
		first := map[int32]int{}
		for k, slot := range own {
			at, ok := first[slot]
			if !ok {
				at = k
				first[slot] = k
			}
			same[from+at*entries+k] = 1
			merged = merged || ok
		}
		for k, slot := range own {
			if first[slot] != k {
				own[k] = -1 // and its row is of no use
			}
			if own[k] >= 0 && !slices.Contains(least, slot) {
				kept = append(kept, slot)
			} else {
				kept = append(kept, -1)
			}
		}
	}
	change := weights.Unsqueeze(3).Mul(words.Unsqueeze(2)).Flatten(1, 2) // [batch, entries, width]
	if merged {
		n := int64(entries)
		change = tensor.New(same, batch, n, n).To(change.DType()).On(change.Device()).MatMul(change)
	}
	rows := tape.gather(change, kept).Add(change.Flatten(0, 1))
	tape.write(rows, slots)

	values := tensor.Values[float32](queries.Detach().To(tensor.Float32).On(tensor.CPU))
	var found []int32
	width := int(c.Width)
	for k := range tape.batch * int(c.Heads) {
		found = tape.index[k/int(c.Heads)].nearest(values[k*width:][:width], int(c.Reads), found)
	}
	held := tape.gather(change, found).Reshape(batch, c.Heads, c.Reads, c.Width)
	query := queries.Unsqueeze(2) // [batch, heads, 1, width]
	lengths := held.Square().Sum(-1).AddScalar(cosineEps).Mul(query.Square().Sum(-1).AddScalar(cosineEps))
	scores := held.Mul(query).Sum(-1).Mul(lengths.PowScalar(-.5)).Mul(strengths)
	after := SparseState{tape: tape, version: len(tape.steps), weights: scope.Keep(scores.Softmax(-1)), slots: found}
	read = after.weights.Unsqueeze(2).MatMul(held).Reshape(batch, -1)
	tape.access(m.accessed(tape, slots, tensor.Values[float32](weights.Detach().To(tensor.Float32).On(tensor.CPU)), same, after))
	scope.Keep(rows)
	return scope.Keep(read), after
}

// accessed returns for each sequence the slots whose weights of a step sum to more than Access, in ascending order.
func (m *Sparse) accessed(t *sparseTape, slots []int32, writes, same []float32, s SparseState) [][]int32 {
	reads := tensor.Values[float32](s.weights.Detach().To(tensor.Float32).On(tensor.CPU))
	entries, each := len(slots)/t.batch, len(s.slots)/t.batch
	out := make([][]int32, t.batch)
	for i := range out {
		sums := map[int32]float64{}
		for k := range entries {
			slot := slots[i*entries+k]
			if slot < 0 {
				continue
			}
			for j := range entries {
				sums[slot] += float64(same[(i*entries+k)*entries+j] * writes[i*entries+j])
			}
		}
		for k, slot := range s.slots[i*each:][:each] {
			sums[slot] += float64(reads[i*each+k])
		}
		for slot, sum := range sums {
			if sum > m.config.Access {
				out[i] = append(out[i], slot)
			}
		}
		slices.Sort(out[i])
	}
	return out
}

// Tensors implements [State]: the whole memory [batch, slots, width], the weightings of the last read [batch, heads, slots], and
// the slots from the least to the most recently accessed, [batch, slots] (int64). They are made at each call.
func (s SparseState) Tensors() []nn.Named {
	tape := s.tape.at(s.version)
	defer tape.mutex.Unlock()
	c, batch := tape.config, int64(tape.batch)
	var all []int32
	var order []int64
	for i := range tape.batch {
		for slot := range int32(c.Slots) {
			all = append(all, slot)
		}
		for _, slot := range tape.order[i].slots(int(c.Slots)) {
			order = append(order, int64(slot))
		}
	}
	return []nn.Named{
		{Name: "memory", Tensor: tape.gather(s.weights, all).Reshape(batch, c.Slots, c.Width)},
		{Name: "read", Tensor: s.read(c)},
		{Name: "order", Tensor: tensor.New(order, batch, c.Slots).On(s.weights.Device())},
	}
}

// read returns the weightings over all slots, [batch, heads, slots].
func (s SparseState) read(c SparseConfig) *tensor.Tensor {
	at := make([]int64, len(s.slots))
	for k, slot := range s.slots {
		at[k] = int64(slot)
	}
	batch := s.weights.Dim(0)
	return zeros(s.weights, batch, c.Heads, c.Slots).Scatter(2, tensor.Upload(at, s.weights.Device(), batch, c.Heads, c.Reads), s.weights)
}

// held returns the tensors that the state needs.
func (s SparseState) held() []*tensor.Tensor {
	s.tape.mutex.Lock()
	defer s.tape.mutex.Unlock()
	out := []*tensor.Tensor{s.weights}
	if s.tape.base != nil {
		out = append(out, s.tape.base)
	}
	for _, step := range s.tape.steps[:s.version] {
		out = append(out, step.rows)
	}
	return out
}

// Restore implements [Restorer].
func (m *Sparse) Restore(ts []nn.Named) (_ State, err error) {
	defer tensor.Catch(&err)
	c := m.config
	r := restore(fmt.Sprintf("a sparse memory of %d slots of width %d and %d heads", c.Slots, c.Width, c.Heads), ts)
	rows := r.take("memory", c.Slots, c.Width)
	read := r.take("read", c.Heads, c.Slots)
	order := r.left["order"]
	delete(r.left, "order")
	var orders [][]int32
	if order == nil || rows == nil || order.DType() != tensor.Int64 || order.Numel() != rows.Dim(0)*c.Slots {
		r.fault("order is missing, or is not int64 of the shape [%s %d]", "batch", c.Slots)
	} else {
		for own := range slices.Chunk(tensor.Values[int64](order), int(c.Slots)) {
			sorted := slices.Clone(own)
			slices.Sort(sorted)
			slots := make([]int32, len(own))
			for i, slot := range own {
				if sorted[i] != int64(i) {
					r.fault("order does not list every slot once")
					break
				}
				slots[i] = int32(slot)
			}
			orders = append(orders, slots)
		}
	}
	if err := r.done(); err != nil {
		return nil, err
	}
	weights, at := read.TopK(c.Reads, 2)
	s := SparseState{tape: newSparseTape(c, int(rows.Dim(0)), rows.Detach().Flatten(0, 1), orders), weights: weights}
	for _, slot := range tensor.Values[int64](at.On(tensor.CPU)) {
		s.slots = append(s.slots, int32(slot))
	}
	return s, nil
}

var (
	_ Interfaced = (*Sparse)(nil)
	_ Restorer   = (*Sparse)(nil)
)
