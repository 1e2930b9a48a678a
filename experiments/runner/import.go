package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/results"
)

// elsewhere is the data set of imported parameters.
const elsewhere = "elsewhere"

// Import makes a run folder of an experiment from imported parameters, files that [weights.OpenAll] reads, and tests
// them like [Run]. With a nil map the names are guessed; the reporter receives the pairs of parameters and tensors, and a
// [Warner] is warned of those that are guessed. Nothing is written if the files do not fit the network.
func Import(ctx context.Context, c *Config, files []string, m *weights.Map, o Options) (*results.Result, error) {
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	if err := r.folder.vacant(); err != nil {
		return nil, err
	}
	f, err := weights.OpenAll(files...)
	if err != nil {
		return nil, err
	}
	for _, note := range f.Notes {
		r.options.Reporter.Note(note)
	}
	m = weights.Guess(r.params, f, m)
	for _, pair := range m.Pairs(r.params) {
		if pair.Guessed {
			warn(r.options.Reporter, pair.Text)
		} else {
			r.options.Reporter.Note(pair.Text)
		}
	}
	if err := weights.Load(r.params, f, m); err != nil {
		return nil, err
	}
	// The configuration comes last: it makes the folder a run, and without the record the run would be trained.
	if err := os.MkdirAll(string(r.folder), 0o755); err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	if err := r.saveModel(); err != nil {
		return nil, err
	}
	if err := weights.WriteRecord(r.folder.path(fileImport), f.Sources, m); err != nil {
		return nil, err
	}
	unlock, err := r.create()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r.sources = f.Sources
	return r.finish(ctx, false)
}

// GuessMap returns the map that [Import] would guess.
func GuessMap(ctx context.Context, c *Config, files []string, o Options) (*weights.Map, error) {
	o.fill(c.Name)
	f, err := weights.OpenAll(files...)
	if err != nil {
		return nil, err
	}
	r, err := prepare(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer r.params.Free()
	return weights.Guess(r.params, f, nil), nil
}

// Export writes the model of a run folder to a safetensors file, under the names of a map, or under Engram's with a
// nil map.
func Export(dir, path string, m *weights.Map) error {
	f, err := weights.Open(Folder(dir).path(fileModel))
	if errors.Is(err, fs.ErrNotExist) {
		return Folder(dir).NeedsModel()
	}
	if err != nil {
		return err
	}
	if m == nil {
		m = &weights.Map{}
	}
	return weights.Export(path, f, m)
}

// sources returns the sources of the folder's parameters, or nil if they were trained here.
func (f Folder) sources() ([]weights.Source, error) {
	s, err := weights.ReadRecord(f.path(fileImport))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return s, err
}

// imported replaces training for imported parameters.
func (r *run) imported() *results.Training {
	var files []string
	for _, s := range r.sources {
		text := fmt.Sprintf("%s, SHA-256 %s", s.File, s.SHA256)
		if s.Part != "" {
			text = s.Part + ": " + text
		}
		files = append(files, text)
	}
	return &results.Training{Ended: "imported, not trained here", Imported: strings.Join(files, "; "), Parameters: r.params.Count()}
}

// disown removes the facts of training from figures of imported parameters.
func disown(figures []results.Figure) {
	for i := range figures {
		p := &figures[i].Protocol
		p.TrainedOn, p.TrainWay, p.TrainShot = elsewhere, 0, 0
	}
}
