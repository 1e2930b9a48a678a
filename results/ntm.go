package results

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

// The metrics of sequences of bits. Those that are not in bits a sequence are shares in percent.
const (
	Bits         = "bits"               // cross-entropy of a sequence's scored outputs
	WrongBits    = "wrong bits"         // outputs on the wrong side of 1/2
	Slipped      = "slipped"            // sequences in which a vector was duplicated or dropped, so that the rest is out of step
	WrongAligned = "wrong bits aligned" // as wrong bits, once the rest is moved back into step
	OptimalBits  = "optimal bits"       // what the optimal estimator pays for the same sequences
	ExcessBits   = "excess bits"        // bits beyond that, sequence by sequence
)

// Unit returns what a figure's value is in: "bits", of a sequence, "tasks", or "%".
func (f *Figure) Unit() string {
	switch f.Metric {
	case Bits, OptimalBits, ExcessBits:
		return "bits"
	case Failed:
		return "tasks"
	}
	return "%"
}

// publishedTask is a sequence task in published.yaml.
type publishedTask struct {
	Task   string // as experiment files name it
	Title  string
	Paper  string  // where in it
	Solved float64 // the validation cost in bits below which a run has solved it; 0 for no such bound
	// Optimal is set where that is a cost above the optimal estimator's.
	Optimal bool
	Models  []publishedModel
}

// bound names the bound.
func (t publishedTask) bound() string {
	if t.Optimal {
		return fmt.Sprintf("within %g bits of the optimum", t.Solved)
	}
	return fmt.Sprintf("under %g %s", t.Solved, plural(t.Solved, "bit"))
}

// publishedModel is what the paper reports of a model on a task. What is read off figures is text.
type publishedModel struct {
	Memory, Controller string
	Bits               string // its cost a sequence
	Sequences          string // after so many
	Tests              map[string]string
}

// is reports whether a result is of this model.
func (m publishedModel) is(r *sequenceRun) bool {
	return m.Memory == r.memory && m.Controller == r.controller
}

// sequenceRun is a run on a sequence task with what its configuration says.
type sequenceRun struct {
	Run
	memory, controller string
	batch              int64
}

// sequenceRuns are the runs on a task, in the order of their paths.
func sequenceRuns(runs []Run, task string) ([]*sequenceRun, error) {
	var out []*sequenceRun
	for _, r := range runs {
		if len(r.Figures) == 0 || r.Figures[0].Protocol.Sequences == 0 || r.Figures[0].Protocol.TrainedOn != task {
			continue
		}
		var c struct {
			Train   struct{ Batch int64 }
			Network struct{ Memory, Controller struct{ Kind string } }
		}
		if err := yaml.Unmarshal([]byte(r.Config), &c); err != nil {
			return nil, fmt.Errorf("results: %s: its config: %w", r.Path, err)
		}
		out = append(out, &sequenceRun{r, c.Network.Memory.Kind, c.Network.Controller.Kind, c.Train.Batch})
	}
	return out, nil
}

// seen is the number of sequences in steps.
func (r *sequenceRun) seen(steps int64) int64 { return steps * r.batch }

// model names a network by its memory and its controller.
func model(memory, controller string) string {
	switch memory {
	case "none":
		return strings.ToUpper(controller) + " without memory"
	case "":
		return "?"
	}
	if controller == "lstm" {
		controller = "LSTM"
	}
	return strings.ToUpper(memory) + ", " + controller + " controller"
}

// experiment is the runs of one experiment file, a seed each.
type experiment struct {
	name string
	runs []*sequenceRun
}

func (e experiment) model() string { return model(e.runs[0].memory, e.runs[0].controller) }

// byExperiment sorts runs by experiment, those of published models first and in their order.
func byExperiment(runs []*sequenceRun, models []publishedModel) (out []experiment) {
	place := func(e experiment) int {
		if i := slices.IndexFunc(models, func(m publishedModel) bool { return m.is(e.runs[0]) }); i >= 0 {
			return i
		}
		return len(models)
	}
	for _, r := range runs {
		i := slices.IndexFunc(out, func(e experiment) bool { return e.name == r.Name })
		if i < 0 {
			i, out = len(out), append(out, experiment{name: r.Name})
		}
		out[i].runs = append(out[i].runs, r)
	}
	slices.SortStableFunc(out, func(a, b experiment) int { return place(a) - place(b) })
	return out
}

// NTM returns results/ntm.md: what the paper reports on its sequence tasks beside what our runs came to, every seed of them.
func NTM(runs []Run) (*table.Page, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	page := &table.Page{Name: "ntm", Title: "Neural Turing Machine"}
	page.Add(table.Say(`Beside the figures of Graves, Wayne and Danihelka 2014, which are of one run each and mostly read off the paper's plots:
the cost of a sequence in bits (cross-entropy of the scored outputs), and the share of outputs on the wrong side of 1/2. A
model is the best on validation sequences of all training sizes; it is tested on fresh sequences of each size. Sizes of
training, and what departs from the paper, are said in the experiment file. A seed's figures are with the 95 % interval of
the mean over sequences; medians are over all seeds, those that fail included. How many sequences it took is when the last
of the seeds that count first got there on validation.`))
	for _, task := range all.Sequences {
		ours, err := sequenceRuns(runs, task.Task)
		if err != nil {
			return nil, err
		}
		if err := taskParts(page, task, byExperiment(ours, task.Models)); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// taskParts adds what there is of a task: the models side by side, their curves, and the tests of every seed.
func taskParts(page *table.Page, task publishedTask, ours []experiment) error {
	t := &table.Table{Name: fileName("ntm", task.Task), Columns: table.Proses("model", "paper", "experiment", "validation, median")}
	if task.Solved > 0 {
		t.Columns = append(t.Columns, table.Proses(task.bound())...)
	}
	t.Columns = append(t.Columns, table.Proses("training")...)
	// notRun adds models of the paper that we have not run.
	notRun := func(models []publishedModel) {
		for _, m := range models {
			cells := []table.Text{table.Say(model(m.Memory, m.Controller)), table.Say(m.paper()), table.Say("not run")}
			for len(cells) < len(t.Columns) {
				cells = append(cells, table.Say(""))
			}
			t.Add(cells...)
		}
	}
	drawn, missing := false, task.Models // in the table's order
	for _, e := range ours {
		if i := slices.IndexFunc(missing, func(m publishedModel) bool { return m.is(e.runs[0]) }); i >= 0 {
			notRun(missing[:i])
			missing = missing[i+1:]
		}
		cells, err := e.summary(task)
		if err != nil {
			return err
		}
		t.Add(cells...)
		drawn = drawn || slices.ContainsFunc(e.runs, func(r *sequenceRun) bool { return r.metrics != nil })
	}
	notRun(missing)
	page.Add(table.Heading(task.Title), table.Sayf("Graves et al. 2014, %s.", task.Paper), t)
	if drawn {
		page.Add(table.Image{Alt: "Learning curves on " + strings.ToLower(task.Title), Path: curvesPath(task.Task)})
	}
	for _, e := range ours {
		page.Add(e.seeds(task)...)
	}
	return nil
}

// summary are the cells of an experiment in the table of models.
func (e experiment) summary(task publishedTask) ([]table.Text, error) {
	validation := fmt.Sprintf("%.3f bits", e.validation())
	if above := median(e.runs, (*sequenceRun).above); !math.IsNaN(above) {
		validation += fmt.Sprintf("; %.2f above the optimal estimator", above)
	}
	paper := ""
	if m := e.published(task); m != nil {
		paper = m.paper()
	}
	cells := []table.Text{table.Say(e.model()), table.Say(paper),
		{table.Linked(e.name, "../experiments/"+e.name+".yaml")}, table.Say(validation)}
	if task.Solved > 0 {
		solved, err := e.solved(task)
		if err != nil {
			return nil, err
		}
		cells = append(cells, table.Say(solved))
	}
	var longest int64
	for _, r := range e.runs {
		longest = max(longest, r.seen(r.Training.Steps))
	}
	minutes := median(e.runs, func(r *sequenceRun) float64 { return r.Training.Seconds / 60 })
	return append(cells, table.Sayf("%d sequences, %.0f min", longest, minutes)), nil
}

func (m publishedModel) paper() string {
	return fmt.Sprintf("%s bits after %s sequences", m.Bits, m.Sequences)
}

// published is what the paper reports of the experiment's model; nil where it reports nothing.
func (e experiment) published(task publishedTask) *publishedModel {
	for _, m := range task.Models {
		if m.is(e.runs[0]) {
			return &m
		}
	}
	return nil
}

// solved says how many seeds have solved a task, and by when the last of them first had.
func (e experiment) solved(task publishedTask) (string, error) {
	var latest, known int64
	n := 0
	for _, r := range e.runs {
		limit := task.Solved
		if task.Optimal {
			if limit += r.Training.Optimum; r.Training.Optimum == 0 { // not recorded: the tests know theirs
				if r.excess() < task.Solved {
					n++
				}
				continue
			}
		}
		if r.Training.Validation >= limit {
			continue
		}
		n++
		m, err := r.Metrics(Bits)
		if err != nil {
			return "", err
		}
		if m == nil {
			continue
		}
		if i := slices.IndexFunc(m.Validation, func(p Point) bool { return p.Score < limit }); i >= 0 {
			latest, known = max(latest, r.seen(m.Validation[i].Step)), known+1
		}
	}
	text := fmt.Sprintf("%d of %d %s", n, len(e.runs), plural(float64(len(e.runs)), "seed"))
	if n > 0 && known == int64(n) {
		text += fmt.Sprintf(" within %d sequences", latest)
	}
	return text, nil
}

// excess is what tests cost beyond the optimal estimator, at most; no number where none tells.
func (r *Result) excess() float64 {
	most := math.NaN()
	for _, f := range r.Figures {
		if f.Metric == ExcessBits && !(f.Value <= most) {
			most = f.Value
		}
	}
	return most
}

// seeds are the tests of an experiment: what the paper has, the median, and every seed.
func (e experiment) seeds(task publishedTask) []table.Part {
	var tests []string
	for _, r := range e.runs {
		for _, f := range r.Figures {
			if !slices.Contains(tests, f.Name) {
				tests = append(tests, f.Name)
			}
		}
	}
	t := &table.Table{Columns: slices.Concat(table.Labels("seed", "validation"), table.Proses(tests...), table.Labels("training", "commit, machine"))}
	// add adds a row whose cells of tests come from a function.
	add := func(seed table.Text, validation string, test func(name string) string, training, made string) {
		cells := []table.Text{seed, table.Say(validation)}
		for _, name := range tests {
			cells = append(cells, table.Say(test(name)))
		}
		t.Add(append(cells, table.Say(training), table.Say(made))...)
	}
	if m := e.published(task); m != nil && len(m.Tests) > 0 {
		add(table.Say("paper"), "", func(name string) string { return m.Tests[name] }, "", "")
	}
	if len(e.runs) > 1 {
		add(table.Say("median"), fmt.Sprintf("%.3f bits", e.validation()), e.median, "", "")
	}
	for _, r := range e.runs {
		add(table.Text{table.Linked(fmt.Sprint(r.Seed), r.Path)},
			fmt.Sprintf("%.3f bits at %d", r.Training.Validation, r.seen(r.Training.BestStep)),
			func(name string) string { return outcome(r.named(name)) },
			fmt.Sprintf("%d sequences, %.0f min", r.seen(r.Training.Steps), r.Training.Seconds/60),
			fmt.Sprintf("%.12s, %s", commit(r.Build), machine(r.Machine)))
	}
	about := table.Text{{Text: e.name + ".", Style: table.Bold}}.Andf(" %s. ", e.runs[0].About).With(command(e.name, " --seed N"))
	return []table.Part{about, t}
}

// validation is the median cost of the best models.
func (e experiment) validation() float64 {
	return median(e.runs, func(r *sequenceRun) float64 { return r.Training.Validation })
}

// above is how far the best model's validation cost is above the optimal estimator's; no number where that is not known.
func (r *sequenceRun) above() float64 {
	if r.Training.Optimum == 0 {
		return math.NaN()
	}
	return r.Training.Validation - r.Training.Optimum
}

// named are the figures of a test.
func (r *Result) named(test string) (out []Figure) {
	for _, f := range r.Figures {
		if f.Name == test {
			out = append(out, f)
		}
	}
	return out
}

// median is what a test came to over all seeds that have it: each figure's median, without an interval.
func (e experiment) median(test string) string {
	var figures []Figure
	for _, f := range e.runs[0].named(test) {
		f.Interval = math.NaN()
		f.Value = median(e.runs, func(r *sequenceRun) float64 {
			for _, g := range r.named(test) {
				if g.Metric == f.Metric {
					return g.Value
				}
			}
			return math.NaN()
		})
		figures = append(figures, f)
	}
	return outcome(figures)
}

// outcome says what a test came to.
func outcome(figures []Figure) string {
	var parts []string
	wrong, slipped := false, false
	for _, f := range figures {
		v := within(f.Value, f.Interval)
		switch f.Metric {
		case Bits:
			parts = append(parts, v+" bits")
		case WrongBits:
			wrong = f.Value > 0
			parts = append(parts, v+" % wrong")
		case Slipped:
			if slipped = f.Value > 0; slipped {
				parts = append(parts, "a vector doubled or dropped in "+v+" %")
			} else if wrong {
				parts = append(parts, "no vector doubled or dropped")
			}
		case WrongAligned:
			if slipped {
				parts = append(parts, v+" % wrong once in step again")
			}
		case ExcessBits:
			parts = append(parts, v+" above the optimal estimator")
		}
	}
	return strings.Join(parts, "; ")
}

// median of what the runs have; what is no number is left out.
func median(runs []*sequenceRun, of func(*sequenceRun) float64) float64 {
	var values []float64
	for _, r := range runs {
		if v := of(r); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

func plural(n float64, of string) string {
	if n == 1 {
		return of
	}
	return of + "s"
}

// within writes a value, and its interval where it has one, with as many digits as say something.
func within(v, half float64) string {
	if v == 0 && (half == 0 || math.IsNaN(half)) {
		return "0"
	}
	digits := 2
	switch v := math.Abs(v); {
	case v >= 10:
		digits = 1
	case v < .1:
		digits = 3
	}
	if math.IsNaN(half) {
		return fmt.Sprintf("%.*f", digits, v)
	}
	return fmt.Sprintf("%.*f ± %.*f", digits, v, digits, half)
}

// curvesPath is where the learning curves on a task are drawn, below the results folder.
func curvesPath(task string) string { return "plots/" + task + ".svg" }

// sequenceCurves draws the learning curves on each task, a line a seed.
func sequenceCurves(runs []Run) ([]Document, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	var out []Document
	for _, task := range all.Sequences {
		ours, err := sequenceRuns(runs, task.Task)
		if err != nil {
			return nil, err
		}
		f := plot.Curves{Title: task.Title + ": cost on validation sequences, a line a seed", X: "sequences seen (thousands)", Y: "cost per sequence (bits)"}
		var longest int64
		var optimal float64
		for _, e := range byExperiment(ours, task.Models) {
			name := fmt.Sprintf("%s (%s)", e.model(), e.name)
			for _, r := range e.runs {
				longest = max(longest, r.seen(r.Training.Steps))
				optimal = max(optimal, r.Training.Optimum) // one for all, on the same sequences
				m, err := r.Metrics(Bits)
				if err != nil {
					return nil, err
				}
				if m == nil {
					continue
				}
				line := plot.Line{Name: name}
				line.X, line.Y = Columns(m.Validation, float64(r.batch)/1000, 1)
				f.Lines = append(f.Lines, line)
			}
		}
		if len(f.Lines) == 0 {
			continue
		}
		if optimal > 0 {
			f.Lines = append(f.Lines, plot.Line{Name: "optimal estimator", X: []float64{0, float64(longest) / 1000}, Y: []float64{optimal, optimal}})
		}
		text, err := plot.SVG(f)
		if err != nil {
			return nil, fmt.Errorf("results: the curves of %s: %w", task.Task, err)
		}
		out = append(out, Document{"results/" + curvesPath(task.Task), text})
	}
	return out, nil
}
