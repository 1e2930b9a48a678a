package results

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The area is the share of pairs in the right order, and the interval that of scikit-learn's and R's (pROC) definitions: the
// variance of the placements of either side.
func TestAUROC(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var known, unknown []float64
	for range 37 {
		known = append(known, math.Round(20*(r.Float64()+.3))/20)
	}
	for range 23 {
		unknown = append(unknown, math.Round(20*r.Float64())/20) // with ties
	}
	pair := func(a, b float64) float64 {
		switch {
		case a > b:
			return 1
		case a == b:
			return .5
		}
		return 0
	}
	var area float64
	rows, columns := make([]float64, len(known)), make([]float64, len(unknown))
	for i, a := range known {
		for j, b := range unknown {
			v := pair(a, b)
			area += v / float64(len(known)*len(unknown))
			rows[i] += v / float64(len(unknown))
			columns[j] += v / float64(len(known))
		}
	}
	variance := 0.
	for _, v := range [][]float64{rows, columns} {
		for _, x := range v {
			variance += (x - area) * (x - area) / float64(len(v)-1) / float64(len(v))
		}
	}
	got, half, err := AUROC(known, unknown)
	require.NoError(t, err)
	assert.InDelta(t, 100*area, got, 1e-9)
	assert.InDelta(t, 196*math.Sqrt(variance), half, 1e-9)

	got, half, err = AUROC([]float64{3, 4, 5}, []float64{1, 2})
	require.NoError(t, err)
	assert.Equal(t, []float64{100, 0}, []float64{got, half})
	got, _, _ = AUROC([]float64{1, 1}, []float64{1, 1})
	assert.Equal(t, 50., got)
	_, _, err = AUROC([]float64{1, 1}, []float64{1})
	assert.ErrorContains(t, err, "at least two")
	_, _, err = AUROC([]float64{1, math.NaN()}, []float64{1, 2})
	assert.ErrorContains(t, err, "NaN")
}

// The threshold is the best of all that there are, also where confidences are equal.
func TestRejectionThreshold(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var known, unknown []float64
		var right []bool
		for range 1 + r.IntN(8) {
			known, right = append(known, float64(r.IntN(6))/5), append(right, r.IntN(4) > 0)
		}
		for range 1 + r.IntN(8) {
			unknown = append(unknown, float64(r.IntN(6))/5)
		}
		score := func(threshold float64) (sum float64) {
			for i, c := range known {
				if right[i] && c >= threshold {
					sum += 1 / float64(len(known))
				}
			}
			for _, c := range unknown {
				if c < threshold {
					sum += 1 / float64(len(unknown))
				}
			}
			return sum
		}
		best := 0.
		for i := -1; i <= 6; i++ {
			best = max(best, score(float64(i)/5+.1))
		}
		assert.InDelta(t, best, score(RejectionThreshold(known, right, unknown)), 1e-9)
	}
	assert.Zero(t, RejectionThreshold([]float64{.2, .9}, []bool{true, true}, []float64{.9, .9}))
	assert.InDelta(t, .5, RejectionThreshold([]float64{.8}, []bool{true}, []float64{.2}), 1e-12)
}
