// Package sweep runs many runs to their end: on this machine, as many at a time as fit the cores, or as jobs of Slurm.
//
// A run is a folder that [experiments.Tool.Create] has made. Every run is a process of its own, 'engram resume FOLDER', which
// starts it, continues it, or finds it finished. The folders alone record the progress of a sweep, and starting it again
// continues it, whatever ended it.
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

// State is how far a run is.
type State int

// The states of a run.
const (
	Waiting State = iota
	Running
	Done
	Failed
	Stopped // by the user, to be continued
	Paused  // at the step that it was to be run to
)

// String names a state.
func (s State) String() string {
	return [...]string{"waiting", "running", "done", "failed", "stopped", "paused"}[s]
}

// Run is one of the runs of a sweep.
type Run struct {
	Name   string // what the user knows it by
	Folder string
	// Until is the step of training to which the run is brought, and where its process pauses it; 0 stands for its end.
	Until int64
}

// Status is how a run goes on.
type Status struct {
	State State
	// Step of Steps is done. Doing is a line about it, such as the loss.
	Step, Steps int64
	Doing       string
	Err         error // why it failed
}

// Watcher is told how the runs go on, of a run by its number. It is called by one goroutine at a time.
type Watcher func(run int, s Status)

// Engine runs runs.
type Engine interface {
	// Run brings every run to its end and returns when none is left. A run that fails does not keep the others from theirs. The
	// error is of the engine itself, or of the context.
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
