package runner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/engram-go/engram/experiments/tfevents"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
)

// Files of a run folder.
const (
	fileConfig     = "config.yaml"            // the resolved experiment file
	fileMetrics    = "metrics.jsonl"          // one line per report
	fileCheckpoint = "checkpoint.safetensors" // the state of training; checkpoint-1 and so on are older
	fileModel      = "model.safetensors"      // the best model's parameters
	fileResult     = results.FileName
	fileSamples    = "samples.txt" // readable examples of the network's behaviour, if the work has any
	folderPlots    = "plots"
	fileScores     = "scores.json"   // of each test episode or sequence
	fileImport     = "import.yaml"   // the source of an imported model
	filePlanned    = "planned.yaml"  // the configuration from Create, before the run starts
	fileTraining   = "training.json" // how training ended, once it has
	folderEvals    = "evals"         // results of further tests, one folder each
)

// Folder is the folder of one run.
type Folder string

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// possible returns an error for a path through a file.
func (f Folder) possible() error {
	for path := filepath.Clean(string(f)); ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("run folder: %s is a file: choose another --out", path)
		}
		if err == nil || path == filepath.Dir(path) {
			return nil
		}
	}
}

// vacant returns an error for a folder that contains a run.
func (f Folder) vacant() error {
	if _, err := os.Stat(f.path(fileConfig)); err != nil {
		return nil
	}
	if result, err := f.Result(); err == nil {
		return takenError{fmt.Errorf("%s holds a finished run, of %s with seed %d: choose another --out; 'engram eval %[1]s' tests it again, and --from %[1]s starts a run from its model",
			string(f), result.Name, result.Seed)}
	}
	return takenError{fmt.Errorf("%s holds a run already: continue it with 'engram resume %s', or choose another --out", string(f), string(f))}
}

// free returns an error for a folder that contains a run, and reports if another process is working on it.
func (f Folder) free() error {
	err := f.vacant()
	if err == nil {
		return nil
	}
	unlock, lockErr := f.lock()
	if lockErr != nil {
		return lockErr
	}
	unlock()
	return err
}

// create makes the folder of a new run, locks it and writes its configuration. If the folder contains a run, it is an
// error, or another folder is made if the run may be in any.
func (r *run) create() (unlock func(), err error) {
	name := r.folder
	for i := 2; ; i++ {
		if unlock, err = r.begin(); err == nil || !r.options.unique || !errors.Is(err, errTaken) {
			return unlock, err
		}
		r.folder = Folder(fmt.Sprintf("%s-%d", string(name), i))
	}
}

// errTaken is wrapped by errors of a folder that contains another run.
var errTaken = errors.New("run folder: taken")

// takenError is errTaken with its own text.
type takenError struct{ error }

// Is reports that the error is errTaken.
func (takenError) Is(target error) bool { return target == errTaken }

func (r *run) begin() (unlock func(), err error) {
	f := r.folder
	if err := os.MkdirAll(string(f), 0o755); err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	if unlock, err = f.lock(); err != nil {
		return nil, takenError{err}
	}
	if err = f.vacant(); err == nil {
		err = r.writeConfig()
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// writeConfig writes the current configuration.
func (r *run) writeConfig() error {
	text, err := r.config.Encode()
	if err == nil {
		err = nn.WriteFile(r.folder.path(fileConfig), bytes.NewReader(text))
	}
	if err != nil {
		return fmt.Errorf("run folder: %w", err)
	}
	return nil
}

// ConfigFile returns the path of the configuration with which the run was started.
func (f Folder) ConfigFile() string { return f.path(fileConfig) }

// NotRun returns the error of a folder without a configuration, or err if that is another error.
func (f Folder) NotRun(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not a run folder: it holds no %s", string(f), fileConfig)
	}
	return err
}

// ErrRecord is wrapped by the error of a run folder with the result of a run and without its model.
var ErrRecord = errors.New("the record of a finished run without its model, as the folders below results/runs are")

// NeedsModel returns the error of a folder that holds no model, and nil where there is one. It is the one message about such a
// folder, whatever was to be done with the model.
func (f Folder) NeedsModel() error {
	have := func(name string) bool {
		_, err := os.Stat(f.path(name))
		return err == nil
	}
	switch {
	case have(fileModel):
		return nil
	case !have(fileConfig):
		return f.NotRun(fs.ErrNotExist)
	case have(fileResult):
		return fmt.Errorf("%s is %w: train it again with: engram run %s", string(f), ErrRecord, f.path(fileConfig))
	}
	return fmt.Errorf("%s holds no %s yet: its training has not reached a model; continue it with: engram resume %[1]s", string(f), fileModel)
}

// Result reads the result of a finished run; the error wraps fs.ErrNotExist where it has none.
func (f Folder) Result() (*results.Result, error) { return results.Read(f.path(fileResult)) }

// errUntrained is wrapped by the error of a run whose training has not ended.
var errUntrained = errors.New("its training has not ended")

// writeTraining records how training ended, so that the tests can be repeated without it.
func (f Folder) writeTraining(t *results.Training) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = nn.WriteFile(f.path(fileTraining), bytes.NewReader(append(text, '\n')))
	}
	if err != nil {
		return fmt.Errorf("training: %w", err)
	}
	return nil
}

// trained returns how the training of the run ended.
func (r *run) trained() (*results.Training, error) {
	if r.sources != nil {
		return r.imported(), nil
	}
	text, err := os.ReadFile(r.folder.path(fileTraining))
	if errors.Is(err, fs.ErrNotExist) {
		if result, err := r.folder.Result(); err == nil {
			return &result.Training, nil
		}
		return nil, fmt.Errorf("%s: %w; continue it with: engram resume %[1]s", string(r.folder), errUntrained)
	}
	var t results.Training
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		return nil, fmt.Errorf("training: %s: %w", r.folder.path(fileTraining), err)
	}
	return &t, nil
}

// metrics appends lines to metrics.jsonl and to TensorBoard's file.
type metrics struct {
	file, events *os.File
	started      time.Time
}

// openMetrics opens the files of a run after the given number of steps, and removes lines of later steps, which a
// killed run left after its last checkpoint. The events are rewritten from the remaining lines.
func (f Folder) openMetrics(done int64) (_ *metrics, err error) {
	text, err := os.ReadFile(f.path(fileMetrics))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	// The configuration is written only when a run begins.
	config, err := os.Stat(f.path(fileConfig))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	m := &metrics{started: config.ModTime()}
	var keep []byte
	events := tfevents.AppendHeader(nil, m.started)
	for line := range bytes.Lines(text) {
		var at struct {
			Step int64 `json:"step"`
		}
		if json.Unmarshal(line, &at) != nil || at.Step > done {
			break
		}
		keep = append(keep, line...)
		if events, err = appendEvent(events, m.started, line); err != nil {
			return nil, err
		}
	}
	if err := nn.WriteFile(f.path(fileMetrics), bytes.NewReader(keep)); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer func() {
		if err != nil {
			_ = m.close()
			err = fmt.Errorf("metrics: %w", err)
		}
	}()
	if m.file, err = os.OpenFile(f.path(fileMetrics), os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	// Keep the same file: a TensorBoard that watches it would not notice a new one.
	if m.events, err = os.OpenFile(f.path(tfevents.FileName), os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if _, err = m.events.Write(events); err == nil {
		err = m.events.Truncate(int64(len(events)))
	}
	return m, err
}

func (m *metrics) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	event, err := appendEvent(nil, m.started, text)
	if err != nil {
		return err
	}
	if _, err = m.file.Write(append(text, '\n')); err == nil {
		_, err = m.events.Write(event)
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (m *metrics) close() error {
	var errs []error
	for _, f := range []*os.File{m.file, m.events} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// appendEvent appends the content of a line of metrics.jsonl as events, timed by the run's start plus the seconds of
// training.
func appendEvent(events []byte, started time.Time, line []byte) ([]byte, error) {
	var values map[string]any
	if err := json.Unmarshal(line, &values); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	group := "train/"
	for name := range values {
		if strings.HasPrefix(name, "validation_") {
			group = "validation/"
		}
	}
	var scalars []tfevents.Scalar
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if v, ok := values[name].(float64); ok && name != "step" && name != "seconds" {
			scalars = append(scalars, tfevents.Scalar{Tag: group + strings.TrimPrefix(name, "validation_"), Value: float32(v)})
		}
	}
	step, _ := values["step"].(float64)
	seconds, _ := values["seconds"].(float64)
	return tfevents.Append(events, started.Add(time.Duration(seconds*float64(time.Second))), int64(step), scalars...), nil
}

// round rounds a rate or a time for metrics.jsonl.
func round(v float64) json.Number { return json.Number(strconv.FormatFloat(v, 'f', 3, 64)) }
