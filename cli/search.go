package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/experiments/sweep"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
)

// check refuses flags of a search that make none.
func (s *search) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case given("random") && s.random < 1:
		return errors.New("--random: want at least 1 experiment")
	case given("search-seed") && !given("random"):
		return errors.New("--search-seed is for --random")
	case given("halving") && s.halving < 1:
		return errors.New("--halving: want at least 1 step")
	case given("keep") && !given("halving"):
		return errors.New("--keep is for --halving")
	}
	return nil
}

// matrix reads the runs of a sweep: all of the file's matrix, or those that are drawn from it.
func (s *search) matrix(tool *experiments.Tool, file string, overrides ...schema.Override) (*experiments.Matrix, error) {
	if s.random > 0 {
		return tool.Draw(file, experiments.Random{Draws: s.random, Seed: s.seed}, overrides...)
	}
	return tool.Matrix(file, overrides...)
}

// newHalving plans successive halving of a matrix; it is nil where all runs go to their end.
func (s *search) newHalving(m *experiments.Matrix, engine func(until int64) (sweep.Engine, error)) (*sweep.Halving, error) {
	if s.halving == 0 {
		return nil, nil
	}
	h := &sweep.Halving{First: s.halving, Keep: s.keep}
	for _, r := range m.Runs {
		course := r.Config.Work.Course(r.Config.Schedule)
		h.Last = max(h.Last, course.Steps)
		switch {
		case course.Steps > 0 && course.Every == 0:
			return nil, fmt.Errorf("%s is not validated, so that nothing can be chosen: set validation.episodes, or leave --halving away", r.Name)
		case course.Every > s.halving:
			return nil, fmt.Errorf("%s is validated for the first time after %s (validation.every): want at least as many", r.Name, countOf(course.Every, "step"))
		}
	}
	if err := h.Check(); err != nil {
		return nil, err
	}
	if _, err := engine(h.First); err != nil {
		return nil, err
	}
	h.Engine = func(until int64) sweep.Engine {
		e, err := engine(until)
		if err != nil {
			panic(err) // it worked for another step
		}
		return e
	}
	return h, nil
}

// searched is the record of a search.
type searched struct {
	Random int            `json:"random,omitempty"` // experiments drawn
	Seed   uint64         `json:"search_seed,omitempty"`
	First  int64          `json:"halving,omitempty"`
	Keep   float64        `json:"keep,omitempty"`
	Runs   []string       `json:"runs"`
	Rungs  []results.Rung `json:"rungs,omitempty"`
}

// fileSearch is in the folder of a sweep.
const fileSearch = "search.json"

// record writes which runs a search drew and how it chose among them.
func (s *sweepFlags) record(runs []sweep.Run, rungs []results.Rung) error {
	if s.random == 0 && s.halving == 0 {
		return nil
	}
	r := searched{Random: s.random, First: s.halving, Rungs: rungs}
	if s.random > 0 {
		r.Seed = s.seed
	}
	if s.halving > 0 {
		r.Keep = s.keep
	}
	for _, run := range runs {
		r.Runs = append(r.Runs, run.Name)
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.MkdirAll(s.out, 0o755)
	}
	if err == nil {
		err = nn.WriteFile(filepath.Join(s.out, fileSearch), bytes.NewReader(append(text, '\n')))
	}
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
