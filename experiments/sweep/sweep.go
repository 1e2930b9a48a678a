// Package sweep runs many runs to completion: on this machine, as many at a time as fit the cores, or as Slurm jobs.
//
// A run is a folder made by [experiments.Tool.Create]. Every run is a separate process, 'engram resume FOLDER', which
// starts it, continues it, or finds it finished. The progress of a sweep is recorded only in the folders, so starting
// it again continues it, however it ended. [Halving] searches: it brings runs to a step, chooses among them by validation,
// and continues the better ones.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/results"
)

// State is the state of a run.
type State int

// States of a run.
const (
	Waiting State = iota
	Running
	Done
	Failed
	Stopped // by the user, to be continued
	Paused  // at the step that it was to be run to
)

// String returns the name of a state.
func (s State) String() string {
	return [...]string{"waiting", "running", "done", "failed", "stopped", "paused"}[s]
}

// Run is one of the runs of a sweep.
type Run struct {
	Name   string // for display
	Folder string
	// Until is the step of training to which the run is brought, and where its process pauses it; 0 stands for its end.
	Until int64
}

// Status is the progress of a run.
type Status struct {
	State State
	// Steps are the total steps, Step those done. Doing is a line of detail, such as the loss.
	Step, Steps int64
	Doing       string
	Err         error // why it failed
}

// Watcher receives the status of runs, identified by index. Calls are serialised.
type Watcher func(run int, s Status)

// Engine executes runs.
type Engine interface {
	// Run executes every run and returns when all have ended. A failed run does not stop the others. The error is the
	// engine's own, or the context's.
	Run(ctx context.Context, runs []Run, watch Watcher) error
}

// finished reports whether a run has ended, or has come as far as it is to be brought.
func (r Run) finished() (bool, error) {
	ended, err := r.ended()
	if ended || err != nil || r.Until == 0 {
		return ended, err
	}
	steps, err := runner.Folder(r.Folder).Steps()
	return err == nil && steps >= r.Until, err
}

// ended reports whether a run has a result.
func (r Run) ended() (bool, error) {
	_, err := os.Stat(filepath.Join(r.Folder, results.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Results reads the results of those of the runs that have ended.
func Results(runs []Run) ([]*results.Result, error) {
	var all []*results.Result
	var bad []error
	for _, r := range runs {
		done, err := r.ended()
		if done {
			var result *results.Result
			if result, err = results.Read(filepath.Join(r.Folder, results.FileName)); err == nil {
				all = append(all, result)
			}
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", r.Name, err))
		}
	}
	return all, errors.Join(bad...)
}
