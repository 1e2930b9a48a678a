package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments/sweep"
	"github.com/engram-go/engram/results"
)

// trainer is an engine whose runs have known validation scores, by their number and step.
type trainer struct {
	until   int64
	score   func(name string, step int64) float64
	fails   string // the run that fails
	brought *[]string
}

func (e trainer) Run(_ context.Context, runs []sweep.Run, watch sweep.Watcher) error {
	for i, r := range runs {
		*e.brought = append(*e.brought, fmt.Sprintf("%s to %d", r.Name, e.until))
		if r.Name == e.fails {
			watch(i, sweep.Status{State: sweep.Failed, Err: errors.New("diverged")})
			continue
		}
		var text string
		for step := int64(10); step <= max(e.until, 10); step += 10 {
			text += fmt.Sprintf(`{"step":%d,"validation_accuracy":%g}`+"\n", step, e.score(r.Name, step))
		}
		if err := os.WriteFile(filepath.Join(r.Folder, "metrics.jsonl"), []byte(text), 0o644); err != nil {
			return err
		}
		watch(i, sweep.Status{State: sweep.Done})
	}
	return nil
}

func candidates(t *testing.T, names ...string) (runs []sweep.Run) {
	t.Helper()
	for _, name := range names {
		for seed := 1; seed <= 2; seed++ {
			folder := filepath.Join(t.TempDir(), "run")
			require.NoError(t, os.Mkdir(folder, 0o755))
			runs = append(runs, sweep.Run{Name: fmt.Sprintf("%s/seed-%d", name, seed), Folder: folder})
		}
	}
	return runs
}

func TestHalving(t *testing.T) {
	runs := candidates(t, "a", "b", "c", "d", "e")
	level := map[byte]float64{'a': .3, 'b': .5, 'c': .7, 'd': .4, 'e': .9}
	var brought []string
	score := func(name string, step int64) float64 {
		v := level[name[0]]
		if name[0] == 'c' && step > 10 { // falls behind later; what it had before counts
			v = .1
		}
		if name[len(name)-1] == '2' {
			v += .05
		}
		return v
	}
	h := &sweep.Halving{First: 10, Keep: .5, Last: 40, Engine: func(until int64) sweep.Engine {
		return trainer{until, score, "e/seed-2", &brought}
	}}
	failed := map[int]bool{}
	rungs, ended, err := h.Run(t.Context(), runs, func(i int, s sweep.Status) { failed[i] = s.State == sweep.Failed })
	require.NoError(t, err)
	assert.True(t, failed[9])

	// The best, e, has a run that failed; then come c and b, of which c is kept for its earlier score.
	require.Len(t, rungs, 2)
	kept := func(r results.Rung) (names string) {
		for _, e := range r.Entries {
			if e.Kept {
				names += e.Name
			}
		}
		return names
	}
	assert.Equal(t, int64(10), rungs[0].Step)
	assert.Equal(t, "bcd", kept(rungs[0]), "half of five, rounded up, without the one that failed")
	assert.Equal(t, int64(20), rungs[1].Step)
	assert.Equal(t, "bc", kept(rungs[1]))
	assert.InDelta(t, 72.5, rungs[1].Entries[1].Score.Mean, 1e-9, "the mean over seeds of the best score so far, in percent")
	assert.Equal(t, []int{2, 3, 4, 5}, ended)
	assert.Equal(t, "c/seed-2 to 0", brought[len(brought)-1])
	assert.Len(t, brought, 10+6+4)

	var unvalidated []string
	h.First, h.Engine = 5, func(until int64) sweep.Engine { return trainer{until, score, "", &unvalidated} }
	_, _, err = h.Run(t.Context(), candidates(t, "a", "b"), func(int, sweep.Status) {})
	assert.ErrorContains(t, err, "was not validated within its first 5 steps")
}

func TestRungTable(t *testing.T) {
	r := results.Rung{Step: 1, Entries: []results.RungEntry{
		{Name: "low", Score: results.Summarize([]float64{40}), Metric: results.Accuracy},
		{Name: "bad", Failed: true},
		{Name: "high", Score: results.Summarize([]float64{60}), Metric: results.Accuracy},
	}}
	r.Select(2)
	assert.Equal(t, "experiment  validation, 1 step  then\nhigh        60.00               trained to the end\n"+
		"low         40.00               trained to the end\nbad         failed              stopped\n"+
		"Successive halving by the best validation score so far (accuracy), the mean over seeds.\n", results.RungTable([]results.Rung{r}).Plain(0))
	for i := range r.Entries {
		r.Entries[i].Metric = results.Bits // of which fewer are better
	}
	r.Select(1)
	assert.True(t, r.Entries[0].Kept)
	assert.False(t, r.Entries[2].Kept)
}
