package results

import (
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
	case a.On != b.On || len(a.Values) != len(b.Values):
		c.Why = "the same protocol, but other examples were drawn, by another version of the program"
		return
	}
	differences := make([]float64, len(a.Values))
	for i := range differences {
		differences[i] = float64(a.Values[i])/a.Per - float64(b.Values[i])/b.Per
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

// differences are the paired differences between runs on few-shot episodes of Omniglot, nothing where no two have scores of
// the same test.
func differences(runs []Run) []table.Part {
	t := &table.Table{Name: differencesTable, Columns: slices.Concat(table.Proses("test", "first", "second"), table.Numbers("difference"))}
	label := func(r Run) table.Text { return r.link().Andf(", seed %d", r.Seed) }
	for i, r := range runs {
		for _, s := range runs[i+1:] {
			if !measuredOn(r.Result, "omniglot") || !measuredOn(s.Result, "omniglot") {
				continue
			}
			for _, c := range Compare(r.Result, s.Result) {
				if c.Why == "" && c.A.Protocol.Shot > 0 {
					test := c.A.Name + ", " + c.A.Protocol.Norm
					if n := c.A.Protocol.FineTune; n > 0 {
						test += fmt.Sprintf(", %d steps of fine-tuning", n)
					}
					for _, how := range slices.Compact([]string{c.A.Protocol.Adapted, c.B.Protocol.Adapted}) {
						if how != "" {
							test += ", " + how
						}
					}
					t.Add(table.Say(test), label(r), label(s), table.Sayf("%+.2f", c.Difference).With(beside(2, c.Interval)))
				}
			}
		}
	}
	if t.Rows == nil {
		return nil
	}
	return []table.Part{
		table.Heading("Paired differences"),
		table.Say("Between runs that were tested on the same episodes: the mean over the episodes of the first's accuracy less the\n" +
			"second's, with its 95 % interval. Where that leaves out zero, the two differ."),
		t,
	}
}
