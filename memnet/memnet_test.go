package memnet_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset/babi"
	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/memnet"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/metric"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// words, width and slots of the networks of these tests.
const words, width, slots = 9, 4, 5

// shapes are configurations that change what the network computes.
func shapes() map[string]memnet.Config {
	return map[string]memnet.Config{
		"adjacent, 3 hops":       {Hops: 3, Encoding: encoder.PositionEncoding},
		"adjacent, 1 hop, bag":   {Hops: 1},
		"adjacent, rectified":    {Hops: 2, ReLU: true, Encoding: encoder.ReleasedPositionEncoding, Longest: 4},
		"layer-wise":             {Hops: 2, Tying: memnet.LayerWise, Encoding: encoder.PositionEncoding},
		"layer-wise, timeless":   {Hops: 3, Tying: memnet.LayerWise, Timeless: true, ReLU: true},
		"adjacent, without time": {Hops: 2, Timeless: true, Encoding: encoder.PositionEncoding},
	}
}

func each(t *testing.T, f func(t *testing.T, c memnet.Config, b *nn.Builder, n *memnet.Net)) {
	for name, c := range shapes() {
		t.Run(name, func(t *testing.T) {
			testkit.Enter(t)
			b := nn.NewBuilder(1, tensor.CPU)
			defer b.Params().Free()
			c.Words, c.Width, c.Slots = words, width, slots
			f(t, c, b, memnet.New(b, c))
		})
	}
}

// told are stories of several lengths: one longer than the memory, one without facts, some with unknown words.
var told = []encoder.Story{
	{Facts: [][]int{{0, 1, 2}, {3, 4}, {8, 8, 1, 0}}, Question: []int{5, 2}},
	{Facts: [][]int{{1}, {2, 3}, {4, 5, 6}, {7, 0}, {1, 2, 3}, {6, 4}, {2}}, Question: []int{7}},
	{Question: []int{1, 2, 3}},
	{Facts: [][]int{{-1, 4}, {-1}}, Question: []int{2, -1, 4}},
}

// double returns a pass with float64 parameters other than the initial ones.
func double(b *nn.Builder, r *rand.Rand) *nn.Pass {
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	for _, param := range b.Params().Trained() {
		v := make([]float64, param.Value().Numel())
		for i := range v {
			v[i] = .6 * r.NormFloat64()
		}
		p.With[param] = tensor.New(v, param.Value().Shape()...)
	}
	return p
}

// network implements the paper's formulas with one loop per sum.
type network struct {
	c      memnet.Config
	linear bool
	params map[string][][]float64
}

func newNetwork(c memnet.Config, linear bool, p *nn.Pass) network {
	n := network{c, linear, map[string][][]float64{}}
	for param, v := range p.With {
		for i := range v.Dim(0) {
			n.params[param.Name] = append(n.params[param.Name], v.Select(0, i).Floats())
		}
	}
	return n
}

func (n network) encode(sentence []int, table [][]float64) []float64 {
	m := make([]float64, width)
	for j, w := range sentence {
		for k := range m {
			if w < 0 {
				continue
			}
			l, J, j, k1 := 1., float64(len(sentence)), float64(j+1), float64(k+1)
			switch n.c.Encoding {
			case encoder.PositionEncoding:
				l = (1 - j/J) - k1/width*(1-2*j/J)
			case encoder.ReleasedPositionEncoding:
				J = float64(n.c.Longest)
				l = 1 + 4*(k1-(width+1)/2.)*(j-(J+1)/2)/width/J
			}
			m[k] += l * table[w][k]
		}
	}
	return m
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// answer returns the words' logits and the attention of each hop.
func (n network) answer(s encoder.Story) (scores []float64, attention [][]float64) {
	facts := s.Facts[max(0, len(s.Facts)-slots):]
	embed := func(hop int, input bool) (out [][]float64) {
		table := hop + 1
		if !input {
			table++
		}
		if n.c.Tying == memnet.LayerWise {
			table -= hop
		}
		for i, fact := range facts {
			m := n.encode(fact, n.params[fmt.Sprint("words", table)])
			if !n.c.Timeless {
				for k, v := range n.params[fmt.Sprint("times", table)][len(facts)-1-i] {
					m[k] += v
				}
			}
			out = append(out, m)
		}
		return out
	}
	asks, says := n.params["words1"], n.params[fmt.Sprint("words", n.c.Hops+1)]
	if n.c.Tying == memnet.LayerWise {
		asks, says = n.params["question"], n.params["answer"]
	}
	u := n.encode(s.Question, asks)
	for hop := range n.c.Hops {
		keys, values := embed(hop, true), embed(hop, false)
		weights := make([]float64, slots)
		sum := float64(slots - len(facts)) // e⁰ for each empty slot
		for i := range facts {
			weights[i] = dot(u, keys[i])
			if !n.linear {
				weights[i] = math.Exp(weights[i])
			}
			sum += weights[i]
		}
		next := append([]float64{}, u...)
		if n.c.Tying == memnet.LayerWise {
			for k, row := range n.params["hop.weight"] {
				next[k] = dot(row, u)
			}
		}
		for i := range weights {
			if i >= len(facts) {
				if !n.linear {
					weights[i] = 1 / sum
				}
				continue
			}
			if !n.linear {
				weights[i] /= sum
			}
			for k := range next {
				next[k] += weights[i] * values[i][k]
			}
		}
		if n.c.ReLU {
			for k := range next {
				next[k] = max(0, next[k])
			}
		}
		u, attention = next, append(attention, weights)
	}
	for _, row := range says {
		scores = append(scores, dot(u, row))
	}
	return scores, attention
}

func TestForwardIsThePaperWrittenOut(t *testing.T) {
	each(t, func(t *testing.T, c memnet.Config, b *nn.Builder, n *memnet.Net) {
		p := double(b, rand.New(rand.NewPCG(1, 0)))
		for _, linear := range []bool{false, true} {
			n.SetLinear(linear)
			require.Equal(t, linear, n.Linear())
			plain := newNetwork(c, linear, p)
			scores, attention := n.Forward(p, told)
			require.Equal(t, []int64{int64(len(told)), words}, scores.Shape())
			require.Len(t, attention, c.Hops)
			for i, s := range told {
				want, weights := plain.answer(s)
				assert.InDeltaSlice(t, want, scores.Select(0, int64(i)).Floats(), 1e-5, "%v", s)
				for hop, a := range attention {
					assert.InDeltaSlice(t, weights[hop], a.Select(0, int64(i)).Floats(), 1e-5)
				}
			}
		}
	})
}

// The answer to a story does not depend on the other stories of the batch.
func TestStoriesOfABatchAreApart(t *testing.T) {
	each(t, func(t *testing.T, _ memnet.Config, _ *nn.Builder, n *memnet.Net) {
		all, _ := n.Forward(&nn.Pass{}, told)
		for i, s := range told {
			one, _ := n.Forward(&nn.Pass{}, []encoder.Story{s})
			assert.InDeltaSlice(t, one.Floats(), all.Select(0, int64(i)).Floats(), 1e-6)
		}
	})
}

func TestLongStoryIsItsLastSentences(t *testing.T) {
	each(t, func(t *testing.T, _ memnet.Config, _ *nn.Builder, n *memnet.Net) {
		long := told[1]
		require.Greater(t, len(long.Facts), slots)
		got, _ := n.Forward(&nn.Pass{}, []encoder.Story{long})
		long.Facts = long.Facts[len(long.Facts)-slots:]
		want, attention := n.Forward(&nn.Pass{}, []encoder.Story{long})
		assert.Equal(t, want.Floats(), got.Floats())
		assert.Equal(t, []int64{1, slots}, attention[0].Shape())
	})
}

func TestParameterCounts(t *testing.T) {
	const v, d, m = words, width, slots
	each(t, func(t *testing.T, c memnet.Config, b *nn.Builder, n *memnet.Net) {
		tables := int64(c.Hops + 1) // adjacent: inner tables serve two hops, the outer ones also the question and the answer
		want := tables * (v + m) * d
		if c.Timeless {
			want = tables * v * d
		}
		if c.Tying == memnet.LayerWise { // input, output, question and answer, for any number of hops
			want = 4*v*d + 2*m*d + d*d
			if c.Timeless {
				want = 4*v*d + d*d
			}
		}
		assert.Equal(t, want, b.Params().Count())
	})
}

func TestGradientIsThatOfFiniteDifferences(t *testing.T) {
	each(t, func(t *testing.T, _ memnet.Config, b *nn.Builder, n *memnet.Net) {
		for _, linear := range []bool{false, true} {
			n.SetLinear(linear)
			testkit.Gradients(t, b.Params(), rand.New(rand.NewPCG(2, 0)), func(p *nn.Pass) *tensor.Tensor {
				scores, _ := n.Forward(p, told)
				return tensor.NLL(scores.LogSoftmax(-1), tensor.New([]int64{1, 4, 0, 8}, 4))
			})
		}
	})
}

// Noise stretches the times, keeps their order, and is present in training only.
func TestNoise(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	// With one hop, one word and a time table that counts, the attention of a linear network equals the times.
	n := memnet.New(b, memnet.Config{Words: 1, Width: 1, Hops: 1, Slots: 20, Noise: .5})
	n.SetLinear(true)
	counted := make([]float32, 20)
	for i := range counted {
		counted[i] = float32(i)
	}
	with := map[*nn.Param]*tensor.Tensor{}
	for _, p := range b.Params().Trained() {
		if p.Name == "times1" {
			with[p] = tensor.New(counted, 20, 1)
		} else {
			with[p] = tensor.Ones(p.Value().Shape()...)
		}
	}
	story := []encoder.Story{{Facts: make([][]int, 19), Question: []int{0}}}
	times := func(p *nn.Pass) []float64 {
		p.With = with
		_, attention := n.Forward(p, story)
		return attention[0].Floats()[:19]
	}
	still := times(&nn.Pass{})
	for i, v := range still {
		assert.Equal(t, float64(18-i), v)
	}
	moved, last := 0, map[float64]int{}
	for seed := range uint64(50) {
		got := times(&nn.Pass{Training: true, Rand: rand.New(rand.NewPCG(seed, 0))})
		for i := 1; i < len(got); i++ {
			assert.LessOrEqual(t, got[i], got[i-1])
			if got[i-1] < 19 {
				assert.Less(t, got[i], got[i-1], "only the memory's last time stands for several")
			}
			assert.GreaterOrEqual(t, got[i-1], still[i-1])
		}
		if got[0] != still[0] {
			moved++
		}
		last[got[0]]++
	}
	assert.Greater(t, moved, 25)
	assert.LessOrEqual(t, len(last), 2, "times beyond the memory are its last")
}

// A network saved with its softmaxes off is restored with them off.
func TestLinearIsSaved(t *testing.T) {
	testkit.Enter(t)
	c := memnet.Config{Words: words, Width: width}
	a, b := nn.NewBuilder(1, tensor.CPU), nn.NewBuilder(2, tensor.CPU)
	defer a.Params().Free()
	defer b.Params().Free()
	from, to := memnet.New(a, c), memnet.New(b, c)
	from.SetLinear(true)
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, nn.Save(path, a.Params().State(), nil))
	state, err := nn.Open(path)
	require.NoError(t, err)
	require.NoError(t, b.Params().Load(state))
	assert.True(t, to.Linear())
	want, _ := from.Forward(&nn.Pass{}, told)
	got, _ := to.Forward(&nn.Pass{}, told)
	assert.Equal(t, want.Floats(), got.Floats())
}

// A small network learns where people are and attends to the sentence that says so.
func TestLearnsStories(t *testing.T) {
	testkit.Enter(t)
	data, err := babi.NewStories(1, babi.StoriesOptions{Train: 600, Test: 200})
	require.NoError(t, err)
	train, test := babi.Of(data.Train, 1), babi.Of(data.Test, 1)
	v := babi.NewVocabulary(train)
	batch := func(questions []babi.Question) (stories []encoder.Story, labels []int64) {
		for _, q := range questions {
			s := encoder.Story{Question: v.Numbers(q.Words)}
			for _, fact := range q.Facts {
				s.Facts = append(s.Facts, v.Numbers(fact))
			}
			stories, labels = append(stories, s), append(labels, int64(v.Number(q.Answer)))
		}
		return stories, labels
	}
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	n := memnet.New(b, memnet.Config{Words: int64(v.Len()), Hops: 1, Slots: 10, Encoding: encoder.PositionEncoding})
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	defer opt.Free()
	r := rand.New(rand.NewPCG(1, 0))
	for range 450 {
		scope := tensor.Enter()
		var some []babi.Question
		for range 32 {
			some = append(some, train[r.IntN(len(train))])
		}
		stories, labels := batch(some)
		scores, _ := n.Forward(&nn.Pass{Training: true}, stories)
		loss := tensor.NLL(scores.LogSoftmax(-1), tensor.New(labels, int64(len(labels))))
		opt.Step(tensor.Grad(loss, b.Params().Tensors()...), .01)
		scope.Leave()
	}
	stories, labels := batch(test)
	scores, attention := n.Forward(&nn.Pass{}, stories)
	right, looked := 0, 0
	at := tensor.Values[int64](attention[0].Argmax(-1))
	for i, best := range tensor.Values[int64](scores.Argmax(-1)) {
		if best == labels[i] {
			right++
		}
		if int(at[i]) == test[i].Support[0] {
			looked++
		}
	}
	t.Logf("%d of %d right, %d with the attention on the supporting sentence", right, len(test), looked)
	assert.Greater(t, right, len(test)*9/10)
	assert.Greater(t, looked, len(test)/2)
}

// A memory of few slots keeps the most recent sentences, however many empty slots a story has.
func TestAMemoryOfFewSlotsKeepsTheMostRecent(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	defer b.Params().Free()
	n := memnet.New(b, memnet.Config{
		Words: words, Width: width, Slots: slots, Timeless: true,
		Memory: memory.NewBounded(memory.BoundedConfig{Rule: memory.NTMWrite, Slots: 2, Metric: metric.Dot{}, Scale: 1}),
	})
	pass := &nn.Pass{Norm: nn.RunningStats}
	answer := func(facts ...[]int) []float64 {
		scores, attention := n.Forward(pass, []encoder.Story{{Facts: facts, Question: []int{3}}})
		assert.Nil(t, attention)
		return scores.Floats()
	}
	recent := answer([]int{5}, []int{6, 7})
	assert.InDeltaSlice(t, recent, answer([]int{1, 2}, []int{4}, []int{5}, []int{6, 7}), 1e-6)
	assert.NotEqual(t, recent, answer([]int{5}, []int{6}))
	assert.PanicsWithValue(t, "memnet: a *memory.Bounded reads by no softmax that could be left out", func() { n.SetLinear(true) })
}
