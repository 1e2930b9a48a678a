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

// of returns the figure of a row and a column in percent, the mean over seeds, with its experiment; nil where it was not run.
func (t truthTable) of(all []Experiment, row, column truthSetting) (float64, *Experiment) {
	for i, e := range all {
		part := memoryPart{Experiments: t.Experiments, Config: row.Config, Figure: t.Figure, Metric: t.Metric}
		if !part.belongs(e) {
			continue
		}
		if part.Config = column.Config; !part.belongs(e) {
			continue
		}
		if over, f := e.over(part.finds(memoryRow{})); f != nil {
			return over.Mean, &all[i]
		}
	}
	return math.NaN(), nil
}

// cells are the figures by rows and columns, and how many there are.
func (t truthTable) cells(all []Experiment) (cells [][]float64, runs []*Experiment, n int) {
	for _, row := range t.Rows {
		var values []float64
		for _, column := range t.Columns {
			v, e := t.of(all, row, column)
			if e != nil {
				n++
			}
			values, runs = append(values, v), append(runs, e)
		}
		cells = append(cells, values)
	}
	return cells, runs, n
}

// addTruth adds the truth tables of which there are runs: their drawing and their figures.
func (p *page) addTruth(to *table.Page, all []Experiment) {
	for _, t := range p.Truth {
		cells, runs, n := t.cells(all)
		if n == 0 {
			continue
		}
		out := &table.Table{Name: p.Name + "-" + t.Name, Columns: table.Proses("")}
		for _, c := range t.Columns {
			out.Columns = append(out.Columns, table.Numbers(c.Title)...)
		}
		for i, row := range t.Rows {
			line := []table.Text{table.Say(row.Title)}
			for j := range t.Columns {
				if e := runs[i*len(t.Columns)+j]; e == nil {
					line = append(line, nil)
				} else {
					line = append(line, table.Text{{Text: fmt.Sprintf("%.1f", cells[i][j]), Link: e.Runs[0].Path}})
				}
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
		cells, _, n := t.cells(all)
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
			for j := range cells[i] {
				cells[i][j] /= 100
			}
			panel.Cells = append(panel.Cells, cells[i])
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
