package runner

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
)

// From says where the initial values of a network's parameters come from: the model of a run whose training has ended.
type From struct {
	Run       string   `yaml:"run" required:"true" minlen:"1" doc:"the run folder; relative to the working directory"`
	Parts     []string `yaml:"parts" doc:"of the network, as the names of their parameters begin: [encoder]; empty stands for the whole network"`
	SHA256    string   `yaml:"sha256" doc:"of its model.safetensors; filled in where it is left out, so that a run starts from the model that it was checked with"`
	TrainedOn string   `yaml:"trained_on" doc:"the data that its model was trained on; filled in"`
}

// Short is the key that a single value stands for: from: RUN.
func (f *From) Short() string { return "run" }

// Pin fills in what a file leaves open: the model's checksum, and the data that it was trained on. What has the checksum is left
// as it is, so that the run that it belongs to can be tested after the other run is removed. The error is about the key run.
func (f *From) Pin() error {
	if f.SHA256 != "" {
		return nil
	}
	folder := Folder(f.Run)
	if _, err := os.Stat(folder.ConfigFile()); err != nil {
		return fmt.Errorf("%w; give a run folder, as it is called from here", folder.NotRun(err))
	}
	result, err := folder.Result()
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the run of %s has not ended: continue it with: engram resume %[1]s", f.Run)
	}
	if err != nil {
		return err
	}
	if f.SHA256, err = folder.modelSum(); err != nil {
		return err
	}
	if f.TrainedOn == "" {
		f.TrainedOn = trainedOn(result)
	}
	return nil
}

// trainedOn is the data that the model of a result was trained on.
func trainedOn(result *results.Result) string {
	if len(result.Figures) == 0 {
		return "unknown data"
	}
	return result.Figures[0].Protocol.TrainedOn
}

// modelSum returns the SHA-256 of the model.
func (f Folder) modelSum() (string, error) {
	file, err := os.Open(f.path(fileModel))
	if errors.Is(err, os.ErrNotExist) {
		_, err = f.openModel() // says why there is none
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("model: %w", err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

// initialize gives the parameters of a run that starts their initial values, where these come from elsewhere.
func (r *run) initialize() error {
	if r.sources != nil {
		return nil
	}
	if err := r.params.Begin(); err != nil {
		return err
	}
	for _, note := range r.config.Notes {
		r.options.Reporter.Note(note)
	}
	f := r.config.From
	if f == nil {
		return nil
	}
	from := Folder(f.Run)
	if a, errA := filepath.Abs(f.Run); errA == nil {
		if b, errB := filepath.Abs(string(r.folder)); errB == nil && a == b {
			return fmt.Errorf("from: %s is the run folder itself; choose another --out", f.Run)
		}
	}
	if _, err := os.Stat(from.ConfigFile()); err != nil {
		return fmt.Errorf("from: %w; a relative path begins at the working directory", from.NotRun(err))
	}
	sum, err := from.modelSum()
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if sum != f.SHA256 {
		return fmt.Errorf("from: the model of %s has the SHA-256 %s and not %s: it is another than the run was planned with; put that one back, or leave out from.sha256", f.Run, sum, f.SHA256)
	}
	state, err := from.openModel()
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if len(f.Parts) == 0 {
		if err := r.params.Load(state); err != nil {
			return fmt.Errorf("from: %s is of another network: %w\nfrom.parts takes only some parts over: %s", f.Run, err, strings.Join(partsOf(r.params), ", "))
		}
	}
	for _, part := range f.Parts {
		if !slices.ContainsFunc(r.params.All(), func(p *nn.Param) bool { return strings.HasPrefix(p.Name, part+".") }) {
			return fmt.Errorf("from.parts: the network has no part %q; it has %s", part, strings.Join(partsOf(r.params), ", "))
		}
		if err := r.params.LoadPart(part, state); err != nil {
			return fmt.Errorf("from: the %s of %s is another: %w", part, f.Run, err)
		}
	}
	return nil
}

// partsOf lists what the names of a network's parameters begin with.
func partsOf(ps *nn.Params) (out []string) {
	for _, p := range ps.All() {
		if part, _, ok := strings.Cut(p.Name, "."); ok && !slices.Contains(out, part) {
			out = append(out, part)
		}
	}
	return out
}

// further says of figures what the initial values were trained on: they are results of both trainings.
func (f *From) further(figures []results.Figure) {
	for i := range figures {
		figures[i].Protocol.TrainedOn += ", after " + f.TrainedOn
	}
}
