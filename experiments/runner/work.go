// Package runner trains, tests and records a run of any network: it owns seeds, schedule, clipping, checkpoints,
// progress, early stopping and the run folder. It imports no network; what is trained is [Work].
package runner

import (
	"context"
	"errors"
	"iter"

	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/tensor"
)

// Source is where data come from, and receives notes about them.
type Source struct {
	// Given is the first folder where data sets are looked for; see dataset.Find.
	Given string
	// Seed is the run's seed.
	Seed uint64
	// Note receives notes for the user.
	Note func(string)
}

// Work is the runner's view of an experiment: data, a network, and tests. The runner calls Load, Build and Tests in
// this order, once each, and then the other methods.
type Work interface {
	// Load loads the data and makes the samplers of training and validation.
	Load(ctx context.Context, from Source) error
	// Build makes the network, with parameters from b. It is called in a scope.
	Build(b *nn.Builder) error
	// Tests makes every test with its data and sampler, so that problems are found before training.
	Tests(ctx context.Context, from Source) ([]measure.Test, error)
	// Course returns the length of training; schedule is the file's, for a number of steps or epochs.
	Course(schedule func(units int64) nn.Schedule) Course
	// Batches returns the training data of the steps from first on, without end; the sequence ends when ctx does.
	Batches(ctx context.Context, first int64) iter.Seq[Batch]
	// Validate returns the scores of the validation examples, which are always the same. It is not called if Course
	// has no validations.
	Validate(ctx context.Context, on tensor.Device) ([]float64, error)
	// Measure returns the measure of batches and validations.
	Measure() measure.Measure
	// Show returns plots and readable samples of the trained network's behaviour; both may be nil.
	Show(ctx context.Context, on tensor.Device) (plots []Plot, samples []byte, err error)
}

// Optional capabilities of [Work].
type (
	// Bounded work knows the mean score of the optimal predictor on the validation examples.
	Bounded interface {
		Optimum() (score float64, ok bool)
	}
	// Sharing work uses the cores for several examples at once instead of one operation.
	Sharing interface {
		// Share receives the number of cores before the network is built, and reports whether it uses them in this
		// way.
		Share(cores int) bool
	}
	// Preparing work does something once the parameters have the values that training begins with, or is resumed with.
	Preparing interface {
		Prepare(ctx context.Context, on tensor.Device, p measure.Progress) error
	}
	// Observer is notified of a validation before the next step; its state is in the network's buffers.
	Observer interface{ Validated() }
	// Noting work has something to say about its configuration that is no mistake.
	Noting interface{ Notes() []string }
	// Resizing work takes sizes that usually come from the data from a saved model, for a model that is used without its data.
	Resizing interface{ Resize(model *nn.State) error }
)

// Course is the course of training, once the data are known.
type Course struct {
	Steps    int64 // at most
	Batch    int   // examples per step
	Every    int64 // steps between validations; 0 for none
	Schedule nn.Schedule
}

// Batch is the training data of one step.
type Batch interface {
	// Loss returns the loss, and the batch's score. It is called in a scope.
	Loss(p *nn.Pass, on tensor.Device) (loss *tensor.Tensor, score Score)
}

// Score computes the mean score of a batch's examples. It is called in the scope of the batch's loss, and only at steps whose
// numbers are read.
type Score func() float64

// Derived is a batch that computes its own gradient.
type Derived interface {
	Batch
	// Gradients is called instead of Loss. It returns the gradient of each trained parameter (nil: none), the loss, and the
	// batch's score.
	Gradients(p *nn.Pass, on tensor.Device) (grads []*tensor.Tensor, loss *tensor.Tensor, score Score)
}

// LossFunc is a function as a [Batch].
type LossFunc func(p *nn.Pass, on tensor.Device) (loss *tensor.Tensor, score Score)

// Loss implements [Batch].
func (f LossFunc) Loss(p *nn.Pass, on tensor.Device) (*tensor.Tensor, Score) { return f(p, on) }

// Batches converts a sampler's batches to the training data of steps.
func Batches[B any](drawn iter.Seq[B], as func(B) Batch) iter.Seq[Batch] {
	return func(yield func(Batch) bool) {
		for b := range drawn {
			if !yield(as(b)) {
				return
			}
		}
	}
}

// Loop holds the keys of train that every experiment file has.
type Loop struct {
	Batch    int `yaml:"batch" min:"0" doc:"examples per step: episodes, sequences, or the images of a classifier; 0 stands for the usual number"`
	Steps    int `yaml:"steps" min:"0" doc:"the most optimiser steps; 0 tests the network as it is initialised"`
	Saving   `yaml:",inline"`
	Prefetch int `yaml:"prefetch" min:"1" doc:"batches prepared ahead"`
}

// Saving holds the keys of train for gradients, reports and checkpoints.
type Saving struct {
	Clip   Clip `yaml:"clip"`
	Report int  `yaml:"report" min:"1" doc:"steps between lines of metrics.jsonl"`
	Save   int  `yaml:"save" min:"1" doc:"steps between checkpoints"`
	Keep   int  `yaml:"keep" min:"1" doc:"how many of the last checkpoints are kept; where one is damaged, a run continues from the one before"`
}

// Selection holds the keys of validation that every experiment file has: how the best model is selected on validation
// data.
type Selection struct {
	Every    int `yaml:"every" min:"1" doc:"steps between validations"`
	Patience int `yaml:"patience" min:"0" doc:"validations without a better score before training stops; 0 means never; of models with equal scores the last is kept"`
}

// Course returns a course that counts steps; validated reports whether there are validations.
func (l Loop) Course(s Selection, validated bool, schedule func(units int64) nn.Schedule) Course {
	c := Course{Steps: int64(l.Steps), Batch: l.Batch, Schedule: schedule(int64(l.Steps))}
	if validated {
		c.Every = int64(s.Every)
	}
	return c
}

// Plot is a figure and the name of its files, without extension.
type Plot struct {
	Name string
	plot.Figure
}

// Config is a planned experiment.
type Config struct {
	Name, About string
	Seed        uint64
	Network     string // its kind
	Device      string // as tensor.ParseDevice reads it
	Threads     int    // 0 for all cores
	CUDA        tensor.CUDAMath
	Graphs      bool // training steps are captured as CUDA graphs

	// From is where the initial values come from; nil stands for the network's own.
	From *From

	Saving
	Patience  int
	Optimizer func(ps *nn.Params) nn.Optimizer
	Rate      float64
	Schedule  func(units int64) nn.Schedule
	Work      Work

	// Notes are what parts have to say about their configuration that is no mistake, for a run that starts.
	Notes []string

	// Settle fixes settings that depend on the machine, such as precision: auto, before Encode when a run starts.
	Settle func(on tensor.Device) error
	// Encode returns the resolved experiment file: every key with its value.
	Encode func() ([]byte, error)
}

var errNothingToTrain = errors.New("the network has nothing to train; test it as it is with train.steps: 0")
