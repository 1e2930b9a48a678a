package sequence

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/stream"
)

// TestOptimalAgainstCounting: eq. 10 by going back over the whole sequence at each step.
func TestOptimalAgainstCounting(t *testing.T) {
	for _, o := range []NGramsOptions{{}, {N: 1, Length: 50}, {N: 2, Length: 80}, {N: 9, Length: 300}, {N: 6, Length: 3}} {
		task := made(NewNGrams(o))
		r := stream.New(1, "test")
		shorter, err := task.Sized(r, 1, Size{Length: 2})
		require.NoError(t, err)
		b := Join(task.Batch(r, 4), shorter)
		got, context := task.Optimal(b), task.options.N-1
		for i := range b.Sequences {
			var bits []float32
			for s := range b.Time {
				if !b.Scored(s, i) {
					assert.EqualValues(t, 0.5, got[s*b.Sequences+i])
					continue
				}
				ones, zeros := 0.0, 0.0
				for e := context; e < s && s >= context; e++ {
					same := true
					for k := 1; k <= context; k++ {
						same = same && bits[e-k] == bits[s-k]
					}
					switch {
					case same && bits[e] == 1:
						ones++
					case same:
						zeros++
					}
				}
				require.InDelta(t, (ones+0.5)/(ones+zeros+1), got[s*b.Sequences+i], 1e-6)
				bits = append(bits, b.Target(s, i)[0])
			}
		}
	}
}

// TestOptimalCost holds the estimator against the published optimum (Figure 13) as 40 000 sequences of other code gave
// it, and the predictor that knows the table against its own.
func TestOptimalCost(t *testing.T) {
	task := made(NewNGrams(NGramsOptions{}))
	const sequences = 8000
	b, chances, err := task.draw(stream.New(1, "test"), sequences, Size{Length: 200})
	require.NoError(t, err)
	optimal := task.Optimal(b)
	costs := b.CostOfProbabilities(optimal)
	// A sequence's cost has a deviation of about 17 bits.
	assert.InDelta(t, 133.47, mean(costs), 0.35+3*17/math.Sqrt(sequences))
	t.Logf("optimum %.2f bits", mean(costs))

	free := b.CostOfProbabilities(optimal[:len(optimal):len(optimal)])
	for i := range sequences {
		for s := range 5 {
			require.EqualValues(t, 0.5, optimal[s*sequences+i])
			free[i].Bits -= probabilityBits(b.Targets[s*sequences+i], 0.5)
		}
	}
	assert.InDelta(t, mean(costs)-5, mean(free), 1e-6, "the first five bits cost a bit each")

	known := make([]float32, len(chances))
	for k, p := range chances {
		known[k] = float32(p)
	}
	oracle := mean(b.CostOfProbabilities(known))
	assert.InDelta(t, 103.6, oracle, 1)
	t.Logf("oracle %.2f bits", oracle)
}

// TestTablesAreBeta: the mean of Beta(1/2, 1/2) is 1/2, its variance 1/8, and a third of it lies below 1/4.
func TestTablesAreBeta(t *testing.T) {
	task := made(NewNGrams(NGramsOptions{N: 16, Length: 20}))
	_, chances, err := task.draw(stream.New(1, "test"), 200, Size{Length: 100})
	require.NoError(t, err)
	var n, sum, squares, low float64
	for _, p := range chances[15*200:] {
		n++
		sum += p
		squares += (p - 0.5) * (p - 0.5)
		if p < 0.25 {
			low++
		}
	}
	assert.InDelta(t, 0.5, sum/n, 0.02)
	assert.InDelta(t, 0.125, squares/n, 0.004)
	assert.InDelta(t, 1.0/3, low/n, 0.02)
}

func BenchmarkOptimal(b *testing.B) {
	task := made(NewNGrams(NGramsOptions{}))
	batch := task.Batch(stream.New(1, "bench"), 16)
	for b.Loop() {
		task.Optimal(batch)
	}
}
