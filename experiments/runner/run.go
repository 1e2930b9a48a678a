package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/engram-go/engram/experiments/measure"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// Options configures a run beyond its configuration file. The zero value works.
type Options struct {
	// Out is the run folder; default runs/NAME/DATE-TIME, with a number if that exists.
	Out string
	// Data is the first folder where data sets are looked for; see dataset.Find.
	Data string
	// Reporter receives progress; default Silent.
	Reporter Reporter
	// Until pauses training after that step, unless it is 0 or training ends before: [Resume] then returns [Paused], with a
	// checkpoint from which the run continues to the result that it would have had without the pause.
	Until int64
	// Build is recorded in the result.
	Build results.Build
	// unique makes another run folder if Out exists.
	unique bool
}

func (o *Options) fill(name string) {
	if o.Out == "" {
		o.Out, o.unique = filepath.Join("runs", name, time.Now().Format("20060102-150405")), true
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

// run is an experiment in progress.
type run struct {
	config  *Config
	options Options
	folder  Folder
	device  tensor.Device
	params  *nn.Params
	threads int              // threads for computation
	sources []weights.Source // of imported parameters; nil if the parameters are trained here
	course  Course
	tests   []measure.Test
}

// Run trains and tests an experiment in a new run folder. A cancelled context stops it after the current step, with a
// checkpoint from which [Resume] continues; the error then wraps the context's.
//
// The number of threads, [Config.Threads], is set for the whole process: of two runs in one process, the later one
// sets it for both.
func Run(ctx context.Context, c *Config, o Options) (*results.Result, error) {
	o.fill(c.Name)
	if !o.unique { // before any data is loaded
		if err := Folder(o.Out).free(); err != nil {
			return nil, err
		}
	}
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	if err := r.initialize(); err != nil {
		return nil, err
	}
	unlock, err := r.create()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return r.finish(ctx, false)
}

// Create makes the run folder of a run to be started later by [Resume], perhaps on another machine. A folder that was
// made or started with the same configuration is kept; with another configuration it is an error.
func Create(dir string, c *Config) error {
	f := Folder(dir)
	want, err := c.Encode()
	if err != nil {
		return err
	}
	created, err := f.planned(c, want)
	if created || err != nil {
		return err
	}
	r := &run{config: c, folder: f}
	unlock, err := r.create()
	if err != nil {
		return err
	}
	defer unlock()
	if err := nn.WriteFile(f.path(filePlanned), bytes.NewReader(want)); err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	return nil
}

// CheckCreate refuses what [Create] refuses, and makes nothing.
func CheckCreate(dir string, c *Config) error {
	f := Folder(dir)
	if err := f.possible(); err != nil {
		return err
	}
	want, err := c.Encode()
	if err == nil {
		_, err = f.planned(c, want)
	}
	return err
}

// planned reports whether the folder has been made, or its run started, with a configuration c whose text is want. One of another
// configuration is refused.
func (f Folder) planned(c *Config, want []byte) (bool, error) {
	have, err := os.ReadFile(f.path(filePlanned))
	if errors.Is(err, os.ErrNotExist) {
		have, err = os.ReadFile(f.path(fileConfig))
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("run folder: %w", err)
	case bytes.Equal(have, want):
		return true, nil
	}
	// A run that was started by itself has already settled what depends on the machine.
	device, err := tensor.ParseDevice(c.Device)
	if err == nil {
		err = (&run{config: c}).settle(device)
	}
	if err == nil {
		want, err = c.Encode()
	}
	if err == nil && !bytes.Equal(have, want) {
		err = fmt.Errorf("%s holds a run of another configuration: choose another --out, or remove it", string(f))
	}
	return err == nil, err
}

// Resume continues a run from its last checkpoint, or from the start if there is none, with the same result as
// without interruption. c is the configuration of the run folder.
func Resume(ctx context.Context, dir string, c *Config, o Options) (*results.Result, error) {
	return inFolder(ctx, dir, c, o, func(r *run) (*results.Result, error) {
		started := r.folder.checkpoints() > 0
		if !started { // made by Create: settle what depends on the machine
			if err := r.initialize(); err != nil {
				return nil, err
			}
			if err := r.writeConfig(); err != nil {
				return nil, err
			}
		}
		return r.finish(ctx, started)
	})
}

// Retest repeats the tests of a run folder whose training has ended, with the configuration c, and replaces the
// folder's configuration and result. It returns an error if training has not ended.
func Retest(ctx context.Context, dir string, c *Config, o Options) (*results.Result, error) {
	if err := Folder(dir).NeedsModel(); errors.Is(err, ErrRecord) { // before anything is written
		return nil, err
	}
	return inFolder(ctx, dir, c, o, func(r *run) (*results.Result, error) {
		training, err := r.trained()
		if err != nil {
			return nil, err
		}
		if err := r.writeConfig(); err != nil {
			return nil, err
		}
		return r.conclude(ctx, training)
	})
}

// inFolder prepares the run of a folder, locks the folder, and calls a function.
func inFolder(ctx context.Context, dir string, c *Config, o Options, do func(r *run) (*results.Result, error)) (*results.Result, error) {
	o.Out = dir
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	unlock, err := r.folder.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return do(r)
}

// Evaluate tests the model of a run folder with the configuration c. The result is kept below the run folder under a
// name, unless the name is empty.
func Evaluate(ctx context.Context, dir, name string, c *Config, o Options) (*results.Result, error) {
	if err := Folder(dir).NeedsModel(); err != nil { // before any data is loaded
		return nil, err
	}
	o.Out = dir
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	training, err := r.trained()
	if err != nil && !errors.Is(err, errUntrained) {
		return nil, err
	}
	if training == nil {
		training = &results.Training{Ended: "under way when it was evaluated", Parameters: r.params.Count()}
	}
	if err := r.loadModel(); err != nil {
		return nil, err
	}
	figures, seconds, err := r.testAll(ctx)
	if err != nil {
		return nil, err
	}
	text, err := c.Encode()
	if err != nil {
		return nil, err
	}
	result := r.result(figures, seconds, *training, text)
	if name == "" {
		return result, nil
	}
	kept := Folder(filepath.Join(dir, folderEvals, name))
	if err := os.MkdirAll(string(kept), 0o755); err != nil {
		return nil, fmt.Errorf("evaluation: %w", err)
	}
	return result, kept.writeResult(result)
}

// prepare loads the data, builds the network and makes the tests: everything that can fail before the run folder is
// made.
func prepare(ctx context.Context, c *Config, o Options) (*run, error) {
	r, err := load(ctx, c, o)
	if err != nil {
		return nil, err
	}
	if r.tests, err = c.Work.Tests(ctx, o.from(c)); err != nil {
		r.params.Free()
		return nil, err
	}
	return r, nil
}

func (o *Options) from(c *Config) Source {
	return Source{Given: o.Data, Seed: c.Seed, Note: o.Reporter.Note}
}

// load loads the data and builds the network.
func load(ctx context.Context, c *Config, o Options) (*run, error) {
	r, err := assemble(c, o, func() error { return c.Work.Load(ctx, o.from(c)) })
	if err == nil {
		r.course = c.Work.Course(c.Schedule)
	}
	return r, err
}

// assemble builds the network after load has provided what it needs from the data.
func assemble(c *Config, o Options, load func() error) (*run, error) {
	r := &run{config: c, options: o, folder: Folder(o.Out)}
	if err := r.folder.possible(); err != nil {
		return nil, err
	}
	var err error
	if r.sources, err = r.folder.sources(); err != nil {
		return nil, err
	}
	if r.device, err = tensor.ParseDevice(c.Device); err != nil {
		return nil, err
	}
	if r.device != tensor.CPU {
		if c.Graphs && !tensor.GraphsBuilt() {
			return nil, errors.New("cuda_graphs: this build has no CUDA graphs: CUDA's headers were not found when it was built; docs/libtorch.md says where they are looked for; leave the key out to train without")
		}
		if err := tensor.SetCUDAMath(c.CUDA); err != nil {
			return nil, err
		}
		o.Reporter.Note(r.device.String() + ": Engram's own kernels are for the CPU; LibTorch's operations take their place")
	}
	if r.threads = c.Threads; r.threads == 0 {
		r.threads = runtime.NumCPU()
	}
	tensor.SetThreads(r.threads)
	if w, ok := c.Work.(Sharing); ok && w.Share(r.threads) {
		tensor.SetThreads(1)
	}
	if err := r.settle(r.device); err != nil {
		return nil, err
	}
	if err := load(); err != nil {
		return nil, err
	}
	b := nn.NewBuilder(c.Seed, r.device)
	r.params = b.Params()
	if err := tensor.Do(func() error { return c.Work.Build(b) }); err != nil {
		r.params.Free()
		return nil, err
	}
	return r, nil
}

func (r *run) settle(device tensor.Device) error {
	if r.config.Settle == nil {
		return nil
	}
	return r.config.Settle(device)
}

// finish trains, tests and writes the result.
func (r *run) finish(ctx context.Context, resume bool) (_ *results.Result, err error) {
	var training *results.Training
	if r.sources != nil {
		training = r.imported()
	} else if training, err = r.train(ctx, resume); err != nil {
		return nil, r.full(err)
	}
	return r.conclude(ctx, training)
}

// full adds to the error of a full disk how to continue.
func (r *run) full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w; what was saved is intact: make room, then continue with: engram resume %s", err, string(r.folder))
	}
	return err
}

// conclude tests the trained model and writes the result and its plots.
func (r *run) conclude(ctx context.Context, training *results.Training) (_ *results.Result, err error) {
	defer func() { err = r.full(err) }()
	if err := r.loadModel(); err != nil {
		return nil, err
	}
	figures, seconds, err := r.testAll(ctx)
	if err != nil {
		if interrupted := r.interrupted(err); interrupted != err {
			return nil, interrupted
		}
		return nil, fmt.Errorf("%w\nthe trained model is saved: mend the test, then repeat the tests with: engram resume %s, and --set for what changes, as in --set test.0.query=5", err, string(r.folder))
	}
	config, err := os.ReadFile(r.folder.path(fileConfig))
	if err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	result := r.result(figures, seconds, *training, config)
	if err := r.folder.writeResult(result); err != nil {
		return nil, err
	}
	if err := r.illustrate(ctx); err != nil {
		r.options.Reporter.Note(fmt.Sprintf("the result is written, but not all of its plots: %v", err))
	}
	return result, nil
}

func (r *run) result(figures []results.Figure, seconds []float64, training results.Training, config []byte) *results.Result {
	return &results.Result{
		Name: r.config.Name, About: r.config.About, Network: r.config.Network, Seed: r.config.Seed,
		Figures: figures, Training: training, Build: r.options.Build, Machine: r.machine(), Config: string(config), TestSeconds: seconds,
	}
}

func (f Folder) writeResult(result *results.Result) error {
	scores, err := result.EncodeScores()
	if err == nil && scores != nil {
		err = nn.WriteFile(f.path(fileScores), bytes.NewReader(scores))
	}
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	for _, figure := range result.Figures {
		if figure.Queries != nil {
			if err := nn.WriteFile(f.path(figure.Predictions), bytes.NewReader(results.PredictionsCSV(figure.Queries))); err != nil {
				return fmt.Errorf("predictions: %w", err)
			}
		}
	}
	text, err := result.Encode()
	if err == nil {
		err = nn.WriteFile(f.path(fileResult), bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

func (r *run) saveModel() error {
	if err := nn.Save(r.folder.path(fileModel), r.params.State(), map[string]string{"experiment": r.config.Name, "network": r.config.Network}); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	return nil
}

func (r *run) loadModel() error {
	state, err := r.folder.openModel()
	if err != nil {
		return err
	}
	if of := state.Notes["network"]; of != "" && of != r.config.Network { // models of old runs do not record it
		return fmt.Errorf("model: %s is of a %s network, and the configuration beside it of %s", r.folder.path(fileModel), of, r.config.Network)
	}
	if err := r.params.Load(state); err != nil {
		return fmt.Errorf("model: %s is of another network than the configuration beside it: %w", r.folder.path(fileModel), err)
	}
	return nil
}

func (f Folder) openModel() (*nn.State, error) {
	state, err := nn.Open(f.path(fileModel))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, f.NeedsModel()
	case errors.Is(err, nn.ErrDamaged):
		return nil, fmt.Errorf("model: %w; train again in another folder", err)
	case err != nil:
		return nil, fmt.Errorf("model: %w", err)
	}
	return state, nil
}

// testAll makes every test. It returns for each figure how long its test took.
func (r *run) testAll(ctx context.Context) (figures []results.Figure, seconds []float64, err error) {
	for _, t := range r.tests {
		began := time.Now()
		f, err := t.Run(ctx, r.device, r.options.Reporter)
		if err != nil {
			return nil, nil, fmt.Errorf("test %s: %w", t.Name, err)
		}
		took := time.Since(began).Round(time.Millisecond).Seconds()
		figures, seconds = append(figures, f...), append(seconds, slices.Repeat([]float64{took}, len(f))...)
	}
	if r.sources != nil {
		disown(figures)
	} else if r.config.From != nil {
		r.config.From.further(figures)
	}
	return figures, seconds, nil
}

// Interrupted is the error of a run whose context was cancelled. Its progress is saved.
type Interrupted struct {
	Folder string // the run folder, for Resume
	Err    error  // the context's
}

// Error implements error.
func (e *Interrupted) Error() string {
	return "interrupted; everything is saved, continue with: engram resume " + e.Folder
}

// Unwrap returns the context's error.
func (e *Interrupted) Unwrap() error { return e.Err }

// Paused is the error of a run that was paused by [Options.Until].
type Paused struct {
	Folder string // the run folder, for Resume
	Step   int64  // steps done
}

// Error implements error.
func (e *Paused) Error() string {
	return fmt.Sprintf("paused after step %d, continue with: engram resume %s", e.Step, e.Folder)
}

// interrupted makes the error of a cancelled context say how to continue.
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
