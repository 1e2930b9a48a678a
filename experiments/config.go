package experiments

import (
	"errors"
	"fmt"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// Common are the keys that every experiment file has, whatever its network learns.
type Common struct {
	Name  string `yaml:"name" required:"true" minlen:"1" doc:"what the run folder and the tables call the experiment"`
	About string `yaml:"about" doc:"what it reproduces, in a sentence"`
	Seed  uint64 `yaml:"seed" doc:"of initialisation, training data and noise; test data do not depend on it"`

	Dataset schema.Section `yaml:"dataset" doc:"what is learned from; it decides which keys train, validation and test have"`
	Network schema.Section `yaml:"network" required:"true" doc:"what is trained"`

	Optimizer schema.Section `yaml:"optimizer" doc:"adam, adamw, rmsprop or sgd"`
	Schedule  schema.Section `yaml:"schedule" doc:"of the learning rate: constant, step, linear or cosine"`

	Device  string `yaml:"device" doc:"cpu, cuda, cuda:N, or auto"`
	Slurm   *Slurm `yaml:"slurm" doc:"what engram sweep --on slurm asks for; no part of a run"`
	Threads int    `yaml:"threads" min:"0" doc:"for one operation, or of methods that adapt to each task for as many tasks; 0 means all cores"`
}

// Slurm is what a job of a run asks Slurm for. What is left out is not asked for.
type Slurm struct {
	Partition string   `yaml:"partition" doc:"as sbatch has it"`
	Time      string   `yaml:"time" doc:"of a job at most, as sbatch reads it: minutes, or D-HH:MM:SS in quotes; a run may take several jobs"`
	Memory    string   `yaml:"memory" doc:"of a job, as sbatch reads it: 4G"`
	CPUs      int      `yaml:"cpus" min:"0" doc:"cores of a job; 0 stands for threads"`
	GPUs      int      `yaml:"gpus" min:"0"`
	AtOnce    int      `yaml:"at_once" min:"0" doc:"jobs at a time at most; 0 for no bound"`
	Sbatch    []string `yaml:"sbatch" doc:"further options of sbatch, such as --account=lab"`
}

// Validate implements schema.Validator.
func (c *Common) Validate() error {
	var errs []error
	if c.Network.Kind() == "" {
		errs = append(errs, schema.At("network", errors.New("there is none to train; give its kind")))
	}
	if _, err := tensor.ParseDevice(c.Device); err != nil {
		errs = append(errs, schema.At("device", err))
	}
	return errors.Join(errs...)
}

// Loop are the keys of train that every experiment file has.
type Loop struct {
	Batch int `yaml:"batch" min:"1" doc:"examples a step: episodes, sequences, or the images of a classifier"`
	Steps int `yaml:"steps" min:"0" doc:"optimiser steps at most; 0 tests the network as it is made"`

	Clip     Clip `yaml:"clip"`
	Report   int  `yaml:"report" min:"1" doc:"steps between lines of metrics.jsonl"`
	Save     int  `yaml:"save" min:"1" doc:"steps between checkpoints"`
	Keep     int  `yaml:"keep" min:"1" doc:"checkpoints kept, the last ones: where one is damaged, a run goes on from the one before"`
	Prefetch int  `yaml:"prefetch" min:"1" doc:"batches prepared ahead"`
}

// defaultKeep is the default of train.keep.
const defaultKeep = 2

// Clip bounds the gradient. Zero leaves it as it is.
type Clip struct {
	Value   float64 `yaml:"value" min:"0" doc:"of each element"`
	Carried float64 `yaml:"carried" min:"0" doc:"of each element of what a step of a sequence hands to the step before it"`
	Each    float64 `yaml:"each" min:"0" doc:"the norm of each parameter's"`
	Norm    float64 `yaml:"norm" min:"0" doc:"of all gradients taken together"`
}

// Selection are the keys of validation that every experiment file has: how the best model is chosen, on validation data
// only.
type Selection struct {
	Every    int `yaml:"every" min:"1" doc:"steps between validations"`
	Patience int `yaml:"patience" min:"0" doc:"validations without a better one before training stops; 0 means never"`
}

func defaultCommon() Common {
	return Common{
		Seed:      1,
		Dataset:   schema.NewSection("strokes", nil),
		Optimizer: schema.NewSection("adam", nil),
		Schedule:  schema.NewSection("constant", nil),
		Device:    "auto",
	}
}

// Config is an experiment file that has been read and checked.
type Config struct {
	*Common
	loop      *Loop
	selection *Selection
	// experiment is the file's own name, without what its matrix adds.
	experiment string
	file       any // the struct that was decoded, for Encode
	slurm      *Slurm
	work       work
	optimizer  func(ps *nn.Params) nn.Optimizer
	rate       float64
	schedule   nn.Schedule
}

// Encode returns the resolved experiment file: every key with its value, as [ParseConfig] reads it back.
func (c *Config) Encode() ([]byte, error) { return schema.Encode(c.file) }

// LoadConfig reads and checks an experiment file, with --set overrides laid over it. A file with a matrix is refused
// unless the overrides leave one run of it; see [LoadMatrix].
func LoadConfig(file string, overrides ...schema.Override) (*Config, error) {
	m, err := LoadMatrix(file, overrides...)
	if err != nil {
		return nil, err
	}
	return m.only()
}

// ParseConfig is [LoadConfig] for text that is at hand and builds on no other file; file is the name that messages call it
// by.
func ParseConfig(file string, text []byte, overrides ...schema.Override) (*Config, error) {
	m, err := expand(schema.Parse(file, text, nil), overrides)
	if err != nil {
		return nil, err
	}
	m.File = file
	return m.only()
}

// resolve decodes and checks an experiment file.
func resolve(doc *schema.Document) (*Config, error) {
	into := newFile(doc.Kind("dataset"), doc.Kind("network"))
	err := doc.Decode(into)
	c := &Config{file: into}
	// The sections are checked as well where the rest allows it, so that one run shows every mistake.
	err = schema.Join(err, c.plan(into))
	if err != nil {
		return nil, err
	}
	c.experiment = c.Name
	return c, nil
}

// experimentFile is what a kind of experiment decodes its file into.
type experimentFile interface {
	parts() (*Common, *Loop, *Selection)
	// plan reads the sections that the kind of experiment has for itself.
	plan() (work, error)
}

// plan reads the sections: all that can be checked before any work starts.
func (c *Config) plan(file experimentFile) error {
	c.Common, c.loop, c.selection = file.parts()
	// Where a run is computed is not part of what it is.
	c.slurm, c.Common.Slurm = c.Common.Slurm, nil
	var err error
	var errs []error
	c.work, err = file.plan()
	errs = append(errs, err)
	c.optimizer, c.rate, err = planOptimizer(&c.Optimizer)
	errs = append(errs, err)
	c.schedule, err = planSchedule(&c.Schedule, int64(c.loop.Steps))
	if _, ok := c.work.(recurrent); !ok && c.work != nil && c.loop.Clip.Carried > 0 {
		errs = append(errs, schema.At("train.clip.carried", errors.New("is for networks that run over a sequence; leave it out")))
	}
	if p, ok := c.work.(paced); ok {
		c.schedule = p.pace(c.schedule)
	}
	return schema.Join(append(errs, err)...)
}

// twice reports what is measured twice among tests that go by these names.
func twice(names []string) error {
	var errs []error
	seen := map[string]bool{}
	for i, name := range names {
		if seen[name] {
			errs = append(errs, schema.At(fmt.Sprintf("test.%d", i), fmt.Errorf("the same test as an earlier one: %s", name)))
		}
		seen[name] = true
	}
	return errors.Join(errs...)
}
