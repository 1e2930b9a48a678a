package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/results/plot"
)

// Write writes the figure as SVG and PNG to a folder, which is created if needed, and returns the files.
func (p Plot) Write(dir string) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, as := range []struct {
		ending string
		draw   func(plot.Figure) ([]byte, error)
	}{{".svg", plot.SVG}, {".png", plot.PNG}} {
		file := filepath.Join(dir, p.Name+as.ending)
		text, err := as.draw(p.Figure)
		if err == nil {
			err = nn.WriteFile(file, bytes.NewReader(text))
		}
		if err != nil {
			return files, fmt.Errorf("%s%s: %w", p.Name, as.ending, err)
		}
		files = append(files, file)
	}
	return files, nil
}

// Plots draws the plots of a run folder as at the end of a run: its learning curve, and plots of its model. If some
// cannot be drawn, for example without the data, it returns the others with the error. c is the configuration of the
// run folder.
func Plots(ctx context.Context, dir string, c *Config, o Options) ([]Plot, error) {
	o.Out = dir
	o.fill(c.Name)
	var r *run
	err := Folder(dir).NeedsModel() // before any data is loaded
	if err == nil {
		r, err = load(ctx, c, o)
	}
	if err == nil {
		defer r.params.Free()
		err = r.loadModel()
	}
	if err != nil {
		without := &run{config: c, options: o, folder: Folder(dir), course: c.Work.Course(c.Schedule)}
		curve, curveErr := without.learningCurve()
		return curve, errors.Join(err, curveErr)
	}
	plots, _, err := r.plots(ctx)
	if err == nil && len(plots) == 0 {
		err = fmt.Errorf("%s: there is nothing to draw: its model was imported, so there is no learning curve, and its tests show no episode of their own", dir)
	}
	return plots, err
}

// plots returns the learning curve and the work's own plots. One that fails does not affect the others.
func (r *run) plots(ctx context.Context) (plots []Plot, samples []byte, err error) {
	var errs []error
	if r.sources == nil { // otherwise nothing was learned here
		curve, err := r.learningCurve()
		plots, errs = append(plots, curve...), append(errs, err)
	}
	more, samples, err := r.config.Work.Show(ctx, r.device)
	return append(plots, more...), samples, errors.Join(append(errs, err)...)
}

// illustrate draws the plots of the run folder.
func (r *run) illustrate(ctx context.Context) error {
	plots, samples, err := r.plots(ctx)
	errs := []error{err}
	if len(samples) > 0 {
		errs = append(errs, nn.WriteFile(r.folder.path(fileSamples), bytes.NewReader(samples)))
	}
	for _, p := range plots {
		_, err := p.Write(r.folder.path(folderPlots))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// learningCurve shows the scores of training batches, raw and smoothed, and of validations.
func (r *run) learningCurve() ([]Plot, error) {
	metrics, err := os.ReadFile(r.folder.path(fileMetrics))
	if err != nil {
		return nil, err
	}
	text, err := r.config.Encode()
	if err != nil {
		return nil, err
	}
	of := &results.Result{Name: r.config.Name, Seed: r.config.Seed, Config: string(text)}
	if done, err := results.Read(r.folder.path(fileResult)); err == nil { // otherwise there is no result yet
		of.Figures = done.Figures
	}
	f, ok, err := results.LearningCurve([]results.Run{results.NewRun(string(r.folder), of, metrics)})
	if err != nil || !ok {
		return nil, err
	}
	if w, ok := r.config.Work.(Bounded); ok {
		if best, ok := w.Optimum(); ok {
			var end float64
			for _, l := range f.Lines {
				for _, x := range l.X {
					end = max(end, x)
				}
			}
			best *= r.config.Work.Measure().Factor
			f.Lines = append(f.Lines, plot.Line{Name: "optimum on validation", X: []float64{0, end}, Y: []float64{best, best}})
		}
	}
	return []Plot{{"learning-curve", f}}, nil
}
