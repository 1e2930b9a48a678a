package fastweight_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memory/fastweight"
	"github.com/engram-go/engram/tensor"
)

// A sequence is one head of one batch element in plain floats.
type sequence struct {
	q, k, v        [][]float64
	rate, momentum []float64
	decay          [][]float64
	rule           fastweight.Rule
	weights        [][][]float64 // of each layer
	biases         [][]float64
	gain, shift    []float64
	positions      []float64
	sumW           [][][]float64 // momentum, or the sum since the start of a mini-batch
	sumB           [][]float64
	startW         [][][]float64
	startB         [][]float64
}

func grid(t *tensor.Tensor, batch, head int64) [][]float64 {
	v, w := t.Select(0, batch).Select(0, head).Contiguous().Floats(), int(t.Dim(3))
	var out [][]float64
	for i := range int(t.Dim(2)) {
		out = append(out, v[i*w:][:w])
	}
	return out
}

func clone(m [][]float64) [][]float64 {
	out := make([][]float64, len(m))
	for i := range m {
		out[i] = append([]float64(nil), m[i]...)
	}
	return out
}

func plainGELU(x float64) float64 {
	return .5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+.044715*x*x*x)))
}

// output is the model for one input.
func (s *sequence) output(w [][][]float64, b [][]float64, x []float64) []float64 {
	h := x
	for l := range w {
		if l > 0 {
			g := make([]float64, len(h))
			for i := range h {
				g[i] = plainGELU(h[i])
			}
			h = g
		}
		out := make([]float64, len(w[l][0]))
		for j := range out {
			if s.rule.Biased {
				out[j] = b[l][j]
			}
			for i := range h {
				out[j] += h[i] * w[l][i][j]
			}
		}
		h = out
	}
	if !s.rule.Residual {
		return h
	}
	var mean, variance float64
	for _, v := range h {
		mean += v / float64(len(h))
	}
	for _, v := range h {
		variance += (v - mean) * (v - mean) / float64(len(h))
	}
	eps := 1e-6
	if s.rule.NormEps > 0 {
		eps = s.rule.NormEps
	}
	y := make([]float64, len(h))
	for i, v := range h {
		y[i] = x[i] + s.gain[i]*(v-mean)/math.Sqrt(variance+eps) + s.shift[i]
	}
	return y
}

func (s *sequence) loss(w [][][]float64, b [][]float64, k, v []float64) (loss float64) {
	y := s.output(w, b, k)
	var squared float64
	for i := range y {
		squared += (y[i] - v[i]) * (y[i] - v[i])
	}
	switch s.rule.Loss {
	case fastweight.Dot:
		for i := range y {
			loss -= y[i] * v[i]
		}
	case fastweight.Squared:
		loss = squared / 2
	case fastweight.Huber:
		if loss = squared / 2; math.Sqrt(squared) > s.rule.Threshold {
			loss = 0
			for i := range y {
				loss += s.rule.Threshold * math.Sqrt((y[i]-v[i])*(y[i]-v[i])+1e-6)
			}
		}
	case fastweight.PNorm:
		for i := range y {
			loss += math.Pow((y[i]-v[i])*(y[i]-v[i])+1e-6, s.rule.P/2)
		}
	}
	if s.rule.LossScale != 0 {
		loss *= s.rule.LossScale
	}
	return loss
}

// slope is the derivative of the loss by a weight, by central differences: nothing of the package's closed form is in it.
func (s *sequence) slope(w [][][]float64, b [][]float64, i int, at *float64) (slope float64) {
	const h = 1e-5
	was := *at
	for j := max(0, i-max(int(s.rule.Window), 1)+1); j <= i; j++ {
		*at = was + h
		up := s.loss(w, b, s.k[j], s.v[j])
		*at = was - h
		slope += (up - s.loss(w, b, s.k[j], s.v[j])) / (2 * h)
	}
	*at = was
	return slope
}

// effective are the weights of logits on a simplex, and others as they are.
func (s *sequence) effective(held [][][]float64) [][][]float64 {
	if !s.rule.Simplex {
		return held
	}
	var out [][][]float64
	for _, l := range held {
		w := clone(l)
		for j := range l[0] {
			var sum float64
			for i := range l {
				sum += math.Exp(l[i][j])
			}
			for i := range l {
				w[i][j] = float64(len(l)) * math.Exp(l[i][j]) / sum
			}
		}
		out = append(out, w)
	}
	return out
}

// plainOrthogonal is the iteration of Newton and Schulz by loops: x(a + b·xᵀx + c·(xᵀx)²) is the same for either side.
func plainOrthogonal(x [][]float64, steps int) [][]float64 {
	x = clone(x)
	var squared float64
	for _, row := range x {
		for _, v := range row {
			squared += v * v
		}
	}
	for _, row := range x {
		for j := range row {
			row[j] /= math.Sqrt(squared + 1e-6)
		}
	}
	product := func(a, b [][]float64) [][]float64 {
		out := make([][]float64, len(a))
		for i := range out {
			out[i] = make([]float64, len(b[0]))
			for j := range out[i] {
				for k := range b {
					out[i][j] += a[i][k] * b[k][j]
				}
			}
		}
		return out
	}
	for range steps {
		transposed := make([][]float64, len(x[0]))
		for j := range transposed {
			for i := range x {
				transposed[j] = append(transposed[j], x[i][j])
			}
		}
		a := product(transposed, x)
		aa := product(a, a)
		for i := range a {
			for j := range a {
				a[i][j] = -4.7750*a[i][j] + 2.0315*aa[i][j]
			}
			a[i][i] += 3.4445
		}
		x = product(x, a)
	}
	return x
}

// run is the naive loop over all tokens.
func (s *sequence) run() (reads [][]float64) {
	writes := max(int(s.rule.Writes), 1)
	for i := range s.k {
		position := 0
		if s.rule.MiniBatch > 1 {
			if position = i % int(s.rule.MiniBatch); position == 0 {
				s.startW, s.startB = nil, clone(s.biases)
				for _, w := range s.weights {
					s.startW = append(s.startW, clone(w))
				}
				if s.positions != nil {
					s.sumW, s.sumB = nil, nil
				}
			}
		}
		if s.sumW == nil {
			for l, w := range s.weights {
				zero := clone(w)
				for _, row := range zero {
					clear(row)
				}
				s.sumW, s.sumB = append(s.sumW, zero), append(s.sumB, make([]float64, len(s.weights[l][0])))
			}
		}
		keep := func(row int) float64 {
			if s.decay == nil || i%writes != 0 {
				return 1
			}
			d := s.decay[i/writes]
			return math.Exp(d[min(row, len(d)-1)])
		}
		decayed := func() {
			for l, w := range s.weights {
				for row := range w {
					for j := range w[row] {
						w[row][j] *= keep(row)
					}
				}
				for j := range s.biases[l] {
					s.biases[l][j] *= keep(0)
				}
			}
		}
		if s.rule.DecayFirst {
			decayed()
		}
		fromW, fromB := s.weights, s.biases
		if s.rule.MiniBatch > 1 {
			fromW, fromB = s.startW, s.startB
		}
		fromW = s.effective(fromW)
		rate, momentum := 1., 0.
		if s.rate != nil {
			rate = s.rate[i]
		}
		if s.momentum != nil {
			momentum = s.momentum[i]
		} else if s.positions != nil {
			momentum = 1
		}
		inner := rate
		if s.rule.Orthogonal > 0 {
			inner = 1
		}
		for l, w := range fromW {
			for row := range w {
				for j := range w[row] {
					s.sumW[l][row][j] = momentum*s.sumW[l][row][j] - inner*s.slope(fromW, fromB, i, &w[row][j])
				}
			}
			if s.rule.Biased {
				for j := range fromB[l] {
					s.sumB[l][j] = momentum*s.sumB[l][j] - inner*s.slope(fromW, fromB, i, &fromB[l][j])
				}
			}
		}
		if !s.rule.DecayFirst {
			decayed()
		}
		for l, w := range s.weights {
			change := s.sumW[l]
			if s.rule.Orthogonal > 0 {
				change = plainOrthogonal(change, int(s.rule.Orthogonal))
				for _, row := range change {
					for j := range row {
						row[j] *= rate
					}
				}
			}
			for row := range w {
				for j := range w[row] {
					if w[row][j] += change[row][j]; s.positions != nil {
						w[row][j] = s.startW[l][row][j] + s.positions[position]*s.sumW[l][row][j]
					}
				}
			}
			for j := range s.biases[l] {
				if s.biases[l][j] += s.sumB[l][j]; s.positions != nil {
					s.biases[l][j] = s.startB[l][j] + s.positions[position]*s.sumB[l][j]
				}
			}
		}
		if i%writes == writes-1 {
			reads = append(reads, s.output(s.effective(s.weights), s.biases, s.q[i/writes]))
		}
	}
	return reads
}

// A setting is a rule with what its tokens have.
type setting struct {
	name               string
	rule               fastweight.Rule
	rate, momentum     bool
	decay              int // 0: none, 1: per head, 2: per channel
	positions, chunked bool
}

func settings() []setting {
	dot, squared := fastweight.Rule{Loss: fastweight.Dot}, fastweight.Rule{Loss: fastweight.Squared}
	first := fastweight.Rule{Loss: fastweight.Squared, DecayFirst: true}
	several := fastweight.Rule{Loss: fastweight.Squared, DecayFirst: true, Writes: 3}
	deep := func(r fastweight.Rule) fastweight.Rule {
		r.Depth, r.Residual = 2, true
		return r
	}
	return []setting{
		{"linear attention", dot, false, false, 0, false, true},
		{"linear attention with a gate", dot, true, false, 1, false, true},
		{"linear attention with channel gates", dot, true, false, 2, false, true},
		{"delta", squared, true, false, 0, false, true},
		{"delta of rate 1", squared, false, false, 0, false, true},
		{"scaled delta", fastweight.Rule{Loss: fastweight.Squared, LossScale: 1.5}, true, false, 0, false, true},
		{"gated delta", first, true, false, 1, false, true},
		{"KDA", first, true, false, 2, false, true},
		{"delta product", fastweight.Rule{Loss: fastweight.Squared, Writes: 2}, true, false, 0, false, true},
		{"gated delta product", several, true, false, 1, false, true},
		{"channel gated delta product", several, true, false, 2, false, true},
		{"delta with momentum", squared, true, true, 1, false, false},
		{"huber", fastweight.Rule{Loss: fastweight.Huber, Threshold: 1.5}, true, false, 1, false, false},
		{"p-norm", fastweight.Rule{Loss: fastweight.PNorm, P: 3}, true, false, 2, false, false},
		{"ttt-linear", fastweight.Rule{Loss: fastweight.Squared, Biased: true, Residual: true, MiniBatch: 4}, true, false, 0, true, true},
		{"ttt-mlp", fastweight.Rule{Loss: fastweight.Squared, Depth: 2, Biased: true, Residual: true, MiniBatch: 4}, true, false, 0, true, true},
		{"titans", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2}), true, true, 1, false, false},
		{"titans in chunks", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, MiniBatch: 3}), true, true, 1, false, true},
		{"yaad", deep(fastweight.Rule{Loss: fastweight.Huber, Threshold: 1}), true, false, 1, false, false},
		{"moneta", deep(fastweight.Rule{Loss: fastweight.PNorm, P: 3}), true, false, 1, false, false},
		{"three layers", fastweight.Rule{Loss: fastweight.Squared, Depth: 3, Biased: true}, true, false, 1, false, false},
		{"omega", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, Window: 3}), true, true, 1, false, false},
		{"window of a matrix", fastweight.Rule{Loss: fastweight.Squared, Window: 2, DecayFirst: true}, true, false, 1, false, false},
		{"atlas", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, Window: 3, Orthogonal: 5}), true, true, 1, false, false},
		{"memora", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, Simplex: true, NormEps: .01}), true, false, 1, false, false},
		{"memora in mini-batches", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, Simplex: true, NormEps: .01, MiniBatch: 3}), true, true, 1, false, true},
		{"omega in mini-batches", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, Window: 3, MiniBatch: 4}), true, true, 1, false, true},
		{"a window longer than a mini-batch", fastweight.Rule{Loss: fastweight.Squared, Window: 6, MiniBatch: 3, Biased: true}, true, false, 1, false, true},
		{"a window of ttt", fastweight.Rule{Loss: fastweight.Squared, Biased: true, Residual: true, MiniBatch: 4, Window: 2}, true, false, 0, true, true},
		{"atlas in mini-batches", deep(fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, Window: 3, Orthogonal: 5, MiniBatch: 4}), true, true, 1, false, true},
		{"orthogonal in mini-batches", fastweight.Rule{Loss: fastweight.Squared, Orthogonal: 2, MiniBatch: 3}, true, false, 1, false, true},
		{"orthogonal delta", fastweight.Rule{Loss: fastweight.Squared, Orthogonal: 2}, true, false, 0, false, false},
		{"linear titans in chunks", fastweight.Rule{Loss: fastweight.Squared, LossScale: 2, MiniBatch: 5}, true, true, 1, false, true},
		{"momentum in chunks", fastweight.Rule{Loss: fastweight.Squared, Biased: true, MiniBatch: 4}, true, true, 0, false, true},
		{"dot product in chunks", fastweight.Rule{Loss: fastweight.Dot, MiniBatch: 4}, false, true, 0, false, true},
		{"moneta in chunks", deep(fastweight.Rule{Loss: fastweight.PNorm, P: 3, MiniBatch: 4}), true, false, 1, false, true},
	}
}

const batch, heads, key = 2, 2, 3

// drawn are the leaves of a run: tokens, initial weights and shared parameters, which take their places.
type drawn struct {
	setting
	leaves []*tensor.Tensor
}

func (s setting) value() int64 {
	if s.rule.Residual {
		return key
	}
	return 2
}

// draw draws the leaves in the order in which parts takes them.
func (s setting) draw(r *rand.Rand, time int64) drawn {
	writes := time * max(s.rule.Writes, 1)
	out := drawn{setting: s}
	add := func(x *tensor.Tensor) { out.leaves = append(out.leaves, x) }
	add(testkit.Normal(r, batch, heads, time, key))
	add(testkit.Normal(r, batch, heads, writes, key).MulScalar(.7))
	add(testkit.Normal(r, batch, heads, writes, s.value()))
	between := func(lo, hi float64, shape ...int64) *tensor.Tensor {
		return testkit.Normal(r, shape...).Sigmoid().MulScalar(hi - lo).AddScalar(lo)
	}
	if s.rate {
		most := .4
		if s.rule.Loss == fastweight.PNorm || s.rule.Depth > 1 { // larger rates diverge
			most = .05
		}
		least := .02
		if s.rule.MiniBatch > 1 { // gradients at the start of a mini-batch, and what both forms round grows with them
			least, most = .002, .01
		}
		add(between(least, most, batch, heads, writes, 1))
	}
	if s.momentum {
		add(between(.2, .8, batch, heads, writes, 1))
	}
	switch s.decay {
	case 1:
		add(between(-.7, -.01, batch, heads, time, 1))
	case 2:
		add(between(-.7, -.01, batch, heads, time, key))
	}
	in := int64(key)
	for l := range max(s.rule.Depth, 1) {
		width := s.value()
		if l < s.rule.Depth-1 {
			width = 4
		}
		add(testkit.Normal(r, batch, heads, in, width).MulScalar(.6))
		if s.rule.Biased {
			add(testkit.Normal(r, batch, heads, 1, width).MulScalar(.3))
		}
		in = width
	}
	if s.rule.Residual {
		add(testkit.Normal(r, heads, 1, key).MulScalar(.3).AddScalar(1))
		add(testkit.Normal(r, heads, 1, key).MulScalar(.3))
	}
	if s.positions {
		add(between(.2, 1, s.rule.MiniBatch))
	}
	return out
}

// parts makes a run's arguments of leaves.
func (s setting) parts(leaves []*tensor.Tensor) (shared fastweight.Shared, state fastweight.State, t fastweight.Tokens) {
	next := func() *tensor.Tensor {
		x := leaves[0]
		leaves = leaves[1:]
		return x
	}
	t.Query, t.Key, t.Value = next(), next(), next()
	if s.rate {
		t.Rate = next()
	}
	if s.momentum {
		t.Momentum = next()
	}
	if s.decay > 0 {
		t.Decay = next()
	}
	for range max(s.rule.Depth, 1) {
		state.Weights = append(state.Weights, next())
		if s.rule.Biased {
			state.Weights = append(state.Weights, next())
		}
	}
	if s.rule.MiniBatch > 1 {
		state.Start = state.Weights
	}
	if s.rule.Residual {
		shared.Gain, shared.Bias = next(), next()
	}
	if s.positions {
		shared.Positions = next()
	}
	return shared, state, t
}

func each(t *testing.T, f func(t *testing.T, s setting, r *rand.Rand)) {
	for i, s := range settings() {
		t.Run(s.name, func(t *testing.T) {
			testkit.Enter(t)
			f(t, s, rand.New(rand.NewPCG(1, uint64(i))))
		})
	}
}

// The rule is the naive loop over tokens, whose gradients are finite differences of the loss.
func TestRuleIsTheNaiveLoop(t *testing.T) {
	each(t, func(t *testing.T, s setting, r *rand.Rand) {
		const time = 7
		d := s.draw(r, time)
		shared, state, tokens := s.parts(d.leaves)
		read, next := s.rule.Run(shared, state, tokens)
		require.Equal(t, []int64{batch, heads, time, s.value()}, read.Shape())
		column := func(x *tensor.Tensor, b, h int64) (out []float64) {
			if x != nil {
				out = x.Select(0, b).Select(0, h).Contiguous().Floats()
			}
			return out
		}
		for b := range int64(batch) {
			for h := range int64(heads) {
				n := sequence{rule: s.rule, q: grid(tokens.Query, b, h), k: grid(tokens.Key, b, h), v: grid(tokens.Value, b, h),
					rate: column(tokens.Rate, b, h), momentum: column(tokens.Momentum, b, h)}
				if tokens.Decay != nil {
					n.decay = grid(tokens.Decay, b, h)
				}
				per := 1
				if s.rule.Biased {
					per = 2
				}
				for l := 0; l < len(state.Weights); l += per {
					n.weights = append(n.weights, clone(grid(state.Weights[l], b, h)))
					bias := make([]float64, state.Weights[l].Dim(3))
					if per == 2 {
						bias = clone(grid(state.Weights[l+1], b, h))[0]
					}
					n.biases = append(n.biases, bias)
				}
				if shared.Gain != nil {
					n.gain, n.shift = shared.Gain.Select(0, h).Floats(), shared.Bias.Select(0, h).Floats()
				}
				if shared.Positions != nil {
					n.positions = shared.Positions.Floats()
				}
				want := n.run()
				tolerance := 1e-6 * float64(max(s.rule.Window, 1)*max(s.rule.Window, 1)) // of as many differences
				for i, got := range grid(read, b, h) {
					assert.InDeltaSlice(t, want[i], got, tolerance, "batch %d, head %d, token %d", b, h, i)
				}
				for l := range n.weights {
					for i, got := range grid(next.Weights[l*per], b, h) {
						assert.InDeltaSlice(t, n.weights[l][i], got, tolerance, "weights %d, row %d", l, i)
					}
				}
			}
		}
	})
}

// The forms of a run.
type form string

const (
	asRun    form = "as run" // one operation where there is one
	composed form = "composed of LibTorch's operations"
	stepped  form = "step by step"
)

// outcome is everything that a run gives, with the gradients of a weighted sum of it for all leaves.
func outcome(s setting, leaves []*tensor.Tensor, how form) (values, gradients [][]float64) {
	own := make([]*tensor.Tensor, len(leaves))
	for i, x := range leaves {
		own[i] = x.Clone().Detach().RequireGrad()
	}
	shared, state, tokens := s.parts(own)
	run := s.rule.Run
	if how == stepped {
		run = s.rule.Steps
	}
	shared.HigherOrder = how == composed
	read, next := run(shared, state, tokens)
	r := rand.New(rand.NewPCG(9, 9))
	loss := read.Mul(testkit.Normal(r, read.Shape()...).To(read.DType())).Sum()
	values = append(values, read.Floats())
	for _, w := range next.Weights {
		loss = loss.Add(w.Mul(testkit.Normal(r, w.Shape()...).To(w.DType())).Sum())
		values = append(values, w.Floats())
	}
	for _, g := range tensor.Grad(loss, own...) {
		var v []float64
		if g != nil { // the momentum of one token multiplies nothing
			v = g.Floats()
		}
		gradients = append(gradients, v)
	}
	return values, gradients
}

// The chunked form is the form step by step, value and gradient, for lengths below, at and beyond a chunk, in one precision
// and the other.
func TestChunksAreSteps(t *testing.T) {
	each(t, func(t *testing.T, s setting, r *rand.Rand) {
		if !s.chunked {
			return
		}
		for _, chunk := range []int64{0, 4} {
			for _, time := range []int64{2, 4, 7, 16, 33} {
				if s.rule.Residual && s.rule.MiniBatch > 1 && (time > 16 || time > 7 && s.rule.Window > 1) {
					continue // gradients through more mini-batches of three units under a layer norm grow to 1e5
				}
				for dtype, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-10, tensor.Float32: 1e-4} {
					if dtype == tensor.Float32 && s.rule.Residual && s.rule.MiniBatch > 1 {
						tolerance = 2e-3 // a layer norm of three units multiplies the rounding of both forms
					}
					scope := tensor.Enter()
					s.rule.Chunk = chunk
					var leaves []*tensor.Tensor
					for _, x := range s.draw(r, time).leaves {
						leaves = append(leaves, x.To(dtype))
					}
					wantValues, wantGradients := outcome(s, leaves, stepped)
					for _, how := range []form{asRun, composed} {
						gotValues, gotGradients := outcome(s, leaves, how)
						for i := range wantValues {
							closeTo(t, wantValues[i], gotValues[i], tolerance, fmt.Sprint("value ", i, " of length ", time, dtype, how))
						}
						for i := range wantGradients {
							closeTo(t, wantGradients[i], gotGradients[i], tolerance, fmt.Sprint("gradient ", i, " of length ", time, dtype, how))
						}
					}
					scope.Leave()
				}
			}
		}
	})
}

// One operation is the composition of LibTorch's operations at the sizes of the papers, with more and with fewer values than keys, where
// only the values read or only the state after the sequence is used, with one thread and with two, which agree to the bit.
func TestFusedIsComposed(t *testing.T) {
	defer tensor.SetThreads(tensor.Threads())
	for _, rule := range []fastweight.Rule{
		{Loss: fastweight.Squared, DecayFirst: true}, {Loss: fastweight.Squared}, {Loss: fastweight.Dot}, {Loss: fastweight.Squared, DecayFirst: true, Writes: 2},
	} {
		for _, width := range [][2]int64{{64, 64}, {48, 100}, {33, 17}} {
			for dtype, tolerance := range map[tensor.DType]float64{tensor.Float64: 1e-11, tensor.Float32: 1e-4} {
				for _, decays := range []int64{0, 1, width[0]} { // factors per token
					if decays > 0 && rule.Loss == fastweight.Squared && !rule.DecayFirst {
						continue
					}
					scope := tensor.Enter()
					const batch, heads, time = 3, 2, 150
					r, writes := rand.New(rand.NewPCG(5, 5)), max(rule.Writes, 1)
					leaf := func(f func(*tensor.Tensor) *tensor.Tensor, shape ...int64) *tensor.Tensor {
						return f(testkit.Normal(r, shape...)).To(dtype).Detach().RequireGrad()
					}
					same := func(x *tensor.Tensor) *tensor.Tensor { return x.MulScalar(.3) }
					unit := func(x *tensor.Tensor) *tensor.Tensor { return x.Div(x.Square().SumKeep(-1).Sqrt()) }
					tokens := fastweight.Tokens{
						Query: leaf(unit, batch, heads, time, width[0]), Key: leaf(unit, batch, heads, time*writes, width[0]),
						Value: leaf(same, batch, heads, time*writes, width[1]), Rate: leaf((*tensor.Tensor).Sigmoid, batch, heads, time*writes, 1),
					}
					start := leaf(same, batch, heads, width[0], width[1])
					leaves := []*tensor.Tensor{start, tokens.Query, tokens.Key, tokens.Value, tokens.Rate}
					if decays > 0 {
						tokens.Decay = leaf(func(x *tensor.Tensor) *tensor.Tensor { return x.Sigmoid().Log().MulScalar(.1) }, batch, heads, time, decays)
						leaves = append(leaves, tokens.Decay)
					}
					onRead, onState := testkit.Normal(r, batch, heads, time, width[1]).To(dtype), testkit.Normal(r, batch, heads, width[0], width[1]).To(dtype)
					run := func(higher bool) (out [][]float64) {
						read, next := rule.Run(fastweight.Shared{HigherOrder: higher}, fastweight.State{Weights: []*tensor.Tensor{start}}, tokens)
						out = append(out, read.Floats(), next.Weights[0].Floats())
						a, b := read.Mul(onRead).Sum(), next.Weights[0].Mul(onState).Sum()
						for _, loss := range []*tensor.Tensor{a, b, a.Add(b)} {
							for _, g := range tensor.GradWith([]*tensor.Tensor{loss}, leaves, tensor.GradOptions{Retain: true}) {
								if g == nil {
									g = start.ZerosLike() // the composition gives none where nothing is asked
								}
								out = append(out, g.Floats())
							}
						}
						return out
					}
					tensor.SetThreads(1)
					want, got := run(true), run(false)
					tensor.SetThreads(2)
					for i := range want {
						largest := 1.
						for _, v := range want[i] {
							largest = max(largest, math.Abs(v))
						}
						if len(want[i]) == len(got[i]) {
							require.InDeltaSlice(t, want[i], got[i], tolerance*largest, "tensor %d of %v %v %v, %d decays", i, width, dtype, rule, decays)
							continue
						}
						for _, v := range got[i] {
							require.Zero(t, v)
						}
					}
					require.Equal(t, got, run(false), "threads")
					scope.Leave()
				}
			}
		}
	}
}

// Gradients through a whole sequence are finite differences.
func TestGradientOfASequence(t *testing.T) {
	each(t, func(t *testing.T, s setting, r *rand.Rand) {
		const h, time = 1e-6, 5
		tolerance := 2e-6
		if s.rule.Orthogonal > 2 { // whose third derivatives are large: the error of the differences falls with h²
			tolerance = 1e-4
		}
		leaves := s.draw(r, time).leaves
		_, gradients := outcome(s, leaves, asRun)
		sum := func(at int, element int, by float64) (out float64) {
			scope := tensor.Enter()
			defer scope.Leave()
			moved := append([]*tensor.Tensor(nil), leaves...)
			v := leaves[at].Floats()
			v[element] += by
			moved[at] = tensor.New(v, leaves[at].Shape()...)
			tensor.NoGrad(func() {
				shared, state, tokens := s.parts(moved)
				read, next := s.rule.Run(shared, state, tokens)
				r := rand.New(rand.NewPCG(9, 9))
				out = read.Mul(testkit.Normal(r, read.Shape()...)).Sum().Float()
				for _, w := range next.Weights {
					out += w.Mul(testkit.Normal(r, w.Shape()...)).Sum().Float()
				}
			})
			return out
		}
		for i := range leaves {
			for j := range gradients[i] {
				if len(gradients[i]) > 6 && r.IntN(len(gradients[i])) >= 6 { // some of each
					continue
				}
				want := (sum(i, j, h) - sum(i, j, -h)) / (2 * h)
				assert.InDelta(t, want, gradients[i][j], tolerance*(1+math.Abs(want)), "leaf %d, element %d", i, j)
			}
		}
	})
}

// The laws that tie the rules to one another.
func TestLaws(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	d := setting{rule: fastweight.Rule{Loss: fastweight.Squared, DecayFirst: true}, rate: true, decay: 1}.draw(r, 20)
	_, state, tokens := d.parts(d.leaves)
	reads := func(r fastweight.Rule, t fastweight.Tokens) []float64 {
		read, _ := r.Run(fastweight.Shared{}, state, t)
		return read.Floats()
	}
	gated, delta := d.rule, fastweight.Rule{Loss: fastweight.Squared}

	perChannel := tokens
	perChannel.Decay = tokens.Decay.Expand(batch, heads, 20, key)
	assert.InDeltaSlice(t, reads(gated, tokens), reads(gated, perChannel), 1e-12, "equal gates of all channels are a gate per head")

	none, zero := tokens, tokens
	none.Decay, zero.Decay = nil, tokens.Decay.ZerosLike()
	assert.InDeltaSlice(t, reads(delta, none), reads(gated, zero), 1e-12, "a gate that keeps all is none")

	momentum := none
	momentum.Momentum = tokens.Rate.ZerosLike()
	assert.InDeltaSlice(t, reads(delta, none), reads(delta, momentum), 1e-12, "a momentum that keeps nothing is none")

	// A token is written and then read: one sequence is as many sequences of length one.
	var one []*tensor.Tensor
	s := state
	for i := range int64(20) {
		t := fastweight.Tokens{
			Query: tokens.Query.Narrow(2, i, 1), Key: tokens.Key.Narrow(2, i, 1), Value: tokens.Value.Narrow(2, i, 1),
			Rate: tokens.Rate.Narrow(2, i, 1), Decay: tokens.Decay.Narrow(2, i, 1),
		}
		var read *tensor.Tensor
		read, s = gated.Run(fastweight.Shared{}, s, t)
		one = append(one, read)
	}
	assert.InDeltaSlice(t, reads(gated, tokens), tensor.Cat(2, one...).Floats(), 1e-12)
}

// With keys that are orthonormal and a rate of one, the delta rule stores exactly, and the same pair once more changes nothing.
func TestDeltaStoresExactly(t *testing.T) {
	testkit.Enter(t)
	rule := fastweight.Rule{Loss: fastweight.Squared}
	keys := tensor.Eye(key, tensor.Float64, tensor.CPU).Reshape(1, 1, key, key)
	values := testkit.Normal(rand.New(rand.NewPCG(1, 1)), 1, 1, key, 2)
	start := fastweight.State{Weights: []*tensor.Tensor{testkit.Normal(rand.New(rand.NewPCG(2, 1)), 1, 1, key, 2)}}
	_, s := rule.Run(fastweight.Shared{}, start, fastweight.Tokens{Key: keys, Value: values})
	assert.InDeltaSlice(t, values.Floats(), s.Weights[0].Floats(), 1e-12)
	_, again := rule.Run(fastweight.Shared{}, s, fastweight.Tokens{Key: keys, Value: values})
	assert.InDeltaSlice(t, s.Weights[0].Floats(), again.Weights[0].Floats(), 1e-12)
}

// The dual form of Sun et al. 2024, as their public code has it, is the loop over the tokens of a mini-batch.
func TestTTTIsItsDualForm(t *testing.T) {
	testkit.Enter(t)
	r := rand.New(rand.NewPCG(1, 1))
	const n = 4
	s := setting{rule: fastweight.Rule{Loss: fastweight.Squared, Biased: true, Residual: true, MiniBatch: n}, rate: true, positions: true}
	d := s.draw(r, n)
	shared, state, tokens := s.parts(d.leaves)
	read, next := s.rule.Run(shared, state, tokens)
	w, b := state.Weights[0], state.Weights[1]
	gain, bias := shared.Gain, shared.Bias
	norm := func(z *tensor.Tensor) (hat, scale *tensor.Tensor) {
		c := z.Sub(z.MeanKeep(-1))
		scale = c.Square().MeanKeep(-1).AddScalar(1e-6).Sqrt()
		return c.Div(scale), scale
	}
	z := tokens.Key.MatMul(w).Add(b)
	hat, std := norm(z)
	rr := gain.Mul(gain.Mul(hat).Add(bias).Sub(tokens.Value.Sub(tokens.Key)))
	grad := rr.MulScalar(key).Sub(rr.SumKeep(-1)).Sub(hat.Mul(rr.Mul(hat).SumKeep(-1))).Div(std.MulScalar(key))
	lower := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			lower[i*n+j] = 1
		}
	}
	mask := tensor.New(lower, n, n)
	eta := shared.Positions.Reshape(n, 1).Mul(tokens.Rate.Transpose(2, 3)).Mul(mask) // [batch, heads, n, n]
	bar := tokens.Query.MatMul(w).Sub(eta.Mul(tokens.Query.MatMul(tokens.Key.Transpose(2, 3))).MatMul(grad)).Add(b).Sub(eta.MatMul(grad))
	barHat, _ := norm(bar)
	want := tokens.Query.Add(gain.Mul(barHat).Add(bias))
	assert.InDeltaSlice(t, want.Floats(), read.Floats(), 1e-9)
	last := eta.Narrow(2, n-1, 1).Transpose(2, 3)
	assert.InDeltaSlice(t, w.Sub(last.Mul(tokens.Key).Transpose(2, 3).MatMul(grad)).Floats(), next.Weights[0].Floats(), 1e-9)
	assert.InDeltaSlice(t, b.Sub(last.Mul(grad).SumKeep(2)).Floats(), next.Weights[1].Floats(), 1e-9)
}

// Zero keys, queries and values, one token or ten thousand, make nothing that is not finite, and no gradient either.
func TestRuleStaysFinite(t *testing.T) {
	each(t, func(t *testing.T, s setting, r *rand.Rand) {
		for _, time := range []int64{1, 3} {
			leaves := s.draw(r, time).leaves
			for i := range 3 {
				leaves[i] = leaves[i].ZerosLike()
			}
			values, gradients := outcome(s, leaves, asRun)
			for _, v := range append(values, gradients...) {
				for _, x := range v {
					require.False(t, math.IsNaN(x) || math.IsInf(x, 0))
				}
			}
		}
		switch s.name { // the long run takes one of each kind
		case "scaled delta", "delta of rate 1", "memora in mini-batches", "huber", "titans in chunks", "three layers", "ttt-mlp", "yaad", "moneta":
			return
		}
		tensor.NoGrad(func() {
			const together = 500
			var state fastweight.State
			for i := range 10_000 / together {
				scope := tensor.Enter()
				d := s.draw(r, together)
				for j, x := range d.leaves {
					d.leaves[j] = x.To(tensor.Float32)
				}
				shared, first, tokens := s.parts(d.leaves)
				tokens.Key = tokens.Key.Div(tokens.Key.Square().SumKeep(-1).Sqrt().AddScalar(1e-6))
				if i == 0 {
					state = first
				}
				read, next := s.rule.Run(shared, state, tokens)
				require.True(t, read.Finite(), "token %d", i*together)
				for _, n := range next.Tensors() {
					if n.Tensor.DType() == tensor.Float32 {
						scope.Keep(n.Tensor)
					}
				}
				state = next
				scope.Leave()
			}
		})
	})
}

func TestWrongTokensAreErrors(t *testing.T) {
	testkit.Enter(t)
	ok := fastweight.Tokens{Key: tensor.Zeros(1, 1, 4, 3), Value: tensor.Zeros(1, 1, 4, 2)}
	for want, c := range map[string]func(t *fastweight.Tokens, r *fastweight.Rule){
		"want keys":                   func(t *fastweight.Tokens, _ *fastweight.Rule) { t.Key = tensor.Zeros(1, 1, 3, 3) },
		"a multiple of 3":             func(_ *fastweight.Tokens, r *fastweight.Rule) { r.Writes = 3 },
		"want rates":                  func(t *fastweight.Tokens, _ *fastweight.Rule) { t.Rate = tensor.Zeros(1, 1, 3, 1) },
		"want a decay":                func(t *fastweight.Tokens, _ *fastweight.Rule) { t.Decay = tensor.Zeros(1, 1, 4, 2) },
		"needs a matrix without bias": func(t *fastweight.Tokens, r *fastweight.Rule) { r.Biased, t.Decay = true, tensor.Zeros(1, 1, 4, 3) },
		"of the same width":           func(_ *fastweight.Tokens, r *fastweight.Rule) { r.Residual = true },
		"not after a decay":           func(_ *fastweight.Tokens, r *fastweight.Rule) { r.DecayFirst, r.MiniBatch = true, 2 },
	} {
		err := tensor.Do(func() error {
			tokens, rule := ok, fastweight.Rule{}
			c(&tokens, &rule)
			rule.Run(fastweight.Shared{}, fastweight.State{Weights: []*tensor.Tensor{tensor.Zeros(1, 1, 3, 2)}}, tokens)
			return nil
		})
		assert.ErrorContains(t, err, want)
	}
}
