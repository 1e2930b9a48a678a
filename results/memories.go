package results

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

// memoryRow is a memory in the table of memories.
type memoryRow struct {
	Title, Paper string
	Kinds        []string          // its names in experiment files and in figures of streams
	Config       map[string]string // keys of the memory's section that tell it from other rows of its kind
}

// memoryColumn is what memories are compared by.
type memoryColumn struct {
	Title  string
	Memory string // the key of an experiment's configuration that holds the memory's section
	// Parts are averaged; a cell is empty unless all are there.
	Parts []memoryPart
	Plot  bool // the column is in the plot of accuracy against state size
}

// memoryPart is a figure of a column.
type memoryPart struct {
	// Experiments are the names of experiment files; the first one that has the memory gives the figure.
	Experiments    []string
	Config         map[string]string // settings of the experiment, by dotted key, as far as they matter
	Figure, Metric string
	// Slots selects the figure of a stream with memories of so many slots, 0 for those that have no number of slots.
	Slots *int64
}

// belongs reports whether an experiment was made by one of the part's files, with its settings.
func (p memoryPart) belongs(e Experiment) bool {
	return p.from(e) >= 0 && (&published{Config: p.Config, Network: e.Runs[0].Network}).covers(e)
}

// from is the number of the file that an experiment was made by, -1 for none. Runs of a matrix are called NAME/SETTINGS.
func (p memoryPart) from(e Experiment) int {
	return slices.IndexFunc(p.Experiments, func(name string) bool { return e.Name == name || strings.HasPrefix(e.Name, name+"/") })
}

// finds returns the part's figure of a result, for a memory; nil where there is none.
func (p memoryPart) finds(row memoryRow) func(*Result) *Figure {
	return func(r *Result) *Figure {
		for i, f := range r.Figures {
			switch {
			case f.Metric != p.Metric:
			case p.Slots != nil && f.Protocol.Memory != "" && f.Protocol.Slots == *p.Slots && slices.Contains(row.Kinds, f.Protocol.Memory):
				return &r.Figures[i]
			case p.Slots == nil && f.Name == p.Figure:
				return &r.Figures[i]
			}
		}
		return nil
	}
}

// holds reports whether an experiment has the row's memory in a section of its configuration.
func (r memoryRow) holds(e Experiment, section string) bool {
	if !slices.Contains(r.Kinds, e.config[section+".kind"]) {
		return false
	}
	for key, value := range r.Config {
		if e.config[section+"."+key] != value {
			return false
		}
	}
	return true
}

// measuredBy is the experiment that gives a part of a row, nil where none was run.
func (p *page) measuredBy(all []Experiment, row memoryRow, column memoryColumn, part memoryPart) *Experiment {
	var best *Experiment
	for i, e := range all {
		if !part.belongs(e) || best != nil && part.from(*best) <= part.from(e) {
			continue
		}
		if part.Slots == nil {
			if !row.holds(e, column.Memory) {
				continue
			}
		} else if first := slices.IndexFunc(p.Rows, func(o memoryRow) bool { return slices.Contains(o.Kinds, row.Kinds[0]) }); p.Rows[first].Title != row.Title {
			continue // a stream has the memory with its defaults, which the first row of its kind is
		}
		if _, f := e.over(part.finds(row)); f != nil {
			best = &all[i]
		}
	}
	return best
}

// memoryCell is a figure of a row: the mean over its parts.
type memoryCell struct {
	of    []*Experiment
	over  Estimate
	one   *Figure
	state int64
}

// cell measures a row by a column; nil where a part is missing.
func (p *page) cell(all []Experiment, row memoryRow, column memoryColumn) *memoryCell {
	c := &memoryCell{}
	var means []float64
	for _, part := range column.Parts {
		e := p.measuredBy(all, row, column, part)
		if e == nil {
			return nil
		}
		c.of = append(c.of, e)
		c.over, c.one = e.over(part.finds(row))
		c.state = max(c.state, c.one.State)
		means = append(means, c.over.Mean)
	}
	if len(means) > 1 {
		c.over = Estimate{N: c.over.N, Mean: Summarize(means).Mean, Half: math.NaN()}
	}
	return c
}

func (c *memoryCell) text(style table.Style, several bool) table.Text {
	digits := 1
	if c.one.Unit() == "bits" {
		digits = 2
	}
	text := table.Text{{Text: fmt.Sprintf("%.*f", digits, c.over.Mean), Style: style, Link: c.of[0].Runs[0].Path}}
	if several || math.IsNaN(c.over.Half) {
		return text
	}
	return text.With(beside(digits, c.over.Half))
}

// perStep is how many milliseconds a training step took, validation included, the mean over seeds: processor time on the CPU, and
// elapsed time on other devices.
func (e Experiment) perStep() float64 {
	var sum float64
	for _, r := range e.Runs {
		seconds := r.Training.Seconds
		if r.Machine.Device == "cpu" {
			seconds = r.coreSeconds()
		}
		sum += 1000 * seconds / float64(max(r.Training.Steps, 1))
	}
	return sum / float64(len(e.Runs))
}

// memories is the page with one row per memory and one column per test. It is nil without runs.
func (p *page) memories(all []Experiment, own bool) (*table.Page, error) {
	t := &table.Table{Name: p.Name, Columns: slices.Concat(table.Proses("memory"), table.Numbers("parameters", "state", "ms per step"))}
	var best []float64
	cells := make([][]*memoryCell, len(p.Rows))
	some := false
	for _, column := range p.Columns {
		t.Columns = append(t.Columns, table.Numbers(column.Title)...)
		most := math.NaN()
		for i, row := range p.Rows {
			c := p.cell(all, row, column)
			if cells[i] = append(cells[i], c); c == nil {
				continue
			}
			some = true
			if v := c.over.Mean; math.IsNaN(most) || lowerIsBetter(c.one.Metric) == (v < most) {
				most = v
			}
		}
		best = append(best, most)
	}
	if !some && !slices.ContainsFunc(p.Truth, func(t truthTable) bool { _, n := t.cells(all); return n > 0 }) {
		return nil, nil
	}
	runs := &table.Table{Columns: slices.Concat(table.Proses("memory", "column", "run"),
		table.Numbers("seeds", "parameters", "state", "ms per step"), table.Labels("training", "commit"), table.Proses("machine"))}
	for i, row := range p.Rows {
		line := []table.Text{table.Say(row.Title), nil, nil, nil}
		empty := true
		for j, c := range cells[i] {
			if c == nil {
				line = append(line, nil)
				continue
			}
			first := c.of[0].Runs[0]
			if c.state > 0 && line[2] == nil {
				line[1], line[2], line[3] = table.Sayf("%d", first.Training.Parameters), table.Sayf("%d", c.state), table.Sayf("%.1f", c.of[0].perStep())
			}
			empty = false
			style := table.Plain
			if c.over.Mean == best[j] {
				style = table.Bold
			}
			line = append(line, c.text(style, len(c.of) > 1))
			for k, e := range c.of {
				_, f := e.over(p.Columns[j].Parts[k].finds(row))
				state := ""
				if f.State > 0 {
					state = fmt.Sprint(f.State)
				}
				runs.Add(table.Say(row.Title), table.Say(p.Columns[j].Title), e.link(), e.seedCount(), table.Sayf("%d", e.Runs[0].Training.Parameters),
					table.Say(state), table.Sayf("%.1f", e.perStep()), e.trainedFor(), table.Sayf("%.12s", commit(e.Runs[0].Build)), table.Say(machine(e.Runs[0].Machine)))
			}
		}
		if own && empty {
			continue
		}
		t.Add(line...)
	}
	t.Notes = append(t.Notes, table.Say("Parameters of the network, numbers of the memory's state and milliseconds of processor time per training step are those of the first column of a row"+
		" that has a state; the last table has those of every column."))
	out := p.newPage()
	out.Add(table.Say(overSeeds), t)
	if lines := p.stateLines(all); len(lines) > 0 {
		out.Add(table.Image{Alt: "Accuracy against the size of the state", Path: "plots/" + p.Name + ".svg"})
	}
	commands := &table.Table{Columns: table.Proses("column", "commands", "metric")}
	for _, column := range p.Columns {
		var lines table.Text
		var named []string
		for _, part := range column.Parts {
			if name := part.Experiments[0]; !slices.Contains(named, name) {
				if len(named) > 0 {
					lines = lines.And("; ")
				}
				lines = lines.With(table.Span{Text: "engram sweep experiments/" + name + ".yaml", Style: table.Code})
				named = append(named, name)
			}
		}
		metric := column.Parts[0].Metric
		commands.Add(table.Say(column.Title), lines, table.Sayf("%s, %s", metric, unit(metric)))
	}
	p.addTruth(out, all)
	out.Add(table.Heading("Columns"), commands, table.Heading("Runs"), runs)
	return out, nil
}

// stateLines are accuracy against the state size in the columns that are plotted, a line per memory.
func (p *page) stateLines(all []Experiment) (lines []plot.Line) {
	for _, row := range p.Rows {
		l := plot.Line{Name: row.Title, Dots: true}
		for _, column := range p.Columns {
			if !column.Plot {
				continue
			}
			if c := p.cell(all, row, column); c != nil && c.state > 0 {
				l.X, l.Y = append(l.X, float64(c.state)), append(l.Y, c.over.Mean)
			}
		}
		if len(l.X) > 0 {
			lines = append(lines, l)
		}
	}
	return lines
}

// statePlot draws accuracy against the size of the state, and the truth tables.
func (p *page) statePlot(all []Experiment) ([]Document, error) {
	truth, err := p.truthPlots(all)
	if err != nil {
		return nil, err
	}
	curves := plot.Curves{Title: "Accuracy against the size of the memory's state", X: "numbers of the state", Y: "accuracy (%)", Lines: p.stateLines(all)}
	if len(curves.Lines) == 0 {
		return truth, nil
	}
	svg, err := plot.SVG(curves)
	if err != nil {
		return nil, err
	}
	return append(truth, Document{"results/plots/" + p.Name + ".svg", svg}), nil
}
