package experiments

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/engram-go/engram/experiments/schema"
)

// maxRuns bounds what one file stands for.
const maxRuns = 10_000

// Matrix is an experiment file as the runs that it stands for: as many as its matrix has combinations of values, and one
// where it has none.
type Matrix struct {
	File string
	Name string   // of the experiment, as the file has it
	Axes []string // the keys that differ between runs, in the file's order
	Runs []MatrixRun
	// Slurm is what the file says about jobs; its zero value asks for nothing.
	Slurm Slurm
}

// MatrixRun is one run of a [Matrix].
//
// Its experiment is called what the file's is called, and where axes other than the seed tell runs apart NAME/AXES, as in
// "metrics/way=5,memory=lrua". So the runs of one name differ in their seed alone, and NAME/AXES/seed-N is where a sweep
// into the folder NAME leaves a run.
type MatrixRun struct {
	// Name tells the run from the file's others: "way=5,memory=lrua,seed=2". It is "" where the file has no matrix.
	Name string
	// Folder is the run's place below its sweep's folder: "way=5,memory=lrua/seed-2", or "seed-2" without other axes.
	Folder string
	// Overrides are those of the matrix and then those that were given. As text they are valid for --set.
	Overrides []schema.Override
	Config    *Config
}

// Matrix reads an experiment file and all runs of its matrix, and checks them as a whole. An override of a key of the
// matrix leaves of that axis the one value; others are laid over every run.
func (t *Tool) Matrix(file string, overrides ...schema.Override) (*Matrix, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("experiment file: %w", err)
	}
	m, err := t.expand(schema.Parse(file, text, os.ReadFile), overrides)
	if err != nil {
		return nil, err
	}
	m.File = file
	return m, nil
}

// only returns the configuration of a file that stands for one run.
func (m *Matrix) only() (*Config, error) {
	if len(m.Runs) > 1 {
		return nil, fmt.Errorf("%s has a matrix of %d runs: engram sweep %s runs them, --set KEY=VALUE of each of %s picks one",
			m.File, len(m.Runs), m.File, strings.Join(m.Axes, ", "))
	}
	return m.Runs[0].Config, nil
}

// axis is an axis of a matrix as runs go by it.
type axis struct {
	schema.Axis
	name  string // short, and no other axis has it
	fixed bool   // by an override that was given
}

// coordinate tells which of the axis's values a run has.
func (a axis) coordinate(i int) string { return a.name + "=" + a.Values[i].Label() }

func (t *Tool) expand(doc *schema.Document, overrides []schema.Override) (*Matrix, error) {
	axes, err := planAxes(doc.Matrix(), overrides)
	count := 1
	for _, a := range axes {
		if count *= len(a.Values); count > maxRuns {
			err = schema.Join(err, a.Errorf("makes more than %d runs of this file; spread them over several", maxRuns))
			break
		}
	}
	if err != nil { // of the rest of the file, only the first run's problems are reported
		count = min(count, 1)
	}
	m := &Matrix{}
	var found faults
	for i := range count {
		at := place(axes, i)
		run, runErr := t.newRun(doc, axes, at, overrides)
		if runErr != nil {
			found.add(i, runErr)
			continue
		}
		m.Runs = append(m.Runs, run)
	}
	if err = schema.Join(err, found.err(axes, count)); err != nil {
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

// place gives the values of the i-th run: the last axis is the fastest.
func place(axes []axis, i int) []int {
	at := make([]int, len(axes))
	for k, a := range slices.Backward(axes) {
		at[k] = i % len(a.Values)
		i /= len(a.Values)
	}
	return at
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

// newRun reads the run that has the values at a place of the axes.
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

// faults are the problems of many runs, each kept once.
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

// err returns the problems, each with the runs that have it where others do not.
func (f *faults) err(axes []axis, count int) error {
	if len(f.order) == 0 {
		return nil
	}
	all := &schema.Error{Dropped: f.other}
	for _, key := range f.order {
		p := f.of[key].problem
		if runs := f.of[key].runs; len(runs) < count {
			p.Text += " (" + which(axes, runs) + ")"
		}
		all.Problems = append(all.Problems, p)
	}
	return all
}

// which tells some of a matrix's runs by the values that they have in common.
func which(axes []axis, runs []int) string {
	first := place(axes, runs[0])
	var common, whole []string
	size := 1 // of the block of runs with the common values
	for k, a := range axes {
		whole = append(whole, a.coordinate(first[k]))
		if slices.ContainsFunc(runs, func(run int) bool { return place(axes, run)[k] != first[k] }) {
			size *= len(a.Values)
		} else if len(a.Values) > 1 {
			common = append(common, whole[k])
		}
	}
	switch {
	case len(runs) == 1:
		return "run " + strings.Join(whole, ",")
	case len(runs) == size:
		return "runs with " + strings.Join(common, ",")
	}
	return fmt.Sprintf("%d runs, the first of them %s", len(runs), strings.Join(whole, ","))
}

// shortest is as much of the end of an axis's key as no other axis ends in.
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
