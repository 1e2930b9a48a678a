package results

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// questions is the page of tasks of questions: the error on every task beside published ones, for each experiment the seed with
// the lowest training error, and all of its seeds. It is nil without runs.
func (p *page) questions(all []Experiment, own bool) (*table.Page, error) {
	here := p.measuredHere(all)
	if len(here) == 0 {
		return nil, nil
	}
	out := p.newPage()
	for _, e := range here {
		var beside published
		for _, m := range p.Methods {
			if m.covers(e) {
				beside = m
			}
		}
		out.Add(questionParts(e, beside)...)
	}
	return out, nil
}

// value is the figure of a name and metric, nil where there is none.
func (r *Result) value(name, metric string) *Figure {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name && f.Metric == metric })
	if i < 0 {
		return nil
	}
	return &r.Figures[i]
}

// chosenRun is the seed with the lowest error on its training questions.
func chosenRun(e Experiment) Run {
	chosen := e.Runs[0]
	least := chosen.value(OnTraining, Error)
	for _, r := range e.Runs[1:] {
		if f := r.value(OnTraining, Error); f != nil && (least == nil || f.Value < least.Value) {
			chosen, least = r, f
		}
	}
	return chosen
}

// questionParts are the tables of one experiment.
func questionParts(e Experiment, published published) []table.Part {
	chosen := chosenRun(e)
	edition := editionOf(chosen.edition())
	t := &table.Table{Name: fileName(e.Label), Columns: slices.Concat(table.Labels("task"),
		table.Numbers("paper", "re-runs", "chosen", "all seeds", "seeds", "attention"))}
	for i := range chosen.Figures {
		f := &chosen.Figures[i]
		if f.Name == OnTraining || f.Metric == Attention {
			continue
		}
		attention, label, digits := "", f.Name, 1
		if s := chosen.value(f.Name, Attention); s != nil && f.Metric == Error {
			attention = fmt.Sprintf("%.0f", s.Value)
		}
		value := ours(digits, f)
		shown := ""
		if f.Name == AllTasks {
			label = "mean"
			if missing := edition.without(); missing != "" {
				shown = "mean " + missing
			}
		}
		if f.Metric == Failed {
			label, value = "failed", table.Text{{Text: fmt.Sprintf("%.0f", f.Value), Style: table.Bold}}
		}
		spread, n := table.Say(""), 0
		if over, one := e.over(func(r *Result) *Figure { return r.value(f.Name, f.Metric) }); one != nil {
			if n = over.N; n > 1 {
				spread = measured(digits, over, one, table.Plain)
			}
		}
		was := published.Figures[label]
		t.Add(table.Say(cmp.Or(shown, label)), table.Say(known(was.Published)), table.Say(join(was.Reruns)), value, spread, seedCount(n), table.Say(attention))
	}

	of := chosen.Figures[0].Protocol
	networks := "One network for all tasks."
	if of.TrainNetworks == "task" {
		networks = "One network per task."
	}
	data := fmt.Sprintf("Data: %s of %s. %s", strings.TrimSuffix(of.Split, ", test"), of.Edition, networks)
	if missing := edition.without(); missing != "" {
		data += fmt.Sprintf(" Trained and tested %s, whose training file is missing; means are over the others.", missing)
	}
	if published.Edition != "" && !edition.is(published.Edition) {
		data += fmt.Sprintf(" The published figures are on %s, another edition.", published.Edition)
	}
	if published.Paper != "" {
		data += fmt.Sprintf(" Paper: %s.", published.Paper)
	}
	if published.Reruns != "" {
		data += fmt.Sprintf(" Re-runs: %s.", published.Reruns)
	}
	seeds := &table.Table{Columns: slices.Concat(table.Labels("seed"), table.Numbers("training error", "mean error", "failed"), table.Labels("training", "commit, machine"))}
	for _, r := range e.Runs {
		cell := func(digits int, name, metric string) table.Text {
			f := r.value(name, metric)
			if f == nil {
				return nil
			}
			return table.Sayf("%.*f", digits, f.Value)
		}
		seed := table.Text{table.Linked(fmt.Sprint(r.Seed), r.Path)}
		if r.Path == chosen.Path {
			seed = seed.And(", chosen")
		}
		seeds.Add(seed, cell(2, OnTraining, Error), cell(1, AllTasks, Error), cell(0, AllTasks, Failed),
			table.Sayf("%s, %s, %.0f min", count(r.Training.Parameters, "parameter"), count(number(e.config["train.epochs"]), "epoch"), r.Training.Seconds/60),
			table.Sayf("%.12s, %s", commit(r.Build), machine(r.Machine)))
	}
	return []table.Part{table.Heading(e.Label), table.Sayf("%s. ", chosen.About).With(command(e.Name, " --seed N")), t, table.Say(data), seeds}
}

// editionOf is the edition of data as a protocol names it: "tasks_1-20_v1-2 without task 3, sha256 ab".
type editionOf string

// is reports whether data are of an edition, whole or in part.
func (e editionOf) is(name string) bool {
	own, _, _ := strings.Cut(string(e), ", sha256 ")
	own, _, _ = strings.Cut(own, " without ")
	return own == name
}

// without says which tasks the data lack, "without task 3"; nothing for a whole edition.
func (e editionOf) without() string {
	own, _, _ := strings.Cut(string(e), ", sha256 ")
	if _, tasks, ok := strings.Cut(own, " without "); ok {
		return "without " + tasks
	}
	return ""
}
