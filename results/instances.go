package results

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/results/table"
)

// instances is the page of figures by instance of a class: published figures and re-runs beside ours. It is nil without runs.
func (p *page) instances(all []Experiment, own bool) (*table.Page, error) {
	var here []Experiment
	for _, e := range p.measuredHere(all) {
		if slices.ContainsFunc(e.Runs[0].Figures, func(f Figure) bool { return f.Protocol.Instance > 0 }) {
			here = append(here, e)
		}
	}
	if len(here) == 0 {
		return nil, nil
	}
	out := p.newPage()
	out.Add(table.Say(overSeeds))
	for _, of := range p.Tables {
		if t := p.instanceTable(here, of, own); t != nil {
			out.Add(table.Heading(of.Title), t)
		}
	}
	protocols := &table.Table{Columns: slices.Concat(table.Labels("run"), table.Proses("measured under"), table.Labels("training", "commit", "machine"))}
	for _, r := range allRuns(here) {
		of := r.Figures[0].Protocol
		config, err := r.settings()
		if err != nil {
			return nil, err
		}
		classes := ""
		if p.Classes != "" {
			classes = ", " + p.Classes
		}
		row := r.provenance(fmt.Sprintf("split %s%s, rotations: %s (%d test classes), %s, images unchanged; trained on %d classes, images moved by up to %s pixels and %s degrees, %s",
			of.Split, classes, of.Rotations, of.Classes, count(of.Episodes, "test episode"), of.TrainWay, zero(config["train.shift"]), zero(config["train.turn"]), of.Precision))
		batch := number(config["train.batch"])
		protocols.Add(slices.Insert(row, 2, table.Sayf("%d episodes, best at %d, %.0f min",
			r.Training.Steps*batch, r.Training.BestStep*batch, r.Training.Seconds/60))...)
	}
	out.Add(table.Heading("Protocols"), protocols)
	return out, nil
}

// instanceTable has one row for each published method, for its re-runs and for our experiments with it, and then for experiments
// that no published method covers. It is nil where it has no rows, or where own is set, no rows of ours.
func (p *page) instanceTable(here []Experiment, of publishedTable, own bool) *table.Table {
	t := &table.Table{Name: fileName(p.Name, of.Labels, fmt.Sprint(of.Way)), Columns: table.Proses("model", "")}
	for _, k := range p.Instances {
		t.Columns = append(t.Columns, table.Numbers(ordinal(k))...)
	}
	t.Columns = append(t.Columns, table.Numbers("seeds")...)
	add := func(e Experiment, method string) bool {
		cells, any, where := make([]table.Text, len(p.Instances)), false, "Engram"
		for i, k := range p.Instances {
			cells[i] = table.Say("")
			over, f := e.over(func(r *Result) *Figure { return r.instance(p.Dataset, of, k) })
			if f == nil {
				continue
			}
			cells[i], any = measured(1, over, f, table.Bold), true
			if n := f.Protocol.TrainWay; n != of.Way {
				where = fmt.Sprintf("Engram, trained on %d classes", n)
			}
		}
		if any {
			source := table.Sayf("%s, ", where).With(e.link()...)
			t.Add(slices.Concat([]table.Text{table.Say(method), source}, cells, []table.Text{e.seedCount()})...)
		}
		return any
	}
	covered := map[string]bool{}
	for i := range p.Methods {
		m := &p.Methods[i]
		if m.Labels != of.Labels || m.Way != of.Way {
			continue
		}
		before := len(t.Rows)
		paper := []table.Text{table.Say(m.Method), table.Say("published")}
		again := []table.Text{table.Say(m.Method), table.Sayf("re-run: %s", m.Reruns)}
		for _, k := range p.Instances {
			f := m.Figures[ordinal(k)]
			paper, again = append(paper, table.Say(known(f.Published))), append(again, table.Say(join(f.Reruns)))
		}
		t.Add(append(paper, nil)...)
		if m.Reruns != "" {
			t.Add(append(again, nil)...)
		}
		shown := false
		for _, e := range here {
			if m.covers(e) {
				covered[e.Label] = true
				shown = add(e, m.Method) || shown
			}
		}
		if own && !shown {
			t.Rows = t.Rows[:before]
		}
	}
	for _, e := range here {
		if !covered[e.Label] {
			add(e, e.Label)
		}
	}
	if t.Rows == nil || !slices.ContainsFunc(t.Rows, func(row []table.Text) bool { return row[len(row)-1] != nil }) && own {
		return nil
	}
	return t
}

// instance is the accuracy at an instance of a class, in a test of the table on images that are not moved; nil where there is none.
func (r *Result) instance(data string, of publishedTable, k int) *Figure {
	for i, f := range r.Figures {
		if p := f.Protocol; p.Dataset == data && p.Labels == of.Labels && p.Way == of.Way && p.Instance == k && p.Shift == 0 && p.Turn == 0 {
			return &r.Figures[i]
		}
	}
	return nil
}

// ordinal writes an instance: 1st, 2nd.
func ordinal(n int) string {
	suffix := "th"
	if n/10%10 != 1 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprint(n, suffix)
}
