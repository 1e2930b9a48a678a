package experiments

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/experiments/runner"
	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A Tool is Engram with a set of parts. It may be used from many goroutines; but see [Tool.Run] for threads.
type Tool struct{ parts *registry.Parts }

// New returns a Tool with the given parts, to which no rows may be added afterwards.
func New(parts *registry.Parts) *Tool { return &Tool{parts} }

// Standard returns a Tool with Engram's own parts.
func Standard() *Tool { return New(registry.Standard()) }

// Parts returns the tables of the Tool.
func (t *Tool) Parts() *registry.Parts { return t.parts }

// Config is an experiment file that has been read and checked.
type Config struct {
	*runner.Config
	// Dataset is the kind of the data set.
	Dataset string
	// experiment is the file's name, without the suffix of a matrix run.
	experiment string
	file       kinds.File
	slurm      *Slurm
}

// Slurm holds the resources that a run's job requests from Slurm.
type Slurm = kinds.Slurm

// encoders calls f with the configuration of each encoder of the experiment that may normalise its images.
func (c *Config) encoders(f func(registry.Normalizer)) {
	schema.Walk(c.file, func(_, _ string, s *schema.Section) {
		if n, ok := s.Resolved().(registry.Normalizer); ok {
			f(n)
		}
	})
}

// HasEncoder reports whether the experiment has an encoder that can normalise its images.
func (c *Config) HasEncoder() (has bool) {
	c.encoders(func(registry.Normalizer) { has = true })
	return has
}

// NormalizesImages reports whether an encoder of the experiment normalises its images.
func (c *Config) NormalizesImages() (does bool) {
	c.encoders(func(n registry.Normalizer) { does = does || n.Normalizes() })
	return does
}

// resolve decodes and checks an experiment file.
func (t *Tool) resolve(doc *schema.Document) (*Config, error) {
	kind := kinds.Of(t.parts, doc.Kind("network"), doc.Kind("dataset"))
	file := kind.New(t.parts)
	err := doc.With(t.parts).Decode(file)
	s := file.Sections()
	if all := kinds.Networks(t.parts); s.Network.Kind() != "" && !slices.Contains(all, s.Network.Kind()) {
		err = schema.Join(without(err, s.Network.Path()), s.Network.UnknownKind(all))
	}
	if mismatch := kind.Mismatch(t.parts, s.Network, s.Dataset); mismatch != nil {
		return nil, schema.Join(mismatch, without(err, s.Dataset.Path()))
	}
	// Sections are planned even if the rest is wrong, so that all mistakes are reported together.
	work, planErr := file.Plan()
	optimizer, optimizerErr := t.parts.Optimizers.Plan(&s.Optimizer)
	schedule, scheduleErr := t.parts.Schedules.Plan(&s.Schedule)
	var average registry.Average
	var averageErr error
	if !registry.IsNone(&s.Average) {
		average, averageErr = t.parts.Averages.Plan(&s.Average)
	}
	if err := schema.Join(err, planErr, optimizerErr, scheduleErr, averageErr); err != nil {
		return nil, err
	}
	newOptimizer := optimizer.New
	if average != nil {
		newOptimizer = func(ps *nn.Params) nn.Optimizer { return average(ps, optimizer.New(ps)) }
	}
	c := &Config{experiment: s.Name, file: file, Dataset: s.Dataset.Kind()}
	// Where a run is computed does not belong to its configuration.
	c.slurm, s.Tail.Slurm = s.Tail.Slurm, nil
	c.Config = &runner.Config{
		Name: s.Name, About: s.About, Seed: s.Seed, Network: s.Network.Kind(), Device: s.Device, Threads: s.Threads,
		CUDA:   tensor.CUDAMath{TF32: s.TF32, Deterministic: s.Deterministic},
		Graphs: s.CUDAGraphs,
		Saving: *s.Saving, Patience: s.Patience, Optimizer: newOptimizer, Rate: optimizer.Rate, Schedule: schedule, Work: work,
		Settle: func(on tensor.Device) error {
			s.Tail.Device = on.String()
			return settle(file, on)
		},
		Encode: func() ([]byte, error) { return schema.Encode(file) },
		Notes:  notes(file),
	}
	if s.Tail.From != nil {
		c.Config.From = &s.Tail.From.From
	}
	return c, nil
}

// notes are what the parts of a file have to say about themselves.
func notes(file kinds.File) (all []string) {
	schema.Walk(file, func(path, _ string, s *schema.Section) {
		if n, ok := s.Resolved().(registry.Noter); ok {
			for _, note := range n.Notes() {
				all = append(all, path+": "+note)
			}
		}
	})
	return all
}

// without returns an error without its problems at and below a path.
func without(err error, path string) error {
	var all *schema.Error
	if !errors.As(err, &all) {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(all.Problems), func(p schema.Problem) bool { return p.Path == path || within(p.Path, path) })
	if len(kept) == 0 {
		return nil
	}
	return &schema.Error{Problems: kept, Dropped: all.Dropped}
}

// settle fixes the settings that depend on the machine when a run starts.
func settle(file kinds.File, on tensor.Device) (err error) {
	schema.Walk(file, func(path, _ string, s *schema.Section) {
		if c, ok := s.Resolved().(registry.Settler); ok && err == nil {
			if err = c.Settle(on); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
	})
	return err
}

// within reports whether a key lies below another.
func within(key, above string) bool { return strings.HasPrefix(key, above+".") }
