package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// fullWay is the page of tests of all classes at once, on several data sets: every published method and every way in which ours were
// measured has a row, and every data set a column for each number of examples of a class. It is nil without a run.
func (p *page) fullWay(all []Experiment, own bool) (*table.Page, error) {
	t := &table.Table{Name: p.Name, Columns: slices.Concat(table.Proses("method"), table.Labels("encoder"))}
	for _, data := range p.Datasets {
		for _, shot := range p.Shots {
			t.Columns = append(t.Columns, table.Numbers(fmt.Sprintf("%s %d-shot", data, shot))...)
		}
	}
	t.Columns = append(t.Columns, table.Numbers("seeds")...)
	protocols := &table.Table{Columns: protocolColumns()}
	var sources []string
	some := false
	for i := range p.Methods {
		m := &p.Methods[i]
		if row := p.fullWayCells(m, all); row != nil {
			t.Add(row...)
			some = true
		}
		if m.Figures == nil || own {
			continue
		}
		sources = append(sources, m.sources(p))
		cells := []table.Text{table.Say(m.Method), table.Say(m.Encoder)}
		for _, name := range p.fullWayNames() {
			cells = append(cells, table.Say(m.Figures[name].Published.String()))
		}
		t.Add(append(cells, nil)...)
	}
	if !some {
		return nil, nil
	}
	for _, e := range all {
		if !slices.ContainsFunc(p.Methods, func(m published) bool { return m.covers(e) && p.asks(e, &m) }) {
			continue
		}
		for _, r := range e.Runs {
			protocols.Add(r.provenance(fullWayProtocol(r.Result, e))...)
		}
	}
	out := p.newPage()
	out.Add(table.Say(overSeeds), t, protocols)
	if sources != nil {
		out.Add(table.Say("Published: " + strings.Join(sources, "; ") + "."))
	}
	return out, nil
}

// fullWayNames are the names of published figures, in the order of the columns.
func (p *page) fullWayNames() (out []string) {
	for _, data := range p.Datasets {
		for _, shot := range p.Shots {
			out = append(out, fmt.Sprintf("%s %d-shot", data, shot))
		}
	}
	return out
}

// fullWayFigure is the result's accuracy among all classes of a data set by so many examples each, by the method's head; nil where
// there is none.
func (m *published) fullWayFigure(r *Result, data string, shot int) *Figure {
	for i := range r.Figures {
		f := &r.Figures[i]
		of := f.Protocol
		if f.Metric == Accuracy && of.Dataset == data && of.Shot == shot && of.Queries > 0 && of.TrainedOn == data && strings.HasPrefix(of.Adapted, m.Head) {
			return f
		}
	}
	return nil
}

// asks reports whether an experiment has a figure of the page by the method's head.
func (p *page) asks(e Experiment, m *published) bool {
	return slices.ContainsFunc(p.Datasets, func(data string) bool {
		return slices.ContainsFunc(p.Shots, func(shot int) bool { return m.fullWayFigure(e.Runs[0].Result, data, shot) != nil })
	})
}

// fullWayCells is the row of what was measured of a method, nil where nothing was.
func (p *page) fullWayCells(m *published, all []Experiment) []table.Text {
	cells := []table.Text{table.Say(m.Method), nil}
	var seeds []string
	some := false
	for _, data := range p.Datasets {
		for _, shot := range p.Shots {
			var cell table.Text
			for _, e := range all {
				if !m.covers(e) {
					continue
				}
				over, f := e.over(func(r *Result) *Figure { return m.fullWayFigure(r, data, shot) })
				if f == nil {
					continue
				}
				some = true
				cell = measured(2, over, f, table.Bold)
				seeds = with(seeds, fmt.Sprint(len(e.Runs)))
				cells[1] = table.Say(cmp.Or(m.Encoder, e.encoder()))
			}
			cells = append(cells, cell)
		}
	}
	if !some {
		return nil
	}
	return append(cells, table.Say(strings.Join(seeds, ", ")))
}

// fullWayProtocol says how a run was measured, and by which weights.
func fullWayProtocol(r *Result, e Experiment) string {
	of := r.Figures[0].Protocol
	parts := []string{of.Dataset, of.Split, fmt.Sprintf("%d classes", of.Classes), count(of.Queries, "query")}
	if of.Queries != 1 {
		parts[3] = fmt.Sprintf("%d queries", of.Queries)
	}
	if of.Prepared != "" {
		parts = append(parts, of.Prepared)
	}
	var heads []string
	for _, f := range r.Figures {
		heads = with(heads, cmp.Or(f.Protocol.Adapted, "as trained"))
	}
	parts = append(parts, strings.Join(heads, "; "))
	if sum := e.config["network.encoder.sha256"]; sum != "" {
		parts = append(parts, fmt.Sprintf("weights of %s, SHA-256 %.16s", e.config["network.encoder.weights"], sum))
	}
	switch {
	case r.Training.Steps == 0:
		parts = append(parts, "nothing trained but the head")
	case of.TrainWay > 0:
		parts = append(parts, fmt.Sprintf("trained %d-way %d-shot, %s", of.TrainWay, of.TrainShot, count(r.Training.Steps, "step")))
	default:
		parts = append(parts, "trained as a classifier, "+count(r.Training.Steps, "step"))
	}
	if of.Precision != "" {
		parts = append(parts, of.Precision)
	}
	return strings.Join(parts, ", ")
}
