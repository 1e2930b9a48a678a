package results

import (
	"fmt"
	"math"
	"strings"

	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

// truthTable says which settings of two kinds solve a task: a figure by rows and columns of settings.
type truthTable struct {
	Name, Title    string
	Experiments    []string // the files that measure it
	Figure, Metric string
	Rows, Columns  []truthSetting
}

// truthSetting is what the runs of a row or column have in common.
type truthSetting struct {
	Title  string
	Config map[string]string // settings of the experiment, by dotted key
}

// truthCell is a figure in percent, over seeds, and one of its runs; the zero value where it was not run.
type truthCell struct {
	over Estimate
	one  *Figure
	path string
}

// of returns the figure of a row and a column.
func (t truthTable) of(all []Experiment, row, column truthSetting) truthCell {
	for _, e := range all {
		part := memoryPart{Experiments: t.Experiments, Config: row.Config, Figure: t.Figure, Metric: t.Metric}
		if !part.belongs(e) {
			continue
		}
		if part.Config = column.Config; !part.belongs(e) {
			continue
		}
		if over, f := e.over(part.finds(memoryRow{})); f != nil {
			return truthCell{over, f, e.Runs[0].Path}
		}
	}
	return truthCell{}
}

// cells are the figures by rows and columns, and how many there are.
func (t truthTable) cells(all []Experiment) (cells [][]truthCell, n int) {
	for _, row := range t.Rows {
		var line []truthCell
		for _, column := range t.Columns {
			c := t.of(all, row, column)
			if c.one != nil {
				n++
			}
			line = append(line, c)
		}
		cells = append(cells, line)
	}
	return cells, n
}

// addTruth adds the truth tables of which there are runs: their drawing and their figures.
func (p *page) addTruth(to *table.Page, all []Experiment) {
	for _, t := range p.Truth {
		cells, n := t.cells(all)
		if n == 0 {
			continue
		}
		out := &table.Table{Name: p.Name + "-" + t.Name, Columns: table.Proses("")}
		for _, c := range t.Columns {
			out.Columns = append(out.Columns, table.Numbers(c.Title)...)
		}
		for i, row := range t.Rows {
			line := []table.Text{table.Say(row.Title)}
			for _, c := range cells[i] {
				if c.one == nil {
					line = append(line, nil)
					continue
				}
				text := measured(1, c.over, c.one, table.Plain)
				text[0].Link = c.path
				line = append(line, text)
			}
			out.Add(line...)
		}
		to.Add(table.Heading(t.Title), table.Sayf("%s, %s. ", t.Metric, unit(t.Metric)).With(table.Span{Text: "engram sweep experiments/" + t.Experiments[0] + ".yaml", Style: table.Code}),
			table.Image{Alt: t.Title, Path: "plots/" + p.Name + "-" + t.Name + ".svg"}, out)
	}
}

// truthPlots draw the truth tables: black where a setting solves the task, white where it never does.
func (p *page) truthPlots(all []Experiment) (out []Document, err error) {
	for _, t := range p.Truth {
		cells, n := t.cells(all)
		if n == 0 {
			continue
		}
		figure := plot.Panels{Title: t.Title, Note: fmt.Sprintf("%s from 0 (white) to 100 %% (black); pale blue: not run", t.Metric)}
		panel := plot.Panel{Name: t.Metric}
		var columns []string
		for _, c := range t.Columns {
			columns = append(columns, c.Title)
		}
		figure.Columns, figure.X = make([]string, len(columns)), "from left to right: "+strings.Join(columns, "; ")
		for i, row := range t.Rows {
			panel.Rows = append(panel.Rows, row.Title)
			var shades []float64
			for _, c := range cells[i] {
				if c.one == nil {
					shades = append(shades, math.NaN())
				} else {
					shades = append(shades, c.over.Mean/100)
				}
			}
			panel.Cells = append(panel.Cells, shades)
		}
		figure.Panels = []plot.Panel{panel}
		svg, err := plot.SVG(figure)
		if err != nil {
			return nil, err
		}
		out = append(out, Document{"results/plots/" + p.Name + "-" + t.Name + ".svg", svg})
	}
	return out, nil
}
