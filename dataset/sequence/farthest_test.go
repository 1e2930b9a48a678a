package sequence

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The answer follows from the inputs: sorted by plain distances, the n-th label from the farthest.
func TestNthFarthest(t *testing.T) {
	for _, o := range []NthFarthestOptions{{}, {Vectors: 5, Width: 2}} {
		task := made(NewNthFarthest(o))
		n, width := task.options.Vectors, task.options.Width
		b := task.Batch(rand.New(rand.NewPCG(1, 1)), 200)
		assert.Equal(t, b, task.Batch(rand.New(rand.NewPCG(1, 1)), 200))
		few := task.Batch(rand.New(rand.NewPCG(1, 1)), 2)
		ranks := map[int]int{}
		for i := range b.Sequences {
			type shown struct {
				x     []float32
				label int
			}
			var all []shown
			hot := func(x []float32) int {
				require.Equal(t, float32(1), slices.Max(x))
				return slices.Index(x, 1)
			}
			first := b.Input(0, i)
			rank, asked := hot(first[width+n:width+2*n]), hot(first[width+2*n:])
			ranks[rank]++
			var from []float32
			for s := range b.Time {
				x := b.Input(s, i)
				assert.Equal(t, first[width+n:], x[width+n:], "the question is repeated")
				all = append(all, shown{x[:width], hot(x[width : width+n])})
				if all[s].label == asked {
					from = x[:width]
				}
				assert.Equal(t, s == b.Time-1, b.Scored(s, i))
				if i < 2 {
					assert.Equal(t, x, few.Input(s, i))
				}
			}
			distance := func(x []float32) (sum float64) {
				for k := range x {
					sum += math.Pow(float64(x[k]-from[k]), 2)
				}
				return sum
			}
			slices.SortFunc(all, func(x, y shown) int {
				if distance(x.x) > distance(y.x) {
					return -1
				}
				return 1
			})
			assert.Equal(t, asked, all[len(all)-1].label, "a vector is nearest to itself")
			assert.Equal(t, all[rank].label, hot(b.Target(b.Time-1, i)))
		}
		assert.Len(t, ranks, n)
		inputs, outputs := task.Channels()
		assert.Len(t, inputs, task.Inputs())
		assert.Len(t, outputs, task.Outputs())
	}
	_, err := NewNthFarthest(NthFarthestOptions{Vectors: 1})
	assert.EqualError(t, err, "sequence: n-th farthest: Vectors is 1: choose from 2 to 1024")
	task := made(NewNthFarthest(NthFarthestOptions{}))
	_, err = task.Sized(rand.New(rand.NewPCG(1, 1)), 1, Size{Items: 9})
	assert.EqualError(t, err, "sequence: n-th farthest: Items is 9: choose from 2 to 8")
	b, err := task.Sized(rand.New(rand.NewPCG(1, 1)), 3, Size{Items: 4})
	require.NoError(t, err)
	assert.Equal(t, 4, b.Time)
}

// Costs of classes: a uniform guess costs log₂ 8, a certain right answer nothing, and one answer counts per sequence.
func TestCostOfClasses(t *testing.T) {
	task := made(NewNthFarthest(NthFarthestOptions{}))
	b := task.Batch(rand.New(rand.NewPCG(1, 1)), 3)
	logits, certain, wrong := make([]float32, len(b.Targets)), make([]float32, len(b.Targets)), make([]float32, len(b.Targets))
	for i, v := range b.Targets {
		certain[i], wrong[i] = 200*v, -300*v
	}
	for i, c := range b.CostOfLogits(logits) {
		assert.InDelta(t, 3, c.Bits, 1e-9)
		assert.Equal(t, 1, c.Scored)
		assert.Equal(t, Cost{Bits: 0, Scored: 1}, b.CostOfLogits(certain)[i])
		c = b.CostOfLogits(wrong)[i]
		assert.InDelta(t, 300/math.Ln2+math.Log2(7), c.Bits, 1e-3)
		assert.Equal(t, 1, c.Wrong)
		probabilities := make([]float32, len(b.Targets))
		for k := range probabilities {
			probabilities[k] = .1 + .2*b.Targets[k] // sums to one
		}
		assert.InDelta(t, -math.Log2(.3), b.CostOfProbabilities(probabilities)[i].Bits, 1e-6)
	}
	assert.Equal(t, []Value{{MetricBits, 0}, {MetricAccuracy, 100}}, task.Measure(b, certain)[1])
	assert.Equal(t, 0., task.Measure(b, wrong)[2][1].Value)
	logits[len(logits)-1] = float32(math.NaN())
	last := b.CostOfLogits(logits)[2]
	assert.True(t, math.IsNaN(last.Bits) && last.Wrong == 1)
	var text bytes.Buffer
	require.NoError(t, task.Print(&text, b, 0, slices.Repeat([]float32{.125}, len(b.Targets))))
	assert.Contains(t, text.String(), "question: the vector that is number ")
	assert.Contains(t, text.String(), "cost 3.00 bits, 0 of 1 answers wrong")
	assert.Contains(t, text.String(), "output: 1: 0.12")
}
