package experiments

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
	"github.com/engram-go/engram/tensor"
)

// shower is work that shows what the trained network does on examples.
type shower interface {
	// show returns plots, and samples for a person to read.
	show(ctx context.Context, on tensor.Device) (plots []Plot, samples []byte, err error)
}

// Plot is a figure and the name of its files, without the ending.
type Plot struct {
	Name string
	plot.Figure
}

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
// cannot be drawn, such as without the data, the others come with the error.
func Plots(ctx context.Context, dir string, o Options) ([]Plot, error) {
	c, err := RunConfig(dir)
	if err != nil {
		return nil, err
	}
	o.Out = dir
	o.fill(c.Name)
	r, err := prepare(ctx, c, o)
	if err == nil {
		defer r.params.Free()
		err = r.loadModel()
	}
	if err != nil {
		curve, curveErr := (&run{config: c, options: o, folder: folder(dir)}).learningCurve()
		return curve, errors.Join(err, curveErr)
	}
	plots, _, err := r.plots(ctx)
	return plots, err
}

// plots are what there is to see of a run: the learning curve, and what the work shows of its own. One that fails does not keep
// the others from being drawn.
func (r *run) plots(ctx context.Context) (plots []Plot, samples []byte, err error) {
	var errs []error
	if r.source == nil { // else nothing was learned here
		curve, err := r.learningCurve()
		plots, errs = append(plots, curve...), append(errs, err)
	}
	if w, ok := r.config.work.(shower); ok {
		more, text, err := w.show(ctx, r.device)
		plots, samples, errs = append(plots, more...), text, append(errs, err)
	}
	return plots, samples, errors.Join(errs...)
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
	score := r.config.work.score()
	m, err := results.DecodeMetrics(text, score.Name)
	if err != nil {
		return nil, err
	}
	examples, unit := results.Thousands(int64(r.config.loop.Steps) * int64(r.config.loop.Batch))
	line := func(name string, points []results.Point) plot.Line {
		x, y := results.Columns(points, examples*float64(r.config.loop.Batch), score.Factor)
		return plot.Line{Name: name, X: x, Y: y}
	}
	raw, smooth := line("training", m.Training), line("training", results.Smooth(m.Training, len(m.Training)/20))
	raw.Pale = true
	validation := line("validation", m.Validation)
	validation.Dots = len(m.Validation) <= 50
	lines := []plot.Line{raw, smooth, validation}
	if w, ok := r.config.work.(bounded); ok {
		if best, ok := w.optimum(); ok {
			end := examples * float64(r.config.loop.Steps) * float64(r.config.loop.Batch)
			best *= score.Factor
			lines = append(lines, plot.Line{Name: "optimum on validation", X: []float64{0, end}, Y: []float64{best, best}})
		}
	}
	return []Plot{{"learning-curve", plot.Curves{
		Title: fmt.Sprintf("%s, seed %d", r.config.Name, r.config.Seed),
		X:     score.Of + " seen" + unit, Y: score.axis(), Lines: lines,
	}}}, nil
}
