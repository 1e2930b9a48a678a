package results

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

// memorySizes is the page of what memories of several sizes hold of a stream that is longer than they are. It is nil without runs.
func (p *page) memorySizes(all []Experiment, own bool) (*table.Page, error) {
	var out *table.Page
	for _, e := range all {
		if !streamed(e.Runs[0].Result) {
			continue
		}
		plotted := out == nil // the plot is of the first
		if plotted {
			out = p.newPage()
			out.Add(table.Say(overSeeds))
		}
		p.streamParts(out, e, plotted)
	}
	return out, nil
}

// streamed reports whether a result has figures of streams.
func streamed(r *Result) bool {
	return slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Protocol.Memory != "" })
}

// held is the figure of a metric for a memory with a number of slots, 0 for unbounded; nil where there is none.
func (r *Result) held(metric, memory string, slots int64) *Figure {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool {
		return f.Metric == metric && f.Protocol.Memory == memory && f.Protocol.Slots == slots
	})
	if i < 0 {
		return nil
	}
	return &r.Figures[i]
}

// memoryPlot draws accuracy at the end of the stream against the size of the memory, of the first experiment that has it. Unbounded
// memories are horizontal lines.
func (p *page) memoryPlot(all []Experiment) ([]Document, error) {
	i := slices.IndexFunc(all, func(e Experiment) bool { return streamed(e.Runs[0].Result) })
	if i < 0 {
		return nil, nil
	}
	e := all[i]
	curves := plot.Curves{Title: "Accuracy at the end of the stream", X: "slots", Y: "accuracy (%)"}
	largest := 0.
	lines := map[string]*plot.Line{}
	var memories []string
	for _, f := range e.Runs[0].Figures {
		of := f.Protocol
		if of.Memory == "" || f.Metric != Accuracy {
			continue
		}
		if lines[of.Memory] == nil {
			memories = append(memories, of.Memory)
			lines[of.Memory] = &plot.Line{Name: of.Memory, Dots: of.Slots > 0}
		}
		over, _ := e.over(func(r *Result) *Figure { return r.held(f.Metric, of.Memory, of.Slots) })
		l := lines[of.Memory]
		l.X, l.Y = append(l.X, float64(of.Slots)), append(l.Y, over.Mean)
		largest = max(largest, float64(of.Slots))
	}
	for _, name := range memories {
		l := *lines[name]
		if !l.Dots { // unbounded
			l.X, l.Y = []float64{0, largest}, []float64{l.Y[0], l.Y[0]}
		}
		curves.Lines = append(curves.Lines, l)
	}
	svg, err := plot.SVG(curves)
	if err != nil {
		return nil, err
	}
	return []Document{{"results/" + p.Name + ".svg", svg}}, nil
}

// streamParts adds the tables of an experiment: rows are memories and columns sizes, one table for each metric; before them the
// plot, where it is of this experiment.
func (p *page) streamParts(to *table.Page, e Experiment, plotted bool) {
	var metrics, memories []string
	var sizes []int64
	var first *Figure
	for i, f := range e.Runs[0].Figures {
		if f.Protocol.Memory == "" {
			continue
		}
		if first == nil {
			first = &e.Runs[0].Figures[i]
		}
		metrics, memories = with(metrics, f.Metric), with(memories, f.Protocol.Memory)
		if f.Protocol.Slots > 0 {
			sizes = with(sizes, f.Protocol.Slots)
		}
	}
	slices.Sort(sizes)
	of := first.Protocol
	seeds := count(len(e.Runs), "seed")
	if len(e.Runs) == 1 {
		seeds = "A single seed"
	}
	centred := ""
	if of.Center > 0 {
		centred = fmt.Sprintf("; the mean embedding of %s of each training class is subtracted", count(of.Center, "image"))
	}
	to.Add(table.Heading(e.Label), table.Sayf("%s. %s; %s of %d examples, %d of each of %d classes; %s per class, asked %s%s. ",
		e.Runs[0].About, seeds, count(of.Episodes, "test stream"), of.Way*of.Shot, of.Shot, of.Way, queries(of.Query), count(of.Asked, "time"), centred).With(command(e.Name, "")))
	if plotted {
		to.Add(table.Image{Alt: "Accuracy at the end of the stream against slots", Path: p.Name + ".svg"})
	}
	for _, metric := range metrics {
		t := &table.Table{Name: fileName(e.Label, metric), Columns: slices.Concat(table.Labels(metric), table.Numbers("unbounded"))}
		for _, n := range sizes {
			t.Columns = append(t.Columns, table.Numbers(count(n, "slot"))...)
		}
		for _, memory := range memories {
			row := []table.Text{table.Say(memory)}
			for _, n := range append([]int64{0}, sizes...) {
				over, f := e.over(func(r *Result) *Figure { return r.held(metric, memory, n) })
				if f == nil {
					row = append(row, nil)
					continue
				}
				row = append(row, measured(1, over, f, table.Plain))
			}
			t.Add(row...)
		}
		to.Add(t)
	}
	for _, r := range e.Runs {
		to.Add(r.seedLink().Andf(
			": split %s, rotations: %s (%d test classes), batch norm %s; trained %d-way %d-shot, %s, %.0f min%s; commit %.12s; %s.",
			of.Split, of.Rotations, of.Classes, of.Norm, of.TrainWay, of.TrainShot, count(r.Training.Steps, "step"), r.Training.Seconds/60, r.resized(), commit(r.Build), machine(r.Machine)))
	}
}

// queries writes a number of queries.
func queries(n int) string {
	if n == 1 {
		return "1 query"
	}
	return fmt.Sprintf("%d queries", n)
}

// with returns a list that contains a value once.
func with[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
