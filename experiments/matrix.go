package experiments

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/engram-go/engram/experiments/schema"
	"github.com/engram-go/engram/stream"
)

// maxRuns limits the runs of one file.
const maxRuns = 10_000

// Matrix is the runs of an experiment file: one per combination of its matrix's values, or one without a matrix.
type Matrix struct {
	File string
	Name string   // of the experiment, from the file
	Axes []string // the keys that differ between runs, in the file's order
	// Ranges are the keys for which the file gives a range; its ends stand for it, unless values were drawn by [Tool.Draw].
	Ranges []string
	Runs   []MatrixRun
	// Slurm is what the file says about jobs; its zero value asks for nothing.
	Slurm Slurm
}

// MatrixRun is one run of a [Matrix].
//
// Its experiment has the file's name or, if axes other than the seed distinguish runs, NAME/AXES, as in
// "metrics/way=5,memory=lrua". So runs of one name differ only in their seed, and a sweep into the folder NAME puts a
// run in NAME/AXES/seed-N.
type MatrixRun struct {
	// Name identifies the run in the file: "way=5,memory=lrua,seed=2". It is "" without a matrix.
	Name string
	// Folder is the run's folder relative to its sweep's folder: "way=5,memory=lrua/seed-2", or "seed-2" without
	// other axes.
	Folder string
	// Overrides are those of the matrix, then the given ones. Their text is valid for --set.
	Overrides []schema.Override
	Config    *Config
}

// Matrix reads an experiment file and checks all runs of its matrix. An override of a key of the matrix reduces that
// axis to one value; other overrides apply to every run.
func (t *Tool) Matrix(file string, overrides ...schema.Override) (*Matrix, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("experiment file: %w", err)
	}
	m, err := t.expand(schema.Parse(file, text, os.ReadFile), overrides, nil)
	if err != nil {
		return nil, err
	}
	m.File = file
	return m, nil
}

// Random says how a random search draws from a matrix.
type Random struct {
	Draws int    // experiments to draw, each with all seeds of the matrix
	Seed  uint64 // of the draws; independent of the seeds of runs
}

// Draw is [Tool.Matrix] for a random search: of the file's matrix, the runs are not all combinations but different ones that are
// drawn independently, for each key one of its values or a number of its range (Bergstra and Bengio 2012). All drawn experiments
// have all the seeds of the matrix. There are fewer than asked for where the matrix has no more combinations. With the same seed
// a larger number of draws begins with the same ones.
func (t *Tool) Draw(file string, r Random, overrides ...schema.Override) (*Matrix, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("experiment file: %w", err)
	}
	m, err := t.expand(schema.Parse(file, text, os.ReadFile), overrides, &r)
	if err != nil {
		return nil, err
	}
	m.File = file
	return m, nil
}

// only returns the configuration of a file with one run.
func (m *Matrix) only() (*Config, error) {
	if len(m.Runs) > 1 {
		return nil, fmt.Errorf("%s has a matrix of %d runs: engram sweep %s runs them, --set KEY=VALUE of each of %s picks one",
			m.File, len(m.Runs), m.File, strings.Join(m.Axes, ", "))
	}
	return m.Runs[0].Config, nil
}

// axis is an axis of a matrix.
type axis struct {
	schema.Axis
	name  string // short, and no other axis has it
	fixed bool   // by a given override
}

// coordinate identifies a run's value on an axis.
func (a axis) coordinate(i int) string { return a.name + "=" + a.Values[i].Label() }

func (t *Tool) expand(doc *schema.Document, overrides []schema.Override, random *Random) (*Matrix, error) {
	axes, err := planAxes(doc.Matrix(), overrides)
	count := 1
	for _, a := range axes {
		if random != nil && a.Path != "seed" {
			continue
		}
		if count *= len(a.Values); count > maxRuns {
			err = schema.Join(err, a.Errorf("makes more than %d runs of this file; spread them over several", maxRuns))
			break
		}
	}
	m := &Matrix{}
	for _, a := range axes {
		if a.Range != nil && !a.fixed {
			m.Ranges = append(m.Ranges, a.Path)
		}
	}
	var places [][]int
	switch {
	case err != nil: // of the rest of the file, only the first run's problems are reported
		places = [][]int{make([]int, len(axes))}
	case random == nil:
		for i := range count {
			places = append(places, place(axes, i))
		}
	default:
		if random.Draws*count > maxRuns {
			return nil, fmt.Errorf("%d draws are more than %d runs of this file: draw fewer", random.Draws, maxRuns)
		}
		places = random.draw(axes)
	}
	var found faults
	for i, at := range places {
		run, runErr := t.newRun(doc, axes, at, overrides)
		if runErr != nil {
			found.add(i, runErr)
			continue
		}
		m.Runs = append(m.Runs, run)
	}
	if err = schema.Join(err, found.err(axes, places, random != nil)); err != nil {
		return nil, err
	}
	m.Name = m.Runs[0].Config.experiment
	if s := m.Runs[0].Config.slurm; s != nil {
		m.Slurm = *s
	}
	for _, a := range axes {
		if len(a.Values) > 1 {
			m.Axes = append(m.Axes, a.Path)
		}
	}
	return m, nil
}

// place returns the values of the i-th run; the last axis varies fastest.
func place(axes []axis, i int) []int {
	at := make([]int, len(axes))
	for k, a := range slices.Backward(axes) {
		at[k] = i % len(a.Values)
		i /= len(a.Values)
	}
	return at
}

// draw draws places of the axes, and gives axes with a range the values that were drawn.
func (r *Random) draw(axes []axis) (places [][]int) {
	drawn := map[int][]schema.Override{}
	seeds, searched := 1, false
	for k, a := range axes {
		if a.Path == "seed" {
			seeds = len(a.Values)
		} else if !a.fixed {
			searched = true
		}
		if a.Range != nil && !a.fixed {
			drawn[k] = nil
		}
	}
	found := map[string]bool{}
	// Where nearly all combinations have been drawn, many draws repeat one.
	for i := uint64(0); len(found) < r.Draws && i < 1000*uint64(r.Draws); i++ {
		from := stream.New(r.Seed, "search", i)
		at := make([]int, len(axes))
		var name strings.Builder
		for k := range axes {
			a := &axes[k]
			switch {
			case a.Path == "seed":
				continue
			case a.Range != nil && !a.fixed:
				o := a.Value(a.Range.Draw(from.Float64()))
				at[k] = slices.IndexFunc(drawn[k], func(d schema.Override) bool { return d.Label() == o.Label() })
				if at[k] < 0 {
					at[k], drawn[k] = len(drawn[k]), append(drawn[k], o)
				}
			default:
				at[k] = from.IntN(len(a.Values))
			}
			fmt.Fprintf(&name, "%d ", at[k])
		}
		if found[name.String()] {
			continue
		}
		found[name.String()] = true
		for seed := range seeds {
			at := slices.Clone(at)
			for k, a := range axes {
				if a.Path == "seed" {
					at[k] = seed
				}
			}
			places = append(places, at)
		}
		if !searched {
			break
		}
	}
	for k, values := range drawn {
		axes[k].Values = values
	}
	return places
}

// planAxes checks the axes of a matrix against one another and against the overrides that were given.
func planAxes(of []schema.Axis, overrides []schema.Override) ([]axis, error) {
	var axes []axis
	var errs []error
	for _, a := range of {
		if a.Path == "name" {
			errs = append(errs, a.Errorf("is made of the file's name and the values of a run; leave it out"))
			continue
		}
		if a.Path == "seed" && a.Range != nil {
			errs = append(errs, a.Errorf("want a list of seeds: all drawn experiments are run with the same ones"))
			continue
		}
		for _, b := range axes {
			if within(b.Path, a.Path) {
				errs = append(errs, a.Errorf("replaces %s, which comes before it; put that one last", b.Path))
			}
		}
		labels := map[string]bool{}
		for _, v := range a.Values {
			if labels[v.Label()] {
				errs = append(errs, v.Errorf("two values of the matrix are called %s; leave one out, or write it so that they differ", v.Label()))
			}
			labels[v.Label()] = true
		}
		planned := axis{Axis: a}
		last := -1
		for i, o := range overrides {
			if o.Path() == a.Path {
				planned.Values, planned.fixed, last = []schema.Override{o}, true, i
			}
		}
		for _, o := range overrides[last+1:] {
			if within(a.Path, o.Path()) {
				errs = append(errs, o.Errorf("sets what the matrix varies, %s; set that one, or set it after", a.Path))
			}
		}
		axes = append(axes, planned)
	}
	for i := range axes {
		axes[i].name = shortest(axes, i)
	}
	return axes, schema.Join(errs...)
}

// newRun reads the run with the values at a place of the axes.
func (t *Tool) newRun(doc *schema.Document, axes []axis, at []int, overrides []schema.Override) (MatrixRun, error) {
	var r MatrixRun
	var all, group []string
	for k, a := range axes {
		if !a.fixed {
			r.Overrides = append(r.Overrides, a.Values[at[k]])
		}
		all = append(all, a.coordinate(at[k]))
		if a.Path != "seed" {
			group = append(group, a.coordinate(at[k]))
		}
	}
	r.Overrides = append(r.Overrides, overrides...)
	var err error
	if r.Config, err = t.resolve(doc.Set(r.Overrides...)); err != nil {
		return r, err
	}
	r.Name = schema.Shorten(strings.Join(all, ","), 150)
	r.Folder = fmt.Sprintf("seed-%d", r.Config.Seed)
	if len(group) > 0 {
		name := schema.Shorten(strings.Join(group, ","), 150)
		r.Folder = path.Join(name, r.Folder)
		r.Config.Name += "/" + name
		r.Config.file.Sections().Head.Name = r.Config.Name
	}
	return r, nil
}

// faults collects the problems of many runs without duplicates.
type faults struct {
	order []string
	of    map[string]*fault
	other int // problems that no run kept
}

type fault struct {
	problem schema.Problem
	runs    []int
}

func (f *faults) add(run int, err error) {
	var all *schema.Error
	if !errors.As(err, &all) {
		all = &schema.Error{Problems: []schema.Problem{{Text: err.Error(), Err: err}}}
	}
	f.other = max(f.other, all.Dropped)
	if f.of == nil {
		f.of = map[string]*fault{}
	}
	for _, p := range all.Problems {
		key := p.Error()
		if f.of[key] == nil {
			f.of[key] = &fault{problem: p}
			f.order = append(f.order, key)
		}
		if of := f.of[key]; len(of.runs) == 0 || of.runs[len(of.runs)-1] != run {
			of.runs = append(of.runs, run)
		}
	}
}

// err returns the problems, each with the runs that have it where others do not. Places are those of the runs, and drawn ones are
// not all that there are.
func (f *faults) err(axes []axis, places [][]int, drawn bool) error {
	if len(f.order) == 0 {
		return nil
	}
	all := &schema.Error{Dropped: f.other}
	for _, key := range f.order {
		p := f.of[key].problem
		if runs := f.of[key].runs; len(runs) < len(places) {
			p.Text += " (" + which(axes, places, runs, drawn) + ")"
		}
		all.Problems = append(all.Problems, p)
	}
	return all
}

// which tells some of a matrix's runs by the values that they have in common.
func which(axes []axis, places [][]int, runs []int, drawn bool) string {
	first := places[runs[0]]
	var common, whole []string
	size := 1 // of the block of runs with the common values
	for k, a := range axes {
		whole = append(whole, a.coordinate(first[k]))
		if slices.ContainsFunc(runs, func(run int) bool { return places[run][k] != first[k] }) {
			size *= len(a.Values)
		} else if len(a.Values) > 1 {
			common = append(common, whole[k])
		}
	}
	switch {
	case len(runs) == 1:
		return "run " + strings.Join(whole, ",")
	case len(runs) == size && !drawn:
		return "runs with " + strings.Join(common, ",")
	}
	return fmt.Sprintf("%d runs, the first of them %s", len(runs), strings.Join(whole, ","))
}

// shortest returns the shortest suffix of an axis's key that is unique among the axes.
func shortest(axes []axis, i int) string {
	parts := strings.Split(axes[i].Path, ".")
	for n := len(parts) - 1; n > 0; n-- {
		end := strings.Join(parts[n:], ".")
		index := strings.Trim(parts[n], "0123456789") == "" // of a list
		if !index && !slices.ContainsFunc(axes, func(a axis) bool { return a.Path != axes[i].Path && strings.HasSuffix("."+a.Path, "."+end) }) {
			return end
		}
	}
	return axes[i].Path
}
