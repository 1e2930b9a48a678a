package results

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

//go:embed published.yaml
var publishedText []byte

// Publications are the pages that results are shown on: for each its data set, its columns and what others have published. A page
// is data, so that results on another data set need an entry in published.yaml and no code. Publications are safe for concurrent
// use.
type Publications struct{ pages []*page }

// page is an entry of published.yaml. Which of the fields a page uses depends on its form.
type page struct {
	Name    string // of its file
	Form    string // its layout; see forms
	Title   string
	About   string // the paragraphs above its tables, separated by empty lines
	Dataset string // of the figures that it shows
	Classes string // how the classes of an episode are drawn, if that needs saying
	Metric  string // of the published figures
	Source  string // of published figures whose method names no paper
	Readme  bool   // the README has its first table

	Tests       []string           // names of figures: the columns
	Datasets    []string           // of full-way tests: the columns, each
	Shots       []int              // with so many examples of a class
	Instances   []int              // of a class: the columns
	Tables      []publishedTable   // of figures by instance
	Methods     []published        // published methods: the rows
	Tasks       []publishedTask    // of sequences
	Scenarios   []scenario         // what was learned where
	Comparisons []publishedCompare // tables of experiments that differ in one thing
	Verified    string             // what is published on pairs
	Rows        []memoryRow        // memories
	Truth       []truthTable       // which settings solve a task
	Columns     []memoryColumn     // what they are compared by
}

// publishedTable is one table of figures by instance.
type publishedTable struct {
	Title, Labels string
	Way           int
	Guessed       int // the number of first instances that a method can only guess, which are no claims
}

// published is one method with its published figures.
type published struct {
	Method string
	// A method covers the experiments that have the name, the network and the settings, as far as they are given.
	Experiment string
	Network    string
	Config     map[string]string // by dotted key
	Head       string            // how the figure's adaptation begins, where a network is measured with several heads

	Encoder string // that of the published model, as pages show it
	// Transductive marks a method that lets the queries of an episode influence one another, other than by batch norm.
	Transductive bool
	Edition      string // of the data, where it matters; see [Protocol]
	Protocol     string // what else affects the published figures

	Paper     string
	Trained   string // what the published model was trained on
	Rotations string
	Norm      string
	Labels    string
	Way       int
	Figures   map[string]publishedFigure // by the figure's name
	Reruns    string                     // who ran the method again
	Explained string                     // what shows why ours is below, where it is
}

// publishedFigure is what is published of one test; what is nil is not published.
type publishedFigure struct {
	Published *quoted
	FineTuned *quoted   `yaml:"fine_tuned"`
	OtherNorm *quoted   `yaml:"other_norm"` // in the other batch-norm mode
	Reruns    []*quoted // in the order of who ran the method again; nil for who did not measure it
}

// quoted is a number as it was published, with its interval if it has one: "55.5 ± 0.7".
type quoted struct {
	value    float64
	interval string // "0.7"; empty where none is published
	text     string
}

// UnmarshalYAML implements [yaml.Unmarshaler].
func (q *quoted) UnmarshalYAML(node *yaml.Node) error {
	value, interval, _ := strings.Cut(node.Value, " ± ")
	for _, number := range []string{value, interval} {
		if _, err := strconv.ParseFloat(number, 64); err != nil && (number != "" || value == "") {
			return fmt.Errorf("line %d: %q is no published figure: write 55.5, or 55.5 ± 0.7", node.Line, node.Value)
		}
	}
	*q = quoted{fraction(value), interval, node.Value}
	return nil
}

// String is the figure as it was published, empty where there is none.
func (q *quoted) String() string {
	if q == nil {
		return ""
	}
	return q.text
}

// publishedCompare is a table of experiments that differ in one thing.
type publishedCompare struct {
	Name, Title, About string
	Row                string   // what differs: the heading of the first column
	Tests              []string // names of figures: the columns
	Rows               []struct{ Label, Experiment string }
}

// covers reports whether an experiment is of the method.
func (p *published) covers(e Experiment) bool {
	if p.Experiment == "" && p.Network == "" && p.Config == nil {
		return false
	}
	if p.Experiment != "" && p.Experiment != e.Name || p.Network != "" && p.Network != e.Runs[0].Network {
		return false
	}
	for key, value := range p.Config {
		if e.config[key] != value {
			return false
		}
	}
	return true
}

// queries says that the queries of an episode influence one another, where they do other than by batch norm.
func (p *published) queries() string {
	if p.Transductive {
		return transductive
	}
	return ""
}

// sources names where the method's figures come from, and who ran it again.
func (p *published) sources(of *page) string {
	text := p.Method
	if p.Encoder != "" {
		text += ", " + p.Encoder
	}
	text += ": " + p.source(of)
	if p.Protocol != "" {
		text += " (" + p.Protocol + ")"
	}
	if p.Reruns != "" {
		text += fmt.Sprintf(" (re-runs: %s)", p.Reruns)
	}
	return text
}

// source is where the method's figures come from.
func (p *published) source(of *page) string {
	if p.Paper == "" {
		return of.Source
	}
	return p.Paper
}

// form is a layout of pages.
type form struct {
	build func(p *page, all []Experiment, own bool) (*table.Page, error)
	// drawings are what the page shows beside its tables; nil for nothing.
	drawings func(p *page, all []Experiment) ([]Document, error)
	// partial is set where an experiment on the page can have figures that the page does not show.
	partial bool
	// claims are the published figures that are compared with ours; nil for none.
	claims func(p *page) []claim
}

// forms are the layouts by the names that published.yaml has for them.
func forms() map[string]form {
	return map[string]form{
		"few-shot episodes":  {build: (*page).episodes, partial: true, claims: (*page).episodeClaims},
		"few-shot benchmark": {build: (*page).benchmark, partial: true, claims: (*page).episodeClaims},
		"full-way tests":     {build: (*page).fullWay, partial: true},
		"instances":          {build: (*page).instances, claims: (*page).instanceClaims},
		"sequence tasks":     {build: (*page).sequences, drawings: (*page).sequenceCurves, claims: (*page).sequenceClaims},
		"question tasks":     {build: (*page).questions, claims: (*page).questionClaims},
		"one-shot runs":      {build: (*page).oneShotRuns, partial: true, claims: (*page).oneShotClaims},
		"transfer scenarios": {build: (*page).scenarios},
		"memory table":       {build: (*page).memories, drawings: (*page).statePlot, partial: true},
		"memory sizes":       {build: (*page).memorySizes, drawings: (*page).memoryPlot},
	}
}

// ReadPublications reads pages in the form of published.yaml. The error names the page and the fault.
func ReadPublications(from io.Reader) (*Publications, error) {
	var file struct{ Pages []*page }
	d := yaml.NewDecoder(from)
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) { // an empty file has no pages
		return nil, fmt.Errorf("results: published pages: %w; results/published.yaml of Engram shows the form", err)
	}
	known, seen := forms(), map[string]bool{}
	for i, p := range file.Pages {
		_, ok := known[p.Form]
		switch {
		case p.Name == "":
			return nil, fmt.Errorf("results: published pages: page %d has no name", i+1)
		case seen[p.Name]:
			return nil, fmt.Errorf("results: published pages: two pages are called %s; rename one", p.Name)
		case !ok:
			return nil, fmt.Errorf("results: published pages: %s: unknown form %q; want one of: %s", p.Name, p.Form,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		seen[p.Name] = true
	}
	return &Publications{file.Pages}, nil
}

// publications are those of published.yaml.
func publications() (*Publications, error) { return ReadPublications(bytes.NewReader(publishedText)) }

// PublicationsWith are the pages of published.yaml and, before them, those of a file in the same form. A page of the file replaces
// the page of the same name.
func PublicationsWith(from io.Reader) (*Publications, error) {
	all, err := publications()
	if err != nil {
		return nil, err
	}
	more, err := ReadPublications(from)
	if err != nil {
		return nil, err
	}
	for _, p := range all.pages {
		if !slices.ContainsFunc(more.pages, func(q *page) bool { return q.Name == p.Name }) {
			more.pages = append(more.pages, p)
		}
	}
	return more, nil
}

// paragraphs adds the page's own text.
func (p *page) paragraphs(to *table.Page) {
	for text := range strings.SplitSeq(strings.TrimSpace(p.About), "\n\n") {
		to.Add(marked(text))
	}
}

// marked is text in which parts between backquotes are code.
func marked(text string) (out table.Text) {
	for i, part := range strings.Split(text, "`") {
		if part == "" {
			continue
		}
		style := table.Plain
		if i%2 == 1 {
			style = table.Code
		}
		out = append(out, table.Span{Text: part, Style: style})
	}
	return out
}

// measuredHere selects the experiments that were trained and tested on the page's data set, and are of few-shot episodes or
// questions: not of streams, and not of Lake's runs.
func (p *page) measuredHere(all []Experiment) (out []Experiment) {
	for _, e := range all {
		r := e.Runs[0].Result
		if streamed(r) || r.lake() != nil {
			continue
		}
		if slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Protocol.Dataset == p.Dataset && f.Protocol.TrainedOn == p.Dataset }) {
			out = append(out, e)
		}
	}
	return out
}

// Published is a table for machines: every published figure, one row each. A figure that was read off a plot is the text
// of published.yaml.
func (all *Publications) Published() *table.Table {
	t := &table.Table{Name: "published"}
	t.Columns = table.Labels("page", "method", "experiment", "figure", "metric", "unit", "kind", "value", "interval", "protocol", "source")
	for _, page := range all.pages {
		for _, m := range page.Methods {
			var protocol []string
			for _, key := range []struct{ name, value string }{
				{"encoder", m.Encoder}, {"queries", m.queries()}, {"trained", m.Trained}, {"rotations", m.Rotations}, {"norm", m.Norm}, {"labels", m.Labels},
				{"edition", m.Edition}, {"protocol", m.Protocol},
			} {
				if key.value != "" {
					protocol = append(protocol, key.name+": "+key.value)
				}
			}
			if m.Way > 0 {
				protocol = append(protocol, fmt.Sprintf("way: %d", m.Way))
			}
			for _, name := range slices.Sorted(maps.Keys(m.Figures)) {
				f, metric := m.Figures[name], page.Metric
				switch name {
				case Failed:
					metric = Failed
				case Verification:
					metric = Accuracy
				}
				add := func(kind string, of *quoted, source string) {
					if of != nil {
						t.Add(values(page.Name, m.Method, m.Experiment, name, metric, unit(metric), kind, of.value, of.interval, strings.Join(protocol, "; "), source)...)
					}
				}
				add("published", f.Published, m.source(page))
				add("published, fine-tuned", f.FineTuned, m.source(page))
				add("published, the other batch-norm mode", f.OtherNorm, m.source(page))
				for _, v := range f.Reruns {
					add("re-run", v, m.Reruns)
				}
			}
		}
		for _, task := range page.Tasks {
			for _, m := range task.Models {
				add := func(figure, value, after string) {
					t.Add(values(page.Name, m.Model, "", task.Task+", "+figure, Bits, unit(Bits), "published", value, "", after, page.Source+", "+task.Paper)...)
				}
				add("training", m.Bits, "sequences: "+m.Sequences)
				for _, test := range slices.Sorted(maps.Keys(m.Tests)) {
					add(test, m.Tests[test], "")
				}
			}
		}
	}
	return t
}

// Published is the table of every figure in published.yaml; see [Publications.Published].
func Published() (*table.Table, error) {
	all, err := publications()
	if err != nil {
		return nil, err
	}
	return all.Published(), nil
}
