package experiments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// Options are what a run needs beside its configuration. The zero value works.
type Options struct {
	// Out is the run folder; empty stands for runs/NAME/DATE-TIME.
	Out string
	// Data is where data sets are looked for first; see dataset.Find.
	Data string
	// Reporter is told how the run goes on; nil stands for Silent.
	Reporter Reporter
	// Build is recorded in the result.
	Build results.Build
}

func (o *Options) fill(name string) {
	if o.Out == "" {
		o.Out = filepath.Join("runs", name, time.Now().Format("20060102-150405"))
	}
	if o.Reporter == nil {
		o.Reporter = Silent{}
	}
	if o.Build.LibTorch == "" {
		o.Build.LibTorch = tensor.Version()
	}
	if o.Build.Go == "" {
		o.Build.Go = runtime.Version()
	}
}

// run is an experiment under way.
type run struct {
	config  *Config
	options Options
	folder  folder
	device  tensor.Device
	params  *nn.Params
	threads int             // that are computed on
	source  *weights.Source // nil where the parameters are trained here
}

// Run trains and tests an experiment in a new run folder. A cancelled context stops it after the step at hand, with a
// checkpoint that [Resume] goes on from; the error then wraps the context's.
func Run(ctx context.Context, c *Config, o Options) (*results.Result, error) {
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	unlock, err := r.folder.create(c)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return r.finish(ctx, false)
}

// Create makes the run folder of a run that is to be started later, by [Resume]. One that is there already is left as it is
// where its configuration is the same, and refused where it is another.
func Create(dir string, c *Config) error {
	f := folder(dir)
	want, err := c.Encode()
	if err != nil {
		return err
	}
	have, err := os.ReadFile(f.path(fileConfig))
	switch {
	case errors.Is(err, os.ErrNotExist):
		unlock, err := f.create(c)
		if err == nil {
			unlock()
		}
		return err
	case err != nil:
		return fmt.Errorf("run folder: %w", err)
	case !bytes.Equal(have, want):
		return fmt.Errorf("%s holds a run of another configuration: choose another --out, or remove it", dir)
	}
	return nil
}

// Resume goes on with a run from its last checkpoint, or from its beginning where it has none, and ends with the result that
// it would have had uninterrupted. A finished run is returned as it is.
func Resume(ctx context.Context, dir string, o Options) (*results.Result, error) {
	f := folder(dir)
	if result, err := results.Read(f.path(fileResult)); err == nil {
		return result, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	o.Out = dir
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return r.finish(ctx, f.checkpoints() > 0)
}

// Evaluate tests the model of a run folder again, as its configuration and the overrides that made c say.
func Evaluate(ctx context.Context, dir string, c *Config, o Options) ([]results.Figure, error) {
	o.Out = dir
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	if err := r.loadModel(); err != nil {
		return nil, err
	}
	return r.testAll(ctx)
}

// prepare loads the data and builds the network: all that can fail before the run folder is made.
func prepare(ctx context.Context, c *Config, o Options) (*run, error) {
	return assemble(c, o, func() error { return c.work.load(ctx, o.Data, c.Seed) })
}

// assemble builds the network once load has given it what it needs of the data.
func assemble(c *Config, o Options, load func() error) (*run, error) {
	r := &run{config: c, options: o, folder: folder(o.Out)}
	if err := r.folder.possible(); err != nil {
		return nil, err
	}
	var err error
	if r.source, err = r.folder.source(); err != nil {
		return nil, err
	}
	if r.device, err = tensor.ParseDevice(c.Device); err != nil {
		return nil, err
	}
	if r.threads = c.Threads; r.threads == 0 {
		r.threads = runtime.NumCPU()
	}
	tensor.SetThreads(r.threads)
	if w, ok := c.work.(sharing); ok && w.share(r.threads) {
		tensor.SetThreads(1)
	}
	if err := load(); err != nil {
		return nil, err
	}
	b := nn.NewBuilder(c.Seed, r.device)
	r.params = b.Params()
	if err := tensor.Do(func() error { return c.work.build(b) }); err != nil {
		r.params.Free()
		return nil, err
	}
	return r, nil
}

// finish trains, tests and writes the result.
func (r *run) finish(ctx context.Context, resume bool) (_ *results.Result, err error) {
	defer func() {
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w; what was saved is intact: make room, then go on with: engram resume %s", err, string(r.folder))
		}
	}()
	var training *results.Training
	if r.source != nil {
		training = r.imported()
	} else if training, err = r.train(ctx, resume); err != nil {
		return nil, err
	}
	if err := r.loadModel(); err != nil {
		return nil, err
	}
	figures, err := r.testAll(ctx)
	if err != nil {
		return nil, r.interrupted(err)
	}
	config, err := os.ReadFile(r.folder.path(fileConfig))
	if err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	result := &results.Result{
		Name: r.config.Name, About: r.config.About, Network: r.config.Network.Kind(), Seed: r.config.Seed,
		Figures: figures, Training: *training, Build: r.options.Build, Machine: r.machine(), Config: string(config),
	}
	scores, err := result.EncodeScores()
	if err == nil && scores != nil {
		err = nn.WriteFile(r.folder.path(fileScores), bytes.NewReader(scores))
	}
	if err != nil {
		return nil, err
	}
	text, err := result.Encode()
	if err != nil {
		return nil, err
	}
	if err := nn.WriteFile(r.folder.path(fileResult), bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	if err := r.illustrate(ctx); err != nil {
		r.options.Reporter.Note(fmt.Sprintf("the result is written, but not all of its plots: %v", err))
	}
	return result, nil
}

func (r *run) saveModel() error {
	if err := nn.Save(r.folder.path(fileModel), r.params.State(), map[string]string{"experiment": r.config.Name}); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

func (r *run) loadModel() error {
	state, err := nn.Open(r.folder.path(fileModel))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("model: %s holds no %s: its training has not come so far; go on with it by: engram resume %[1]s", string(r.folder), fileModel)
	case errors.Is(err, nn.ErrDamaged):
		return fmt.Errorf("model: %w; train again in another folder", err)
	case err != nil:
		return fmt.Errorf("model: %w", err)
	}
	if err := r.params.Load(state); err != nil {
		return fmt.Errorf("model: %s is of another network than the configuration beside it: %w", r.folder.path(fileModel), err)
	}
	return nil
}

// testAll measures every test of the configuration that can be measured here.
func (r *run) testAll(ctx context.Context) ([]results.Figure, error) {
	var figures []results.Figure
	for i := range r.config.work.tests() {
		f, err := r.config.work.test(ctx, i, r.device, r.options.Data, r.options.Reporter)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f...)
	}
	if r.source != nil {
		disown(figures)
	}
	return figures, nil
}

// Interrupted is the error of a run whose context was cancelled. All that it had done is saved.
type Interrupted struct {
	Folder string // the run folder, for Resume
	Err    error  // the context's
}

// Error implements error.
func (e *Interrupted) Error() string {
	return "interrupted; everything is saved, go on with: engram resume " + e.Folder
}

// Unwrap gives the context's error.
func (e *Interrupted) Unwrap() error { return e.Err }

// interrupted makes the error of a cancelled context say how to go on.
func (r *run) interrupted(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &Interrupted{string(r.folder), err}
	}
	return err
}

func (r *run) machine() results.Machine {
	return results.Machine{
		CPU: tensor.Processor(), Cores: runtime.NumCPU(), Threads: r.threads, Device: r.device.String(),
		OS: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// RunConfig reads the configuration of a run folder, with overrides laid over it.
func RunConfig(dir string, overrides ...schema.Override) (*Config, error) {
	return folder(dir).config(overrides...)
}
