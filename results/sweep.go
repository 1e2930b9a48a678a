package results

import (
	"cmp"
	"maps"
	"slices"

	"github.com/engram-go/engram/results/table"
)

// ShowTests says for which experiments of a sweep the test figures are shown.
type ShowTests int

// The choices of test figures. Choosing an experiment by its test figure would be selection on test classes.
const (
	TestsOfNone ShowTests = iota // validation only
	TestsOfBest                  // of the experiment that is best on validation
	TestsOfAll
)

// SweepTable ranks the experiments of a sweep by their validation score, the best first and marked: the mean over seeds with its
// 95 % interval by Student's t and the standard deviation over seeds. Experiments with other validation metrics follow those of
// the first run's. Runs are the results of the sweep; seeds of one experiment are one row. The error names a run whose
// configuration is not valid YAML.
func SweepTable(runs []Run, show ShowTests) (*table.Table, error) {
	all, err := Experiments(runs)
	if err != nil {
		return nil, err
	}
	t := &table.Table{Name: "sweep", Columns: slices.Concat(table.Numbers("rank"), table.Labels("experiment"), table.Numbers("validation"),
		table.Labels("metric"), table.Numbers("seeds"), table.Labels("training"))}
	if len(all) == 0 {
		return t, nil
	}
	metric := all[0].Runs[0].validationMetric()
	slices.SortStableFunc(all, func(a, b Experiment) int {
		of := func(e Experiment) string { return e.Runs[0].validationMetric() }
		if of(a) != of(b) {
			return cmp.Or(other(of(a), metric)-other(of(b), metric), cmp.Compare(of(a), of(b)))
		}
		order := cmp.Compare(b.validationScore().Mean, a.validationScore().Mean)
		if lowerIsBetter(of(a)) {
			return -order
		}
		return order
	})
	var tests []string
	for _, e := range all {
		for _, name := range sweepTests(e) {
			tests = with(tests, name)
		}
	}
	if show == TestsOfNone {
		tests = nil
	}
	t.Columns = append(t.Columns, table.Numbers(tests...)...)
	labels := sweepLabels(all)
	for i, e := range all {
		rank, style := table.Sayf("%d", i+1), table.Plain
		if i == 0 {
			rank, style = table.Text{{Text: "1 (best)", Style: table.Bold}}, table.Bold
		}
		row := []table.Text{rank, {table.Linked(labels[i], e.Runs[0].Path)}, spread(e.validationDigits(), e.validationScore(), style),
			table.Say(e.Runs[0].validationMetric()), e.seedCount(), e.trainedFor()}
		own := sweepTests(e)
		for _, name := range tests {
			j := slices.Index(own, name)
			if j < 0 || i > 0 && show != TestsOfAll {
				row = append(row, nil)
				continue
			}
			f := &e.Runs[0].Figures[j]
			over, _ := e.over(func(r *Result) *Figure { return exactly(f, r) })
			row = append(row, measured(figureDigits(f), over, f, table.Plain))
		}
		t.Add(row...)
	}
	t.Notes = append(t.Notes, table.Say("Ranked by the mean validation score over seeds, ± its 95 % interval by Student's t, s the standard deviation over seeds."))
	if show == TestsOfBest {
		t.Notes = append(t.Notes, table.Say("Test figures are shown only for the experiment that validation selects, so that the choice does not depend on test data."))
	}
	return t, nil
}

func other(metric, first string) int {
	if metric == first {
		return 0
	}
	return 1
}

// sweepTests names the figures of an experiment with their metrics.
func sweepTests(e Experiment) []string {
	names := Distinct(e.Runs[0].Figures)
	for i, f := range e.Runs[0].Figures {
		names[i] += ", " + f.Metric
	}
	return names
}

// sweepLabels name experiments by the settings in which they differ beside their names, or by their labels where none differs.
func sweepLabels(all []Experiment) []string {
	unnamed := make([]Experiment, len(all))
	for i, e := range all {
		unnamed[i].config = maps.Clone(e.config)
		delete(unnamed[i].config, "name")
	}
	labels := distinctSettings(unnamed)
	for i, e := range all {
		if labels[i] == "" {
			labels[i] = e.Label
		}
	}
	return labels
}
