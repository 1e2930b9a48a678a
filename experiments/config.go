package experiments

import (
	"errors"
	"fmt"
	"os"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/tensor"
)

// Config is an experiment file. [DefaultConfig] holds the values of the keys that a file leaves out.
type Config struct {
	Name  string `yaml:"name" required:"true" minlen:"1" doc:"what the run folder and the tables call the experiment"`
	About string `yaml:"about" doc:"what it reproduces, in a sentence"`
	Seed  uint64 `yaml:"seed" doc:"of initialisation, training episodes and noise; test episodes do not depend on it"`

	Dataset schema.Section `yaml:"dataset" doc:"what classes are drawn from: strokes or omniglot"`
	Network schema.Section `yaml:"network" required:"true" doc:"what is trained: protonet or matchingnet"`

	Train      Train          `yaml:"train"`
	Optimizer  schema.Section `yaml:"optimizer" doc:"adam, adamw, rmsprop or sgd"`
	Schedule   schema.Section `yaml:"schedule" doc:"of the learning rate: constant, step, linear or cosine"`
	Validation Validation     `yaml:"validation"`
	Test       []Test         `yaml:"test" required:"true" minlen:"1" doc:"what the best model is measured on, once, at the end"`

	Device  string `yaml:"device" doc:"cpu, cuda, cuda:N, or auto"`
	Threads int    `yaml:"threads" min:"0" doc:"for one operation; 0 means all cores"`
}

// Train says how the network is trained.
type Train struct {
	Way   int `yaml:"way" min:"2" doc:"classes of a training episode"`
	Shot  int `yaml:"shot" min:"1" doc:"support images a class"`
	Query int `yaml:"query" min:"1" doc:"query images a class"`
	Batch int `yaml:"batch" min:"1" doc:"episodes a step"`
	Steps int `yaml:"steps" min:"1" doc:"optimiser steps at most"`

	Clip     Clip `yaml:"clip"`
	Report   int  `yaml:"report" min:"1" doc:"steps between lines of metrics.jsonl"`
	Save     int  `yaml:"save" min:"1" doc:"steps between checkpoints"`
	Prefetch int  `yaml:"prefetch" min:"1" doc:"batches prepared ahead"`
}

// Clip bounds the gradient. Zero leaves it as it is.
type Clip struct {
	Value float64 `yaml:"value" min:"0" doc:"of each element"`
	Norm  float64 `yaml:"norm" min:"0" doc:"of all gradients taken together"`
}

// Validation says how the best model is chosen, on validation classes only.
type Validation struct {
	Episodes int `yaml:"episodes" min:"0" doc:"the same ones each time; 0 keeps the last model"`
	Way      int `yaml:"way" min:"2"`
	Shot     int `yaml:"shot" min:"1"`
	Query    int `yaml:"query" min:"1"`
	Every    int `yaml:"every" min:"1" doc:"steps between validations"`
	Patience int `yaml:"patience" min:"0" doc:"validations without a better one before training stops; 0 means never"`
}

// Test is one measurement of the best model on test classes.
type Test struct {
	Way      int    `yaml:"way" min:"2" required:"true"`
	Shot     int    `yaml:"shot" min:"1" required:"true"`
	Query    int    `yaml:"query" min:"1"`
	Episodes int    `yaml:"episodes" min:"2"`
	Norm     string `yaml:"norm" enum:"inductive,transductive" doc:"batch norm by running statistics, or by the test batch's own"`

	Dataset  schema.Section `yaml:"dataset" doc:"another data set than the one trained on"`
	Optional bool           `yaml:"optional" doc:"leave this test out where its data set is not on the machine"`
}

// SetDefaults gives a test the values of the keys that a file leaves out.
func (t *Test) SetDefaults() {
	*t = Test{Query: 15, Episodes: 1000, Norm: normInductive}
}

// The names of batch norm's modes.
const (
	normInductive    = "inductive"
	normTransductive = "transductive"
)

// String names the test as tables do.
func (t Test) String() string { return fmt.Sprintf("%d-way %d-shot", t.Way, t.Shot) }

// DefaultConfig returns the values of the keys that a file leaves out.
func DefaultConfig() *Config {
	return &Config{
		Seed:      1,
		Dataset:   schema.NewSection("strokes", nil),
		Optimizer: schema.NewSection("adam", nil),
		Schedule:  schema.NewSection("constant", nil),
		Train: Train{
			Way: 20, Shot: 1, Query: 5, Batch: 1, Steps: 10_000, Report: 100, Save: 1000, Prefetch: 2,
		},
		Validation: Validation{Episodes: 200, Way: 20, Shot: 1, Query: 5, Every: 500},
		Device:     "auto",
	}
}

// Validate implements schema.Validator.
func (c *Config) Validate() error {
	var errs []error
	if _, err := tensor.ParseDevice(c.Device); err != nil {
		errs = append(errs, schema.At("device", err))
	}
	seen := map[string]bool{}
	for i, t := range c.Test {
		key := fmt.Sprintf("%s %s %s", t, t.Norm, t.Dataset.Kind())
		if seen[key] {
			errs = append(errs, schema.At(fmt.Sprintf("test.%d", i), fmt.Errorf("the same test as an earlier one: %s, %s", t, t.Norm)))
		}
		seen[key] = true
	}
	return errors.Join(errs...)
}

// LoadConfig reads and checks an experiment file, with --set overrides laid over it.
func LoadConfig(file string, overrides ...schema.Override) (*Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("experiment file: %w", err)
	}
	return ParseConfig(file, text, overrides...)
}

// ParseConfig is [LoadConfig] for text that is at hand; file is the name that messages call it by.
func ParseConfig(file string, text []byte, overrides ...schema.Override) (*Config, error) {
	c := DefaultConfig()
	err := schema.Decode(file, text, c, overrides...)
	// The sections are checked as well where the rest allows it, so that one run shows every mistake.
	if _, planErr := newPlan(c); planErr != nil {
		err = schema.Join(err, planErr)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}
