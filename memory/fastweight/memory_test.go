package fastweight_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/gradcheck"
	"github.com/engram-go/engram/tensor"
)

// named are the named settings, with keys of width 4.
func named() map[string]fastweight.Config {
	negative := fastweight.GatedDelta()
	negative.MaxRate = 2
	small := func(c fastweight.Config) fastweight.Config {
		c.MiniBatch = min(c.MiniBatch, 3)
		return c
	}
	out := map[string]fastweight.Config{
		"linear attention": fastweight.LinearAttention(), "delta": fastweight.Delta(), "gated delta": fastweight.GatedDelta(),
		"KDA": fastweight.KDA(), "negative": negative, "delta product": fastweight.DeltaProduct(2),
		"ttt-linear": small(fastweight.TTTLinear(4)), "ttt-mlp": small(fastweight.TTTMLP(4)), "titans": fastweight.Titans(4),
		"omega": fastweight.Omega(4), "yaad": fastweight.Yaad(4), "moneta": fastweight.Moneta(4),
		"atlas": fastweight.Atlas(4), "memora": fastweight.Memora(4),
	}
	for name, c := range out {
		c.Key, c.Heads = 4, 2
		out[name] = c
	}
	return out
}

func eachNamed(t *testing.T, f func(t *testing.T, c fastweight.Config)) {
	for name, c := range named() {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			f(t, c)
		})
	}
}

const control = 3

func driven(t *testing.T, c fastweight.Config) (*nn.Builder, *fastweight.Recurrent) {
	b := nn.NewBuilder(3, tensor.CPU)
	t.Cleanup(b.Params().Free)
	return b, fastweight.NewRecurrent(b, control, c)
}

// The gradient by every parameter, through seven steps.
func TestGradientOfUnrolledSteps(t *testing.T) {
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		b, m := driven(t, c)
		r := rand.New(rand.NewPCG(1, 1))
		const batch, steps = 2, 7
		x := testkit.Normal(r, steps, batch, control)
		weight := testkit.Normal(r, steps, batch, m.ReadWidth())
		require.NoError(t, gradcheck.Params(b.Params(), func(p *nn.Pass) *tensor.Tensor {
			s := m.Init(p, batch)
			var loss *tensor.Tensor
			for step := range int64(steps) {
				var read *tensor.Tensor
				read, s = m.Step(p, x.Select(0, step), s)
				term := read.Mul(weight.Select(0, step)).Sum()
				if loss == nil {
					loss = term
				} else {
					loss = loss.Add(term)
				}
			}
			return loss
		}, gradcheck.Options{Elements: 3, Rand: r, Relative: 1e-4}))
	})
}

// A step leaves the state before it as it was, a sequence at once is its steps, and a restored state goes on as the saved one.
func TestStepsAndSequences(t *testing.T) {
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		_, m := driven(t, c)
		r := rand.New(rand.NewPCG(1, 1))
		const batch, steps = 2, 8
		x := testkit.Normal(r, batch, steps, control).To(tensor.Float32)
		p := &nn.Pass{}
		s := m.Init(p, batch)
		var reads []*tensor.Tensor
		for i := range int64(steps) {
			before := contents(s)
			read, next := m.Step(p, x.Select(1, i), s)
			assert.Equal(t, before, contents(s), "a state is a value")
			assert.Equal(t, []int64{batch, m.ReadWidth()}, read.Shape())
			reads = append(reads, read)
			restored, err := m.Restore(next.Tensors())
			require.NoError(t, err)
			assert.Equal(t, contents(next), contents(restored))
			s = restored
		}
		all, last := m.Sequence(p, x, m.Init(p, batch))
		assert.InDeltaSlice(t, tensor.Stack(1, reads...).Floats(), all.Floats(), 1e-5)
		want := contents(s)
		for name, got := range contents(last) {
			assert.InDeltaSlice(t, want[name], got, 1e-5, name)
		}
		// What is wrong is named.
		broken := append(s.Tensors()[1:], nn.Named{Name: "other", Tensor: x})
		_, err := m.Restore(broken)
		assert.ErrorContains(t, err, "weights0 is missing")
		assert.ErrorContains(t, err, "other is not a tensor of this memory's state")
		_, err = m.Restore([]nn.Named{{Name: "weights0", Tensor: x}})
		assert.ErrorContains(t, err, "weights0 has the shape")
	})
}

// One operation makes the tokens of an emission as LibTorch's operations do, in values and gradients, also where a loss depends on the
// weights or on what was read alone.
func TestFusedTokensMatchComposed(t *testing.T) {
	cases := named()
	silu := fastweight.KDA()
	silu.Features, silu.Key, silu.Value, silu.Heads, silu.Writes, silu.Momentum = fastweight.SiLU, 4, 3, 2, 2, true
	cases["SiLU, two writes, momentum"] = silu
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b, m := driven(t, c)
			r := rand.New(rand.NewPCG(1, 1))
			const batch, steps = 3, 5
			p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
			var values []*tensor.Tensor
			for _, param := range b.Params().All() {
				p.With[param] = param.Value().Detach().To(tensor.Float64).RequireGrad()
				values = append(values, p.With[param])
			}
			reference := *p
			reference.HigherOrder = true
			x := testkit.Normal(r, batch, steps, control).RequireGrad()
			values = append(values, x)
			weight := testkit.Normal(r, batch, steps, m.ReadWidth())
			for _, loss := range []func(read *tensor.Tensor, last memory.State) *tensor.Tensor{
				func(read *tensor.Tensor, _ memory.State) *tensor.Tensor { return read.Mul(weight).Sum() },
				func(_ *tensor.Tensor, last memory.State) *tensor.Tensor {
					return last.Tensors()[0].Tensor.Square().Sum()
				},
			} {
				run := func(p *nn.Pass) [][]float64 {
					read, last := m.Sequence(p, x, m.Init(p, batch))
					out := [][]float64{read.Floats()}
					for _, g := range tensor.Grad(loss(read, last), values...) {
						if g == nil {
							out = append(out, nil)
						} else {
							out = append(out, g.Floats())
						}
					}
					return out
				}
				want := run(&reference)
				for i, got := range run(p) {
					if want[i] == nil { // the composition does not reach it
						want[i] = make([]float64, len(got))
					}
					for j, w := range want[i] {
						assert.InDelta(t, w, got[j], 1e-9*max(1, math.Abs(w)))
					}
				}
			}
		})
	}
}

func contents(s memory.State) map[string][]float64 {
	out := map[string][]float64{}
	for _, n := range s.Tensors() {
		out[n.Name] = n.Tensor.Floats()
	}
	return out
}

// Controls of zero or of any size leave value and gradient finite.
func TestRecurrentStaysFinite(t *testing.T) {
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		b, m := driven(t, c)
		for _, size := range []float64{0, 1, 100} {
			if size == 100 && c.MaxRate != 1 && c.Loss != fastweight.Dot {
				continue // values of this size make larger rates diverge
			}
			scope := tensor.Enter()
			r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{Training: true}
			x := testkit.Normal(r, 2, 40, control).MulScalar(size).To(tensor.Float32)
			read, last := m.Sequence(p, x, m.Init(p, 2))
			assert.True(t, read.Finite(), "size %v", size)
			assert.True(t, last.Tensors()[0].Tensor.Finite())
			for i, g := range tensor.Grad(read.Square().Mean(), b.Params().Tensors()...) {
				assert.True(t, g == nil || g.Finite(), "size %v, %s", size, b.Params().Trained()[i].Name)
			}
			scope.Leave()
		}
	})
}

// A controller of one linear layer learns to return the vector that it was shown three steps before.
func TestRecurrentLearns(t *testing.T) {
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		const batch, classes = 16, 4
		if c.Depth > 1 {
			c.MaxRate = .3 // the papers' rates are for hundreds of tokens
		}
		switch c.Loss {
		case fastweight.PNorm:
			c.MaxRate = .1
		case fastweight.Huber:
			c.MaxRate = 1.5
		}
		m := fastweight.NewRecurrent(b, 2*classes+1, c)
		out := nn.NewLinear(b.In("out"), m.ReadWidth(), classes)
		opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
		t.Cleanup(opt.Free)
		// Pairs of a key and a value, and then one of the keys.
		sequence := func(step int) (x, y *tensor.Tensor) {
			r := rand.New(rand.NewPCG(uint64(step), 7))
			var in []float32
			var want []int64
			for range batch {
				keys, values := r.Perm(classes), r.Perm(classes)
				asked := r.IntN(3)
				for i := range 4 {
					row := make([]float32, 2*classes+1)
					if i < 3 {
						row[keys[i]], row[classes+values[i]] = 1, 1
					} else {
						row[keys[asked]], row[2*classes] = 1, 1
					}
					in = append(in, row...)
				}
				want = append(want, int64(values[asked]))
			}
			return tensor.New(in, batch, 4, 2*classes+1), tensor.New(want, batch)
		}
		// Some losses jump up again: what counts is the best mean of ten steps.
		var first, mean float64
		best := math.Inf(1)
		const steps = 400
		for step := range steps {
			scope := tensor.Enter()
			p := &nn.Pass{Training: true}
			x, y := sequence(step)
			read, _ := m.Sequence(p, x, m.Init(p, batch))
			loss := tensor.NLL(out.Forward(p, read.Select(1, 3)).LogSoftmax(-1), y)
			mean += loss.Float() / 10
			if step%10 == 9 {
				if step == 9 {
					first = mean
				}
				best, mean = min(best, mean), 0
			}
			opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .02)
			scope.Leave()
		}
		t.Logf("loss from %.3f to %.3f", first, best)
		assert.Less(t, best, .75*first)
	})
}

func associative(t *testing.T, c fastweight.Config, learned bool) (*nn.Builder, *fastweight.Associative) {
	b := nn.NewBuilder(3, tensor.CPU)
	t.Cleanup(b.Params().Free)
	c.Heads = 1
	config := fastweight.AssociativeConfig{Config: c, Learned: learned, Keep: .9, Rate: .5}
	if c.Residual { // the papers' rates are for hundreds of tokens
		config.MaxRate, config.Rate, config.Scale = .2, .15, 2
		switch c.Loss {
		case fastweight.Huber:
			config.MaxRate, config.Rate = 1, .5
		case fastweight.PNorm:
			config.Rate = .05
		}
	}
	return b, fastweight.NewAssociative(b, config)
}

// The settings that an associative memory can have, with learned and with constant gates.
func eachAssociative(t *testing.T, f func(t *testing.T, b *nn.Builder, m *fastweight.Associative, c fastweight.Config)) {
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		if c.Writes > 1 {
			return
		}
		for _, learned := range []bool{false, true} {
			b, m := associative(t, c, learned)
			f(t, b, m, c)
		}
	})
}

func pairs(r *rand.Rand, n, classes int64) (keys, values *tensor.Tensor) {
	labels := make([]int64, 2*n)
	for i := range labels {
		labels[i] = int64(i) % n % classes
	}
	return testkit.Normal(r, 2, n, 4).To(tensor.Float32), tensor.New(labels, 2, n).OneHot(classes)
}

// What is written in parts is what is written at once; new classes are columns of zeros; a restored state reads the same.
func TestWriteInParts(t *testing.T) {
	eachAssociative(t, func(t *testing.T, _ *nn.Builder, m *fastweight.Associative, c fastweight.Config) {
		r := rand.New(rand.NewPCG(1, 1))
		keys, values := pairs(r, 9, 3)
		queries := testkit.Normal(r, 2, 5, 4).To(tensor.Float32)
		p := &nn.Pass{}
		read := func(s memory.State) []float64 {
			v, attention := m.Read(p, s, queries)
			assert.Nil(t, attention)
			assert.Equal(t, []int64{2, 5, 3}, v.Shape(), "as wide as what was written, so that no other class is read")
			return v.Floats()
		}
		want := read(m.Write(p, m.Init(2), keys, values))
		s := m.Write(p, m.Init(2), keys.Narrow(1, 0, 4), values.Narrow(1, 0, 4))
		before := contents(s)
		s2 := m.Write(p, s, keys.Narrow(1, 4, 5), values.Narrow(1, 4, 5))
		assert.Equal(t, before, contents(s), "a state is a value")
		assert.InDeltaSlice(t, want, read(s2), 1e-5)

		// The first two pairs are of the first two classes.
		grown := m.Write(p, m.Init(2), keys.Narrow(1, 0, 2), values.Narrow(1, 0, 2).Narrow(2, 0, 2))
		grown = m.Write(p, grown, keys.Narrow(1, 2, 7), values.Narrow(1, 2, 7))
		assert.InDeltaSlice(t, want, read(grown), 1e-5, "values may grow")

		restored, err := m.Restore(s.Tensors())
		require.NoError(t, err)
		assert.Equal(t, read(s), read(restored))
		empty, err := m.Restore(nil)
		require.NoError(t, err)
		if c.Residual {
			narrow := slices.DeleteFunc(s.Tensors(), func(n nn.Named) bool { return n.Name == "columns" })
			_, err := m.Restore(narrow)
			assert.ErrorContains(t, err, "columns is missing, or is not one int64 from 1 to 4")
			_, err = m.Restore(append(narrow, nn.Named{Name: "columns", Tensor: tensor.New([]int64{5}, 1)}))
			assert.ErrorContains(t, err, "from 1 to 4")
		}
		for wrong, f := range map[string]func(){
			"nothing has been written yet": func() { m.Read(p, empty, queries) },
			"want keys":                    func() { m.Write(p, s, keys.Narrow(2, 0, 3), values) },
			"a batch of 2":                 func() { m.Write(p, s, keys.Narrow(0, 0, 1), values.Narrow(0, 0, 1)) },
		} {
			assert.ErrorContains(t, tensor.Do(func() error { f(); return nil }), wrong)
		}
	})
}

// What is written under one key is not read under an orthogonal one: a bias that is written would be read under every key.
func TestOrthogonalKeysDoNotInterfere(t *testing.T) {
	eachAssociative(t, func(t *testing.T, _ *nn.Builder, m *fastweight.Associative, c fastweight.Config) {
		if c.Depth > 1 || c.Features == fastweight.ELU {
			return // features or a hidden layer of orthogonal keys overlap
		}
		if c.Gate != fastweight.NoGate {
			return // a decay is for all keys
		}
		p := &nn.Pass{}
		one, other := tensor.New([]float32{2, 0, 0, 0}, 1, 1, 4), tensor.New([]float32{0, 3, 0, 0}, 1, 1, 4)
		value := tensor.New([]float32{0, 0, 1}, 1, 1, 3)
		unwritten, _ := m.Read(p, m.Write(p, m.Init(1), one.ZerosLike(), value.ZerosLike()), other)
		s := m.Write(p, m.Init(1), one, value)
		got, _ := m.Read(p, s, other)
		assert.InDeltaSlice(t, unwritten.Floats(), got.Floats(), 1e-5)
		written, _ := m.Read(p, s, one)
		assert.NotEqual(t, unwritten.Floats(), written.Floats())
	})
}

// One task of a batch does not see the others.
func TestTasksAreIndependent(t *testing.T) {
	eachAssociative(t, func(t *testing.T, _ *nn.Builder, m *fastweight.Associative, c fastweight.Config) {
		r := rand.New(rand.NewPCG(1, 1))
		keys, values := pairs(r, 6, 3)
		read := func(keys, values *tensor.Tensor) *tensor.Tensor {
			p := &nn.Pass{}
			return memory.LogRead(m, p, m.Write(p, m.Init(keys.Dim(0)), keys, values), keys)
		}
		both, alone := read(keys, values), read(keys.Narrow(0, 1, 1), values.Narrow(0, 1, 1))
		assert.InDeltaSlice(t, both.Select(0, 1).Floats(), alone.Floats(), 1e-5)
		for _, sum := range both.Exp().Sum(-1).Floats() {
			assert.InDelta(t, 1, sum, 1e-4, "log-probabilities")
		}
	})
}

// Keys of zero, one pair and many leave everything finite.
func TestAssociativeStaysFinite(t *testing.T) {
	eachAssociative(t, func(t *testing.T, b *nn.Builder, m *fastweight.Associative, c fastweight.Config) {
		for _, size := range []float64{0, 1} {
			for _, n := range []int64{1, 40} {
				r, p := rand.New(rand.NewPCG(1, 1)), &nn.Pass{Training: true}
				keys, values := pairs(r, n, 3)
				keys = keys.MulScalar(size).Detach().RequireGrad()
				logs := memory.LogRead(m, p, m.Write(p, m.Init(2), keys, values), keys)
				require.True(t, logs.Finite())
				leaves := append(b.Params().Tensors(), keys)
				for i, g := range tensor.Grad(logs.Narrow(2, 0, 1).Sum(), leaves...) {
					assert.True(t, g == nil || g.Finite(), "leaf %d", i)
				}
			}
		}
	})
}

// A key of zeros is an empty slot, such as those before a short story, and writes nothing and decays nothing.
func TestEmptySlotsWriteNothing(t *testing.T) {
	eachAssociative(t, func(t *testing.T, _ *nn.Builder, m *fastweight.Associative, c fastweight.Config) {
		if c.Features == fastweight.ELU {
			return // its features of zero are ones
		}
		p := &nn.Pass{}
		keys, values := pairs(rand.New(rand.NewPCG(1, 1)), 3, 3)
		zeros := func(x *tensor.Tensor) *tensor.Tensor { return tensor.Cat(1, x.Narrow(1, 0, 2).ZerosLike(), x) }
		if c.MiniBatch > 1 { // as many as a mini-batch, whose borders stay where they are
			zeros = func(x *tensor.Tensor) *tensor.Tensor { return tensor.Cat(1, x.ZerosLike(), x) }
		}
		want, _ := m.Read(p, m.Write(p, m.Init(2), keys, values), keys)
		got, _ := m.Read(p, m.Write(p, m.Init(2), zeros(keys), zeros(values)), keys)
		assert.InDeltaSlice(t, want.Floats(), got.Floats(), 1e-6)
	})
}

// A linear encoder learns which of its inputs tell three classes apart.
func TestAnEncoderOnAMemoryLearns(t *testing.T) {
	eachAssociative(t, func(t *testing.T, b *nn.Builder, m *fastweight.Associative, c fastweight.Config) {
		const tasks, way, shot, in = 8, 3, 2, 8
		encoder := nn.NewLinear(b.In("encoder"), in, 4)
		opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
		t.Cleanup(opt.Free)
		episode := func(r *rand.Rand, corners [][]int, n int) (*tensor.Tensor, *tensor.Tensor) {
			var x []float32
			var y []int64
			for task := range tasks {
				for i := range n {
					label := i % way
					y = append(y, int64(label))
					for d := range in {
						v := r.NormFloat64()
						if d < 3 {
							v = 2*float64(corners[task][label]>>d&1) - 1 + .1*v
						}
						x = append(x, float32(v))
					}
				}
			}
			return tensor.New(x, tasks, int64(n), in), tensor.New(y, tasks, int64(n))
		}
		var first, last float64
		const steps = 200
		rate := .02
		if c.Orthogonal > 0 { // its changes do not shrink with the gradients: at a larger rate rounding decides
			rate = .01
		}
		for step := range steps {
			scope := tensor.Enter()
			p, r := &nn.Pass{Training: true}, rand.New(rand.NewPCG(uint64(step), 3))
			var corners [][]int
			for range tasks {
				corners = append(corners, r.Perm(8)[:way])
			}
			x, y := episode(r, corners, way*shot)
			q, want := episode(r, corners, way*2)
			s := m.Write(p, m.Init(tasks), encoder.Forward(p, x), y.OneHot(way))
			logs := memory.LogRead(m, p, s, encoder.Forward(p, q))
			loss := tensor.NLL(logs.Narrow(2, 0, way).Flatten(0, 1), want.Flatten(0, 1))
			if step < 10 {
				first += loss.Float() / 10
			}
			if step >= steps-10 {
				last += loss.Float() / 10
			}
			grads := tensor.Grad(loss, b.Params().Tensors()...)
			grads = nn.ClipByNorm(grads, 1)
			opt.Step(grads, rate)
			scope.Leave()
		}
		t.Logf("loss from %.3f to %.3f", first, last)
		assert.Less(t, last, .8*first)
		assert.Less(t, last, .6*math.Log(way), "chance")
	})
}

// A layer says how many numbers its memory carries: those of the state of a memory with the same rule.
func TestLayersKnowTheirState(t *testing.T) {
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		b, m := driven(t, c)
		const time = 9
		x := testkit.Normal(rand.New(rand.NewPCG(1, 1)), 1, time, control).To(tensor.Float32)
		_, s := m.Sequence(&nn.Pass{}, x, m.Init(&nn.Pass{}, 1))
		var want int64
		for _, n := range s.Tensors() {
			if n.Name != "position" {
				want += n.Tensor.Numel()
			}
		}
		l := fastweight.NewLayer(b.In("layer"), fastweight.LayerConfig{Config: c, Width: 8})
		assert.Equal(t, want, l.State(time))
	})
}

// The learned initial weights of a deep model outlast a thousand tokens; a matrix of zeros has nothing to lose.
func TestDecayBeginsNearNothingLost(t *testing.T) {
	gated := 0
	eachNamed(t, func(t *testing.T, c fastweight.Config) {
		if c.Gate == fastweight.NoGate {
			return
		}
		gated++
		b, _ := driven(t, c)
		by := map[string]*tensor.Tensor{}
		for _, p := range b.Params().All() {
			by[p.Name] = p.Value()
		}
		require.Contains(t, by, "decay_rate")
		for _, lost := range by["decay_bias"].Softplus().Mul(by["decay_rate"].Exp()).Floats() {
			assert.Positive(t, lost)
			if c.Depth > 1 {
				assert.Less(t, lost, .00101, "per token")
			} else {
				assert.Less(t, lost, 1.7, "per token")
			}
		}
	})
	assert.GreaterOrEqual(t, gated, 9)
}
