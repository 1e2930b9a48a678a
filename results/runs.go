package results

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Run is a result and its place.
type Run struct {
	Path string // of its result.json, below the results folder or below the folder given to [ReadFolder]
	*Result
	metrics []byte // its metrics.jsonl; nil where there is none
	// Drawings are those of its plots folder, except the learning curve, which is drawn from the metrics.
	Drawings []Drawing
}

// NewRun returns a run with the text of its metrics.jsonl.
func NewRun(path string, r *Result, metrics []byte) Run {
	return Run{Path: path, Result: r, metrics: metrics}
}

// Drawing is an SVG from a run folder.
type Drawing struct {
	Name string // of its file, without the extension
	SVG  []byte
}

// drawings reads those of a run folder.
func drawings(dir fs.FS, run string) (out []Drawing, err error) {
	files, err := fs.Glob(dir, path.Join(run, "plots", "*.svg"))
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".svg")
		if name == "learning-curve" {
			continue
		}
		svg, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		out = append(out, Drawing{name, svg})
	}
	return out, err
}

// Metrics returns the learning curves of the score of that name; nil where the run has no metrics.jsonl.
func (r Run) Metrics(score string) (*Metrics, error) {
	if r.metrics == nil {
		return nil, nil
	}
	m, err := DecodeMetrics(r.metrics, score)
	if err != nil {
		return nil, fmt.Errorf("results: beside %s: %w", r.Path, err)
	}
	return m, nil
}

// ReadRuns reads every result.json below the folder runs of a results folder, in the order of their paths, and the
// metrics.jsonl beside it.
func ReadRuns(dir fs.FS) ([]Run, error) { return readBelow(dir, "runs", "") }

// ErrNoResult is the error of a folder without a result.
var ErrNoResult = errors.New("there is no result.json")

// ReadFolder reads every result.json in a folder and below it, as ReadRuns does. It is [ErrNoResult] if there is none.
func ReadFolder(dir string) ([]Run, error) {
	runs, err := readBelow(os.DirFS(dir), ".", dir)
	if err == nil && len(runs) == 0 {
		return nil, fmt.Errorf("results: %s: %w; if its run was interrupted, continue it with: engram resume %s", dir, ErrNoResult, dir)
	}
	return runs, err
}

// readBelow reads the runs below a folder; their paths start with place.
func readBelow(dir fs.FS, root, place string) ([]Run, error) {
	var runs []Run
	err := fs.WalkDir(dir, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("results: %w", err)
		}
		if d.IsDir() || path.Base(p) != FileName {
			return nil
		}
		shown := filepath.ToSlash(filepath.Join(place, p))
		r, err := read(dir, p, shown)
		if err != nil {
			return err
		}
		metrics, err := fs.ReadFile(dir, path.Join(path.Dir(p), "metrics.jsonl"))
		if errors.Is(err, fs.ErrNotExist) {
			metrics, err = nil, nil
		}
		if err != nil {
			return fmt.Errorf("results: beside %s: %w", shown, err)
		}
		svgs, err := drawings(dir, path.Dir(p))
		if err != nil {
			return fmt.Errorf("results: beside %s: %w", shown, err)
		}
		runs = append(runs, Run{shown, r, metrics, svgs})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return runs, nil
}
