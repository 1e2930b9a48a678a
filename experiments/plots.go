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
	show(ctx context.Context, on tensor.Device) (plots []namedPlot, samples []byte, err error)
}

// namedPlot is a figure and the name of its files, without the ending.
type namedPlot struct {
	name string
	plot.Figure
}

// illustrate draws the plots of the run folder: the learning curve, and what the work shows of its own. One that fails does
// not keep the others from being drawn.
func (r *run) illustrate(ctx context.Context) error {
	if err := os.MkdirAll(r.folder.path(folderPlots), 0o755); err != nil {
		return err
	}
	var plots []namedPlot
	var errs []error
	if r.source == nil { // else nothing was learned here
		curve, err := r.learningCurve()
		plots, errs = append(plots, curve...), append(errs, err)
	}
	if w, ok := r.config.work.(shower); ok {
		more, samples, err := w.show(ctx, r.device)
		plots, errs = append(plots, more...), append(errs, err)
		if len(samples) > 0 {
			errs = append(errs, nn.WriteFile(r.folder.path(fileSamples), bytes.NewReader(samples)))
		}
	}
	for _, p := range plots {
		errs = append(errs, r.draw(p))
	}
	return errors.Join(errs...)
}

// draw writes a figure as SVG and as PNG.
func (r *run) draw(p namedPlot) error {
	for ending, draw := range map[string]func(plot.Figure) ([]byte, error){".svg": plot.SVG, ".png": plot.PNG} {
		text, err := draw(p.Figure)
		if err == nil {
			err = nn.WriteFile(r.folder.path(filepath.Join(folderPlots, p.name+ending)), bytes.NewReader(text))
		}
		if err != nil {
			return fmt.Errorf("%s%s: %w", p.name, ending, err)
		}
	}
	return nil
}

// learningCurve shows the score of training batches, as they were and smoothed, and of validations.
func (r *run) learningCurve() ([]namedPlot, error) {
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
	return []namedPlot{{"learning-curve", plot.Curves{
		Title: fmt.Sprintf("%s, seed %d", r.config.Name, r.config.Seed),
		X:     score.Of + " seen" + unit, Y: score.axis(), Lines: lines,
	}}}, nil
}
