package results

import (
	"fmt"
	"slices"
	"strings"
)

// Comparison is a test that two results both have.
type Comparison struct {
	A, B *Figure
	// Why says why there is no difference: which keys of the protocol differ, or that scores are missing. It is empty where there
	// is a difference.
	Why string
	// Difference is A's value less B's, and Interval half of its 95 % confidence interval over test examples, from the differences
	// example by example. It is about these two trained models: it does not include the variation of training, so that two runs of
	// one experiment can differ by it. Compare experiments over seeds for a statement on methods; see [CompareExperiments].
	Difference, Interval float64
}

// Compare compares the figures of two results, test by test. Figures of the same test are compared example by example. The
// method may differ: training, precision and adaptation.
func Compare(a, b *Result) []Comparison {
	var out []Comparison
	for i := range a.Figures {
		f := &a.Figures[i]
		g := nearest(f, b)
		if g == nil {
			continue
		}
		c := Comparison{A: f, B: g}
		if differs := f.Protocol.differs(g.Protocol); len(differs) > 0 {
			c.Why = "the protocols differ: " + strings.Join(differs, "; ")
		} else {
			c.pair()
		}
		out = append(out, c)
	}
	return out
}

// nearest is the figure of a result that is of the same name and metric, under the protocol most like that of f; nil where there
// is none.
func nearest(f *Figure, r *Result) (best *Figure) {
	least := 0
	for i := range r.Figures {
		g := &r.Figures[i]
		if g.Name != f.Name || g.Metric != f.Metric {
			continue
		}
		far := len(protocolKeys)*len(f.Protocol.differs(g.Protocol)) + f.Protocol.adaptations(g.Protocol)
		if best == nil || far < least {
			best, least = g, far
		}
	}
	return best
}

// pair takes the difference example by example, or says why it cannot.
func (c *Comparison) pair() {
	a, b := c.A.Scores, c.B.Scores
	switch {
	case a == nil || b == nil:
		c.Why = "the scores were not kept"
		return
	case !a.pairs(b):
		c.Why = "the same protocol, but other examples were drawn by another version of the program"
		return
	}
	differences := a.values()
	for i, v := range b.values() {
		differences[i] -= v
	}
	c.Difference, c.Interval = MeanInterval(differences)
}

// SeedComparison is a test that two experiments both have, compared over seeds.
type SeedComparison struct {
	Name, Metric string
	A, B         Estimate // over all seeds of each experiment
	// Why says why there is no difference; it is empty where there is one.
	Why string
	// Seeds are those that both experiments have. Difference is the estimate over them of A's value less B's with the same seed.
	// With one seed it has no interval.
	Seeds      []uint64
	Difference Estimate
}

// CompareExperiments compares two experiments test by test, paired by seed: runs with the same seed share what the seed decides.
// The interval of the difference is over seeds, by Student's t, so that it includes the variation of training.
func CompareExperiments(a, b Experiment) (out []SeedComparison) {
	if len(a.Runs) == 0 || len(b.Runs) == 0 {
		return nil
	}
	names := Distinct(a.Runs[0].Figures)
	for i := range a.Runs[0].Figures {
		f := &a.Runs[0].Figures[i]
		g := nearest(f, b.Runs[0].Result)
		if g == nil {
			continue
		}
		c := SeedComparison{Name: names[i], Metric: f.Metric}
		ofA := func(r *Result) *Figure { return exactly(f, r) }
		ofB := func(r *Result) *Figure { return exactly(g, r) }
		c.A, _ = a.over(ofA)
		c.B, _ = b.over(ofB)
		var differences []float64
		for _, r := range a.Runs {
			j := slices.IndexFunc(b.Runs, func(o Run) bool { return o.Seed == r.Seed })
			if j < 0 {
				continue
			}
			if left, right := ofA(r.Result), ofB(b.Runs[j].Result); left != nil && right != nil {
				c.Seeds, differences = append(c.Seeds, r.Seed), append(differences, left.Value-right.Value)
			}
		}
		switch differs := f.Protocol.differs(g.Protocol); {
		case len(differs) > 0:
			c.Why, c.Seeds = "the protocols differ: "+strings.Join(differs, "; "), nil
		case len(differences) == 0:
			c.Why = fmt.Sprintf("no seed in common: %s against %s", seedList(a), seedList(b))
		default:
			c.Difference = Summarize(differences)
		}
		out = append(out, c)
	}
	return out
}

// exactly is the figure of a result that is the same measurement as f, nil where there is none.
func exactly(f *Figure, r *Result) *Figure {
	i := slices.IndexFunc(r.Figures, func(g Figure) bool { return g.Name == f.Name && g.Metric == f.Metric && g.Protocol == f.Protocol })
	if i < 0 {
		return nil
	}
	return &r.Figures[i]
}

func seedList(e Experiment) string {
	var seeds []string
	for _, r := range e.Runs {
		seeds = append(seeds, fmt.Sprint(r.Seed))
	}
	return strings.Join(seeds, ", ")
}
