package runner

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// squares is a batch that pulls the parameters to a target; one that is not finite makes training diverge. read counts how often
// its score is computed.
func squares(w *nn.Param, target float64, read *int) Batch {
	return LossFunc(func(*nn.Pass, tensor.Device) (*tensor.Tensor, Score) {
		loss := w.Value().AddScalar(-target).Square().Sum()
		return loss, func() float64 { *read++; return loss.Float() }
	})
}

func newTrainer(t *testing.T, g guard, clip Clip) (*trainer, *nn.Param) {
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	var w *nn.Param
	require.NoError(t, tensor.Do(func() error { w = b.Param("w", nn.Constant(1), 3); return nil }))
	c := &Config{}
	c.Rate, c.Saving = .1, Saving{Clip: clip, Report: 5, Save: 100, Keep: 1}
	opt := nn.NewSGD(b.Params(), nn.DefaultSGD())
	t.Cleanup(opt.Free)
	t.Cleanup(g.free)
	return &trainer{
		run: &run{config: c, params: b.Params(), device: tensor.CPU, course: Course{Steps: 20, Schedule: func(int64) float64 { return 1 }}},
		opt: opt, guard: g,
	}, w
}

// A guard that is late trains the same parameters, and reads only the steps that are reported.
func TestLateGuardTrainsTheSame(t *testing.T) {
	testkit.Enter(t)
	for name, clip := range map[string]Clip{"no limit": {}, "value": {Value: .5}, "each": {Each: .3}, "norm": {Norm: .7}, "all": {Value: .5, Each: .4, Norm: .3}} {
		t.Run(name, func(t *testing.T) {
			var values [2][]float32
			var reads [2]int
			for i, g := range []guard{newGuard(tensor.CPU), lateGuard(tensor.CPU)} {
				tr, w := newTrainer(t, g, clip)
				for n := range 20 {
					s, err := tr.step(squares(w, float64(n%7), &reads[i]))
					require.NoError(t, err)
					tr.last = s
					tr.progress.Step++
				}
				values[i] = tensor.Values[float32](w.Value())
			}
			assert.InDeltaSlice(t, values[0], values[1], 1e-6)
			assert.Equal(t, [2]int{20, 5}, reads, "steps 1, 5, 10, 15 and 20 are reported")
		})
	}
}

func TestGuardNoticesDivergence(t *testing.T) {
	testkit.Enter(t)
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		for late, want := range map[bool]string{false: "step 7: training diverged", true: "steps up to 10: training diverged"} {
			g := newGuard(tensor.CPU)
			if late {
				g = lateGuard(tensor.CPU)
			}
			tr, w := newTrainer(t, g, Clip{Norm: 1})
			var read int
			var err error
			for n := 0; n < 20 && err == nil; n++ {
				target := 2.
				if n == 6 {
					target = bad
				}
				_, err = tr.step(squares(w, target, &read))
				tr.progress.Step++
			}
			require.ErrorContains(t, err, want)
			assert.ErrorContains(t, err, "no checkpoint had been written")
			if !late {
				assert.True(t, finite(w.Value().Sum().Float()), "the step changes nothing")
			}
		}
	}
}
