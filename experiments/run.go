package experiments

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/results"
)

// Options, results and reports of runs; see package runner.
type (
	Options     = runner.Options
	Reporter    = runner.Reporter
	Silent      = runner.Silent
	Warner      = runner.Warner
	Start       = runner.Start
	Step        = runner.Step
	Validated   = runner.Validated
	Event       = runner.Event
	EventWriter = runner.EventWriter
	Interrupted = runner.Interrupted
	Paused      = runner.Paused
	Plot        = runner.Plot
	// Explanation is a network's answer to a question about a story, with its attention.
	Explanation = kinds.Explanation
	// ExplainOptions selects the questions to explain.
	ExplainOptions = kinds.ExplainOptions
)

// Run trains and tests an experiment in a new run folder; see [runner.Run]. The number of threads is per process: use
// separate processes to run experiments concurrently.
func (t *Tool) Run(ctx context.Context, c *Config, o Options) (*results.Result, error) {
	return runner.Run(ctx, c.Config, o)
}

// Create makes the run folder of a run to be started later by [Tool.Resume]; see [runner.Create].
func (t *Tool) Create(dir string, c *Config) error { return runner.Create(dir, c.Config) }

// CheckCreate refuses what [Tool.Create] refuses, and makes nothing.
func (t *Tool) CheckCreate(dir string, c *Config) error { return runner.CheckCreate(dir, c.Config) }

// Resume continues the run of a folder from its last checkpoint, with the same result as without interruption. It
// returns the result of a finished run.
//
// With overrides of a run's tests, it first finishes training if necessary, then runs the tests with the overrides
// and replaces the folder's configuration and result.
func (t *Tool) Resume(ctx context.Context, dir string, o Options, overrides ...schema.Override) (*results.Result, error) {
	if len(overrides) > 0 {
		c, err := t.TestConfig(dir, overrides...)
		if err != nil {
			return nil, err
		}
		return runner.Retest(ctx, dir, c.Config, o)
	}
	if result, err := runner.Folder(dir).Result(); err == nil {
		return result, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	return runner.Resume(ctx, dir, c.Config, o)
}

// Evaluate tests the model of a run folder again, with overrides of its tests. With overrides, the result and its
// scores are kept below the run folder, named after them.
func (t *Tool) Evaluate(ctx context.Context, dir string, o Options, overrides ...schema.Override) (*results.Result, error) {
	c, err := t.TestConfig(dir, overrides...)
	if err != nil {
		return nil, err
	}
	var labels []string
	for _, o := range overrides {
		labels = append(labels, o.Path()+"="+o.Label())
	}
	return runner.Evaluate(ctx, dir, schema.Shorten(strings.Join(labels, ","), 100), c.Config, o)
}

// Plots draws the plots of a run folder; see [runner.Plots].
func (t *Tool) Plots(ctx context.Context, dir string, o Options) ([]Plot, error) {
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	return runner.Plots(ctx, dir, c.Config, o)
}

// Import makes a run folder of an experiment from imported parameters; see [runner.Import].
func (t *Tool) Import(ctx context.Context, c *Config, files []string, m *weights.Map, o Options) (*results.Result, error) {
	return runner.Import(ctx, c.Config, files, m, o)
}

// GuessMap returns the map that [Tool.Import] would guess.
func (t *Tool) GuessMap(ctx context.Context, c *Config, files []string, o Options) (*weights.Map, error) {
	return runner.GuessMap(ctx, c.Config, files, o)
}

// Export writes the model of a run folder to a safetensors file; see [runner.Export].
func Export(dir, path string, m *weights.Map) error { return runner.Export(dir, path, m) }

// Explain answers test questions, the last one of each story, with the model of a run folder, and returns its
// attention.
func (t *Tool) Explain(ctx context.Context, dir string, o ExplainOptions) ([]Explanation, error) {
	c, err := t.RunConfig(dir)
	if err != nil {
		return nil, err
	}
	work, ok := c.Work.(kinds.Explainer)
	if !ok {
		return nil, fmt.Errorf("%s: there is nothing to explain: %s reads no stories", dir, c.Network)
	}
	m, err := runner.OpenWithData(ctx, dir, c.Config, Options{Data: o.Data})
	if err != nil {
		return nil, err
	}
	defer m.Params.Free()
	return work.Explain(ctx, o)
}
