package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// Overview is a table with one row for each experiment: its headline figure over seeds and how it was measured. The error names a run
// whose configuration is not valid YAML.
func Overview(runs []Run) (*table.Table, error) {
	all, err := Experiments(runs)
	if err != nil {
		return nil, err
	}
	return summary(all).Tables()[0], nil
}

// summary is the page with one row for each experiment: the mean over seeds of its headline figure.
func summary(all []Experiment) *table.Page {
	t := &table.Table{Name: "experiments", Columns: slices.Concat(table.Proses("experiment"), table.Numbers("figure"), table.Proses("test", "data"),
		table.Numbers("seeds", "validation"), table.Labels("training"))}
	// Where rows would stay empty, the column's width is not worth it; pages of figures have it.
	calibrated := !slices.ContainsFunc(all, func(e Experiment) bool { f := e.Runs[0].Headline(); return f == nil || f.CalibrationError == nil })
	if calibrated {
		t.Columns = slices.Insert(t.Columns, 2, table.Numbers("calibration error, %")...)
	}
	for _, e := range all {
		over, f := e.over((*Result).Headline)
		row := []table.Text{e.link(), nil, nil, nil}
		if f != nil {
			row = []table.Text{e.link(), measured(figureDigits(f), over, f, table.Bold).With(table.Span{Text: " " + f.Unit(), Style: table.Aside}),
				table.Sayf("%s, %s", e.headlineName(), f.Metric), table.Sayf("%s, %s", f.Protocol.Dataset, f.Protocol.Split)}
		}
		if calibrated {
			row = slices.Insert(row, 2, e.calibration((*Result).Headline))
		}
		t.Add(append(row, e.seedCount(), e.validation(), e.trainedFor())...)
	}
	out := &table.Page{Name: "experiments", Title: "Experiments"}
	out.Add(table.Say("The figure by which each experiment is judged.\n"+overSeeds), t)
	return out
}

// headlineName is the name of the headline figure, unlike that of other figures of its metric.
func (e Experiment) headlineName() string {
	r := e.Runs[0]
	head := r.Headline()
	for i := range r.Figures {
		if &r.Figures[i] == head {
			return Distinct(r.Figures)[i]
		}
	}
	return head.Name
}

// calibration is the mean over seeds of a figure's calibration error, nil where no seed has one.
func (e Experiment) calibration(find func(*Result) *Figure) table.Text {
	var values []float64
	for _, r := range e.Runs {
		if f := find(r.Result); f != nil && f.CalibrationError != nil {
			values = append(values, *f.CalibrationError)
		}
	}
	if values == nil {
		return nil
	}
	return spread(2, Summarize(values), table.Plain)
}

// validation is the mean over seeds of the validation score.
func (e Experiment) validation() table.Text {
	return spread(e.validationDigits(), e.validationScore(), table.Plain)
}

// validationDigits is how many digits after the point a validation score is shown with.
func (e Experiment) validationDigits() int {
	return figureDigits(&Figure{Metric: e.Runs[0].validationMetric(), Value: e.validationScore().Mean})
}

func (e Experiment) validationScore() Estimate {
	var values []float64
	for _, r := range e.Runs {
		values = append(values, r.Training.Validation)
	}
	return Summarize(values)
}

// spread is a cell with an estimate over seeds whose single value has no interval of its own.
func spread(digits int, e Estimate, style table.Style) table.Text {
	text := table.Text{{Text: fmt.Sprintf("%.*f", digits, e.Mean), Style: style}}
	if !e.HasInterval() {
		return text
	}
	return text.With(beside(digits, e.Half), table.Span{Text: fmt.Sprintf(" (s %.*f)", digits, e.Deviation), Style: table.Aside})
}

// figureDigits is how many digits after the point a figure is shown with.
func figureDigits(f *Figure) int {
	switch {
	case f.Unit() == unit(Failed):
		return 0
	case f.Unit() == unit(Bits) && f.Value < .1:
		return 3
	}
	return 2
}

// others is the page of the experiments that none of the pages shows, with all of their figures. It is nil where there are none.
// own is set for given runs.
func others(all []Experiment, pages []*table.Page, own bool) *table.Page {
	// Tables of differences list experiments without their figures.
	isDifferences := func(part table.Part) bool {
		t, ok := part.(*table.Table)
		return ok && strings.HasSuffix(t.Name, differencesSuffix)
	}
	shown := func(path string) bool {
		for _, p := range pages {
			figures := &table.Page{Parts: slices.DeleteFunc(slices.Clone(p.Parts), isDifferences)}
			if figures.LinksTo(func(to string) bool { return to == path }) {
				return true
			}
		}
		return false
	}
	t := &table.Table{Name: "others", Columns: slices.Concat(table.Labels("experiment"), table.Numbers("figure"), table.Labels("unit"),
		table.Proses("tested on"), table.Numbers("seeds"), table.Proses("about", "measured under"))}
	calibrated := false
	var rest []Experiment
	for _, e := range all {
		if shown(e.Runs[0].Path) {
			continue
		}
		rest = append(rest, e)
		calibrated = calibrated || slices.ContainsFunc(e.Runs[0].Figures, func(f Figure) bool { return f.CalibrationError != nil })
	}
	if calibrated {
		t.Columns = slices.Insert(t.Columns, 3, table.Numbers("calibration error, %")...)
	}
	for _, e := range rest {
		for i, name := range Distinct(e.Runs[0].Figures) {
			f := &e.Runs[0].Figures[i]
			find := func(r *Result) *Figure { return exactly(f, r) }
			over, _ := e.over(find)
			row := []table.Text{e.link(), measured(figureDigits(f), over, f, table.Bold), table.Say(f.Unit()),
				table.Sayf("%s %s, %s", f.Protocol.Dataset, name, f.Metric), seedCount(over.N), table.Say(e.Runs[0].About), table.Say(f.Protocol.String())}
			if calibrated {
				row = slices.Insert(row, 3, e.calibration(find))
			}
			t.Add(row...)
		}
	}
	if t.Rows == nil {
		return nil
	}
	p := &table.Page{Name: "others", Title: "Other experiments"}
	about := "Experiments that reproduce no published figure."
	if own {
		p.Title, about = "All figures", "All figures of the experiments, except of those that a page above shows in full."
	}
	p.Add(table.Say(about+"\n"+overSeeds), t)
	return p
}
