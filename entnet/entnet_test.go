package entnet_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/entnet"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

type array struct {
	Shape []int64
	Data  []float64
}

func (a array) tensor() *tensor.Tensor { return tensor.New(a.Data, a.Shape...) }

// fixture is testdata/fixtures.py's.
type fixture struct {
	Stories []struct {
		Facts    [][]int
		Question []int
		Answer   int64
	}
	Params    map[string]array
	Scores    array
	Loss      float64
	Gradients map[string]array
}

func read(t *testing.T) (f fixture, stories []encoder.Story, answers *tensor.Tensor) {
	text, err := os.ReadFile("testdata/entnet.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &f))
	var labels []int64
	for _, s := range f.Stories {
		stories, labels = append(stories, encoder.Story{Facts: s.Facts, Question: s.Question}), append(labels, s.Answer)
	}
	return f, stories, tensor.New(labels, int64(len(labels)))
}

// Scores and gradients equal those of plain PyTorch code, written from the paper, in double precision: of stories longer than the
// memory reads, shorter ones, and an empty one.
func TestForwardMatchesFixture(t *testing.T) {
	testkit.Enter(t)
	f, stories, answers := read(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	n := entnet.New(b, entnet.Config{Words: 9, Longest: 4, Width: 3, Slots: 5, Sentences: 3})
	p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
	var leaves []*tensor.Tensor
	params := b.Params().All()
	require.Len(t, params, len(f.Params))
	for _, param := range params {
		v := f.Params[param.Name].tensor().RequireGrad()
		require.Equal(t, param.Value().Shape(), v.Shape(), param.Name)
		p.With[param], leaves = v, append(leaves, v)
	}
	for _, p.HigherOrder = range []bool{false, true} { // as one operation, and by the loop over steps
		scores, attention := n.Forward(p, stories)
		assert.Nil(t, attention)
		assert.InDeltaSlice(t, f.Scores.Data, scores.Floats(), 1e-10)
		loss := tensor.NLL(scores.LogSoftmax(-1), answers)
		assert.InDelta(t, f.Loss, loss.Float(), 1e-10)
		for i, g := range tensor.Grad(loss, leaves...) {
			assert.InDeltaSlice(t, f.Gradients[params[i].Name].Data, g.Floats(), 1e-9, params[i].Name)
		}
	}
}

// At the paper's sizes, in float32 and float64, the fused operation equals the loop over steps.
func TestFusedStepsMatchTheLoop(t *testing.T) {
	for dtype, tolerance := range map[tensor.DType]float64{tensor.Float32: 1e-3, tensor.Float64: 1e-10} {
		testkit.Enter(t)
		b := nn.NewBuilder(2, tensor.CPU)
		t.Cleanup(b.Params().Free)
		n := entnet.New(b, entnet.Config{Words: 30, Longest: 6})
		p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
		var leaves []*tensor.Tensor
		for _, param := range b.Params().All() {
			p.With[param] = param.Value().Detach().To(dtype).RequireGrad()
			leaves = append(leaves, p.With[param])
		}
		r := rand.New(rand.NewPCG(5, 0))
		stories := make([]encoder.Story, 9)
		for i := range stories {
			for range r.IntN(12) {
				stories[i].Facts = append(stories[i].Facts, []int{r.IntN(30), r.IntN(30), r.IntN(30)})
			}
		}
		run := func(higher bool) (out [][]float64) {
			p.HigherOrder = higher
			slots := n.Read(p, stories)
			out = append(out, slots.Floats())
			for _, g := range tensor.Grad(slots.Mul(slots.Select(2, 0).Unsqueeze(2)).Sum(), leaves...) {
				if g != nil { // those of the answer have none
					out = append(out, g.Floats())
				}
			}
			return out
		}
		want, got := run(true), run(false)
		for i := range want {
			largest := 0.
			for _, v := range want[i] {
				largest = max(largest, math.Abs(v))
			}
			assert.InDeltaSlice(t, want[i], got[i], tolerance*largest, "%d", i)
		}
	}
}

// The gradient equals finite differences in double precision.
func TestGradientIsTheFiniteDifference(t *testing.T) {
	testkit.Enter(t)
	_, stories, answers := read(t)
	b := nn.NewBuilder(4, tensor.CPU)
	t.Cleanup(b.Params().Free)
	n := entnet.New(b, entnet.Config{Words: 9, Longest: 4, Width: 2, Slots: 3, Sentences: 4})
	p, leaves := testkit.Double(nn.Pass{}, b.Params())
	testkit.Differences(t, leaves, 1e-6, 1e-6, func() *tensor.Tensor {
		scores, _ := n.Forward(p, stories)
		return tensor.NLL(scores.LogSoftmax(-1), answers)
	})
}

// Stories of a batch do not affect one another, and slots have the length 1.
func TestStoriesAreIndependent(t *testing.T) {
	testkit.Enter(t)
	_, stories, _ := read(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	n := entnet.New(b, entnet.Config{Words: 9, Longest: 4, Width: 6, Slots: 4})
	p := &nn.Pass{}
	all, _ := n.Forward(p, stories)
	for i := range stories {
		alone, _ := n.Forward(p, stories[i:i+1])
		assert.InDeltaSlice(t, alone.Floats(), all.Select(0, int64(i)).Floats(), 1e-5)
	}
	for _, length := range n.Read(p, stories[:3]).Square().Sum(-1).Floats() {
		assert.InDelta(t, 1, length, 1e-5)
	}
}

// Nothing is NaN, gradients included, with weights of zero, which cancel slots, without sentences, and after 10,000 of them.
func TestStaysFinite(t *testing.T) {
	testkit.Enter(t)
	_, stories, answers := read(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	n := entnet.New(b, entnet.Config{Words: 9, Longest: 4, Width: 3, Slots: 2, Sentences: 10_000})
	for _, size := range []float64{0, 1, 1e4} {
		p := &nn.Pass{With: map[*nn.Param]*tensor.Tensor{}}
		var leaves []*tensor.Tensor
		for _, param := range b.Params().All() {
			v := param.Value().MulScalar(size).Detach().RequireGrad()
			p.With[param], leaves = v, append(leaves, v)
		}
		scores, _ := n.Forward(p, stories)
		for i, g := range tensor.Grad(tensor.NLL(scores.LogSoftmax(-1), answers), leaves...) {
			if g != nil {
				assert.True(t, g.Finite(), "%s, size %g", b.Params().All()[i].Name, size)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	long := encoder.Story{Question: []int{1}}
	for range 10_000 {
		long.Facts = append(long.Facts, []int{r.IntN(9), r.IntN(9)})
	}
	tensor.NoGrad(func() {
		scores, _ := n.Forward(&nn.Pass{}, []encoder.Story{long})
		assert.True(t, scores.Finite())
	})
}

// It learns where someone last went: the sentence "person place" comes several times, and the question names the person.
func TestLearnsTheLastPlace(t *testing.T) {
	b := nn.NewBuilder(2, tensor.CPU)
	t.Cleanup(b.Params().Free)
	n := entnet.New(b, entnet.Config{Words: 6, Longest: 2, Width: 16, Slots: 4})
	r := rand.New(rand.NewPCG(1, 1))
	draw := func(batch int) (stories []encoder.Story, answers []int64) {
		for range batch {
			var s encoder.Story
			at := map[int]int{}
			for range 4 {
				person, place := r.IntN(2), 2+r.IntN(4)
				s.Facts, at[person] = append(s.Facts, []int{person, place}), place
			}
			for person := range 2 {
				if place, ok := at[person]; ok {
					s.Question, answers = []int{person}, append(answers, int64(place))
					break
				}
			}
			stories = append(stories, s)
		}
		return stories, answers
	}
	opt := nn.NewAdam(b.Params(), nn.DefaultAdam())
	t.Cleanup(opt.Free)
	right := 0.
	for step := range 250 {
		require.NoError(t, tensor.Do(func() error {
			stories, answers := draw(32)
			scores, _ := n.Forward(&nn.Pass{Training: true}, stories)
			labels := tensor.New(answers, 32)
			opt.Step(tensor.Grad(tensor.NLL(scores.LogSoftmax(-1), labels), b.Params().Tensors()...), .01)
			if step >= 240 {
				right += scores.Argmax(-1).Eq(labels).To(tensor.Float32).Mean().Float() / 10
			}
			return nil
		}))
	}
	assert.Greater(t, right, .9)
}

func TestLinear(t *testing.T) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	n := entnet.New(b, entnet.Config{Words: 3})
	n.SetLinear(false)
	assert.False(t, n.Linear())
	assert.Panics(t, func() { n.SetLinear(true) })
}
