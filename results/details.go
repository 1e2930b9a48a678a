package results

import (
	"slices"

	"github.com/engram-go/engram/results/table"
)

// Detail is a table about one figure: its classes, or which of them were confused.
type Detail struct {
	Title string
	Table *table.Table
}

// Up to how many classes a confusion matrix is shown whole, and how many of the most frequent mistakes are shown otherwise.
const (
	matrixClasses = 20
	mistakesShown = 20
)

// Details are the accuracy of each class and the confusion matrix of a figure, where it has them. For more than twenty classes the
// most frequent mistakes replace the matrix.
func (f *Figure) Details() (out []Detail) {
	classes := f.PerClass
	if classes == nil && f.Confusion != nil {
		classes = f.Confusion.PerClass()
	}
	if len(classes) > 0 {
		t := &table.Table{Columns: slices.Concat(table.Labels("class"), table.Numbers("accuracy, %", "correct", "queries"))}
		for _, c := range classes {
			t.Add(table.Say(c.Class), table.Sayf("%.2f", c.Percent()), table.Sayf("%d", c.Right), table.Sayf("%d", c.Queries))
		}
		out = append(out, Detail{"accuracy by class", t})
	}
	switch c := f.Confusion; {
	case c == nil:
	case len(c.Classes) <= matrixClasses:
		t := &table.Table{Columns: slices.Concat(table.Labels("class, predicted as:"), table.Numbers(c.Classes...))}
		for _, truth := range c.Classes {
			row := []table.Text{table.Say(truth)}
			for _, predicted := range c.Classes {
				row = append(row, table.Sayf("%d", c.Count(truth, predicted)))
			}
			t.Add(row...)
		}
		out = append(out, Detail{"confusion matrix", t})
	default:
		t := &table.Table{Columns: slices.Concat(table.Labels("class", "predicted as"), table.Numbers("queries"))}
		mistakes := c.Mistakes()
		for _, m := range mistakes[:min(len(mistakes), mistakesShown)] {
			t.Add(table.Say(m.Truth), table.Say(m.Predicted), table.Sayf("%d", m.Count))
		}
		if t.Rows != nil {
			out = append(out, Detail{"the most frequent mistakes", t})
		}
	}
	return out
}

// classes is the page with the classes of the experiments' headline figures, all seeds together. It is nil where none has any.
func classes(all []Experiment) *table.Page {
	out := &table.Page{Name: "classes", Title: "Classes"}
	out.Add(table.Say("Queries of the test by which each experiment is judged, all seeds together."))
	some := false
	for _, e := range all {
		var sum Figure
		for _, r := range e.Runs {
			if f := r.Headline(); f != nil {
				sum.pool(f)
			}
		}
		for _, d := range sum.Details() {
			some = true
			out.Add(table.Heading(e.Label+", "+e.headlineName()+": "+d.Title), d.Table)
		}
	}
	if !some {
		return nil
	}
	return out
}

// pool adds the counts of classes of another figure.
func (f *Figure) pool(o *Figure) {
	for _, a := range o.PerClass {
		i := slices.IndexFunc(f.PerClass, func(b ClassAccuracy) bool { return b.Class == a.Class })
		if i < 0 {
			f.PerClass = append(f.PerClass, a)
			continue
		}
		f.PerClass[i].Right += a.Right
		f.PerClass[i].Queries += a.Queries
	}
	if o.Confusion == nil {
		return
	}
	if f.Confusion == nil {
		f.Confusion = &Confusion{}
	}
	for _, truth := range o.Confusion.Classes {
		for _, predicted := range o.Confusion.Classes {
			if n := o.Confusion.Count(truth, predicted); n > 0 {
				f.Confusion.add(truth, predicted, n)
			}
		}
	}
}
