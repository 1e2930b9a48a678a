package results

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/engram-go/engram/results/table"
)

// differencesSuffix ends the names of tables of paired differences.
const differencesSuffix = "-differences"

// entrant is a figure of an experiment with the scores of its test examples, over seeds.
type entrant struct {
	experiment Experiment
	figure     *Figure // of the first seed
	over       Estimate
}

// scored is the entrant's figure of a run, nil where that has none with scores of the same examples.
func (e entrant) scored(r Run) *Figure {
	f := exactly(e.figure, r.Result)
	if f == nil || f.Scores == nil || !f.Scores.pairs(e.figure.Scores) {
		return nil
	}
	return f
}

// groups gathers figures of few-shot episodes that are of the same test and the same test episodes, the best first. Groups of one
// are left out. The seeds of an experiment are one entrant.
func groups(here []Experiment) (out [][]entrant) {
	for _, e := range here {
		for i := range e.Runs[0].Figures {
			f := &e.Runs[0].Figures[i]
			if f.Scores == nil || f.Protocol.Shot == 0 {
				continue
			}
			at := slices.IndexFunc(out, func(g []entrant) bool {
				first := g[0].figure
				return first.Name == f.Name && first.Metric == f.Metric && first.Scores.pairs(f.Scores) && len(first.Protocol.differs(f.Protocol)) == 0
			})
			if at < 0 {
				at, out = len(out), append(out, nil)
			}
			over, _ := e.over(func(r *Result) *Figure { return exactly(f, r) })
			out[at] = append(out[at], entrant{e, f, over})
		}
	}
	out = slices.DeleteFunc(out, func(g []entrant) bool { return len(g) < 2 })
	for _, g := range out {
		slices.SortStableFunc(g, func(a, b entrant) int { return cmp.Compare(b.over.Mean, a.over.Mean) })
	}
	return out
}

// less is the difference of two entrants: over the seeds that they share where these are several, and else over the test episodes
// of one run of each.
func (e entrant) less(o entrant) table.Text {
	var differences []float64
	var one Comparison
	for _, r := range e.experiment.Runs {
		for _, s := range o.experiment.Runs {
			if r.Seed != s.Seed {
				continue
			}
			if a, b := e.scored(r), o.scored(s); a != nil && b != nil {
				one = Comparison{A: a, B: b}
				differences = append(differences, a.Value-b.Value)
			}
		}
	}
	if len(differences) > 1 {
		d := Summarize(differences)
		return table.Say(signed(2, d.Mean)).With(beside(2, d.Half), table.Span{Text: fmt.Sprintf(", %d seeds", d.N), Style: table.Aside})
	}
	if one.A == nil {
		one = Comparison{A: e.figure, B: o.figure}
	}
	one.pair()
	return table.Say(signed(2, one.Difference)).With(beside(2, one.Interval))
}

// differences are the paired differences between experiments on the page's few-shot episodes, nothing where no two have scores of
// the same test.
func (p *page) differences(here []Experiment) []table.Part {
	t := &table.Table{Name: p.Name + differencesSuffix, Columns: slices.Concat(table.Proses("test", "experiment", "adaptation"),
		table.Numbers("accuracy", "less the best", "less the one above", "seeds"))}
	for _, g := range groups(here) {
		for i, e := range g {
			test := e.figure.Name
			if norm := e.figure.Protocol.Norm; norm != "" {
				test += ", batch norm " + norm
			}
			less := func(j int) table.Text {
				if i == 0 {
					return table.Say("")
				}
				return e.less(g[j])
			}
			t.Add(table.Say(test), e.experiment.link(), table.Say(e.figure.Protocol.adaptation()),
				measured(2, e.over, e.figure, table.Plain), less(0), less(max(i-1, 0)), e.experiment.seedCount())
		}
	}
	if t.Rows == nil {
		return nil
	}
	return []table.Part{
		table.Heading("Paired differences"),
		table.Say("Experiments that were tested on the same episodes, the best of each test first: the accuracy less the best one's, and less that of\n" +
			"the experiment above, with the 95 % interval. Where the number of seeds is given, the interval is over seeds, paired by seed.\n" +
			"Otherwise it is over the test episodes of one trained model each: if it excludes 0, these two models differ, but the variation\n" +
			"of training is not included, so that it says nothing about other seeds of the two methods. Use `engram compare` on folders of\n" +
			"seeds to compare methods."),
		t,
	}
}
