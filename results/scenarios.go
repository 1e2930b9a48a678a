package results

import (
	"cmp"
	"slices"

	"github.com/engram-go/engram/results/table"
)

// scenario is one row of a page of transfer scenarios: what an experiment transfers, and how alike data and tasks are. Trained is what
// published weights were trained on, of which a run knows nothing.
type scenario struct{ Experiment, Title, Data, Tasks, Trained string }

// scenarios is the page of what transfer learning carries over. It is nil where no run is of a scenario.
func (p *page) scenarios(all []Experiment, own bool) (*table.Page, error) {
	type row struct {
		scenario
		Experiment
	}
	var rows []row
	var tests []string            // with their data sets, in the order in which they come
	ways := map[string][]string{} // of each test
	for _, s := range p.Scenarios {
		for _, e := range all {
			if e.Name != s.Experiment {
				continue
			}
			rows = append(rows, row{s, e})
			for _, f := range e.Runs[0].Figures {
				tests = with(tests, on(f))
				ways[on(f)] = with(ways[on(f)], f.Protocol.Adapted)
			}
		}
	}
	if rows == nil {
		return nil, nil
	}
	out := p.newPage()
	out.Add(table.Say(overSeeds))
	for _, test := range tests {
		t := &table.Table{Name: fileName(p.Name, test), Columns: slices.Concat(table.Proses("from → to", "data", "tasks"), table.Labels("training classes"),
			table.Numbers(ways[test]...), table.Numbers("seeds"), table.Labels("training"))}
		for _, r := range rows {
			if !slices.ContainsFunc(r.Runs[0].Figures, func(f Figure) bool { return on(f) == test }) {
				continue
			}
			find := func(how string) (Estimate, *Figure) {
				return r.over(func(r *Result) *Figure {
					i := slices.IndexFunc(r.Figures, func(f Figure) bool { return on(f) == test && f.Protocol.Adapted == how })
					if i < 0 {
						return nil
					}
					return &r.Figures[i]
				})
			}
			var best Estimate
			for _, how := range ways[test] {
				if e, f := find(how); f != nil && e.Mean > best.Mean {
					best = e
				}
			}
			cells := []table.Text{table.Say(r.Title), table.Say(r.Data), table.Say(r.Tasks), table.Say(cmp.Or(r.Trained, r.trainingClasses()))}
			for _, how := range ways[test] {
				e, f := find(how)
				if f == nil {
					cells = append(cells, nil)
					continue
				}
				style := table.Bold
				if best.Mean-e.Mean > best.Half+e.Half {
					style = table.Plain
				}
				cells = append(cells, measured(2, e, f, style))
			}
			t.Add(append(cells, r.seedCount(), r.trainedFor())...)
		}
		out.Add(table.Heading(test), t)
	}
	protocols := &table.Table{Columns: protocolColumns()}
	for _, row := range rows {
		for _, r := range row.Runs {
			of := r.Figures[0].Protocol
			protocols.Add(r.provenance(table.Sayf("%s, split %s (%d test classes), batch norm %s, %d queries per class, %s; %s",
				of.Dataset, of.Split, of.Classes, of.Norm, of.Query, count(of.Episodes, "episode"), of.Precision).String())...)
		}
	}
	out.Add(protocols)
	return out, nil
}

// on names a test with its data set.
func on(f Figure) string { return f.Name + " of " + f.Protocol.Dataset }

// trainingClasses says what an experiment was trained on.
func (e Experiment) trainingClasses() string {
	if e.Runs[0].Training.Steps == 0 {
		return "not trained"
	}
	return e.Runs[0].Figures[0].Protocol.TrainedOn
}
