package memory_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const control = 3

// A recurrentCase is a small recurrent memory and the plain loop of its step: from the emissions for one sequence and
// the state by names it computes the read and the next state.
type recurrentCase struct {
	name  string
	make  func(b *nn.Builder, control int64) memory.Recurrent
	width int64 // of a read
	plain func(e *emission, s map[string][][]float64) (read [][]float64, next map[string][][]float64)
}

// An emission is split from left to right.
type emission struct{ v []float64 }

func (e *emission) next(heads, width int, f func(float64) float64) [][]float64 {
	out := matrix(heads, width)
	for h := range out {
		for i := range out[h] {
			out[h][i] = f(e.v[h*width+i])
		}
	}
	e.v = e.v[heads*width:]
	return out
}

func (e *emission) softmax(heads, width int) [][]float64 {
	out := e.next(heads, width, same)
	for h := range out {
		out[h] = softmax(out[h])
	}
	return out
}

func same(v float64) float64     { return v }
func sigmoid(v float64) float64  { return 1 / (1 + math.Exp(-v)) }
func softplus(v float64) float64 { return math.Log1p(math.Exp(v)) }
func oneplus(v float64) float64  { return 1 + softplus(v) }

func ntm(name string, reads, writes, reach int) recurrentCase {
	c := memory.NTMConfig{Slots: 4, Width: 3, Reads: int64(reads), Writes: int64(writes), Shift: int64(reach), Memory: memory.LearnedMemory}
	if reach == 0 {
		c.Shift = -1
	}
	return recurrentCase{name, func(b *nn.Builder, control int64) memory.Recurrent {
		c := c
		c.Control = control
		return memory.NewNTM(b, c)
	}, 3 * int64(reads), func(e *emission, s map[string][][]float64) ([][]float64, map[string][][]float64) {
		n := reads + writes
		keys, strengths, gammas := e.next(n, 3, math.Tanh), e.next(n, 1, softplus), e.next(n, 1, oneplus)
		gates, shifts := e.next(n, 1, sigmoid), e.softmax(n, 2*reach+1)
		erase, add := e.next(writes, 3, sigmoid), e.next(writes, 3, math.Tanh)
		w := plainInterpolate(gates, plainContent(s["memory"], keys, strengths), s["weightings"])
		w = plainSharpen(plainShift(w, shifts), gammas)
		return plainRead(s["memory"], w[:reads]), map[string][][]float64{
			"weightings": w, "memory": plainEraseAdd(s["memory"], w[reads:], erase, add),
		}
	}}
}

func lrua(name string, c memory.LRUAConfig) recurrentCase {
	c.Slots, c.Width, c.Heads, c.Memory = 5, 3, 2, memory.LearnedMemory
	return recurrentCase{name, func(b *nn.Builder, control int64) memory.Recurrent {
		c := c
		c.Control = control
		return memory.NewLRUA(b, c)
	}, 6, func(e *emission, s map[string][][]float64) ([][]float64, map[string][][]float64) {
		keys, gates := e.next(2, 3, math.Tanh), e.next(2, 1, sigmoid)
		add, strengths := keys, [][]float64{{1}, {1}}
		if c.Add {
			add = e.next(2, 3, math.Tanh)
		}
		if c.Strength {
			strengths = e.next(2, 1, softplus)
		}
		least := plainLeastUsed(s["usage"], 2)
		wiped := least
		if !c.OwnSlots {
			both := make([]float64, 5)
			for i := range both {
				both[i] = least[0][i] + least[1][i]
			}
			least, wiped = [][]float64{both, both}, least[:1]
		}
		write := plainInterpolate(gates, s["read"], least)
		m := plainAdd(plainWipe(s["memory"], wiped), write, add)
		read := plainContent(m, keys, strengths)
		decay := c.Decay
		if decay == 0 {
			decay = .95
		}
		return plainRead(m, read), map[string][][]float64{
			"memory": m, "read": read, "write": write, "usage": plainDecayedUsage(s["usage"], decay, read, write),
		}
	}}
}

func dnc(name string, reads int) recurrentCase {
	return recurrentCase{name, func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 4, Width: 3, Reads: int64(reads), Memory: memory.LearnedMemory})
	}, 3 * int64(reads), func(e *emission, s map[string][][]float64) ([][]float64, map[string][][]float64) {
		readKeys, writeKey, add, erase := e.next(reads, 3, same), e.next(1, 3, same), e.next(1, 3, same), e.next(1, 3, sigmoid)
		readStrengths, writeStrength := e.next(reads, 1, oneplus), e.next(1, 1, oneplus)
		free, allocate, gate := e.next(reads, 1, sigmoid), e.next(1, 1, sigmoid), e.next(1, 1, sigmoid)
		modes := e.softmax(reads, 3)
		usage := plainUsage(s["usage"], s["write"], plainRetention(free, s["read"]))
		w := plainInterpolate(allocate, plainAllocation(usage, 1e-6, 0), plainContent(s["memory"], writeKey, writeStrength))
		for i := range w[0] {
			w[0][i] *= gate[0][0]
		}
		m := plainEraseAdd(s["memory"], w, erase, add)
		link := plainLink(s["link"], s["precedence"], w)
		read := plainReadModes(modes, plainBackward(link, s["read"]), plainContent(m, readKeys, readStrengths), plainForward(link, s["read"]))
		return plainRead(m, read), map[string][][]float64{
			"memory": m, "usage": usage, "link": link, "precedence": plainPrecedence(s["precedence"], w), "read": read, "write": w,
		}
	}}
}

// repairedDNC is a DNC with masks, de-allocation and sharpened links.
func repairedDNC(name string, reads int) recurrentCase {
	masked := func(memory, keys, masks, strengths [][]float64) [][]float64 {
		out := matrix(len(keys), len(memory))
		for h, k := range keys {
			for i, slot := range memory {
				var km, kk, mm float64
				for c := range k {
					a, b := k[c]*masks[h][c], slot[c]*masks[h][c]
					km, kk, mm = km+a*b, kk+a*a, mm+b*b
				}
				out[h][i] = strengths[h][0] * km / math.Sqrt((kk+1e-6)*(mm+1e-6))
			}
			out[h] = softmax(out[h])
		}
		return out
	}
	sharpened := func(w, powers [][]float64) [][]float64 {
		out := matrix(len(w), len(w[0]))
		for h := range w {
			var sum float64
			for i, v := range w[h] {
				out[h][i] = math.Pow(v+1e-6, powers[h][0])
				sum += out[h][i]
			}
			for i := range out[h] {
				out[h][i] /= sum
			}
		}
		return out
	}
	return recurrentCase{name, func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewDNC(b, memory.DNCConfig{
			Control: control, Slots: 4, Width: 3, Reads: int64(reads), Memory: memory.LearnedMemory, Masked: true, Deallocated: true, Sharpened: true,
		})
	}, 3 * int64(reads), func(e *emission, s map[string][][]float64) ([][]float64, map[string][][]float64) {
		readKeys, writeKey, add, erase := e.next(reads, 3, same), e.next(1, 3, same), e.next(1, 3, same), e.next(1, 3, sigmoid)
		readStrengths, writeStrength := e.next(reads, 1, oneplus), e.next(1, 1, oneplus)
		free, allocate, gate := e.next(reads, 1, sigmoid), e.next(1, 1, sigmoid), e.next(1, 1, sigmoid)
		modes := e.softmax(reads, 3)
		mask := func(v float64) float64 { return .1 + .9*sigmoid(v) }
		readMasks, writeMask := e.next(reads, 3, mask), e.next(1, 3, mask)
		backward, forward := e.next(reads, 1, oneplus), e.next(reads, 1, oneplus)

		retained := plainRetention(free, s["read"])
		usage := plainUsage(s["usage"], s["write"], retained)
		w := plainInterpolate(allocate, plainAllocation(usage, 1e-6, 0), masked(s["memory"], writeKey, writeMask, writeStrength))
		for i := range w[0] {
			w[0][i] *= gate[0][0]
		}
		freed := matrix(4, 3)
		for i := range freed {
			for c := range freed[i] {
				freed[i][c] = s["memory"][i][c] * retained[0][i]
			}
		}
		m := plainEraseAdd(freed, w, erase, add)
		link := plainLink(s["link"], s["precedence"], w)
		read := plainReadModes(modes, sharpened(plainBackward(link, s["read"]), backward), masked(m, readKeys, readMasks, readStrengths),
			sharpened(plainForward(link, s["read"]), forward))
		return plainRead(m, read), map[string][][]float64{
			"memory": m, "usage": usage, "link": link, "precedence": plainPrecedence(s["precedence"], w), "read": read, "write": w,
		}
	}}
}

// contentDNC is a DNC that reads by content alone, with de-allocation, under a layer norm of the interface vector.
func contentDNC(name string, reads int) recurrentCase {
	return recurrentCase{name, func(b *nn.Builder, control int64) memory.Recurrent {
		return memory.NewDNC(b, memory.DNCConfig{
			Control: control, Slots: 4, Width: 3, Reads: int64(reads), Memory: memory.LearnedMemory, Deallocated: true, ContentOnly: true, LayerNorm: true,
		})
	}, 3 * int64(reads), func(e *emission, s map[string][][]float64) ([][]float64, map[string][][]float64) {
		plainLayerNorm(e.v)
		readKeys, writeKey, add, erase := e.next(reads, 3, same), e.next(1, 3, same), e.next(1, 3, same), e.next(1, 3, sigmoid)
		readStrengths, writeStrength := e.next(reads, 1, oneplus), e.next(1, 1, oneplus)
		free, allocate, gate := e.next(reads, 1, sigmoid), e.next(1, 1, sigmoid), e.next(1, 1, sigmoid)
		retained := plainRetention(free, s["read"])
		usage := plainUsage(s["usage"], s["write"], retained)
		w := plainInterpolate(allocate, plainAllocation(usage, 1e-6, 0), plainContent(s["memory"], writeKey, writeStrength))
		for i := range w[0] {
			w[0][i] *= gate[0][0]
		}
		freed := matrix(4, 3)
		for i := range freed {
			for c := range freed[i] {
				freed[i][c] = s["memory"][i][c] * retained[0][i]
			}
		}
		m := plainEraseAdd(freed, w, erase, add)
		read := plainContent(m, readKeys, readStrengths)
		return plainRead(m, read), map[string][][]float64{"memory": m, "usage": usage, "read": read, "write": w}
	}}
}

// plainLayerNorm normalises values in place, with a gain of 1 and a bias of 0.
func plainLayerNorm(v []float64) {
	var mean, variance float64
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		variance += (x - mean) * (x - mean) / float64(len(v))
	}
	for i := range v {
		v[i] = (v[i] - mean) / math.Sqrt(variance+1e-5)
	}
}

func recurrentCases() []recurrentCase {
	return []recurrentCase{
		ntm("NTM", 1, 1, 1), ntm("NTM with many heads", 2, 3, 2), ntm("NTM without shift", 1, 2, 0),
		lrua("LRUA", memory.LRUAConfig{}),
		lrua("LRUA with everything", memory.LRUAConfig{Decay: .99, Add: true, Strength: true, OwnSlots: true}),
		dnc("DNC", 1), dnc("DNC with many heads", 3),
		repairedDNC("DNC with repairs", 1), repairedDNC("DNC with repairs and many heads", 2),
		contentDNC("DNC by content alone", 1), contentDNC("DNC by content alone, many heads", 3),
	}
}

// double replaces all parameters of a builder by float64 copies scaled up a little.
func double(b *nn.Builder) (*nn.Pass, []*tensor.Tensor, []*nn.Param) {
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	var values []*tensor.Tensor
	params := b.Params().All()
	for _, param := range params {
		v := param.Value().Detach().To(tensor.Float64)
		if v.Rank() == 2 && param.Name != "initial_weightings" {
			v = v.MulScalar(2)
		}
		values = append(values, v)
		p.With[param] = v
	}
	return p, values, params
}

func eachRecurrent(t *testing.T, f func(t *testing.T, d recurrentCase, m memory.Recurrent, b *nn.Builder)) {
	for _, d := range recurrentCases() {
		t.Run(d.name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(5, tensor.CPU)
			t.Cleanup(b.Params().Free)
			m := d.make(b, control)
			f(t, d, m, b)
		})
	}
}

func task(s memory.State, i int64) map[string][][]float64 {
	out := map[string][][]float64{}
	for _, n := range s.Tensors() {
		out[n.Name] = rows(n.Tensor, i)
	}
	return out
}

// Every step, its state and its read, by plain loops.
func TestStepIsThePlainLoop(t *testing.T) {
	eachRecurrent(t, func(t *testing.T, d recurrentCase, m memory.Recurrent, b *nn.Builder) {
		const batch, steps = 2, 6
		r := rand.New(rand.NewPCG(1, 1))
		p, _, params := double(b)
		weight, bias := p.With[params[0]], p.With[params[1]]
		require.Contains(t, params[0].Name, ".weight")
		s := m.Init(p, batch)
		plain := []map[string][][]float64{task(s, 0), task(s, 1)}
		for step := range steps {
			x := floats(r.NormFloat64, batch, control)
			var read *tensor.Tensor
			read, s = m.Step(p, x, s)
			require.Equal(t, []int64{batch, d.width}, read.Shape())
			require.Equal(t, d.width, m.ReadWidth())
			emitted := tensor.Linear(x, weight, bias)
			for i := range plain {
				e := emission{emitted.Select(0, int64(i)).Floats()}
				want, next := d.plain(&e, plain[i])
				require.Empty(t, e.v, "the whole emission is used")
				plain[i] = next
				assert.InDeltaSlice(t, flat(want), read.Select(0, int64(i)).Floats(), 1e-8, "step %d", step)
				got := task(s, int64(i))
				require.Len(t, got, len(next))
				for name := range next {
					assert.InDeltaSlice(t, flat(next[name]), flat(got[name]), 1e-8, "step %d: %s", step, name)
				}
			}
		}
	})
}

// checkUnrolled holds the gradients of all reads and of the last state, through five steps in double precision and with respect to
// all parameters and the controller's outputs, against finite differences. of selects the tensors of the state.
func checkUnrolled(t *testing.T, m memory.Recurrent, b *nn.Builder, of func(s memory.State) []*tensor.Tensor) {
	t.Helper()
	const batch, steps = 2, 5
	r := rand.New(rand.NewPCG(2, 2))
	_, values, params := double(b)
	xs := append(values, floats(r.NormFloat64, steps, batch, control))
	checkGradient(t, xs, nil, func(xs []*tensor.Tensor) []*tensor.Tensor {
		p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
		for i, param := range params {
			p.With[param] = xs[i]
		}
		s := m.Init(p, batch)
		var out []*tensor.Tensor
		for step := range int64(steps) {
			var read *tensor.Tensor
			read, s = m.Step(p, xs[len(params)].Select(0, step), s)
			out = append(out, read)
		}
		return append(out, of(s)...)
	})
}

func TestGradientOfUnrolledSteps(t *testing.T) {
	eachRecurrent(t, func(t *testing.T, d recurrentCase, m memory.Recurrent, b *nn.Builder) {
		checkUnrolled(t, m, b, func(s memory.State) (out []*tensor.Tensor) {
			for _, n := range s.Tensors() {
				if n.Name != "usage" || d.name[0] == 'D' { // LRUA's usage has no gradient
					out = append(out, n.Tensor)
				}
			}
			return out
		})
	})
}

// With zero or huge inputs, nothing becomes non-finite over many steps, gradients included, also where the memory is
// initially constant.
func TestStepsStayFinite(t *testing.T) {
	for name, build := range map[string]func(b *nn.Builder) memory.Recurrent{
		"NTM": func(b *nn.Builder) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 16, Writes: 2})
		},
		"LRUA": func(b *nn.Builder) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Slots: 16, Strength: true})
		},
		"DNC": func(b *nn.Builder) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 16, Reads: 2})
		},
		"DNC by content alone": func(b *nn.Builder) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 16, Reads: 2, Deallocated: true, ContentOnly: true, LayerNorm: true})
		},
		"DNC with repairs": func(b *nn.Builder) memory.Recurrent {
			return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 16, Reads: 2, Masked: true, Deallocated: true, Sharpened: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			m := build(b)
			for _, size := range []float64{0, 1, 100, 1e6} {
				r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{Training: true}
				s := m.Init(p, 2)
				var loss *tensor.Tensor
				for range 30 {
					x := floats(func() float64 { return size * r.NormFloat64() }, 2, control).To(tensor.Float32)
					var read *tensor.Tensor
					read, s = m.Step(p, x, s)
					require.True(t, read.Finite())
					loss = read.Square().Sum()
				}
				for _, n := range s.Tensors() {
					assert.True(t, n.Tensor.Finite(), n.Name)
				}
				for i, g := range tensor.Grad(loss, b.Params().Tensors()...) {
					if g != nil {
						assert.True(t, g.Finite(), "%s, input %g", b.Params().Trained()[i].Name, size)
					}
				}
			}
		})
	}
}

// Weightings stay weightings over many steps.
func TestStepsKeepTheInvariants(t *testing.T) {
	eachRecurrent(t, func(t *testing.T, d recurrentCase, m memory.Recurrent, b *nn.Builder) {
		r := rand.New(rand.NewPCG(1, 1))
		p, _, _ := double(b)
		s := m.Init(p, 3)
		for range 20 {
			_, s = m.Step(p, floats(func() float64 { return 3 * r.NormFloat64() }, 3, control), s)
			switch s := s.(type) {
			case memory.NTMState:
				sumToOne(t, s.Weightings)
				assert.Equal(t, s.Weightings.Dim(1), s.Read().Dim(1)+s.Write().Dim(1))
			case memory.LRUAState:
				sumToOne(t, s.Read)
				for _, v := range append(s.Usage.Floats(), s.Write.Floats()...) {
					assert.GreaterOrEqual(t, v, 0.)
				}
			case memory.DNCState:
				for _, w := range append(s.Read.Sum(-1).Floats(), s.Write.Sum(-1).Floats()...) {
					assert.LessOrEqual(t, w, 1+1e-9)
				}
				shares := slices.Concat(s.Usage.Floats(), s.Read.Floats())
				if s.Link != nil {
					shares = slices.Concat(shares, s.Link.Sum(1).Floats(), s.Link.Sum(2).Floats())
				}
				for _, v := range shares {
					assert.True(t, v >= 0 && v <= 1+1e-9, "%v", v)
				}
			}
		}
	})
}

// A step does not change the previous state; repeating the step gives the same result.
func TestStateIsAValue(t *testing.T) {
	eachRecurrent(t, func(t *testing.T, d recurrentCase, m memory.Recurrent, b *nn.Builder) {
		r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{}
		x := func() *tensor.Tensor { return floats(r.NormFloat64, 2, control).To(tensor.Float32) }
		_, s := m.Step(p, x(), m.Init(p, 2))
		before, input := contents(s), x()
		read, next := m.Step(p, input, s)
		m.Step(p, x(), next)
		assert.Equal(t, before, contents(s))
		again, _ := m.Step(p, input, s)
		assert.Equal(t, read.Floats(), again.Floats())
	})
}

// Sequences of a batch do not affect one another, also with NaN.
func TestSequencesAreIndependent(t *testing.T) {
	eachRecurrent(t, func(t *testing.T, d recurrentCase, m memory.Recurrent, b *nn.Builder) {
		run := func(batch int64, x []*tensor.Tensor) (read *tensor.Tensor) {
			p, _, _ := double(b)
			s := m.Init(p, batch)
			for _, x := range x {
				read, s = m.Step(p, x, s)
			}
			return read
		}
		r := rand.New(rand.NewPCG(1, 1))
		var all, alone, spoiled []*tensor.Tensor
		for range 4 {
			x := floats(r.NormFloat64, 2, control)
			all, alone = append(all, x), append(alone, x.Narrow(0, 1, 1))
			spoiled = append(spoiled, tensor.Cat(0, constants(math.NaN(), 1, control), x.Narrow(0, 1, 1)))
		}
		want := run(2, all).Select(0, 1).Floats()
		assert.InDeltaSlice(t, want, run(1, alone).Floats(), 1e-12)
		assert.InDeltaSlice(t, want, run(2, spoiled).Select(0, 1).Floats(), 1e-12)
	})
}

func TestInitialMemory(t *testing.T) {
	for name, c := range map[string]struct {
		how     memory.Initial
		trained bool
	}{"constant": {memory.ConstantMemory, false}, "learned": {memory.LearnedMemory, true}, "random": {memory.RandomMemory, false}} {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			t.Cleanup(b.Params().Free)
			p := &nn.Pass{Training: true}
			states := []memory.State{
				memory.NewNTM(b.In("ntm"), memory.NTMConfig{Control: 1, Memory: c.how}).Init(p, 2),
				memory.NewLRUA(b.In("lrua"), memory.LRUAConfig{Control: 1, Memory: c.how}).Init(p, 2),
				memory.NewDNC(b.In("dnc"), memory.DNCConfig{Control: 1, Memory: c.how}).Init(p, 2),
			}
			for i, s := range states {
				m := s.Tensors()[0]
				require.Equal(t, "memory", m.Name)
				assert.Equal(t, []int64{2, 128, []int64{20, 40, 20}[i]}, m.Tensor.Shape(), "the default sizes")
				assert.Equal(t, c.trained, m.Tensor.RequiresGrad())
				assert.Equal(t, m.Tensor.Select(0, 0).Floats(), m.Tensor.Select(0, 1).Floats())
				largest := 0.
				for _, v := range m.Tensor.Floats() {
					if c.how == memory.ConstantMemory {
						assert.InDelta(t, 1e-6, v, 1e-12)
					}
					largest = max(largest, math.Abs(v))
				}
				if bound := 1 / math.Sqrt(float64(128+m.Tensor.Dim(2))); c.how != memory.ConstantMemory {
					assert.InDelta(t, bound, largest, .01*bound)
				}
			}
			saved := 0
			for _, p := range b.Params().All() {
				if p.Name == "ntm.initial_memory" {
					saved++
					assert.Equal(t, c.trained, !p.Buffer)
				}
			}
			assert.Equal(t, c.how != memory.ConstantMemory, saved == 1, "a drawn memory is saved")
		})
	}
}

// Initially every head of an NTM is on the first slots, and LRUA's read weightings and usage are on the first.
func TestInitialWeightings(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	p := &nn.Pass{}
	n := memory.NewNTM(b.In("ntm"), memory.NTMConfig{Control: 1, Reads: 2}).Init(p, 2).(memory.NTMState)
	require.Equal(t, []int64{2, 3, 128}, n.Weightings.Shape())
	sumToOne(t, n.Weightings)
	for i, v := range n.Weightings.Floats() {
		assert.InDelta(t, (1-math.Exp(-1))*math.Exp(-float64(i%128)), v, 1e-6)
	}
	l := memory.NewLRUA(b.In("lrua"), memory.LRUAConfig{Control: 1}).Init(p, 1).(memory.LRUAState)
	assert.Equal(t, at(128, 0, 0, 0, 0).Floats(), l.Read.Floats())
	assert.Equal(t, at(128, 0).Floats(), l.Usage.Floats())
}

// Emissions are clipped: a larger input changes nothing, unless there is no clip.
func TestClip(t *testing.T) {
	testkit.Enter(t)
	run := func(build func(b *nn.Builder) memory.Recurrent, by float64) []float64 {
		b := nn.NewBuilder(1, tensor.CPU)
		defer b.Params().Free()
		p, m := &nn.Pass{}, build(b)
		s := m.Init(p, 1)
		for range 2 {
			_, s = m.Step(p, tensor.Ones(1, control).MulScalar(by), s)
		}
		return slices.Concat(s.Tensors()[0].Tensor.Floats(), s.Tensors()[1].Tensor.Floats())
	}
	for name, build := range map[string]func(clip float64) func(b *nn.Builder) memory.Recurrent{
		"NTM": func(clip float64) func(b *nn.Builder) memory.Recurrent {
			return func(b *nn.Builder) memory.Recurrent {
				return memory.NewNTM(b, memory.NTMConfig{Control: control, Slots: 6, Clip: clip})
			}
		},
		"DNC": func(clip float64) func(b *nn.Builder) memory.Recurrent {
			return func(b *nn.Builder) memory.Recurrent {
				return memory.NewDNC(b, memory.DNCConfig{Control: control, Slots: 6, Clip: clip})
			}
		},
	} {
		bounded, free := build(0), build(-1)
		assert.Equal(t, run(bounded, .1), run(free, .1), name)
		assert.Equal(t, run(bounded, 1e4), run(build(20), 1e5), name)
		assert.NotEqual(t, run(bounded, 1e4), run(free, 1e4), name)
		assert.NotEqual(t, run(bounded, 1e4), run(build(3), 1e4), name)
	}
}

func TestNoneReadsNothing(t *testing.T) {
	testkit.Enter(t)
	var m memory.Recurrent = memory.None{}
	x := tensor.Ones(3, 5)
	s := m.Init(&nn.Pass{}, 3)
	read, s := m.Step(&nn.Pass{}, x, s)
	assert.Equal(t, []int64{3, 0}, read.Shape())
	assert.Equal(t, x.Floats(), tensor.Cat(1, x, read).Floats())
	assert.Zero(t, m.ReadWidth())
	assert.Empty(t, s.Tensors())
}

// The fused step equals the step composed of the addressing functions, in values and gradients, in float32 and
// float64, at sizes that are not multiples of a vector and at the papers' sizes.
func TestFusedStepMatchesReference(t *testing.T) {
	more := map[string]func(b *nn.Builder, control int64) memory.Recurrent{
		"NTM of the paper's size": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewNTM(b, memory.NTMConfig{Control: control, Memory: memory.RandomMemory})
		},
		"LRUA of the paper's size": func(b *nn.Builder, control int64) memory.Recurrent {
			return memory.NewLRUA(b, memory.LRUAConfig{Control: control, Memory: memory.RandomMemory})
		},
	}
	for _, d := range recurrentCases() {
		more[d.name] = d.make
	}
	for name, build := range more {
		for dtype, tolerance := range map[tensor.DType]float64{tensor.Float32: 2e-4, tensor.Float64: 1e-10} {
			t.Run(fmt.Sprint(name, dtype), func(t *testing.T) {
				testkit.Enter(t)
				b := nn.NewBuilder(5, tensor.CPU)
				t.Cleanup(b.Params().Free)
				m := build(b, control)
				run := func(plain bool) map[string][]float64 {
					const batch, steps = 3, 6
					r, out := rand.New(rand.NewPCG(1, 1)), map[string][]float64{}
					p := &nn.Pass{HigherOrder: plain, With: map[*nn.Param]*tensor.Tensor{}}
					var leaves []*tensor.Tensor
					for _, param := range b.Params().All() {
						leaf := param.Value().Detach().To(dtype)
						if param.Name != "initial_weightings" {
							leaf = leaf.MulScalar(3)
						}
						p.With[param] = leaf.Detach().RequireGrad()
						leaves = append(leaves, p.With[param])
					}
					x := floats(r.NormFloat64, steps, batch, control).To(dtype).RequireGrad()
					leaves = append(leaves, x)
					s := m.Init(p, batch)
					loss := zero(dtype)
					for step := range int64(steps) {
						var read *tensor.Tensor
						read, s = m.Step(p, x.Select(0, step), s)
						out[fmt.Sprint("read ", step)] = read.Floats()
						loss = loss.Add(read.Mul(floats(r.NormFloat64, read.Shape()...).To(dtype)).Sum())
					}
					for _, n := range s.Tensors() {
						out[n.Name] = n.Tensor.Floats()
						if n.Tensor.RequiresGrad() {
							loss = loss.Add(n.Tensor.Mul(floats(r.NormFloat64, n.Tensor.Shape()...).To(dtype)).Sum())
						}
					}
					for i, g := range tensor.Grad(loss, leaves...) {
						if g != nil {
							out[fmt.Sprint("gradient ", i)] = g.Floats()
						}
					}
					return out
				}
				want, got := run(true), run(false)
				require.Len(t, got, len(want))
				for name := range want {
					largest := 1e-3
					for _, v := range want[name] {
						largest = max(largest, math.Abs(v))
					}
					require.InDeltaSlice(t, want[name], got[name], tolerance*largest, name)
				}
			})
		}
	}
}

func zero(d tensor.DType) *tensor.Tensor { return tensor.Full(0, d, tensor.CPU) }
