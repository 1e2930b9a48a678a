package results

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"
	"gopkg.in/yaml.v3"
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
func Babi(runs []Run) ([]byte, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(generated + `
# Memory Networks on bAbI

Error in percent on the test questions of each task. "Chosen" is the seed with the lowest error on its training questions,
which is how the paper chooses among ten; it comes with the 95 % interval of the mean over test questions. "All seeds" is the
mean and the standard deviation over the seeds, which no paper gives. A task has failed above 5 %. "Attention" is how often
the sentence with the largest weight of all hops is one that the answer follows from, in the chosen run. The model of a run
is the best on validation stories, which are taken out of the training file; test questions are touched once.

The edition of the data stands below each table. ` + "`tasks_1-20_v1-2`" + ` is the authors' release, which all published figures
are on. ` + "`tasks_1-20`" + ` comes from their generator as it is now: words, story lengths and the balance of answers differ
from the release, so that figures on it and published ones are not of the same test.
`)
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
		if err := babiTable(&b, byName[name], beside); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
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

func babiTable(b *bytes.Buffer, runs []Run, beside published) error {
	chosen := runs[0]
	least, _ := chosen.value(OnTraining, Error)
	for _, r := range runs[1:] {
		if f, ok := r.value(OnTraining, Error); ok && f.Value < least.Value {
			chosen, least = r, f
		}
	}
	fmt.Fprintf(b, "\n## %s\n\n%s. `engram run experiments/%s.yaml --seed N`\n\n", chosen.Name, chosen.About, chosen.Name)
	b.WriteString("| task | paper | re-runs | chosen | all seeds | attention |\n|---|---|---|---|---|---|\n")
	row := func(f Figure, attention string) {
		label := f.Name
		if f.Name == AllTasks {
			label = map[string]string{Error: "mean", Failed: "failed"}[f.Metric]
		}
		paper := ""
		if beside.Paper != "" {
			paper = one(beside, label)
		}
		var over []float64
		for _, r := range runs {
			if of, ok := r.value(f.Name, f.Metric); ok {
				over = append(over, of.Value)
			}
		}
		value := fmt.Sprintf("**%.1f** ± %.1f", f.Value, f.Interval)
		if f.Metric == Failed {
			value = fmt.Sprintf("**%.0f**", f.Value)
		}
		spread := ""
		if len(over) > 1 {
			mean, std := stat.MeanStdDev(over, nil)
			spread = fmt.Sprintf("%.1f ± %.1f", mean, std)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s |\n", label, paper, join(beside.Figures[label].Reruns), value, spread, attention)
	}
	for _, f := range chosen.Figures {
		if f.Name == OnTraining || f.Metric == Attention {
			continue
		}
		attention := ""
		if s, ok := chosen.value(f.Name, Attention); ok && f.Metric == Error {
			attention = fmt.Sprintf("%.0f", s.Value)
		}
		row(f, attention)
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
	fmt.Fprintf(b, "\nData: %s of %s. ", strings.TrimSuffix(p.Split, ", test"), p.Edition)
	if p.TrainNetworks == "task" {
		b.WriteString("A network a task.")
	} else {
		b.WriteString("One network for all tasks.")
	}
	if beside.Paper != "" {
		fmt.Fprintf(b, " Paper: %s.", beside.Paper)
	}
	if beside.Reruns != "" {
		fmt.Fprintf(b, " Re-runs: %s.", beside.Reruns)
	}
	b.WriteString("\n\n| seed | training error | mean error | failed | training | commit, machine |\n|---|---|---|---|---|---|\n")
	for _, r := range runs {
		training, _ := r.value(OnTraining, Error)
		mean, _ := r.value(AllTasks, Error)
		failed, _ := r.value(AllTasks, Failed)
		mark := ""
		if r.Path == chosen.Path {
			mark = ", chosen"
		}
		fmt.Fprintf(b, "| [%d](%s)%s | %.2f | %.1f | %.0f | %d parameters, %d epochs, %.0f min | %.12s, %s |\n", r.Seed, r.Path, mark,
			training.Value, mean.Value, failed.Value, r.Training.Parameters, config.Train.Epochs, r.Training.Seconds/60, commit(r.Build), machine(r.Machine))
	}
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
