package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/engram-go/engram/results"
)

// A Candidate is an experiment that a search may choose: its runs differ in their seed alone.
type Candidate struct {
	Name string
	Runs []int // numbers of the runs of a sweep
}

// Candidates groups runs into experiments by the folders that hold their seeds, in the order of their first runs.
func Candidates(runs []Run) (out []Candidate) {
	at := map[string]int{}
	for i, r := range runs {
		name := filepath.ToSlash(filepath.Dir(r.Name))
		k, ok := at[name]
		if !ok {
			k, at[name] = len(out), len(out)
			out = append(out, Candidate{Name: name})
		}
		out[k].Runs = append(out[k].Runs, i)
	}
	return out
}

// Halving is successive halving (Jamieson and Talwalkar 2016): all candidates are trained for First steps, the better ones by
// validation for longer, and so on; the last ones are trained and tested to their end. Runs are paused and continued, so that none
// is trained twice, and the run of a candidate that is kept is the same as without a search. Which candidates are kept follows
// from the validation scores in the run folders alone, so that a search that was stopped continues when it is started again.
type Halving struct {
	First int64 // steps of the first rung
	// Keep is the share of the candidates that is kept after a rung, at least one; a rung has 1/Keep times the steps of the one
	// before.
	Keep float64
	// Last is how many steps the longest run takes; 0 where only the data can tell.
	Last int64
	// Engine returns what brings runs to a step, 0 for their end.
	Engine func(until int64) Engine
}

// Check refuses settings that make no search.
func (h *Halving) Check() error {
	switch {
	case h.First < 1:
		return fmt.Errorf("want at least 1 step for the first rung, got %d", h.First)
	case !(h.Keep > 0 && h.Keep < 1):
		return fmt.Errorf("want a share between 0 and 1 to keep, got %g", h.Keep)
	case h.Last > 0 && h.First >= h.Last:
		return fmt.Errorf("the first rung of %d steps is as long as the runs, which take %d", h.First, h.Last)
	}
	return nil
}

// Run runs the search. It returns the rungs, and the numbers of the runs that were brought to their end. A candidate of which a
// run fails is not kept. watch receives the status of a run by its number among all.
func (h *Halving) Run(ctx context.Context, runs []Run, watch Watcher) (rungs []results.Rung, ended []int, err error) {
	if err := h.Check(); err != nil {
		return nil, nil, err
	}
	left := Candidates(runs)
	for until := h.First; len(left) > 1 && (h.Last == 0 || until < h.Last); until = int64(math.Ceil(float64(until) / h.Keep)) {
		failed, err := h.bring(ctx, runs, left, until, watch)
		if err != nil {
			return rungs, nil, err
		}
		rung := results.Rung{Step: until}
		for _, c := range left {
			e, err := c.score(runs, until, failed)
			if err != nil {
				return rungs, nil, err
			}
			rung.Entries = append(rung.Entries, e)
		}
		rung.Select(int(math.Ceil(float64(len(left)) * h.Keep)))
		rungs = append(rungs, rung)
		var kept []Candidate
		for i, c := range left {
			if rung.Entries[i].Kept {
				kept = append(kept, c)
			}
		}
		left = kept
	}
	for _, c := range left {
		ended = append(ended, c.Runs...)
	}
	_, err = h.bring(ctx, runs, left, 0, watch)
	return rungs, ended, err
}

// bring brings the runs of candidates to a step, and returns which of them failed.
func (h *Halving) bring(ctx context.Context, runs []Run, of []Candidate, until int64, watch Watcher) (failed map[int]bool, err error) {
	failed = map[int]bool{}
	var numbers []int
	var some []Run
	for _, c := range of {
		for _, i := range c.Runs {
			r := runs[i]
			r.Until = until
			numbers, some = append(numbers, i), append(some, r)
		}
	}
	err = h.Engine(until).Run(ctx, some, func(k int, s Status) {
		failed[numbers[k]] = s.State == Failed
		watch(numbers[k], s)
	})
	return failed, err
}

// score is the candidate's validation score within a number of steps.
func (c Candidate) score(runs []Run, steps int64, failed map[int]bool) (e results.RungEntry, err error) {
	e.Name = c.Name
	var values []float64
	for _, i := range c.Runs {
		if failed[i] {
			e.Failed = true
			continue
		}
		file := filepath.Join(runs[i].Folder, "metrics.jsonl")
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return e, fmt.Errorf("sweep: %w", err)
		}
		best, metric, err := results.BestValidation(text, steps)
		if err != nil {
			return e, fmt.Errorf("sweep: %s: %w", file, err)
		}
		if metric == "" {
			return e, fmt.Errorf("sweep: %s was not validated within its first %d steps: make the first rung at least as long as validation.every", runs[i].Name, steps)
		}
		values, e.Metric = append(values, best), metric
	}
	if !slices.ContainsFunc(c.Runs, func(i int) bool { return !failed[i] }) {
		return e, nil
	}
	e.Score = results.Summarize(values)
	return e, nil
}
