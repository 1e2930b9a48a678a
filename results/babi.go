package results

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

// The metrics of questions about stories.
const (
	Error     = "error"     // questions answered wrongly, in percent
	Attention = "attention" // questions for which the strongest sentence is one that the answer follows from, in percent
	Failed    = "failed"    // tasks with more than 5 % errors
)

// The figures that are not a task's, by name.
const (
	AllTasks   = "all tasks"
	OnTraining = "training questions"
)

// Babi returns results/babi.md: the error on every bAbI task beside published ones, for each experiment the seed with the
// lowest training error and what all of its seeds do.
func Babi(runs []Run) (*table.Page, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	page := &table.Page{Name: "babi", Title: "Memory Networks on bAbI"}
	page.Add(table.Say(`Error in percent on the test questions of each task. "Chosen" is the seed with the lowest error on its training questions,
which is how the paper chooses among ten; it comes with the 95 % interval of the mean over test questions. "All seeds" is the
mean and the standard deviation over the seeds, which no paper gives. A task has failed above 5 %. "Attention" is how often
the sentence with the largest weight of all hops is one that the answer follows from, in the chosen run. The model of a run
is the best on validation stories, which are taken out of the training file; test questions are touched once.`),
		table.Say("The edition of the data stands below each table. ").With(table.Span{Text: "tasks_1-20_v1-2", Style: table.Code}).
			And(" is the authors' release, which all published figures\nare on. ").With(table.Span{Text: "tasks_1-20", Style: table.Code}).
			And(` comes from their generator as it is now: words, story lengths and the balance of answers differ
from the release, so that figures on it and published ones are not of the same test.`))
	var names []string
	byName := map[string][]Run{}
	for _, r := range runs {
		if !r.babi() {
			continue
		}
		if byName[r.Name] == nil {
			names = append(names, r.Name)
		}
		byName[r.Name] = append(byName[r.Name], r)
	}
	for _, name := range names {
		var beside published
		for _, p := range all.Babi {
			if p.Experiment == name {
				beside = p
			}
		}
		if err := babiParts(page, byName[name], beside); err != nil {
			return nil, err
		}
	}
	return page, nil
}

func (r *Result) babi() bool { return measuredOn(r, "babi") }

// value returns a figure by name and metric.
func (r *Result) value(name, metric string) (Figure, bool) {
	i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name && f.Metric == metric })
	if i < 0 {
		return Figure{}, false
	}
	return r.Figures[i], true
}

func babiParts(page *table.Page, runs []Run, published published) error {
	chosen := runs[0]
	least, _ := chosen.value(OnTraining, Error)
	for _, r := range runs[1:] {
		if f, ok := r.value(OnTraining, Error); ok && f.Value < least.Value {
			chosen, least = r, f
		}
	}
	t := &table.Table{Name: fileName(chosen.Name), Columns: slices.Concat(table.Labels("task"),
		table.Numbers("paper", "re-runs", "chosen", "all seeds", "attention"))}
	add := func(f Figure, attention string) {
		label := f.Name
		if f.Name == AllTasks {
			label = map[string]string{Error: "mean", Failed: "failed"}[f.Metric]
		}
		paper := ""
		if published.Paper != "" {
			paper = one(published, label)
		}
		var over []float64
		for _, r := range runs {
			if of, ok := r.value(f.Name, f.Metric); ok {
				over = append(over, of.Value)
			}
		}
		value := ours(1, f.Value, f.Interval)
		if f.Metric == Failed {
			value = table.Text{{Text: fmt.Sprintf("%.0f", f.Value), Style: table.Bold}}
		}
		spread := table.Say("")
		if len(over) > 1 {
			mean, std := stat.MeanStdDev(over, nil)
			spread = table.Sayf("%.1f", mean).With(beside(1, std))
		}
		t.Add(table.Say(label), table.Say(paper), table.Say(join(published.Figures[label].Reruns)), value, spread, table.Say(attention))
	}
	for _, f := range chosen.Figures {
		if f.Name == OnTraining || f.Metric == Attention {
			continue
		}
		attention := ""
		if s, ok := chosen.value(f.Name, Attention); ok && f.Metric == Error {
			attention = fmt.Sprintf("%.0f", s.Value)
		}
		add(f, attention)
	}

	var config struct {
		Train struct {
			Batch  int64
			Epochs int64
		}
	}
	if err := yaml.Unmarshal([]byte(chosen.Config), &config); err != nil {
		return fmt.Errorf("results: %s: its config: %w", chosen.Path, err)
	}
	p := chosen.Figures[0].Protocol
	networks := "One network for all tasks."
	if p.TrainNetworks == "task" {
		networks = "A network a task."
	}
	data := fmt.Sprintf("Data: %s of %s. %s", strings.TrimSuffix(p.Split, ", test"), p.Edition, networks)
	if published.Paper != "" {
		data += fmt.Sprintf(" Paper: %s.", published.Paper)
	}
	if published.Reruns != "" {
		data += fmt.Sprintf(" Re-runs: %s.", published.Reruns)
	}
	seeds := &table.Table{Columns: slices.Concat(table.Labels("seed"), table.Numbers("training error", "mean error", "failed"), table.Labels("training", "commit, machine"))}
	for _, r := range runs {
		training, _ := r.value(OnTraining, Error)
		mean, _ := r.value(AllTasks, Error)
		failed, _ := r.value(AllTasks, Failed)
		seed := table.Text{table.Linked(fmt.Sprint(r.Seed), r.Path)}
		if r.Path == chosen.Path {
			seed = seed.And(", chosen")
		}
		seeds.Add(seed, table.Sayf("%.2f", training.Value), table.Sayf("%.1f", mean.Value), table.Sayf("%.0f", failed.Value),
			table.Sayf("%d parameters, %d epochs, %.0f min", r.Training.Parameters, config.Train.Epochs, r.Training.Seconds/60),
			table.Sayf("%.12s, %s", commit(r.Build), machine(r.Machine)))
	}
	page.Add(table.Heading(chosen.Name), table.Sayf("%s. ", chosen.About).With(command(chosen.Name, " --seed N")), t, table.Say(data), seeds)
	return nil
}

// one is a published figure, or nothing.
func one(p published, name string) string {
	f, ok := p.Figures[name]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%.1f", f.Published)
}
