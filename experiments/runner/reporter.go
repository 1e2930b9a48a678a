package runner

import (
	"time"

	"github.com/engram-go/engram/experiments/measure"
)

// A Reporter receives progress events. Its methods are called sequentially.
type Reporter interface {
	// Starting is called once, before training.
	Starting(Start)
	// Step is called after every training step.
	Step(Step)
	// Validated is called after every validation.
	Validated(Validated)
	measure.Progress
	// Note receives a line for the user.
	Note(line string)
}

// A Warner is a [Reporter] that tells warnings from notes: a warning is to be seen where notes are not shown.
type Warner interface{ Warn(line string) }

// warn gives a reporter a warning, or a note where it does not tell one from the other.
func warn(r Reporter, line string) {
	if w, ok := r.(Warner); ok {
		w.Warn(line)
		return
	}
	r.Note(line)
}

// Start describes the training that starts.
type Start struct {
	Name       string
	Folder     string
	Parameters int64
	Steps      int64           // at most
	Done       int64           // before the run was resumed
	Batch      int             // examples per step
	Measure    measure.Measure // of steps and validations
	Device     string
	Threads    int
}

// Step is one training step.
type Step struct {
	Step     int64 // counted from one
	Loss     float64
	Score    float64 // of the step's batch
	Rate     float64 // learning rate
	Examples float64 // per second, smoothed
	Left     time.Duration
}

// Validated is one validation.
type Validated struct {
	Step     int64
	Score    float64
	Interval float64 // half of the 95 % interval
	Best     bool    // better than all before
}

// Silent is a Reporter that ignores all events.
type Silent struct{}

// Starting implements [Reporter].
func (Silent) Starting(Start) {}

// Step implements [Reporter].
func (Silent) Step(Step) {}

// Validated implements [Reporter].
func (Silent) Validated(Validated) {}

// Testing implements [Reporter].
func (Silent) Testing(string, int) {}

// Tested implements [Reporter].
func (Silent) Tested(int) {}

// Note implements [Reporter].
func (Silent) Note(string) {}
