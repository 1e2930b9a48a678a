// Package report writes results as one HTML file that needs no other file: the pages of results, and every run with its figures,
// protocol, learning curve and configuration.
package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

//go:embed report.html
var page string

//go:embed report.css
var style string

//go:embed report.js
var script string

// view is what the template shows.
type view struct {
	Style    template.CSS
	Script   template.JS
	Runs     *grid
	Pages    []section
	Settings []experiment
	Count    string // of runs and figures
}

// section is a page of results. Each of its parts is a heading, a paragraph, a grid or a drawing.
type section struct {
	ID, Title string
	Parts     []part
}

type part struct {
	Heading string
	Text    []span
	Grid    *grid
	Drawing template.HTML
}

// span is a piece of text. Links lead to places in the report only.
type span struct {
	Text  string
	Class string // bold, code or aside
	Link  template.URL
}

// grid is a table.
type grid struct {
	Columns []column
	Rows    [][][]span
	Notes   [][]span
}

// column has the words of its heading, between which lines break.
type column struct {
	Words []string
	Class string
}

// experiment is all runs of one name.
type experiment struct {
	Name, About string
	Drawings    []template.HTML // over seeds
	Runs        []run
}

// run is one run with everything that affects its figures.
type run struct {
	ID      string
	Title   string
	Head    string // its headline figure
	Drawing template.HTML
	Plots   []image
	Figures *grid
	Details []detail
	Facts   []fact
	Config  string
}

// detail is a table about one figure: its classes, or which of them were confused.
type detail struct {
	Title string
	Grid  *grid
}

// image is a drawing from a run folder. It is shown as an image, in which no script can run.
type image struct {
	Name   string
	Data   template.URL
	Raster bool // it has pictures in it, whose colours dark mode must not invert
}

type fact struct{ Name, Value string }

// HTML returns the report on the runs of the project, with everything that is published on their pages.
func HTML(runs []results.Run) ([]byte, error) { return html(runs, results.Pages, results.Plots) }

// OwnHTML returns the report on given runs, such as the user's own: published figures of other methods are left out.
// The pages are those of published.yaml, or other ones if publications is not nil.
func OwnHTML(runs []results.Run, publications *results.Publications) ([]byte, error) {
	build, plots := results.OwnPages, results.Plots
	if publications != nil {
		build, plots = publications.Own, publications.Plots
	}
	return html(runs, func(runs []results.Run) ([]*table.Page, error) {
		pages, err := build(runs)
		if err != nil {
			return nil, err
		}
		return pages[1:], nil // the first is the overview, which the report has itself
	}, plots)
}

// The ways to build the pages of a report and their drawings.
type (
	pageBuilder func([]results.Run) ([]*table.Page, error)
	plotBuilder func([]results.Run) ([]results.Document, error)
)

func html(runs []results.Run, pages pageBuilder, plots plotBuilder) ([]byte, error) {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	w := writer{anchors: anchors(runs)}
	overview, err := results.Overview(runs)
	if err != nil {
		return nil, err
	}
	v := view{Style: template.CSS(style), Script: template.JS(script), Runs: w.grid(overview)}
	if v.Pages, err = w.pages(runs, pages, plots); err != nil {
		return nil, err
	}
	figures := 0
	for _, same := range byName(runs) {
		e, err := w.experiment(same)
		if err != nil {
			return nil, err
		}
		v.Settings = append(v.Settings, e)
		for _, r := range same {
			figures += len(r.Figures)
		}
	}
	v.Count = count(len(runs), "run") + ", " + count(figures, "figure")
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

func count(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}

// writer turns links to results into links to the places of their runs.
type writer struct{ anchors map[string]string } // by path

// anchors are the places of runs, each unlike any other.
func anchors(runs []results.Run) map[string]string {
	out, taken := map[string]string{}, map[string]bool{}
	for _, r := range runs {
		id := fmt.Sprintf("run-%s-%d", slug(r.Name), r.Seed)
		for n := 2; taken[id]; n++ {
			id = fmt.Sprintf("run-%s-%d-%d", slug(r.Name), r.Seed, n)
		}
		out[r.Path], taken[id] = id, true
	}
	return out
}

// slug is a name that can be part of an address.
func slug(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
}

func byName(runs []results.Run) (out [][]results.Run) {
	for _, r := range runs {
		i := slices.IndexFunc(out, func(same []results.Run) bool { return same[0].Name == r.Name })
		if i < 0 {
			i, out = len(out), append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// pages are those that show at least one of the runs.
func (w writer) pages(runs []results.Run, build pageBuilder, plots plotBuilder) (out []section, err error) {
	drawings, err := plots(runs)
	if err != nil {
		return nil, err
	}
	all, err := build(runs)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if !p.LinksTo(func(place string) bool { return w.anchors[place] != "" }) {
			continue
		}
		s := section{ID: p.Name, Title: p.Title}
		for _, of := range p.Parts {
			switch of := of.(type) {
			case table.Heading:
				s.Parts = append(s.Parts, part{Heading: string(of)})
			case table.Text:
				s.Parts = append(s.Parts, part{Text: w.text(of)})
			case *table.Table:
				s.Parts = append(s.Parts, part{Grid: w.grid(of)})
			case table.Image:
				for _, d := range drawings {
					if d.Path == "results/"+of.Path {
						s.Parts = append(s.Parts, part{Drawing: inline(d.Text, of.Alt)})
					}
				}
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func (w writer) text(t table.Text) (out []span) {
	for _, s := range t {
		o := span{Text: s.Text, Class: map[table.Style]string{table.Bold: "bold", table.Code: "code", table.Aside: "aside"}[s.Style]}
		if id := w.anchors[s.Link]; id != "" {
			o.Link = template.URL("#" + id)
		}
		out = append(out, o)
	}
	return out
}

func (w writer) grid(t *table.Table) *grid {
	g := &grid{}
	for _, c := range t.Columns {
		g.Columns = append(g.Columns, column{strings.Fields(c.Name), map[table.Kind]string{table.Number: "number", table.Prose: "prose"}[c.Kind]})
	}
	for _, r := range t.Rows {
		var row [][]span
		for _, cell := range r {
			row = append(row, w.text(cell))
		}
		g.Rows = append(g.Rows, row)
	}
	for _, n := range t.Notes {
		g.Notes = append(g.Notes, w.text(n))
	}
	return g
}

// inline is an SVG as part of the HTML, as wide as its place. It is our own drawing, whose text is escaped already.
func inline(svg []byte, says string) template.HTML {
	_, drawing, _ := strings.Cut(string(svg), "<svg ")
	if i := strings.Index(drawing, "viewBox="); i >= 0 {
		drawing = drawing[i:]
	}
	return template.HTML(`<svg role="img" aria-label="` + template.HTMLEscapeString(says) + `" ` + drawing)
}

// draw draws the learning curves of an experiment; it is empty where there are none.
func draw(e results.Experiment) (template.HTML, error) {
	f, ok, err := e.LearningCurve()
	if err != nil || !ok {
		return "", err
	}
	svg, err := plot.SVG(f)
	if err != nil {
		return "", fmt.Errorf("report: the learning curve of %s: %w", e.Runs[0].Path, err)
	}
	return inline(svg, "Learning curve of "+f.Title), nil
}

// outcome is a figure with its interval and unit.
func outcome(f *results.Figure) table.Text {
	value, aside, _ := strings.Cut(f.Text(), " ")
	if aside != "" {
		aside = " " + aside
	}
	return table.Text{{Text: value, Style: table.Bold}, {Text: aside + " " + f.Unit(), Style: table.Aside}}
}

func commit(r results.Run) table.Text {
	if r.Build.Commit == "" {
		return table.Say("unknown")
	}
	t := table.Sayf("%.12s", r.Build.Commit)
	if r.Build.Modified {
		t = t.And(", modified")
	}
	return t
}

func (w writer) experiment(runs []results.Run) (e experiment, err error) {
	e = experiment{Name: runs[0].Name, About: runs[0].About}
	same, err := results.Experiments(runs)
	if err != nil {
		return e, err
	}
	for _, over := range same {
		if len(over.Runs) < 2 {
			continue
		}
		drawing, err := draw(over)
		if err != nil {
			return e, err
		}
		e.Drawings = append(e.Drawings, drawing)
	}
	for _, r := range runs {
		one := run{ID: w.anchors[r.Path], Title: fmt.Sprintf("%s, seed %d", r.Name, r.Seed), Config: r.Config}
		if one.Drawing, err = draw(results.Experiment{Label: r.Name, Runs: []results.Run{r}}); err != nil {
			return e, err
		}
		for _, d := range r.Drawings {
			data := "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(d.SVG)
			one.Plots = append(one.Plots, image{strings.ReplaceAll(d.Name, "-", " "), template.URL(data), bytes.Contains(d.SVG, []byte("<image"))})
		}
		if f := r.Headline(); f != nil {
			one.Head = f.Name + ": " + outcome(f).String()
		}
		shared, figures := protocol(r)
		one.Figures = w.grid(figures)
		one.Details = w.details(r)
		t, b, m := r.Training, r.Build, r.Machine
		one.Facts = slices.Concat(shared, []fact{
			{"training", fmt.Sprintf("%s, the best at %d; %s", count(int(t.Steps), "step"), t.BestStep, t.Ended)},
			{"validation", fmt.Sprintf("%.4g", t.Validation)},
			{"parameters", fmt.Sprint(t.Parameters)},
			{"time", fmt.Sprintf("%.1f minutes", t.Seconds/60)},
			{"commit", commit(r).String()},
			{"built with", fmt.Sprintf("%s, LibTorch %s", b.Go, b.LibTorch)},
			{"machine", fmt.Sprintf("%s, %s, %s, %s, %s", m.CPU, count(m.Cores, "core"), count(m.Threads, "thread"), m.Device, m.OS)},
			{"result", r.Path},
		})
		if t.Imported != "" {
			one.Facts = append(one.Facts, fact{"imported from", t.Imported})
		}
		e.Runs = append(e.Runs, one)
	}
	return e, nil
}

// protocol is what all figures of a run have in common, and the table of figures with what differs between them.
func protocol(r results.Run) (shared []fact, figures *table.Table) {
	figures = &table.Table{Columns: slices.Concat(table.Labels("test"), table.Numbers("figure"), table.Labels("metric"))}
	calibrated := slices.ContainsFunc(r.Figures, func(f results.Figure) bool { return f.CalibrationError != nil })
	if calibrated {
		figures.Columns = append(figures.Columns, table.Numbers("calibration error, %")...)
	}
	predicted := slices.ContainsFunc(r.Figures, func(f results.Figure) bool { return f.Predictions != "" })
	if predicted {
		figures.Columns = append(figures.Columns, table.Labels("predictions")...)
	}
	keys := results.ProtocolKeys()
	values := func(f results.Figure) []string { return f.Protocol.Values() }
	var differs []int
	for i, key := range keys {
		one, same := "", true
		for n, f := range r.Figures {
			v := values(f)[i]
			if n == 0 {
				one = v
			}
			same = same && v == one
		}
		switch {
		case !same:
			differs = append(differs, i)
			figures.Columns = append(figures.Columns, table.Labels(strings.ReplaceAll(key, "_", " "))...)
		case one != "":
			shared = append(shared, fact{strings.ReplaceAll(key, "_", " "), one})
		}
	}
	for _, f := range r.Figures {
		row := []table.Text{table.Say(f.Name), outcome(&f), table.Say(f.Metric)}
		if calibrated {
			row = append(row, calibration(f))
		}
		if predicted {
			row = append(row, table.Say(f.Predictions))
		}
		for _, i := range differs {
			row = append(row, table.Say(values(f)[i]))
		}
		figures.Add(row...)
	}
	return shared, figures
}

func calibration(f results.Figure) table.Text {
	if f.CalibrationError == nil {
		return nil
	}
	return table.Sayf("%.2f", *f.CalibrationError)
}

// details are the accuracy of each class and the confusions of every figure that has them.
func (w writer) details(r results.Run) (out []detail) {
	names := results.Distinct(r.Figures)
	for i := range r.Figures {
		for _, d := range r.Figures[i].Details() {
			out = append(out, detail{names[i] + ": " + d.Title, w.grid(d.Table)})
		}
	}
	return out
}
