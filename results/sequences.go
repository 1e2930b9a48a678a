package results

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/engram-go/engram/results/plot"
	"github.com/engram-go/engram/results/table"
)

// publishedTask is a sequence task in published.yaml.
type publishedTask struct {
	Task   string // as experiment files name it
	Title  string
	Paper  string  // where in it
	Solved float64 // the validation cost in bits below which a run has solved it; 0 for no such bound
	// Optimum is what the optimal estimator costs in the paper, whose sequences are others than ours; 0 where there is none. With it,
	// Solved is a cost above the optimal estimator's on the same sequences.
	Optimum float64
	Models  []publishedModel
}

// bound names the bound on the validation cost.
func (t publishedTask) bound() string {
	if t.Optimum > 0 {
		return fmt.Sprintf("within %g bits of the optimum", t.Solved)
	}
	return fmt.Sprintf("under %g %s", t.Solved, plural(t.Solved, "bit"))
}

// publishedModel is what the paper reports of a model on a task. What is read off figures is text.
type publishedModel struct {
	Model     string
	Config    map[string]string // of its experiments, by dotted key
	Bits      string            // its cost per sequence
	Sequences string            // after how many
	Tests     map[string]string
}

// is reports whether an experiment is of this model.
func (m publishedModel) is(e Experiment) bool { return (&published{Config: m.Config}).covers(e) }

// onTask selects the experiments that were trained on a task: those of published models first and in their order.
func (t publishedTask) onTask(all []Experiment) (out []Experiment) {
	for _, e := range all {
		if r := e.Runs[0]; len(r.Figures) > 0 && r.Figures[0].Protocol.Sequences > 0 && r.Figures[0].Protocol.TrainedOn == t.Task {
			out = append(out, e)
		}
	}
	place := func(e Experiment) int {
		if i := slices.IndexFunc(t.Models, func(m publishedModel) bool { return m.is(e) }); i >= 0 {
			return i
		}
		return len(t.Models)
	}
	slices.SortStableFunc(out, func(a, b Experiment) int { return place(a) - place(b) })
	return out
}

// model is the name of the published model that an experiment is of, and otherwise the experiment's own.
func (t publishedTask) model(e Experiment) string {
	if m := t.published(e); m != nil {
		return m.Model
	}
	return e.Label
}

// published is what the paper reports of the experiment's model; nil where it reports nothing.
func (t publishedTask) published(e Experiment) *publishedModel {
	i := slices.IndexFunc(t.Models, func(m publishedModel) bool { return m.is(e) })
	if i < 0 {
		return nil
	}
	return &t.Models[i]
}

// seen is the number of sequences in steps.
func (e Experiment) seen(steps int64) int64 { return steps * number(e.config["train.batch"]) }

// sequences is the page of sequence tasks: what the paper reports beside the results of every seed. It is nil without runs.
func (p *page) sequences(all []Experiment, own bool) (*table.Page, error) {
	out, some := p.newPage(), false
	for _, task := range p.Tasks {
		ours := task.onTask(all)
		if some = some || len(ours) > 0; len(ours) == 0 && own {
			continue
		}
		if err := p.taskParts(out, task, ours, own); err != nil {
			return nil, err
		}
	}
	if !some {
		return nil, nil
	}
	return out, nil
}

// taskParts adds the models on a task side by side, their learning curves, and the tests of every seed.
func (p *page) taskParts(page *table.Page, task publishedTask, ours []Experiment, own bool) error {
	t := &table.Table{Name: fileName(p.Name, task.Task), Columns: table.Proses("model", "paper", "experiment", "validation, median")}
	if task.Solved > 0 {
		t.Columns = append(t.Columns, table.Proses(task.bound())...)
	}
	t.Columns = append(t.Columns, table.Proses("training")...)
	// notRun adds models of the paper that we have not run.
	notRun := func(models []publishedModel) {
		for _, m := range models {
			if own {
				break
			}
			cells := []table.Text{table.Say(m.Model), table.Say(m.paper()), table.Say("not run")}
			for len(cells) < len(t.Columns) {
				cells = append(cells, table.Say(""))
			}
			t.Add(cells...)
		}
	}
	drawn, missing := false, task.Models // in the table's order
	for _, e := range ours {
		if i := slices.IndexFunc(missing, func(m publishedModel) bool { return m.is(e) }); i >= 0 {
			notRun(missing[:i])
			missing = missing[i+1:]
		}
		cells, err := task.summary(e, own)
		if err != nil {
			return err
		}
		t.Add(cells...)
		drawn = drawn || slices.ContainsFunc(e.Runs, func(r Run) bool { return r.metrics != nil })
	}
	notRun(missing)
	page.Add(table.Heading(task.Title), table.Sayf("%s, %s.", p.Source, task.Paper), t)
	if drawn {
		page.Add(table.Image{Alt: "Learning curves on " + strings.ToLower(task.Title), Path: curvesPath(task.Task)})
	}
	for _, e := range ours {
		page.Add(task.seeds(e)...)
	}
	return nil
}

// summary are the cells of an experiment in the table of models.
func (t publishedTask) summary(e Experiment, own bool) ([]table.Text, error) {
	validation := fmt.Sprintf("%.3f bits", median(e.Runs, validation))
	if above := median(e.Runs, aboveOptimum); !math.IsNaN(above) {
		validation += fmt.Sprintf("; %.2f above the optimal estimator", above)
	}
	paper := ""
	if m := t.published(e); m != nil {
		paper = m.paper()
	}
	experiment := table.Text{table.Linked(e.Label, "../experiments/"+e.Name+".yaml")}
	if own { // whose experiment file may be anywhere
		experiment = e.link()
	}
	cells := []table.Text{table.Say(t.model(e)), table.Say(paper), experiment, table.Say(validation)}
	if t.Solved > 0 {
		solved, err := t.solvedBy(e)
		if err != nil {
			return nil, err
		}
		cells = append(cells, table.Say(solved))
	}
	var longest int64
	for _, r := range e.Runs {
		longest = max(longest, e.seen(r.Training.Steps))
	}
	minutes := median(e.Runs, func(r Run) float64 { return r.Training.Seconds / 60 })
	return append(cells, table.Sayf("%s, %.0f min", count(longest, "sequence"), minutes)), nil
}

func (m publishedModel) paper() string {
	return fmt.Sprintf("%s bits after %s sequences", m.Bits, m.Sequences)
}

// solvedBy says how many seeds of an experiment have solved the task, and after how many sequences the last of them first had.
func (t publishedTask) solvedBy(e Experiment) (string, error) {
	var latest, known int64
	n := 0
	for _, r := range e.Runs {
		limit := t.Solved
		if t.Optimum > 0 {
			if limit += r.Training.Optimum; r.Training.Optimum == 0 { // not recorded: the tests know theirs
				if r.excess() < t.Solved {
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
			latest, known = max(latest, e.seen(m.Validation[i].Step)), known+1
		}
	}
	text := fmt.Sprintf("%d of %s", n, count(len(e.Runs), "seed"))
	if n > 0 && known == int64(n) {
		text += fmt.Sprintf(" within %s", count(latest, "sequence"))
	}
	return text, nil
}

// excess is the largest cost of a test above the optimal estimator; NaN where it is not known.
func (r *Result) excess() float64 {
	most := math.NaN()
	for _, f := range r.Figures {
		if f.Metric == ExcessBits && !(f.Value <= most) {
			most = f.Value
		}
	}
	return most
}

// seeds are the tests of an experiment: the paper's, the median, mean and standard deviation over seeds, and every seed.
func (t publishedTask) seeds(e Experiment) []table.Part {
	var tests []string
	for _, r := range e.Runs {
		for _, f := range r.Figures {
			tests = with(tests, f.Name)
		}
	}
	out := &table.Table{Columns: slices.Concat(table.Labels("seed", "validation"), table.Proses(tests...), table.Labels("training", "commit, machine"))}
	// add adds a row whose cells of tests come from a function.
	add := func(seed table.Text, validation string, test func(name string) string, training, made string) {
		cells := []table.Text{seed, table.Say(validation)}
		for _, name := range tests {
			cells = append(cells, table.Say(test(name)))
		}
		out.Add(append(cells, table.Say(training), table.Say(made))...)
	}
	if m := t.published(e); m != nil && len(m.Tests) > 0 {
		add(table.Say("paper"), "", func(name string) string { return m.Tests[name] }, "", "")
	}
	if len(e.Runs) > 1 {
		var scores []float64
		for _, r := range e.Runs {
			scores = append(scores, r.Training.Validation)
		}
		v := Summarize(scores)
		add(table.Say("median"), fmt.Sprintf("%.3f bits", median(e.Runs, validation)), e.median, "", "")
		add(table.Sayf("mean of %d", v.N), fmt.Sprintf("%.3f ± %.3f bits", v.Mean, v.Half), func(name string) string {
			return e.combined(name, func(over Estimate) (float64, float64) { return over.Mean, over.Half })
		}, "", "")
		add(table.Say("standard deviation"), fmt.Sprintf("%.3f bits", v.Deviation), func(name string) string {
			return e.combined(name, func(over Estimate) (float64, float64) { return over.Deviation, math.NaN() })
		}, "", "")
	}
	for _, r := range e.Runs {
		seed := table.Text{table.Linked(fmt.Sprint(r.Seed), r.Path)}
		if len(e.Runs) == 1 {
			seed = seed.And(" (single)")
		}
		add(seed, fmt.Sprintf("%.3f bits at %d", r.Training.Validation, e.seen(r.Training.BestStep)),
			func(name string) string { return outcome(r.named(name)) },
			fmt.Sprintf("%s, %.0f min", count(e.seen(r.Training.Steps), "sequence"), r.Training.Seconds/60),
			fmt.Sprintf("%.12s, %s", commit(r.Build), machine(r.Machine)))
	}
	about := table.Text{{Text: e.Label + ".", Style: table.Bold}}.Andf(" %s. ", e.Runs[0].About).With(command(e.Name, " --seed N"))
	return []table.Part{about, out}
}

// combined is a test over the seeds: for each metric a value and an interval from the estimate over them.
func (e Experiment) combined(test string, of func(Estimate) (value, half float64)) string {
	var figures []Figure
	for _, f := range e.Runs[0].named(test) {
		if f.Metric == Slipped || f.Metric == WrongAligned { // which only tell why outputs of one run are wrong
			continue
		}
		over, _ := e.over(func(r *Result) *Figure { return r.value(f.Name, f.Metric) })
		f.Value, f.Interval = of(over)
		f.Single = math.IsNaN(f.Interval)
		figures = append(figures, f)
	}
	return outcome(figures)
}

// validation is the cost of a run's best model.
func validation(r Run) float64 { return r.Training.Validation }

// aboveOptimum is how far the best model's validation cost is above the optimal estimator's; NaN where that is not known.
func aboveOptimum(r Run) float64 {
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

// median is a test over the seeds: each figure's median, without an interval.
func (e Experiment) median(test string) string {
	var figures []Figure
	for _, f := range e.Runs[0].named(test) {
		f.Value = median(e.Runs, func(r Run) float64 {
			if g := r.value(f.Name, f.Metric); g != nil {
				return g.Value
			}
			return math.NaN()
		})
		f.Interval, f.Single = math.NaN(), true
		figures = append(figures, f)
	}
	return outcome(figures)
}

// outcome says how a test ended.
func outcome(figures []Figure) string {
	var parts []string
	wrong, slipped := false, false
	for _, f := range figures {
		half := f.Interval
		if f.Single {
			half = math.NaN()
		}
		v := within(f.Value, half)
		switch f.Metric {
		case Bits:
			parts = append(parts, v+" bits")
		case WrongBits:
			wrong = f.Value > 0
			parts = append(parts, v+" % wrong")
		case Slipped:
			if slipped = f.Value > 0; slipped {
				parts = append(parts, "a vector duplicated or dropped in "+v+" %")
			} else if wrong {
				parts = append(parts, "no vector duplicated or dropped")
			}
		case WrongAligned:
			if slipped {
				parts = append(parts, v+" % wrong after realignment")
			}
		case ExcessBits:
			parts = append(parts, v+" above the optimal estimator")
		}
	}
	return strings.Join(parts, "; ")
}

// median is the median over runs without those that are NaN; NaN where none is left.
func median(runs []Run, of func(Run) float64) float64 {
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

// within writes a value, and its interval unless that is NaN, with as many digits as its size calls for.
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

// sequenceCurves draws the learning curves on each task, one line per seed.
func (p *page) sequenceCurves(all []Experiment) ([]Document, error) {
	var out []Document
	for _, task := range p.Tasks {
		f := plot.Curves{Title: task.Title + ": cost on validation sequences, one line per seed", X: "sequences (thousands)", Y: "cost per sequence (bits)"}
		var longest int64
		var optimal float64
		for _, e := range task.onTask(all) {
			name := e.Label
			if m := task.published(e); m != nil {
				name = fmt.Sprintf("%s (%s)", m.Model, e.Label)
			}
			for _, r := range e.Runs {
				longest = max(longest, e.seen(r.Training.Steps))
				optimal = max(optimal, r.Training.Optimum) // the same for all, on the same sequences
				m, err := r.Metrics(Bits)
				if err != nil {
					return nil, err
				}
				if m == nil {
					continue
				}
				line := plot.Line{Name: name}
				line.X, line.Y = Columns(m.Validation, float64(e.seen(1))/1000, 1)
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
