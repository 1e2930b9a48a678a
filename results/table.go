package results

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

//go:embed published.yaml
var publishedText []byte

// publications are what published.yaml holds.
type publications struct {
	Omniglot  []published
	MANN      []published
	Babi      []published
	Lake      []publishedError
	Sequences []publishedTask
	Transfer  []transferScenario
	Metrics   []string // experiments that compare metrics
}

// published is one method, of few-shot classification or of answering questions.
type published struct {
	Network    string
	Experiment string // where the network alone does not tell the method
	Method     string
	Paper      string
	Rotations  string
	Norm       string
	Labels     string // of MANN: one-hot or strings
	Way        int
	Figures    map[string]struct {
		Published float64
		FineTuned float64 `yaml:"fine_tuned"`
		OtherNorm float64 `yaml:"other_norm"` // in the other batch-norm mode
		Reruns    []float64
	}
	Reruns string
}

// of reports whether a result is of the method.
func (p *published) of(r *Result) bool {
	return r.Network == p.Network && (p.Experiment == "" || r.Name == p.Experiment)
}

func readPublished() (*publications, error) {
	var p publications
	d := yaml.NewDecoder(bytes.NewReader(publishedText))
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return nil, fmt.Errorf("results: published.yaml: %w", err)
	}
	return &p, nil
}

// A Run is a result and where it lies.
type Run struct {
	Path string // of its result.json: below the results folder, or as [ReadFolder] was told
	*Result
	metrics []byte // its metrics.jsonl; nil where there is none
	// Drawings are those of its plots folder, but for the learning curve, which metrics are drawn to.
	Drawings []Drawing
}

// Drawing is an SVG that a run has left.
type Drawing struct {
	Name string // of its file, without the ending
	SVG  []byte
}

// drawings reads those of a run folder.
func drawings(dir fs.FS, run string) (out []Drawing, err error) {
	files, err := fs.Glob(dir, path.Join(run, "plots", "*.svg"))
	for _, file := range files {
		name := strings.TrimSuffix(path.Base(file), ".svg")
		if name == "learning-curve" {
			continue
		}
		svg, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		out = append(out, Drawing{name, svg})
	}
	return out, err
}

// Metrics returns how the run learned, by the score of that name; nil where nothing tells.
func (r Run) Metrics(score string) (*Metrics, error) {
	if r.metrics == nil {
		return nil, nil
	}
	m, err := DecodeMetrics(r.metrics, score)
	if err != nil {
		return nil, fmt.Errorf("results: beside %s: %w", r.Path, err)
	}
	return m, nil
}

// ReadRuns reads every result.json below the folder runs of a results folder, in the order of their paths, and the
// metrics.jsonl beside it.
func ReadRuns(dir fs.FS) ([]Run, error) { return readBelow(dir, "runs", "") }

// ErrNoResult is the error of a folder without a result.
var ErrNoResult = errors.New("there is no result.json")

// ReadFolder reads every result.json in a folder and below it, as ReadRuns does.
func ReadFolder(dir string) ([]Run, error) {
	runs, err := readBelow(os.DirFS(dir), ".", dir)
	if err == nil && len(runs) == 0 {
		return nil, fmt.Errorf("results: %s: %w; if its run was interrupted, go on with: engram resume %s", dir, ErrNoResult, dir)
	}
	return runs, err
}

// readBelow reads the runs below a folder; their paths go on from the place where that lies.
func readBelow(dir fs.FS, root, place string) ([]Run, error) {
	var runs []Run
	err := fs.WalkDir(dir, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Base(p) != FileName {
			return err
		}
		shown := filepath.ToSlash(filepath.Join(place, p))
		r, err := read(dir, p, shown)
		if err != nil {
			return err
		}
		metrics, err := fs.ReadFile(dir, path.Join(path.Dir(p), "metrics.jsonl"))
		if errors.Is(err, fs.ErrNotExist) {
			metrics, err = nil, nil
		}
		if err != nil {
			return err
		}
		svgs, err := drawings(dir, path.Dir(p))
		runs = append(runs, Run{shown, r, metrics, svgs})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	return runs, nil
}

// The pages that results generate, in the order in which a reader wants them.
var pages = [...]func([]Run) (*table.Page, error){Omniglot, MANN, NTM, Babi, Lake, Transfer, Stream}

// Pages are the pages that results generate.
func Pages(runs []Run) (out []*table.Page, err error) {
	for _, build := range pages {
		p, err := build(runs)
		if err != nil {
			return nil, err
		}
		if p != nil {
			out = append(out, p)
		}
	}
	if p := others(runs, out); p != nil {
		out = append(out, p)
	}
	return out, nil
}

// Document is a generated file; its path is below the project's top folder.
type Document struct {
	Path string
	Text []byte
}

// Documents returns every file that the results generate, in the order of their paths, but for the README's table; see
// [Readme]. Where speed, which may be nil, was measured, its page is among them.
func Documents(runs []Run, speed *Speed) ([]Document, error) {
	out, err := Plots(runs)
	if err != nil {
		return nil, err
	}
	all, err := Pages(runs)
	if err != nil {
		return nil, err
	}
	add := func(p *table.Page, comment string) {
		out = append(out, Document{"results/" + p.Name + ".md", p.Markdown(comment)})
		for _, t := range p.Tables() {
			if t.Name != "" {
				out = append(out, Document{"paper/tables/" + t.Name + ".tex", t.TeX(comment)})
			}
		}
	}
	for _, p := range all {
		add(p, generated)
	}
	if speed != nil {
		add(speed.Page(), "Generated by `engram table` from results/speed.json. Do not edit.")
	}
	provenance := Provenance(runs)
	out = append(out, Document{"paper/tables/" + provenance.Name + ".tex", provenance.TeX(generated)})
	published, err := Published()
	if err != nil {
		return nil, err
	}
	for _, t := range []*table.Table{Figures(runs), published} {
		text, err := t.CSV()
		if err != nil {
			return nil, err
		}
		out = append(out, Document{"results/csv/" + t.Name + ".csv", text})
	}
	slices.SortFunc(out, func(a, b Document) int { return strings.Compare(a.Path, b.Path) })
	for i, d := range out[1:] {
		if d.Path == out[i].Path {
			return nil, fmt.Errorf("results: two tables are called %s", d.Path)
		}
	}
	return out, nil
}

// Plots are the drawings that the pages show.
func Plots(runs []Run) ([]Document, error) {
	out, err := sequenceCurves(runs)
	if err != nil {
		return nil, err
	}
	stream, err := StreamPlot(runs)
	if err == nil && stream != nil {
		out = append(out, Document{"results/stream.svg", stream})
	}
	return out, err
}

const generated = "Generated by `engram table` from the result.json files below results/runs. Do not edit."

// omniglotFigures are the columns of the Omniglot table.
var omniglotFigures = [...]string{"5-way 1-shot", "20-way 1-shot"}

// Omniglot returns results/omniglot.md: published figures, independent re-runs and ours.
func Omniglot(runs []Run) (*table.Page, error) {
	p := &table.Page{Name: "omniglot", Title: "Few-shot classification on Omniglot"}
	p.Add(table.Say("Accuracy in percent on test classes that were never trained or selected on, with the 95 % interval of the mean over\n" +
		"test episodes. The model is the best on validation classes; test classes are touched once."))
	methods, err := readPublished()
	if err != nil {
		return nil, err
	}
	protocols := &table.Table{Columns: protocolColumns()}
	for _, m := range methods.Omniglot {
		for _, r := range runs {
			if m.of(r.Result) && measuredOn(r.Result, "omniglot") {
				protocols.Add(r.provenance(r.protocols())...)
			}
		}
	}
	var sources []string
	for _, m := range methods.Omniglot {
		source := fmt.Sprintf("%s: %s", m.Method, m.Paper)
		if m.Reruns != "" {
			source += fmt.Sprintf(" (re-runs: %s)", m.Reruns)
		}
		sources = append(sources, source)
	}
	p.Add(omniglotTable(methods.Omniglot, runs, true), protocols, table.Say("Published: "+strings.Join(sources, "; ")+"."))
	metrics, err := metricParts(runs)
	if err != nil {
		return nil, err
	}
	p.Add(metrics...)
	p.Add(differences(runs)...)
	return p, nil
}

// protocolColumns are those of tables that say how figures came about; see provenance.
func protocolColumns() []table.Column {
	return slices.Concat(table.Labels("experiment"), table.Proses("measured under"), table.Labels("commit", "machine"))
}

// provenance is a row that says under what protocol a run was measured, by what code and where.
func (r Run) provenance(protocol string) []table.Text {
	return []table.Text{r.link(), table.Say(protocol), table.Sayf("%.12s", commit(r.Build)), table.Say(machine(r.Machine))}
}

// link is the run's name, which leads to its result.
func (r Run) link() table.Text { return table.Text{table.Linked(r.Name, r.Path)} }

// trainedFor says how long a run was trained.
func (r Run) trainedFor() table.Text {
	return table.Sayf("%d steps, %.0f min", r.Training.Steps, r.Training.Seconds/60)
}

// ours is a figure that we have measured, and its interval.
func ours(digits int, value, interval float64) table.Text {
	return table.Text{{Text: fmt.Sprintf("%.*f", digits, value), Style: table.Bold}, beside(digits, interval)}
}

// beside is the interval of the number before it.
func beside(digits int, interval float64) table.Span {
	return table.Span{Text: fmt.Sprintf(" ± %.*f", digits, interval), Style: table.Aside}
}

// omniglotTable has a row for each way in which a result was measured, or one for each result: the way that is nearest to
// the published one.
func omniglotTable(methods []published, runs []Run, all bool) *table.Table {
	t := &table.Table{Name: "omniglot", Columns: table.Proses("method")}
	for _, f := range omniglotFigures {
		t.Columns = append(t.Columns, table.Numbers(f+": paper", "re-runs", "Engram")...)
	}
	t.Columns = append(t.Columns, slices.Concat(table.Numbers("seed"), table.Proses("training"))...)
	marked := false
	for _, p := range methods {
		for _, r := range runs {
			if !p.of(r.Result) || !measuredOn(r.Result, "omniglot") {
				continue
			}
			for i, w := range r.ways(p) {
				if i > 0 && !all {
					break
				}
				apart := w.rotations != p.Rotations || w.norm != p.Norm
				row := []table.Text{table.Say(p.Method + w.beside(p))}
				for _, name := range omniglotFigures {
					f := r.figure(name, w)
					if f == nil {
						row = append(row, nil, nil, nil)
						continue
					}
					paper, reruns := p.Figures[name].Published, join(p.Figures[name].Reruns)
					if w.fineTune > 0 {
						paper, reruns = p.Figures[name].FineTuned, ""
					} else if i > 0 {
						paper, reruns = 0, ""
						if w == (way{rotations: p.Rotations, norm: w.norm}) && w.norm != p.Norm {
							paper = p.Figures[name].OtherNorm
						}
					}
					cell := ours(2, f.Value, f.Interval)
					if apart && !(i > 0 && paper > 0) {
						cell, marked = cell.With(table.Span{Text: " †", Style: table.Aside}), true
					}
					row = append(row, table.Say(known(paper)), table.Say(reruns), cell)
				}
				t.Add(append(row, table.Sayf("%d", r.Seed), r.trainedFor())...)
			}
		}
	}
	if marked {
		t.Notes = append(t.Notes, table.Say("† measured under other rotations or another batch-norm mode than the published figure."))
	}
	return t
}

// measuredOn reports whether a result was trained and tested on a data set, to reproduce a figure of a paper on few-shot
// episodes.
func measuredOn(r *Result, data string) bool {
	return !streamed(r) && r.lake() == nil && slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Protocol.Dataset == data && f.Protocol.TrainedOn == data })
}

// way is what figures of one name differ in.
type way struct {
	rotations, norm string
	fineTune        int
	adapted         string
}

func (f *Figure) way() way {
	return way{f.Protocol.Rotations, f.Protocol.Norm, f.Protocol.FineTune, f.Protocol.Adapted}
}

// ways lists how a result was measured: first as published, where that is among them, and the others in their order.
func (r *Result) ways(p published) []way {
	var out []way
	for _, f := range r.Figures {
		if w := f.way(); !slices.Contains(out, w) && f.Protocol.Dataset == "omniglot" {
			out = append(out, w)
		}
	}
	published := func(w way) bool { return w.rotations == p.Rotations && w.norm == p.Norm && w.fineTune == 0 }
	if i := slices.IndexFunc(out, published); i > 0 {
		w := out[i]
		out = slices.Insert(slices.Delete(out, i, i+1), 0, w)
	}
	return out
}

// beside tells what sets a way apart from the published one.
func (w way) beside(p published) (text string) {
	if w.norm != p.Norm {
		text += ", " + w.norm
	}
	if w.rotations != p.Rotations {
		text += ", rotations: " + w.rotations
	}
	if w.fineTune > 0 {
		text += fmt.Sprintf(", %d steps of fine-tuning", w.fineTune)
	}
	if w.adapted != "" {
		text += ": " + w.adapted
	}
	return text
}

func (r *Result) figure(name string, w way) *Figure {
	for i, f := range r.Figures {
		if f.Name == name && f.Protocol.Dataset == "omniglot" && f.way() == w {
			return &r.Figures[i]
		}
	}
	return nil
}

// known writes a published figure; zero stands for none.
func known(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", v)
}

// protocols tells all that moves a result's figures, way by way; what else differs between them is listed.
func (r *Result) protocols() string {
	type measured struct {
		way
		classes                  int
		queries, episodes, rates []string
		inner                    []string // steps, of methods that adapt by themselves
	}
	var ways []measured
	for _, f := range r.Figures {
		p := f.Protocol
		if p.Dataset != "omniglot" {
			continue
		}
		i := slices.IndexFunc(ways, func(m measured) bool { return m.way == f.way() })
		if i < 0 {
			i = len(ways)
			ways = append(ways, measured{way: f.way(), classes: p.Classes})
		}
		add := func(list *[]string, v any) {
			if s := fmt.Sprint(v); !slices.Contains(*list, s) {
				*list = append(*list, s)
			}
		}
		add(&ways[i].queries, p.Query)
		add(&ways[i].episodes, p.Episodes)
		add(&ways[i].rates, p.FineTuneRate)
		if p.InnerSteps > 0 {
			add(&ways[i].inner, p.InnerSteps)
		}
	}
	p := r.Figures[0].Protocol
	text := fmt.Sprintf("split %s, between alphabets", p.Split)
	for i, w := range ways {
		separator := ", "
		if i > 0 {
			separator = "; "
		}
		text += fmt.Sprintf("%srotations: %s (%d test classes), batch norm %s, %s queries a class, %s episodes",
			separator, w.rotations, w.classes, w.norm, strings.Join(w.queries, ", "), strings.Join(w.episodes, ", "))
		if w.inner != nil {
			text += fmt.Sprintf(", %s inner steps", strings.Join(w.inner, ", "))
		}
		if w.fineTune > 0 {
			text += fmt.Sprintf(", %d steps of fine-tuning at %s", w.fineTune, strings.Join(w.rates, ", "))
		}
	}
	if p.Adapted != "" {
		return text + "; trained as a classifier, " + p.Precision
	}
	return text + fmt.Sprintf("; trained %d-way %d-shot, %s", p.TrainWay, p.TrainShot, p.Precision)
}

func commit(b Build) string {
	if b.Commit == "" {
		return "unknown"
	}
	return b.Commit
}

func machine(m Machine) string {
	threads := "threads"
	if m.Threads == 1 {
		threads = "thread"
	}
	return fmt.Sprintf("%s, %d %s, %s", m.CPU, m.Threads, threads, m.Device)
}

func join(xs []float64) string {
	var out []string
	for _, x := range xs {
		out = append(out, fmt.Sprintf("%.1f", x))
	}
	return strings.Join(out, ", ")
}

// The README's generated part stands between these.
const (
	readmeBegin = "<!-- results: begin; generated by `engram table` -->\n"
	readmeEnd   = "<!-- results: end -->\n"
)

// Readme returns a README with its result table made anew.
func Readme(readme []byte, runs []Run) ([]byte, error) {
	before, rest, ok := strings.Cut(string(readme), readmeBegin)
	_, after, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		return nil, fmt.Errorf("results: the README lacks the lines %q and %q that its table stands between", readmeBegin, readmeEnd)
	}
	methods, err := readPublished()
	if err != nil {
		return nil, err
	}
	table := omniglotTable(methods.Omniglot, runs, false).Markdown()
	return []byte(before + readmeBegin + "\n" + table + "\n" + readmeEnd + after), nil
}
