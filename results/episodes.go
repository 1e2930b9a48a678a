package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// episodes is the page of few-shot episodes: published figures, independent re-runs and ours. It is nil without a run of a method
// or of a comparison, and without two experiments on the same episodes.
func (p *page) episodes(all []Experiment, own bool) (*table.Page, error) {
	here := p.measuredHere(all)
	out := p.newPage()
	out.Add(table.Say(overSeeds))
	protocols := &table.Table{Columns: protocolColumns()}
	var sources []string
	for _, m := range p.Methods {
		shown := false
		for _, e := range here {
			if !m.covers(e) {
				continue
			}
			shown = true
			for _, r := range e.Runs {
				protocols.Add(r.provenance(p.protocols(r.Result))...)
			}
		}
		if !shown {
			continue
		}
		sources = append(sources, m.sources(p))
	}
	some := len(protocols.Rows) > 0
	if some {
		out.Add(p.methodTable(here, true), protocols, table.Say("Published: "+strings.Join(sources, "; ")+"."))
	}
	for _, c := range p.Comparisons {
		if parts := p.compared(c, here); parts != nil {
			some = true
			out.Add(parts...)
		}
	}
	differences := p.differences(here)
	if !some && differences == nil {
		return nil, nil
	}
	out.Add(differences...)
	return out, nil
}

// methodTable has one row for each way in which a method was measured, or one for each method: the way that is nearest to the
// published one.
func (p *page) methodTable(all []Experiment, everyWay bool) *table.Table {
	t := &table.Table{Name: p.Name, Columns: table.Proses("method")}
	for _, test := range p.Tests {
		t.Columns = append(t.Columns, table.Numbers(test+": paper", "re-runs", "Engram")...)
	}
	t.Columns = append(t.Columns, slices.Concat(table.Numbers("seeds"), table.Proses("training"))...)
	marked := false
	for _, m := range p.Methods {
		for _, e := range p.measuredHere(all) {
			if !m.covers(e) {
				continue
			}
			ways := e.Runs[0].ways(p.Dataset, m)
			for i, w := range ways {
				if i > 0 && !everyWay {
					break
				}
				apart := !w.asPublished(m)
				row := []table.Text{table.Say(m.Method + w.beside(m, ways))}
				for _, name := range p.Tests {
					over, f := e.over(func(r *Result) *Figure { return r.figure(name, p.Dataset, w) })
					if f == nil {
						row = append(row, nil, nil, nil)
						continue
					}
					published := m.Figures[name]
					paper, reruns := published.Published, join(published.Reruns)
					if w.fineTune > 0 {
						paper, reruns = published.FineTuned, ""
					} else if i > 0 {
						paper, reruns = nil, ""
						if w == (way{rotations: m.Rotations, norm: w.norm}) && w.norm != m.Norm {
							paper = published.OtherNorm
						}
					}
					cell := measured(2, over, f, table.Bold)
					if apart && !(i > 0 && paper != nil) {
						cell, marked = cell.With(table.Span{Text: " †", Style: table.Aside}), true
					}
					row = append(row, table.Say(known(paper)), table.Say(reruns), cell)
				}
				t.Add(append(row, e.seedCount(), e.trainedFor())...)
			}
		}
	}
	if marked {
		t.Notes = append(t.Notes, table.Say("† measured under other rotations or another batch-norm mode than the published figure."))
	}
	return t
}

// compared is a table of experiments that differ in one thing, and their protocols; nil where there are no such runs.
func (p *page) compared(c publishedCompare, here []Experiment) []table.Part {
	t := &table.Table{Name: c.Name, Columns: slices.Concat(table.Labels(c.Row), table.Numbers(c.Tests...), table.Numbers("seeds"), table.Labels("training"))}
	protocols := &table.Table{Columns: protocolColumns()}
	for _, of := range c.Rows {
		for _, e := range here {
			if e.Name != of.Experiment {
				continue
			}
			row := []table.Text{table.Say(of.Label)}
			for _, name := range c.Tests {
				over, f := e.over(func(r *Result) *Figure { return r.figure(name, p.Dataset, r.Figures[0].way()) })
				if f == nil {
					row = append(row, nil)
					continue
				}
				row = append(row, measured(2, over, f, table.Plain))
			}
			t.Add(append(row, e.seedCount(), e.trainedFor())...)
			for _, r := range e.Runs {
				protocols.Add(r.provenance(p.protocols(r.Result))...)
			}
		}
	}
	if t.Rows == nil {
		return nil
	}
	return []table.Part{table.Heading(c.Title), table.Say(strings.TrimSpace(c.About)), t, protocols}
}

// way is what figures of one name on one data set can differ in.
type way struct {
	rotations, norm string
	fineTune        int
	adapted         string
	rest            string // other keys in which figures that agree in the above differ
}

// wayKeys are the protocol keys of a way, and those that fine-tuning adds.
var wayKeys = []string{"rotations", "classes", "norm", "fine_tune", "fine_tune_rate", "adapted"}

func (f *Figure) way() way {
	return way{rotations: f.Protocol.Rotations, norm: f.Protocol.Norm, fineTune: f.Protocol.FineTune, adapted: f.Protocol.Adapted}
}

// wayOf is the way of the i-th figure, unlike that of any other figure of the same name and metric that was measured otherwise.
func (r *Result) wayOf(i int) way {
	own := r.Figures[i].way()
	var same []Figure
	at := 0
	for j, f := range r.Figures {
		if f.Name == r.Figures[i].Name && f.Protocol.Dataset == r.Figures[i].Protocol.Dataset && f.way() == own {
			if j == i {
				at = len(same)
			}
			same = append(same, f)
		}
	}
	own.rest = distinction(same, at, wayKeys)
	return own
}

// ways lists how a result was measured on a data set: first as published, where that is among them, and the others in their order.
func (r *Result) ways(data string, m published) (out []way) {
	for i, f := range r.Figures {
		if w := r.wayOf(i); f.Protocol.Dataset == data && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	first := func(w way) bool { return w.asPublished(m) && w.fineTune == 0 }
	if i := slices.IndexFunc(out, first); i > 0 {
		w := out[i]
		out = slices.Insert(slices.Delete(out, i, i+1), 0, w)
	}
	return out
}

// asPublished reports whether a way has the rotations and the batch-norm mode of the published figure, as far as these are known.
func (w way) asPublished(m published) bool {
	return (m.Rotations == "" || w.rotations == m.Rotations) && (m.Norm == "" || w.norm == m.Norm)
}

// beside says how a way differs from the published one, or from the other ways where the published one is not known.
func (w way) beside(m published, all []way) (text string) {
	apart := func(published string, of func(way) string) bool {
		if published != "" {
			return of(w) != published
		}
		return slices.ContainsFunc(all, func(o way) bool { return of(o) != of(w) })
	}
	if apart(m.Norm, func(w way) string { return w.norm }) {
		text += ", " + w.norm
	}
	if apart(m.Rotations, func(w way) string { return w.rotations }) {
		text += ", rotations: " + w.rotations
	}
	if w.fineTune > 0 {
		text += fmt.Sprintf(", %s of fine-tuning", count(w.fineTune, "step"))
	}
	if w.adapted != "" {
		text += ": " + w.adapted
	}
	if w.rest != "" {
		text += ", " + w.rest
	}
	return text
}

// figure is the figure of a name that was measured on a data set in a way, nil where there is none.
func (r *Result) figure(name, data string, w way) *Figure {
	for i, f := range r.Figures {
		if f.Name == name && f.Protocol.Dataset == data && r.wayOf(i) == w {
			return &r.Figures[i]
		}
	}
	return nil
}

// protocols says everything that affects a result's figures on the page's data set, way by way; what else differs between them is
// listed.
func (p *page) protocols(r *Result) string {
	type measurement struct {
		way
		classes                  int
		queries, episodes, rates []string
		inner                    []string // steps, of methods that adapt by design
	}
	var ways []measurement
	for _, f := range r.Figures {
		of := f.Protocol
		if of.Dataset != p.Dataset {
			continue
		}
		i := slices.IndexFunc(ways, func(m measurement) bool { return m.way == f.way() })
		if i < 0 {
			i = len(ways)
			ways = append(ways, measurement{way: f.way(), classes: of.Classes})
		}
		add := func(list *[]string, v any) { *list = with(*list, fmt.Sprint(v)) }
		add(&ways[i].queries, of.Query)
		add(&ways[i].episodes, of.Episodes)
		add(&ways[i].rates, of.FineTuneRate)
		if of.InnerSteps > 0 {
			add(&ways[i].inner, of.InnerSteps)
		}
	}
	first := r.Figures[0].Protocol
	text := "split " + first.Split
	switch {
	case first.Within:
		text += ", within an alphabet"
	case p.Classes != "":
		text += ", " + p.Classes
	}
	for _, key := range []struct{ name, value string }{{"folder", first.Folder}, {"distortion", first.Distort}, {"preparation", first.Prepared}} {
		if key.value != "" {
			text += fmt.Sprintf(", %s %s", key.name, key.value)
		}
	}
	var said []string // a way that adapts in several forms is measured under one protocol
	for _, w := range ways {
		queries := "queries"
		if slices.Equal(w.queries, []string{"1"}) {
			queries = "query"
		}
		one := fmt.Sprintf("rotations: %s (%d test classes), batch norm %s, %s %s per class, %s episodes",
			w.rotations, w.classes, w.norm, strings.Join(w.queries, ", "), queries, strings.Join(w.episodes, ", "))
		if w.inner != nil {
			one += fmt.Sprintf(", %s inner steps", strings.Join(w.inner, ", "))
		}
		if w.fineTune > 0 {
			one += fmt.Sprintf(", %s of fine-tuning at %s", count(w.fineTune, "step"), strings.Join(w.rates, ", "))
		}
		said = with(said, one)
	}
	text += ", " + strings.Join(said, "; ")
	if r.Training.Steps == 0 {
		return text + "; nothing is trained, " + first.Precision
	}
	if first.Adapted != "" && first.TrainWay == 0 {
		return text + "; trained as a classifier, " + first.Precision
	}
	return text + fmt.Sprintf("; trained %d-way %d-shot, %s", first.TrainWay, first.TrainShot, first.Precision)
}
