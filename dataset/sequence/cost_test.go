package sequence

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/stream"
)

func mean(costs []Cost) (bits float64) {
	for _, c := range costs {
		bits += c.Bits / float64(len(costs))
	}
	return bits
}

// The cost of guessing, over all training sizes.
func TestChance(t *testing.T) {
	want := map[string]float64{"copy": 84, "repeat copy": 9 * 31.25, "associative recall": 18, "dynamic n-grams": 200, "priority sort": 128}
	for _, task := range paper() {
		sum, sizes := 0.0, 0
		for size := range task.Sizes() {
			b, err := task.Sized(stream.New(1, "test"), 2, size)
			require.NoError(t, err)
			half := make([]float32, len(b.Targets))
			fromLogits := b.CostOfLogits(half)
			for k := range half {
				half[k] = 0.5
			}
			for i, c := range b.CostOfProbabilities(half) {
				assert.InDelta(t, c.Bits, fromLogits[i].Bits, 1e-9)
				assert.InDelta(t, float64(c.Scored), c.Bits, 1e-9, "one bit per bit")
				assert.Equal(t, c.Wrong, fromLogits[i].Wrong)
			}
			sum += mean(fromLogits)
			sizes++
		}
		assert.InDelta(t, want[task.Name()], sum/float64(sizes), 1e-9, task.Name())
	}
}

// The bits of the vectors alone, for a network that knows when to end.
func TestRepeatCopyVectorsCost242(t *testing.T) {
	task := made(NewRepeatCopy(RepeatCopyOptions{}))
	sum := 0.0
	for size := range task.Sizes() {
		b, err := task.Sized(stream.New(1, "test"), 1, size)
		require.NoError(t, err)
		logits := make([]float32, len(b.Targets))
		for s := range b.Time {
			end := b.Target(s, 0)[8] == 1
			for k := range 9 {
				if k == 8 || end {
					logits[s*9+k] = -1000
				}
			}
			if end {
				logits[s*9+8] = 1000
			}
		}
		sum += mean(b.CostOfLogits(logits)) / 100
	}
	assert.InDelta(t, 242, sum, 1e-9)
}

func TestCostAgainstPlainFormula(t *testing.T) {
	for _, task := range paper() {
		r := stream.New(1, "test")
		b := join(task.Batch(r, 3), task.Batch(r, 2))
		logits, p := make([]float32, len(b.Targets)), make([]float32, len(b.Targets))
		for k := range logits {
			logits[k] = float32(2 * r.NormFloat64())
			p[k] = float32(1 / (1 + math.Exp(-float64(logits[k]))))
		}
		fromLogits, fromP := b.CostOfLogits(logits), b.CostOfProbabilities(p)
		require.Len(t, fromLogits, 5)
		for i := range 5 {
			var want Cost
			for at := range b.Targets {
				step, sequence := at/b.OutputWidth/b.Sequences, at/b.OutputWidth%b.Sequences
				if sequence != i || b.Mask[step*b.Sequences+i] == 0 {
					continue
				}
				x, y := float64(logits[at]), float64(b.Targets[at])
				sigmoid := 1 / (1 + math.Exp(-x))
				want.Bits -= y*math.Log2(sigmoid) + (1-y)*math.Log2(1-sigmoid)
				if (sigmoid >= 0.5) != (y == 1) {
					want.Wrong++
				}
				want.Scored++
			}
			assert.InDelta(t, want.Bits, fromLogits[i].Bits, 1e-9)
			assert.InDelta(t, want.Bits, fromP[i].Bits, 1e-3, "up to rounding of the probabilities")
			want.Bits = 0
			for _, c := range []Cost{fromLogits[i], fromP[i]} {
				c.Bits = 0
				assert.Equal(t, want, c)
			}
		}
	}
}

func TestCostOfExtremes(t *testing.T) {
	infinite, nan := float32(math.Inf(1)), float32(math.NaN())
	b := &Batch{Time: 1, Sequences: 1, OutputWidth: 1, Targets: []float32{1}, Mask: []float32{1}}
	for _, c := range []struct {
		target, logit float32
		bits          float64
		wrong         int
	}{
		{1, 1e30, 0, 0}, {0, -1e30, 0, 0}, {1, infinite, 0, 0}, {0, -infinite, 0, 0},
		{1, -1000, 1000 / math.Ln2, 1}, {0, 1000, 1000 / math.Ln2, 1},
		{1, -infinite, math.Inf(1), 1}, {1, 0, 1, 0}, {0, 0, 1, 1},
		{1, 40, math.Exp(-40) / math.Ln2, 0}, // 1-p underflows in float32
	} {
		b.Targets[0] = c.target
		got := b.CostOfLogits([]float32{c.logit})[0]
		if math.IsInf(c.bits, 1) {
			assert.Equal(t, c.bits, got.Bits)
		} else {
			assert.InDelta(t, c.bits, got.Bits, 1e-12*max(1e-18, c.bits))
		}
		assert.Equal(t, c.wrong, got.Wrong)
	}
	for _, c := range []struct {
		target, p float32
		bits      float64
		wrong     int
	}{{1, 1, 0, 0}, {0, 0, 0, 0}, {1, 0, 100 / math.Ln2, 1}, {0, 1, 100 / math.Ln2, 1}, {1, 0.25, 2, 1}, {0, 0.75, 2, 1}} {
		b.Targets[0] = c.target
		got := b.CostOfProbabilities([]float32{c.p})[0]
		assert.InDelta(t, c.bits, got.Bits, 1e-12)
		assert.Equal(t, c.wrong, got.Wrong)
	}
	for _, target := range []float32{0, 1} {
		b.Targets[0] = target
		for _, costs := range [][]Cost{b.CostOfLogits([]float32{nan}), b.CostOfProbabilities([]float32{nan})} {
			assert.True(t, math.IsNaN(costs[0].Bits))
			assert.Equal(t, 1, costs[0].Wrong)
		}
		assert.True(t, math.IsNaN(b.CostOfProbabilities([]float32{1.5})[0].Bits))
	}
	assert.PanicsWithValue(t, "sequence: cost of logits: 2 values for outputs of shape [1, 1, 1]", func() { b.CostOfLogits(make([]float32, 2)) })
}
