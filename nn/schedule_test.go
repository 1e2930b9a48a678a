package nn_test

import (
	"math"
	"testing"

	"github.com/engram-go/engram/nn"
	"github.com/stretchr/testify/assert"
)

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name     string
		schedule nn.Schedule
		want     map[int64]float64
	}{
		{"constant", nn.ConstantRate(), map[int64]float64{0: 1, 1_000_000: 1}},
		{"step", nn.StepRate(2000, .5), map[int64]float64{0: 1, 1999: 1, 2000: .5, 3999: .5, 4000: .25, 20_000: 1. / 1024}},
		{"multi-step", nn.MultiStepRate([]int64{60, 80}, .1), map[int64]float64{0: 1, 59: 1, 60: .1, 79: .1, 80: .01, 1000: .01}},
		{"multi-step of several factors", nn.MultiStepRate([]int64{20, 40, 50}, .06, .2, .2), map[int64]float64{19: 1, 20: .06, 40: .012, 50: .0024}},
		{"linear", nn.LinearRate(4), map[int64]float64{0: 1, 1: .75, 2: .5, 3: .25, 4: 0, 5: 0}},
		{"cosine", nn.CosineRate(6), map[int64]float64{0: 1, 1: (1 + math.Sqrt(3)/2) / 2, 2: .75, 3: .5, 4: .25, 6: 0, 100: 0}},
		{"warm-up", nn.WarmUp(4, nn.ConstantRate()), map[int64]float64{0: .25, 1: .5, 2: .75, 3: 1, 4: 1, 99: 1}},
		{"warm-up, then linear", nn.WarmUp(2, nn.LinearRate(10)), map[int64]float64{0: .5, 1: .9, 5: .5, 10: 0}},
		{"no warm-up", nn.WarmUp(0, nn.LinearRate(10)), map[int64]float64{0: 1, 5: .5}},
		{"linear over no steps", nn.LinearRate(0), map[int64]float64{0: 1, 1: 0}},
		{"cosine over no steps", nn.CosineRate(0), map[int64]float64{0: 1, 1: 0}},
	} {
		for step, want := range c.want {
			assert.InDelta(t, want, c.schedule(step), 1e-12, "%s at step %d", c.name, step)
		}
	}
}
