package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// oneShotRuns is the page of Lake's 20 one-shot runs: errors, published and ours. It is nil without runs.
func (p *page) oneShotRuns(all []Experiment, own bool) (*table.Page, error) {
	t := &table.Table{Name: p.Name, Columns: slices.Concat(table.Proses("method"), table.Labels("trained on"),
		table.Numbers("published", "Engram", "of 400", "seeds"), table.Labels("training"))}
	protocols := &table.Table{Columns: slices.Concat(table.Labels("run"), table.Proses("measured under", "errors of 20 in runs 1 to 20"),
		table.Labels("commit", "machine"))}
	listed := map[string]bool{}
	add := func(e Experiment, method, published string) {
		listed[e.Label] = true
		over, f := e.over((*Result).lake)
		over.Mean = 100 - over.Mean // the figure is an accuracy
		var wrong float64
		for _, r := range e.Runs {
			one := r.lake()
			if one == nil {
				continue
			}
			each := make([]string, len(one.Errors))
			for i, n := range one.Errors {
				wrong, each[i] = wrong+float64(n)/float64(over.N), fmt.Sprint(n)
			}
			row := r.provenance(fmt.Sprintf("batch norm %s, %s", one.Protocol.Norm, one.Protocol.Precision))
			protocols.Add(slices.Insert(row, 2, table.Say(strings.Join(each, " ")))...)
		}
		t.Add(table.Sayf("%s: ", method).With(e.link()...), table.Say(e.trainedOn()), table.Say(published),
			measured(1, over, f, table.Bold), table.Say(digits(wrong)), e.seedCount(), e.trainedFor())
	}
	tested := slices.DeleteFunc(slices.Clone(all), func(e Experiment) bool { return e.Runs[0].lake() == nil })
	var sources []string
	for i := range p.Methods {
		m := &p.Methods[i]
		var ours []Experiment
		for _, e := range tested {
			// A network covers what was trained; what was not is compared by its own name.
			if m.covers(e) && (m.Experiment != "" || e.Runs[0].Training.Steps > 0) && !listed[e.Label] {
				ours = append(ours, e)
			}
		}
		if own && ours == nil {
			continue
		}
		t.Add(table.Say(m.Method), table.Say(m.Trained), table.Say(known(m.Figures[LakeRuns].Published)), nil, nil, nil, nil)
		sources = append(sources, m.Method+": "+m.source(p))
		for _, e := range ours {
			add(e, "↳ Engram", "")
		}
	}
	for _, e := range tested {
		if !listed[e.Label] {
			add(e, "Engram", "–")
		}
	}
	pairs := verification(all)
	if len(tested) == 0 && pairs == nil {
		return nil, nil
	}
	out := p.newPage()
	out.Add(table.Say(overSeeds))
	if len(tested) > 0 {
		out.Add(t, protocols)
	}
	if pairs != nil {
		out.Add(table.Heading("Verification"), table.Say(strings.TrimSpace(p.Verified)), pairs)
	}
	if len(sources) > 0 {
		out.Add(table.Say("Published: " + strings.Join(sources, "; ") + "."))
	}
	return out, nil
}

// verification has one row for every experiment that verified pairs; it is nil where none did.
func verification(all []Experiment) *table.Table {
	t := &table.Table{Name: "verification", Columns: slices.Concat(table.Labels("experiment"), table.Proses("measured on"),
		table.Numbers("pairs", "accuracy", "seeds"), table.Labels("training"))}
	for _, e := range all {
		for i := range e.Runs[0].Figures {
			f := &e.Runs[0].Figures[i]
			p := f.Protocol
			if p.Pairs == 0 {
				continue
			}
			over, _ := e.over(func(r *Result) *Figure { return exactly(f, r) })
			t.Add(e.link(), table.Sayf("%s, %s, split %s, batch norm %s, %s%s", p.Dataset, fmt.Sprintf("%d test classes", p.Classes), p.Split, p.Norm, p.Precision, e.Runs[0].resized()),
				table.Sayf("%d", p.Pairs), measured(1, over, f, table.Bold), e.seedCount(), e.trainedFor())
		}
	}
	if t.Rows == nil {
		return nil
	}
	return t
}

// lake is the figure on Lake's runs, nil where there is none.
func (r *Result) lake() *Figure {
	for i, f := range r.Figures {
		if f.Name == LakeRuns {
			return &r.Figures[i]
		}
	}
	return nil
}

// trainedOn says which images an experiment was trained on and how they were drawn.
func (e Experiment) trainedOn() string {
	r := e.Runs[0].Result
	if r.Training.Steps == 0 {
		return "nothing"
	}
	p := r.lake().Protocol
	text := p.TrainedOn + " " + p.Split
	if e.config["train.within_alphabet"] == "true" {
		text += ", within alphabets"
	}
	for _, key := range []string{"rotate", "shear", "scale", "shift"} {
		if fraction(e.config["train.distort."+key]) > 0 {
			return text + ", affine distortions"
		}
	}
	return text
}
