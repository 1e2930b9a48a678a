package experiments

import (
	"context"
	"fmt"
	"iter"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// work is what a kind of experiment gives the runner: data, a network, and what is measured. The runner owns everything
// else.
type work interface {
	// load gets the data, looking in the folder given first.
	load(ctx context.Context, given string, seed uint64) error
	// build makes the network, once the data are loaded.
	build(b *nn.Builder) error
	// batches gives the training data of the steps from first on, one after another and without end; the sequence ends
	// when ctx does.
	batches(ctx context.Context, first int64) iter.Seq[batch]
	// validates reports whether there is a validation.
	validates() bool
	// validate returns the score of each validation example, always of the same ones.
	validate(ctx context.Context, on tensor.Device) ([]float64, error)
	// tests is the number of measurements at the end.
	tests() int
	// test makes one of them; a data set that it has for itself is looked for in the folder given first.
	test(ctx context.Context, i int, on tensor.Device, given string, say Reporter) ([]results.Figure, error)
	// score is what batches and validation are measured in.
	score() Score
}

// paced is work that trains in phases and epochs: its schedule is the file's, which counts what the loop's steps count while
// the file is planned.
type paced interface {
	work
	pace(file nn.Schedule) nn.Schedule
}

// recurrent is work whose network runs over a sequence, step by step.
type recurrent interface {
	work
	stepwise()
}

// bounded is work of which it may be known what the best predictor there can be comes to on the validation examples.
type bounded interface {
	work
	// optimum returns that mean score; ok is unset where it is not known.
	optimum() (score float64, ok bool)
}

// batch is the training data of one step.
type batch interface {
	// loss is called in a scope. It returns what training makes smaller, and the batch's mean score.
	loss(p *nn.Pass, on tensor.Device) (loss *tensor.Tensor, score float64)
}

// derived is a batch that brings its own gradient.
type derived interface {
	batch
	// gradients is called in the place of loss. It returns the gradient of each trained parameter, nil where there is none, the
	// loss, and the batch's mean score.
	gradients(p *nn.Pass, on tensor.Device) (grads []*tensor.Tensor, loss *tensor.Tensor, score float64)
}

// sharing is work that may use the cores for several examples at the same time, and not for one operation.
type sharing interface {
	work
	// share is told how many cores there are, before the network is built, and says whether it will.
	share(cores int) bool
}

// batchesOf gives what a sampler draws as the training data of steps.
func batchesOf[B any](drawn iter.Seq[B], as func(B) batch) iter.Seq[batch] {
	return func(yield func(batch) bool) {
		for b := range drawn {
			if !yield(as(b)) {
				return
			}
		}
	}
}

// Score is a measure of how good a network is.
type Score struct {
	Name string // "accuracy"
	Of   string // what has a score: "episodes"
	Unit string // "%"
	// Factor brings a score into the unit.
	Factor float64
	// Less is set where less is better.
	Less bool
	// Axis is what an axis of it says, with the unit; empty stands for the name and the unit.
	Axis string
}

var accuracy = Score{Name: "accuracy", Of: "episodes", Unit: "%", Factor: 100}

// axis is what an axis of the score says.
func (s Score) axis() string {
	if s.Axis != "" {
		return s.Axis
	}
	return fmt.Sprintf("%s (%s)", s.Name, s.Unit)
}

// better reports whether score a is better than b.
func (s Score) better(a, b float64) bool {
	if s.Less {
		return a < b
	}
	return a > b
}
