package runner

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/experiments/measure"
)

func TestTheLastOfTheBestModelsIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		of     measure.Measure
		scores []float64
		best   []bool
		stale  []int64
	}{
		"larger is better":  {measure.Accuracy, []float64{.5, .4, .5, .6, 1, 1, .9, 1}, []bool{true, false, true, true, true, true, false, true}, []int64{0, 1, 2, 0, 0, 1, 2, 3}},
		"smaller is better": {measure.Measure{Less: true}, []float64{.5, .6, .5, .1, 0, 0, .1}, []bool{true, false, true, true, true, true, false}, []int64{0, 1, 2, 0, 0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var p progress
			var kept int64
			for i, score := range c.scores {
				step := int64(i + 1)
				got := p.validated(step, score, c.of)
				if got {
					kept = step
				}
				assert.Equal(t, c.best[i], got, "score %d", i)
				assert.Equal(t, c.stale[i], p.Stale, "score %d", i)
				assert.Equal(t, kept, p.BestStep)
				assert.Equal(t, step, p.Validated)
				assert.Equal(t, c.scores[kept-1], p.Best)
			}
		})
	}
}
