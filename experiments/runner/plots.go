package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/results/plot"
)

// Write writes the figure as SVG and as PNG to a folder, which is made where it is not there, and returns the files.
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

// Plots are the plots of a run folder, as they are drawn when a run ends: how it learned, and what its model does. Where some
// cannot be drawn, such as without the data, the others come with the error. c is the configuration of the run folder.
func Plots(ctx context.Context, dir string, c *Config, o Options) ([]Plot, error) {
	o.Out = dir
	o.fill(c.Name)
	r, err := load(ctx, c, o)
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

// plots are the learning curve, and what the work shows of its own. One that fails does not keep the others from being drawn.
func (r *run) plots(ctx context.Context) (plots []Plot, samples []byte, err error) {
	var errs []error
	if r.sources == nil { // else nothing was learned here
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

// learningCurve shows the score of training batches, as they were and smoothed, and of validations.
func (r *run) learningCurve() ([]Plot, error) {
	text, err := os.ReadFile(r.folder.path(fileMetrics))
	if err != nil {
		return nil, err
	}
	score := r.config.Work.Measure()
	m, err := results.DecodeMetrics(text, score.Name)
	if err != nil {
		return nil, err
	}
	steps, batch := r.steps(m), r.course.Batch
	examples, unit := results.Thousands(steps * int64(batch))
	line := func(name string, points []results.Point) plot.Line {
		x, y := results.Columns(points, examples*float64(batch), score.Factor)
		return plot.Line{Name: name, X: x, Y: y}
	}
	raw, smooth := line("training", m.Training), line("training", results.Smooth(m.Training, len(m.Training)/20))
	raw.Pale = true
	validation := line("validation", m.Validation)
	validation.Dots = len(m.Validation) <= 50
	lines := []plot.Line{raw, smooth, validation}
	if w, ok := r.config.Work.(Bounded); ok {
		if best, ok := w.Optimum(); ok {
			end := examples * float64(steps) * float64(batch)
			best *= score.Factor
			lines = append(lines, plot.Line{Name: "optimum on validation", X: []float64{0, end}, Y: []float64{best, best}})
		}
	}
	return []Plot{{"learning-curve", plot.Curves{
		Title: fmt.Sprintf("%s, seed %d", r.config.Name, r.config.Seed),
		X:     score.Of + " seen" + unit, Y: score.Label(), Lines: lines,
	}}}, nil
}

// steps is how far training goes: as the course says, or where only the data can tell, as far as the metrics do.
func (r *run) steps(m *results.Metrics) int64 {
	last := r.course.Steps
	if last == 0 {
		for _, p := range slices.Concat(m.Training, m.Validation) {
			last = max(last, p.Step)
		}
	}
	return last
}
