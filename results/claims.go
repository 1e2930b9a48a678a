package results

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// The statuses of a [Claim].
const (
	Reached      = "reached"
	Below        = "below"
	NotRun       = "not run"
	NoExperiment = "no experiment" // of a method that no experiment file is for
)

// fileChanged is the note of a claim that was measured with another configuration than the file's.
const fileChanged = "the file has changed since"

// Claim is a published figure with what was measured of it. Its status is computed from results.
//
// A figure is reached where it is not better than ours by more than both 95 % intervals together. Ours is the mean over seeds with
// its interval by Student's t, and of one seed the figure with its interval over test examples; for questions about stories it is
// the seed that is chosen by its training error, as the paper chooses. A cost that was read off a plot, such as "0.5 to 1" bits,
// counts with its upper end, and "near 0" with the bound under which a task is solved. Where an optimal estimator is known, what is
// above its cost counts, since the paper's sequences are not ours.
//
// Instances that a method can only guess are no claims.
type Claim struct {
	Page      string   `json:"page"`
	Method    string   `json:"method"`
	Figure    string   `json:"figure"`
	Metric    string   `json:"metric"`
	Published string   `json:"published"`
	Source    string   `json:"source"`
	Status    string   `json:"status"`
	Ours      *float64 `json:"ours,omitempty"`
	Half      float64  `json:"half,omitempty"` // of the 95 % interval; 0 for none
	Seeds     int      `json:"seeds"`
	// Note says what is to be known of the status: that the file has changed since, or that the data are of another edition.
	Note string `json:"note,omitempty"`
	// Explained says what shows why ours is below; empty for other statuses.
	Explained  string `json:"explained,omitempty"`
	Experiment string `json:"experiment,omitempty"`
	File       string `json:"file,omitempty"`
	// CoreMinutes is what training one seed costs, 0 where that is unknown; CostOf is another experiment that it was estimated from.
	CoreMinutes float64 `json:"core_minutes,omitempty"`
	CostOf      string  `json:"cost_of,omitempty"`
}

// Cost is the cost in words: "58", "≈ 40 (protonet-lake)" or "unknown".
func (c Claim) Cost() string {
	switch {
	case c.CoreMinutes == 0:
		return "unknown"
	case c.CostOf != "":
		return fmt.Sprintf("≈ %.0f (%s)", c.CoreMinutes, c.CostOf)
	}
	return fmt.Sprintf("%.0f", c.CoreMinutes)
}

// ExperimentFile is an experiment file as a run would take it.
type ExperimentFile struct {
	Path, Name, Network string
	Config              string // the whole configuration as YAML
}

// claim is a published figure, how its experiments are known, and how ours is taken from one.
type claim struct {
	Claim
	published float64
	half      float64 // of the published interval
	edition   string  // of the data, where it matters
	covers    func(Experiment) bool
	measure   func(Experiment) (Estimate, *Figure)
}

// Claims are the published figures of all pages, in the order of published.yaml, with their status by the runs. Files are the
// experiment files that could measure them.
func (all *Publications) Claims(runs []Run, files []ExperimentFile) ([]Claim, error) {
	committed, err := Experiments(runs)
	if err != nil {
		return nil, err
	}
	var could []Experiment
	for _, f := range files {
		e, err := f.experiment()
		if err != nil {
			return nil, err
		}
		could = append(could, e)
	}
	var out []Claim
	for _, p := range all.pages {
		list := forms()[p.Form].claims
		if list == nil {
			continue
		}
		for _, c := range list(p) {
			out = append(out, c.judge(committed, could))
		}
	}
	return out, nil
}

// Claims are those of published.yaml; see [Publications.Claims].
func Claims(runs []Run, files []ExperimentFile) ([]Claim, error) {
	all, err := publications()
	if err != nil {
		return nil, err
	}
	return all.Claims(runs, files)
}

// experiment is the file as an experiment without a result.
func (f ExperimentFile) experiment() (Experiment, error) {
	r := Run{Path: f.Path, Result: &Result{Name: f.Name, Network: f.Network, Config: f.Config}}
	config, err := r.settings()
	return Experiment{Name: f.Name, Label: f.Name, Runs: []Run{r}, config: config}, err
}

// judge finds the experiments of a claim and compares their figures with the published one. Of several experiments the best counts.
func (c *claim) judge(committed, could []Experiment) Claim {
	out := c.Claim
	out.Status = NoExperiment
	var best *Experiment
	for i := range could {
		if c.covers(could[i]) {
			out.Status = NotRun
			if out.File == "" {
				out.File, out.Experiment = could[i].Runs[0].Path, could[i].Name
				out.CoreMinutes, out.CostOf = could[i].cost(committed)
			}
		}
	}
	gap := math.Inf(1) // by which ours is worse
	for i := range committed {
		e := committed[i]
		if !c.covers(e) {
			continue
		}
		over, f := c.measure(e)
		if f == nil {
			continue
		}
		if name := editionOf(e.Runs[0].edition()); c.edition != "" && !name.is(c.edition) {
			out.Note = "run on another edition of the data"
			continue
		}
		worse := c.published - over.Mean
		if lowerIsBetter(c.Metric) {
			worse = -worse
		}
		if best != nil && worse >= gap {
			continue
		}
		gap, best = worse, &committed[i]
		out.Ours, out.Half, out.Seeds, out.Note = &over.Mean, over.Half, len(e.Runs), ""
		out.Status = Reached
		if worse > over.Half+c.half+1e-9 {
			out.Status = Below
		}
	}
	if out.Status != Below {
		out.Explained = ""
	}
	if best == nil {
		return out
	}
	out.Experiment, out.File = best.Name, ""
	file := slices.IndexFunc(could, func(e Experiment) bool { return e.Name == best.Name })
	if file >= 0 {
		out.File = could[file].Runs[0].Path
		if could[file].differs(*best) {
			out.Note = fileChanged
		}
	}
	if out.CoreMinutes, out.CostOf = best.coreMinutes(), ""; out.File != "" {
		out.CoreMinutes, out.CostOf = could[file].cost(committed)
	}
	return out
}

// differs reports whether a file and an experiment that was run differ in a key that both have. Keys that came later, and what a
// run fills in or decides, do not count.
func (e Experiment) differs(run Experiment) bool {
	for key, value := range e.config {
		if was, ok := run.config[key]; ok && was != value && value != "auto" {
			return true
		}
	}
	return false
}

// coreSeconds is the processor time of training, which of results of older versions is estimated.
func (r *Result) coreSeconds() float64 {
	if t := r.Training.ProcessorSeconds; t > 0 {
		return t
	}
	return r.Training.Seconds * float64(max(1, r.Machine.Threads))
}

// coreMinutes is what training took, the mean over seeds; 0 where nothing was trained in a measurable time.
func (e Experiment) coreMinutes() float64 {
	var sum float64
	for _, r := range e.Runs {
		sum += r.coreSeconds() / 60
	}
	return sum / float64(len(e.Runs))
}

// sizeKeys must be equal for the cost of one experiment to say anything of another's; costKeys tell whether both take about the same
// time for an example.
var (
	sizeKeys = []string{"network.kind", "dataset.kind", "network.encoder.kind", "train.networks"}
	costKeys = []string{"network.encoder.precision", "network.controller.kind", "network.controller.size", "network.controller.layers",
		"network.memory.kind", "network.inner", "network.order"}
)

// examples is how many examples an experiment trains on, in units that two experiments of one network share; 0 where it does not say.
func (e Experiment) examples() float64 {
	n := max(fraction(e.config["train.steps"]), fraction(e.config["train.epochs"]))
	for _, key := range []string{"train.batch", "train.way", "train.samples"} {
		n *= cmp.Or(fraction(e.config[key]), 1)
	}
	return n * cmp.Or(fraction(e.config["train.shot"])+fraction(e.config["train.query"]), 1)
}

// agreeing is how many of some keys have the same value in two experiments.
func (e Experiment) agreeing(o Experiment, keys []string) (n int) {
	for _, key := range keys {
		if o.config[key] == e.config[key] {
			n++
		}
	}
	return n
}

// cost estimates what a seed costs: from the experiment's own runs, or from those of the most similar experiment with the same network
// and data, by the number of training examples. It is 0 where there is neither.
func (e Experiment) cost(committed []Experiment) (minutes float64, of string) {
	closest := -1
	for _, o := range committed {
		if o.Runs[0].Network != e.Runs[0].Network || o.coreMinutes() == 0 {
			continue
		}
		if o.Name == e.Name && !e.differs(o) {
			return o.coreMinutes(), ""
		}
		if e.agreeing(o, sizeKeys) < len(sizeKeys) {
			continue
		}
		all := slices.Collect(maps.Keys(e.config))
		equal := e.agreeing(o, costKeys)*(len(all)+1) + e.agreeing(o, all) // the cost keys decide first
		if ours, theirs := e.examples(), o.examples(); ours > 0 && theirs > 0 && equal > closest {
			closest, minutes, of = equal, o.coreMinutes()*ours/theirs, o.Name
		}
	}
	return minutes, of
}

// claim is a published figure of a method.
func (p *page) claim(m *published, figure string, q *quoted) claim {
	half, _ := strconv.ParseFloat(q.interval, 64)
	return claim{
		Claim:     Claim{Page: p.Name, Method: m.Method, Figure: figure, Metric: p.Metric, Published: q.text, Source: m.source(p), Explained: m.Explained},
		published: q.value, half: half, edition: m.Edition,
		covers: func(e Experiment) bool {
			return m.covers(e) && (p.Dataset == "" || e.config["dataset.kind"] == p.Dataset)
		},
	}
}

// episodeClaims are those of methods in few-shot episodes: as published, fine-tuned, and in the other batch-norm mode.
func (p *page) episodeClaims() (out []claim) {
	for i := range p.Methods {
		m := &p.Methods[i]
		for _, test := range p.Tests {
			add := func(q *quoted, suffix string, tuned bool, is func(way) bool) {
				if q == nil {
					return
				}
				c := p.claim(m, test+suffix, q)
				if covers := c.covers; tuned {
					c.covers = func(e Experiment) bool { return covers(e) && e.tunes() }
				}
				c.measure = func(e Experiment) (Estimate, *Figure) {
					ways := e.Runs[0].ways(p.Dataset, *m)
					at := slices.IndexFunc(ways, is)
					if at < 0 {
						return Estimate{}, nil
					}
					return e.over(func(r *Result) *Figure { return r.figure(test, p.Dataset, ways[at]) })
				}
				out = append(out, c)
			}
			f := m.Figures[test]
			add(f.Published, "", false, func(w way) bool {
				return w.asPublished(*m) && w.fineTune == 0 && w.kind() == m.kind() && strings.HasPrefix(w.adapted, m.Head)
			})
			add(f.FineTuned, ", fine-tuned", true, func(w way) bool { return w.asPublished(*m) && w.fineTune > 0 })
			add(f.OtherNorm, ", the other batch-norm mode", false, func(w way) bool { return w.norm != m.Norm && w.rotations == m.Rotations && w.fineTune == 0 })
		}
	}
	return out
}

// tunes reports whether a test of an experiment's configuration fine-tunes the network.
func (e Experiment) tunes() bool {
	for key, value := range e.config {
		if strings.HasPrefix(key, "test.") && strings.HasSuffix(key, ".fine_tune.steps") && value != "0" {
			return true
		}
	}
	return false
}

// instanceClaims are those of figures by instance of a class.
func (p *page) instanceClaims() (out []claim) {
	for i := range p.Methods {
		m := &p.Methods[i]
		of := publishedTable{Labels: m.Labels, Way: m.Way}
		for _, k := range p.Instances {
			q := m.Figures[ordinal(k)].Published
			guessed := slices.ContainsFunc(p.Tables, func(t publishedTable) bool { return t.Labels == m.Labels && t.Way == m.Way && k <= t.Guessed })
			if q == nil || guessed {
				continue
			}
			c := p.claim(m, fmt.Sprintf("%s labels, %d classes, %s instance", m.Labels, m.Way, ordinal(k)), q)
			covers := c.covers
			c.covers = func(e Experiment) bool {
				way := strconv.Itoa(m.Way)
				return covers(e) && e.config["labels.kind"] == m.Labels && e.config["train.way"] == way && e.tests("way", way)
			}
			c.measure = func(e Experiment) (Estimate, *Figure) {
				return e.over(func(r *Result) *Figure { return r.instance(p.Dataset, of, k) })
			}
			out = append(out, c)
		}
	}
	return out
}

// tests reports whether a test of an experiment's configuration has a value.
func (e Experiment) tests(key, value string) bool {
	for i := 0; ; i++ {
		prefix := fmt.Sprintf("test.%d.", i)
		if e.config[prefix+key] == value {
			return true
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(e.config)), func(k string) bool { return strings.HasPrefix(k, prefix) }) {
			return false
		}
	}
}

// questionClaims are those of questions about stories: the mean error and the number of failed tasks.
func (p *page) questionClaims() (out []claim) {
	for i := range p.Methods {
		m := &p.Methods[i]
		for _, metric := range []string{Error, Failed} {
			label := map[string]string{Error: "mean", Failed: "failed"}[metric]
			q := m.Figures[label].Published
			if q == nil {
				continue
			}
			c := p.claim(m, label, q)
			c.Metric = metric
			c.measure = func(e Experiment) (Estimate, *Figure) {
				f := chosenRun(e).value(AllTasks, metric)
				if f == nil {
					return Estimate{}, nil
				}
				one := Estimate{N: 1, Mean: f.Value}
				if metric != Failed {
					one.Half = f.estimate().Half
				}
				return one, f
			}
			out = append(out, c)
		}
	}
	return out
}

// oneShotClaims are those of Lake's runs, and of pairs that are verified.
func (p *page) oneShotClaims() (out []claim) {
	for i := range p.Methods {
		m := &p.Methods[i]
		trained := func(e Experiment) bool { return m.covers(e) && (m.Experiment != "" || e.config["train.steps"] != "0") }
		if q := m.Figures[LakeRuns].Published; q != nil {
			c := p.claim(m, LakeRuns, q)
			c.covers = func(e Experiment) bool {
				return trained(e) && (e.Runs[0].lake() != nil || e.tests("kind", "lake-runs"))
			}
			c.measure = func(e Experiment) (Estimate, *Figure) {
				over, f := e.over((*Result).lake)
				over.Mean = 100 - over.Mean // the figure is an accuracy
				return over, f
			}
			out = append(out, c)
		}
		if q := m.Figures[Verification].Published; q != nil {
			c := p.claim(m, Verification, q)
			c.Metric = Accuracy
			c.covers = func(e Experiment) bool { return trained(e) && e.tests("kind", Verification) }
			c.measure = func(e Experiment) (Estimate, *Figure) {
				return e.over(func(r *Result) *Figure { return r.value(Verification, Accuracy) })
			}
			out = append(out, c)
		}
	}
	return out
}

// sequenceClaims are the costs on validation sequences at the end of training.
func (p *page) sequenceClaims() (out []claim) {
	for _, task := range p.Tasks {
		for _, m := range task.Models {
			if m.Bits == "" {
				continue
			}
			_, last, _ := strings.Cut(m.Bits, " to ")
			bound, err := strconv.ParseFloat(cmp.Or(last, m.Bits), 64)
			if err != nil {
				bound = task.Solved // "near 0"
			}
			c := claim{
				Claim: Claim{
					Page: p.Name, Method: m.Model, Figure: task.Title + ", training", Metric: Bits, Published: m.Bits, Source: p.Source + ", " + task.Paper,
				},
				published: bound,
				covers:    func(e Experiment) bool { return e.config["dataset.kind"] == task.Task && m.is(e) },
			}
			if task.Optimum > 0 {
				c.published -= task.Optimum
				c.Figure, c.Metric, c.Published = c.Figure+", above the optimum", ExcessBits, fmt.Sprintf("%g", c.published)
			}
			c.measure = func(e Experiment) (Estimate, *Figure) {
				var costs []float64
				for _, r := range e.Runs {
					cost := r.Training.Validation
					if task.Optimum > 0 {
						if cost = aboveOptimum(r); math.IsNaN(cost) {
							continue
						}
					}
					costs = append(costs, cost)
				}
				if costs == nil {
					return Estimate{}, nil
				}
				return Summarize(costs), &e.Runs[0].Figures[0]
			}
			out = append(out, c)
		}
	}
	return out
}

// ClaimsTable shows claims; those of methods without an experiment are left out.
func ClaimsTable(all []Claim) *table.Table {
	t := &table.Table{Name: "claims", Columns: slices.Concat(table.Proses("method"), table.Labels("figure"),
		table.Numbers("published", "Engram", "seeds"), table.Labels("status"), table.Numbers("core-minutes a seed"), table.Labels("command"))}
	for _, c := range all {
		if c.Status == NoExperiment {
			continue
		}
		ours := ""
		if c.Ours != nil {
			ours = fmt.Sprintf("%.2f", *c.Ours)
			if c.Half > 0 {
				ours += fmt.Sprintf(" ± %.2f", c.Half)
			}
		}
		status := c.Status
		if c.Note != "" {
			status += " (" + c.Note + ")"
		}
		t.Add(table.Say(c.Method), table.Say(c.Page+": "+c.Figure), table.Say(c.Published), table.Say(ours), table.Sayf("%d", c.Seeds),
			table.Say(status), table.Say(c.Cost()), table.Say(c.Command()))
	}
	return t
}

// Explanations are lines that say what shows why figures are below, one for each method: "Relation network: ...".
func Explanations(all []Claim) (lines []string) {
	for _, c := range all {
		if line := c.Method + ": " + c.Explained; c.Explained != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// countMeasured is one sentence of the claims that were measured.
func countMeasured(all []Claim) string {
	n := map[string]int{}
	for _, c := range all {
		n[c.Status]++
	}
	return fmt.Sprintf("Of %s that were measured here, %d are reached and %d are below, in these and the other tables. `make reproduce`\n"+
		"lists them one by one, with those not run, the command and the cost of each.", count(n[Reached]+n[Below], "published figure"), n[Reached], n[Below])
}

// Command runs the experiment with its next seed: the first one where the file has changed since the runs.
func (c Claim) Command() string {
	if c.File == "" {
		return ""
	}
	next := c.Seeds + 1
	if c.Note == fileChanged {
		next = 1
	}
	return fmt.Sprintf("engram run %s --seed %d", c.File, next)
}

// CountClaims says how many claims are reached, below and not run: "52 published figures: 30 reached, 12 below, 10 not run".
func CountClaims(all []Claim) string {
	n := map[string]int{}
	for _, c := range all {
		n[c.Status]++
	}
	return fmt.Sprintf("%s with an experiment here: %d reached, %d below, %d not run",
		count(len(all)-n[NoExperiment], "published figure"), n[Reached], n[Below], n[NotRun])
}
