package kinds

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset/sequence"
	"github.com/engram-go/engram/memory"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/stream"
	"github.com/engram-go/engram/tensor"
)

// on are the weightings of a head that is at a slot of so many at each step.
func on(slots int, at ...int) heads {
	h := make(heads, 1)
	for slot := range slots {
		row := make([]float64, len(at))
		for t, s := range at {
			if s == slot {
				row[t] = 1
			}
		}
		h[0] = append(h[0], row)
	}
	return h
}

func TestSlotsInUse(t *testing.T) {
	for _, c := range []struct {
		read, write heads
		first, n    int
	}{
		{on(8, 2, 3, 4), nil, 2, 3},
		{on(8, 2), on(8, 5), 2, 4},
		{on(8, 7, 0, 1), nil, 7, 3}, // round the end
		{on(8, 1, 6), nil, 6, 4},
		{on(8, 4, 4), nil, 4, 1},
		{on(3, 0, 1, 2), nil, 0, 3},
		{heads{{{.05, .05}, {.05, .05}}}, nil, 0, 2}, // never sharp
	} {
		first, n := sample{read: c.read, write: c.write}.slots()
		assert.Equal(t, []int{c.first, c.n}, []int{first, n}, "%v", c)
	}
}

func TestPanelsOfHeads(t *testing.T) {
	p := on(8, 7, 0).panels("read weighting", 7, 2)
	require.Len(t, p, 1)
	assert.Equal(t, "read weighting, slots 7 to 0 of 8", p[0].Name)
	assert.Equal(t, []string{"7", "0"}, p[0].Rows)
	assert.Equal(t, [][]float64{{1, 0}, {0, 1}}, p[0].Cells)

	two := slices.Concat(on(4, 0), on(4, 1))
	p = two.panels("write weighting", 0, 2)
	require.Len(t, p, 2)
	assert.Equal(t, "write weighting, head 2 of 2, slots 0 to 1 of 4", p[1].Name)
	assert.Equal(t, [][]float64{{0}, {1}}, p[1].Cells)

	p = slices.Concat(two, two, two).panels("write weighting", 0, 3)
	require.Len(t, p, 1)
	assert.Equal(t, [][]float64{{1}, {1}, {0}}, p[0].Cells)
	assert.Empty(t, heads(nil).panels("read weighting", 0, 0))
}

func TestHeadsAreKeptByStep(t *testing.T) {
	s := tensor.Enter()
	defer s.Leave()
	var h heads
	h.add(nil)
	assert.Nil(t, h)
	h.add(tensor.New([]float32{1, 2, 3, 4}, 1, 2, 2))
	h.add(tensor.New([]float32{5, 6, 7, 8}, 1, 2, 2))
	assert.Equal(t, heads{{{1, 5}, {2, 6}}, {{3, 7}, {4, 8}}}, h)
}

// logits are outputs that say a batch's targets, as surely as can be.
func logits(b *sequence.Batch) []float32 {
	out := make([]float32, len(b.Targets))
	for i, v := range b.Targets {
		out[i] = 200*v - 100
	}
	return out
}

// measured are the metrics of a batch and their values by sequence.
func measured(each [][]sequence.Value) (metrics []string, values map[string][]float64) {
	values = map[string][]float64{}
	for i, v := range each {
		for _, m := range v {
			if i == 0 {
				metrics = append(metrics, m.Metric)
			}
			values[m.Metric] = append(values[m.Metric], m.Value)
		}
	}
	return metrics, values
}

// A copy that gives one vector twice is found, and is right once the rest is moved back.
func TestASlippedCopyIsMeasured(t *testing.T) {
	task, err := sequence.NewCopy(sequence.CopyOptions{})
	require.NoError(t, err)
	b, err := task.Sized(stream.New(1, "test"), 2, sequence.Size{Length: 40})
	require.NoError(t, err)
	out := logits(b)
	for step := b.Time - 1; step > 50; step-- { // of the first sequence
		copy(out[step*2*8:step*2*8+8], out[(step-1)*2*8:(step-1)*2*8+8])
	}
	metrics, values := measured(task.Measure(b, out))
	assert.Equal(t, []string{results.Bits, results.WrongBits, results.Slipped, results.WrongAligned}, metrics)
	assert.Equal(t, []float64{100, 0}, values[results.Slipped])
	assert.Greater(t, values[results.WrongBits][0], 20.)
	assert.Equal(t, []float64{0, 0}, values[results.WrongAligned])
}

// What says what the optimal estimator says pays what it pays.
func TestNGramsAreHeldAgainstTheOptimum(t *testing.T) {
	task, err := sequence.NewNGrams(sequence.NGramsOptions{})
	require.NoError(t, err)
	b, err := task.Sized(stream.New(1, "test"), 50, sequence.Size{Length: 200})
	require.NoError(t, err)
	out := make([]float32, len(b.Targets))
	for i, p := range task.Optimal(b) {
		out[i] = float32(math.Log(float64(p) / (1 - float64(p))))
	}
	metrics, values := measured(task.Measure(b, out))
	assert.Equal(t, []string{results.Bits, results.WrongBits, results.OptimalBits, results.ExcessBits}, metrics)
	for i, excess := range values[results.ExcessBits] {
		assert.InDelta(t, 0, excess, 1e-3)
		assert.InDelta(t, values[results.Bits][i], values[results.OptimalBits][i], 1e-3)
	}
	mean, _ := results.MeanInterval(values[results.OptimalBits])
	assert.InDelta(t, 133.5, mean, 8)
}

func TestOutputsAsProbabilities(t *testing.T) {
	a := answered{Batch: &sequence.Batch{}, logits: []float32{-3, 0, 2}}
	assert.InDeltaSlice(t, []float64{.0474259, .5, .8807971}, []float64{
		float64(a.probabilities()[0]), float64(a.probabilities()[1]), float64(a.probabilities()[2]),
	}, 1e-6)
}

// The optimum is of the very sequences that validation measures on.
func TestOptimumOfValidation(t *testing.T) {
	task, err := sequence.NewNGrams(sequence.NGramsOptions{})
	require.NoError(t, err)
	file := newSequences(nil).(*sequenceFile)
	file.Validation.Sequences = 70 // not a multiple of what is evaluated at once
	w := &sequences{task: task, file: file}
	// A network that knows the history: the optimal estimator itself.
	w.net = func(_ *nn.Pass, x *tensor.Tensor, _ func(memory.State)) *tensor.Tensor {
		values := tensor.Values[float32](x)
		b := &sequence.Batch{Time: int(x.Dim(0)), Sequences: int(x.Dim(1)), OutputWidth: 1, Mask: make([]float32, len(values)), Targets: make([]float32, len(values))}
		copy(b.Targets, values[b.Sequences:]) // what is put in at a step is the bit before
		for i := range b.Mask {
			b.Mask[i] = 1
		}
		out := task.Optimal(b)
		for i, p := range out {
			out[i] = float32(math.Log(float64(p) / (1 - float64(p))))
		}
		return tensor.New(out, x.Shape()...)
	}
	scores, err := w.Validate(t.Context(), tensor.CPU)
	require.NoError(t, err)
	require.Len(t, scores, 70)
	want, _ := results.MeanInterval(scores)
	got, ok := w.Optimum()
	assert.True(t, ok)
	assert.InDelta(t, want, got, 1e-3)

	file.Validation.Sequences = 0
	_, ok = w.Optimum()
	assert.False(t, ok)
	other, err := sequence.NewCopy(sequence.CopyOptions{})
	require.NoError(t, err)
	_, ok = (&sequences{task: other, file: newSequences(nil).(*sequenceFile)}).Optimum()
	assert.False(t, ok)
}
