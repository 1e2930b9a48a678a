package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// benchmark is the page of a data set on which many have published: every method with its encoder, what is published of it,
// independent re-runs, and ours, one row for each way in which a method was measured. It is nil without a run.
func (p *page) benchmark(all []Experiment, own bool) (*table.Page, error) {
	rows := p.benchmarkRows(p.measuredHere(all))
	if len(rows) == 0 {
		return nil, nil
	}
	t := &table.Table{Name: p.Name, Columns: slices.Concat(table.Proses("method"), table.Labels("queries", "encoder"))}
	for _, test := range p.Tests {
		t.Columns = append(t.Columns, table.Numbers(test+": paper", "re-runs", "Engram")...)
	}
	t.Columns = append(t.Columns, slices.Concat(table.Proses("experiment"), table.Numbers("parameters", "seeds"), table.Labels("training", "1,000 tasks"))...)
	var sources []string
	for i := range p.Methods {
		m := &p.Methods[i]
		ours := slices.DeleteFunc(slices.Clone(rows), func(r benchmarkRow) bool { return r.method != m })
		published := m.Figures != nil
		if len(ours) == 0 && (own || !published) {
			continue
		}
		if published {
			sources = append(sources, m.sources(p))
		}
		// Figures stand beside the published ones where both are transductive or both are not.
		kind := m.kind()
		at := slices.IndexFunc(ours, func(r benchmarkRow) bool { return r.way.kind() == kind })
		named := "" // the encoder that the method's name for it stands for
		switch {
		case at >= 0:
			named = ours[at].experiment.encoder()
			t.Add(p.benchmarkCells(m, &ours[at])...)
			ours = slices.Delete(ours, at, at+1)
		case published:
			t.Add(p.benchmarkCells(m, nil)...)
		}
		for i := range ours {
			cells := p.benchmarkCells(nil, &ours[i])
			if ours[i].experiment.encoder() == named {
				cells[2] = table.Say(m.Encoder)
			}
			t.Add(cells...)
		}
	}
	protocols := &table.Table{Columns: protocolColumns()}
	for i := range rows {
		if rows[i].method == nil {
			t.Add(p.benchmarkCells(nil, &rows[i])...)
		}
		if i > 0 && rows[i].experiment.Label == rows[i-1].experiment.Label {
			continue
		}
		for _, r := range rows[i].experiment.Runs {
			protocols.Add(r.provenance(p.protocols(r.Result))...)
		}
	}
	out := p.newPage()
	out.Add(table.Say(overSeeds), t, protocols)
	if sources != nil {
		out.Add(table.Say("Published: " + strings.Join(sources, "; ") + "."))
	}
	out.Add(p.differences(p.measuredHere(all))...)
	return out, nil
}

// benchmarkRow is a way in which an experiment was measured in a test of the page.
type benchmarkRow struct {
	experiment Experiment
	way        way
	method     *published // nil where no method covers it
}

// benchmarkRows are the ways in which experiments were measured, each with the method that it is of: one that names its head, where
// there is one.
func (p *page) benchmarkRows(here []Experiment) (out []benchmarkRow) {
	for _, e := range here {
		r := e.Runs[0].Result
		for _, w := range r.ways(p.Dataset, published{}) {
			if !slices.ContainsFunc(p.Tests, func(name string) bool { return r.figure(name, p.Dataset, w) != nil }) {
				continue
			}
			row := benchmarkRow{experiment: e, way: w}
			for i := range p.Methods {
				m := &p.Methods[i]
				if m.covers(e) && strings.HasPrefix(w.adapted, m.Head) && (row.method == nil || row.method.Head == "" && m.Head != "") {
					row.method = m
				}
			}
			out = append(out, row)
		}
	}
	return out
}

// benchmarkCells are those of a row with what is published of a method, m, and with what was measured, of. Either may be nil.
func (p *page) benchmarkCells(m *published, of *benchmarkRow) (cells []table.Text) {
	switch {
	case m != nil:
		cells = []table.Text{table.Say(m.Method), table.Say(m.kind()), table.Say(m.Encoder)}
	case of.method != nil:
		cells = []table.Text{table.Say(of.method.Method), table.Say(of.way.kind()), table.Say(of.experiment.encoder())}
	default:
		cells = []table.Text{table.Say(cmp.Or(of.experiment.Runs[0].About, of.experiment.Name)), table.Say(of.way.kind()), table.Say(of.experiment.encoder())}
	}
	for _, name := range p.Tests {
		paper, reruns, ours := "", "", table.Text(nil)
		if m != nil {
			f := m.Figures[name]
			paper = f.Published.String()
			var again []string
			for _, q := range f.Reruns {
				again = append(again, cmp.Or(q.String(), "–"))
			}
			reruns = strings.Join(again, ", ")
		}
		if of != nil {
			over, f := of.experiment.over(func(r *Result) *Figure { return r.figure(name, p.Dataset, of.way) })
			if f != nil {
				ours = measured(2, over, f, table.Bold)
			}
		}
		cells = append(cells, table.Say(paper), table.Say(reruns), ours)
	}
	if of == nil {
		return append(cells, nil, nil, nil, nil, nil)
	}
	e := of.experiment
	name := e.link()
	if said := of.way.said(); said != "" {
		name = name.And(": " + said)
	}
	return append(cells, name, table.Sayf("%d", e.Runs[0].Training.Parameters), e.seedCount(), e.trainedFor(), e.thousandTasks(p.Tests, p.Dataset, of.way))
}

// thousandTasks is how long a thousand tasks of each test took in a way, the mean over seeds; nil where no run says so.
func (e Experiment) thousandTasks(tests []string, data string, w way) table.Text {
	var out []string
	for _, name := range tests {
		var seconds []float64
		for _, r := range e.Runs {
			f := r.figure(name, data, w)
			for i := range r.TestSeconds {
				if &r.Figures[i] == f && f.Protocol.Episodes > 0 {
					seconds = append(seconds, r.TestSeconds[i]*1000/float64(f.Protocol.Episodes))
				}
			}
		}
		if seconds == nil {
			continue
		}
		switch s := Summarize(seconds).Mean; {
		case s < 10:
			out = append(out, fmt.Sprintf("%.1f s", s))
		default:
			out = append(out, fmt.Sprintf("%.0f s", s))
		}
	}
	return table.Say(strings.Join(out, ", "))
}

// encoder is the kind of an experiment's encoder, with what its configuration says of the size.
func (e Experiment) encoder() string {
	var sizes []string
	for _, key := range []string{"form", "filters", "depth", "factor"} {
		if size := e.config["network.encoder."+key]; size != "" {
			sizes = append(sizes, size)
		}
	}
	text := e.config["network.encoder.kind"]
	if sizes != nil {
		text += " (" + strings.Join(sizes, ", ") + ")"
	}
	return text
}

// kind says whether the queries of an episode influence one another in a way of measuring.
func (w way) kind() string {
	if adaptedByQueries(w.adapted) {
		return transductive
	}
	return normKind(w.norm)
}

// kind says whether the queries of an episode influence one another in what is published.
func (p *published) kind() string {
	if p.Transductive {
		return transductive
	}
	return normKind(p.Norm)
}

func normKind(norm string) string {
	if norm == transductive {
		return transductive + " (batch norm)"
	}
	return "inductive"
}

// said says what a way has beyond its kind.
func (w way) said() string {
	parts := []string{}
	if w.fineTune > 0 {
		parts = append(parts, count(w.fineTune, "step")+" of fine-tuning")
	}
	for _, text := range []string{w.adapted, w.rest} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}
