package memory

import (
	"math"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Sequence shows keys [steps, n, key] of float32 with classes [steps, n], of which there are `count`, to a memory that is empty at
// first. At each step the memory is asked about all keys of the step, and they are then written one after another. loss is the sum of
// the losses of the steps, and read has the values that are read, [steps, n, count], zero at the first step. Only the loss has a
// gradient.
//
// On the CPU the slots are searched and written outside LibTorch, where no state is copied, and the gradient takes one product for all
// steps. [Rare.SequencePlain] is the reference implementation.
func (m *Rare) Sequence(keys, classes *tensor.Tensor, count int64) (loss, read *tensor.Tensor) {
	m.checkSequence("Rare.Sequence", keys, classes)
	if keys.Device() != tensor.CPU {
		return m.SequencePlain(keys, classes, count)
	}
	shape, labelled := keys.Shape(), tensor.Values[int64](classes)
	steps, n, width := int(shape[0]), int(shape[1]), int(shape[2])
	rows := unit(keys)
	s := rareRows{width: width, limit: int(m.config.Slots)}
	units := tensor.Values[float32](rows.Detach())
	apart := make([]float32, len(units)) // the key of the nearest slot of another class minus that of the nearest of its own
	counts := make([]float32, steps*n)   // 1 where there are both
	values := make([]float32, steps*n*int(count))
	for t := range steps {
		asked, labels := units[t*n*width:(t+1)*n*width], labelled[t*n:(t+1)*n]
		similar := s.similarities(asked, n)
		for i, class := range labels {
			at := t*n + i
			if own, other := s.nearest(similar[i], class); own >= 0 && other >= 0 {
				counts[at] = 1
				for d, v := range s.key(other) {
					apart[at*width+d] = v - s.key(own)[d]
				}
			}
			s.read(similar[i], m.config.Scale, values[at*int(count):(at+1)*int(count)])
		}
		for i, class := range labels {
			slot := s.write(similar[i], asked[i*width:(i+1)*width], class)
			for j := i + 1; j < n; j++ {
				similar[j] = s.changed(similar[j], slot, asked[j*width:(j+1)*width])
			}
		}
	}
	both := tensor.New(counts, int64(steps), int64(n))
	loss = rows.Mul(tensor.New(apart, shape...)).Sum(-1).AddScalar(m.config.Margin).ReLU().Mul(both).Sum().MulScalar(1 / float64(n))
	return loss, tensor.New(values, int64(steps), int64(n), count)
}

// SequencePlain is the reference implementation of [Rare.Sequence], step by step.
func (m *Rare) SequencePlain(keys, classes *tensor.Tensor, count int64) (loss, read *tensor.Tensor) {
	m.checkSequence("Rare.SequencePlain", keys, classes)
	p, state := &nn.Pass{}, m.Init(1)
	loss = keys.Mul(keys.ZerosLike()).Sum()
	reads := []*tensor.Tensor{tensor.Full(0, keys.DType(), keys.Device(), 1, keys.Dim(1), count)}
	for t := range keys.Dim(0) {
		query, labels := keys.Select(0, t).Unsqueeze(0), classes.Select(0, t).OneHot(count).Unsqueeze(0)
		if t > 0 {
			loss = loss.Add(m.Loss(p, state, query, labels))
			tensor.NoGrad(func() {
				values, _ := m.Read(p, state, query)
				reads = append(reads, values)
			})
		}
		state = m.Write(p, state, query, labels)
	}
	return loss, tensor.Cat(0, reads...)
}

func (m *Rare) checkSequence(op string, keys, classes *tensor.Tensor) {
	k, c := keys.Shape(), classes.Shape()
	if len(k) != 3 || keys.DType() != tensor.Float32 || classes.DType() != tensor.Int64 || !slices.Equal(k[:2], c) {
		panic(&tensor.Error{Op: op, Shapes: [][]int64{k, c}, Msg: "want keys [steps, n, key] of float32 and classes [steps, n] of int64"})
	}
}

// rareRows are the written slots of a [Rare] of one batch element.
type rareRows struct {
	width, limit int
	keys         []float32
	classes      []int64
	written      []int // when
	writes       int
}

func (s *rareRows) key(slot int) []float32 { return s.keys[slot*s.width : (slot+1)*s.width] }

// similarities returns the cosines of n queries to all slots.
func (s *rareRows) similarities(queries []float32, n int) [][]float32 {
	out := make([][]float32, n)
	slots := len(s.classes)
	if slots == 0 {
		return out
	}
	scope := tensor.Enter()
	defer scope.Leave()
	w := int64(s.width)
	all := tensor.Values[float32](tensor.New(queries, int64(n), w).MatMul(tensor.New(s.keys, int64(slots), w).Transpose(0, 1)))
	for i := range out {
		out[i] = all[i*slots : (i+1)*slots : (i+1)*slots]
	}
	return out
}

// changed returns the cosines of a query after the write of a slot.
func (s *rareRows) changed(similar []float32, slot int, query []float32) []float32 {
	var dot float32
	for d, v := range s.key(slot) {
		dot += v * query[d]
	}
	if slot == len(similar) {
		return append(similar, dot)
	}
	similar[slot] = dot
	return similar
}

// nearest returns the slots of a class and of the others that are nearest, -1 where there are none.
func (s *rareRows) nearest(similar []float32, class int64) (own, other int) {
	own, other = -1, -1
	for slot, v := range similar {
		best := &other
		if s.classes[slot] == class {
			best = &own
		}
		if *best < 0 || v > similar[*best] {
			*best = slot
		}
	}
	return own, other
}

// read adds the softmax over slots to their classes.
func (s *rareRows) read(similar []float32, scale float64, classes []float32) {
	most := math.Inf(-1)
	for _, v := range similar {
		most = max(most, float64(v))
	}
	var sum float64
	weights := make([]float64, len(similar))
	for slot, v := range similar {
		weights[slot] = math.Exp(scale * (float64(v) - most))
		sum += weights[slot]
	}
	for slot, w := range weights {
		classes[s.classes[slot]] += float32(w / sum)
	}
}

// write writes a key of length 1 with the given cosines, and returns its slot.
func (s *rareRows) write(similar, key []float32, class int64) (slot int) {
	own, other := s.nearest(similar, class)
	s.writes++
	switch {
	case own >= 0 && (other < 0 || similar[own] > similar[other] || similar[own] == similar[other] && own < other):
		slot = own
		sum := s.key(slot)
		var square float64
		for d, v := range key {
			sum[d] += v
			square += float64(sum[d]) * float64(sum[d])
		}
		for d := range sum {
			sum[d] = float32(float64(sum[d]) / math.Sqrt(square+1e-12))
		}
	case len(s.classes) < s.limit:
		slot = len(s.classes)
		s.keys, s.classes, s.written = append(s.keys, key...), append(s.classes, class), append(s.written, 0)
	default:
		for i, at := range s.written {
			if at < s.written[slot] {
				slot = i
			}
		}
		copy(s.key(slot), key)
		s.classes[slot] = class
	}
	s.written[slot] = s.writes
	return slot
}
