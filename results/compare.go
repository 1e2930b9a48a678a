package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// differencesTable is the name of the table of paired differences.
const differencesTable = "omniglot-differences"

// Comparison is a test that two results both have.
type Comparison struct {
	A, B *Figure
	// Why says why there is no difference: what of the protocol differs, or that scores are missing. It is empty where
	// there is one.
	Why string
	// Difference is A's value less B's, and Interval half of its 95 % interval, from the differences score by score: what
	// the episodes have in common, hard ones and easy ones, does not blur it.
	Difference, Interval float64
}

// Compare compares the figures of two results, test by test. Figures under one protocol are compared pair by pair; what of
// the protocol belongs to training may differ, since it belongs to the method.
func Compare(a, b *Result) []Comparison {
	var out []Comparison
	for i := range a.Figures {
		f := &a.Figures[i]
		var best *Comparison
		fewest := 0
		for j := range b.Figures {
			g := &b.Figures[j]
			if g.Name != f.Name || g.Metric != f.Metric {
				continue
			}
			differs := f.Protocol.differs(g.Protocol)
			far := 2 * len(differs)
			if f.Protocol.Adapted != g.Protocol.Adapted { // which is the method's own, but the same is better
				far++
			}
			if best != nil && far >= fewest {
				continue
			}
			best, fewest = &Comparison{A: f, B: g}, far
			if len(differs) > 0 {
				best.Why = "the protocols differ: " + strings.Join(differs, ", ")
			}
		}
		if best == nil {
			continue
		}
		if best.Why == "" {
			best.pair()
		}
		out = append(out, *best)
	}
	return out
}

// pair takes the difference score by score, or says why it cannot.
func (c *Comparison) pair() {
	a, b := c.A.Scores, c.B.Scores
	switch {
	case a == nil || b == nil:
		c.Why = "the scores were not kept"
		return
	case !a.pairs(b):
		c.Why = "the same protocol, but other examples were drawn, by another version of the program"
		return
	}
	differences := a.values()
	for i, v := range b.values() {
		differences[i] -= v
	}
	c.Difference, c.Interval = MeanInterval(differences)
}

// differs tells what makes two protocols two tests: every key but those of training and adaptation, as result files call them.
func (p Protocol) differs(q Protocol) []string {
	a, b := p.keys(), q.keys()
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []string
	for _, name := range names {
		if !strings.HasPrefix(name, "train") && name != "adapted" && a[name] != b[name] {
			out = append(out, fmt.Sprintf("%s %s, %s", name, or(a[name]), or(b[name])))
		}
	}
	return out
}

func (p Protocol) keys() map[string]any {
	out := map[string]any{}
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	return out
}

// or writes a value, or that there is none.
func or(v any) string {
	if v == nil {
		return "none"
	}
	return fmt.Sprint(v)
}

// An entrant is a figure of a run that has the scores of its episodes.
type entrant struct {
	run    Run
	figure *Figure
	mean   float64 // of the scores
}

// groups puts the figures of runs on few-shot episodes of Omniglot together that are of the same test and the same episodes,
// the best first. One that stands alone is left out.
func groups(runs []Run) [][]entrant {
	var out [][]entrant
	for _, r := range runs {
		if !measuredOn(r.Result, "omniglot") {
			continue
		}
		for i := range r.Result.Figures {
			f := &r.Result.Figures[i]
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
			mean, _ := MeanInterval(f.Scores.values())
			out[at] = append(out[at], entrant{r, f, mean})
		}
	}
	out = slices.DeleteFunc(out, func(g []entrant) bool { return len(g) < 2 })
	for _, g := range out {
		slices.SortStableFunc(g, func(a, b entrant) int { return cmp.Compare(b.mean, a.mean) })
	}
	return out
}

// differences are the paired differences between runs on few-shot episodes of Omniglot, nothing where no two have scores of
// the same test.
func differences(runs []Run) []table.Part {
	t := &table.Table{Name: differencesTable, Columns: slices.Concat(table.Proses("test", "run", "adaptation"), table.Numbers("accuracy", "less the best", "less the one above"))}
	for _, g := range groups(runs) {
		for i, e := range g {
			p := e.figure.Protocol
			test := e.figure.Name + ", " + p.Norm
			if n := p.FineTune; n > 0 {
				test += fmt.Sprintf(", %d steps of fine-tuning", n)
			}
			less := func(j int) table.Text {
				if i == 0 {
					return table.Say("")
				}
				c := Comparison{A: e.figure, B: g[j].figure}
				c.pair()
				return table.Sayf("%+.2f", c.Difference).With(beside(2, c.Interval))
			}
			t.Add(table.Say(test), e.run.link().Andf(", seed %d", e.run.Seed), table.Say(p.Adapted), table.Sayf("%.2f", e.mean), less(0), less(max(i-1, 0)))
		}
	}
	if t.Rows == nil {
		return nil
	}
	return []table.Part{
		table.Heading("Paired differences"),
		table.Say("Runs that were tested on the same episodes, the best of each test first: the mean over the episodes of a run's accuracy less\n" +
			"the best one's, and less that of the run above it, with its 95 % interval. Where that leaves out zero, the two differ. For any\n" +
			"other two, `engram compare`."),
		t,
	}
}
