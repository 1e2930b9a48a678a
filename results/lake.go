package results

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

// publishedError is a method on Lake's runs. It is compared with the runs of a network, or with the runs of a name.
type publishedError struct {
	Method  string
	Network string
	Run     string
	Trained string
	Error   float64
	Paper   string
}

func (p *publishedError) covers(r Run) bool {
	return p.Run != "" && p.Run == r.Name || p.Network != "" && p.Network == r.Network && r.Training.Steps > 0
}

// Lake returns results/lake.md: errors on Lake's 20 one-shot runs, published and ours.
func Lake(runs []Run) (*table.Page, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	t := &table.Table{Name: "lake", Columns: slices.Concat(table.Proses("method"), table.Labels("trained on"),
		table.Numbers("published", "Engram", "of 400", "seed"), table.Labels("training"))}
	protocols := &table.Table{Columns: slices.Concat(table.Labels("experiment"), table.Proses("measured under", "errors of 20 in runs 1 to 20"),
		table.Labels("commit", "machine"))}
	listed := make(map[string]bool)
	add := func(r Run, method, published string) error {
		listed[r.Path] = true
		f := r.lake()
		trained, err := r.trainedOn()
		if err != nil {
			return err
		}
		wrong, each := 0, make([]string, len(f.Errors))
		for i, e := range f.Errors {
			wrong, each[i] = wrong+e, fmt.Sprint(e)
		}
		t.Add(table.Sayf("%s: ", method).With(r.link()...), table.Say(trained), table.Say(published),
			ours(1, 100-f.Value, f.Interval), table.Sayf("%d", wrong), table.Sayf("%d", r.Seed), r.trainedFor())
		row := r.provenance(fmt.Sprintf("batch norm %s, %s", f.Protocol.Norm, f.Protocol.Precision))
		protocols.Add(slices.Insert(row, 2, table.Say(strings.Join(each, " ")))...)
		return nil
	}
	tested := slices.DeleteFunc(slices.Clone(runs), func(r Run) bool { return r.lake() == nil })
	for _, p := range all.Lake {
		t.Add(table.Say(p.Method), table.Say(p.Trained), table.Sayf("%.1f", p.Error), nil, nil, nil, nil)
		for _, r := range tested {
			if !listed[r.Path] && p.covers(r) {
				if err := add(r, "↳ Engram", ""); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, r := range tested {
		if !listed[r.Path] {
			if err := add(r, r.Network+", Engram", "–"); err != nil {
				return nil, err
			}
		}
	}
	page := &table.Page{Name: "lake", Title: "One-shot classification within an alphabet: Lake's 20 runs"}
	page.Add(table.Say(`Which of 20 characters of one alphabet, each shown once, is this one, drawn by another hand? Errors in percent of 400 trials,
20 in each of 20 runs; ours with the 95 % interval of the mean over the runs. A model is chosen on other alphabets; the runs
are touched once.`), t)
	if len(tested) > 0 {
		page.Add(protocols)
	}
	if t := verification(runs); t != nil {
		page.Add(table.Heading("Verification"), table.Say("Are two drawings of one character or of two? Pairs told apart, in percent; half of them are of one character. Published is\n"+
			"Koch et al. 2015, table 1: 93.4 with 150,000 training pairs and affine copies, 91.6 without copies, as third parties transcribe it."), t)
	}
	var sources []string
	for _, p := range all.Lake {
		sources = append(sources, p.Method+": "+p.Paper)
	}
	page.Add(table.Say("Published: " + strings.Join(sources, "; ") + "."))
	return page, nil
}

// verification has a row for every run that told pairs apart, nil where none did.
func verification(runs []Run) *table.Table {
	t := &table.Table{Name: "verification", Columns: slices.Concat(table.Labels("experiment"), table.Proses("measured on"),
		table.Numbers("pairs", "told apart", "seed"), table.Labels("training"))}
	for _, r := range runs {
		for _, f := range r.Figures {
			if p := f.Protocol; p.Pairs > 0 {
				t.Add(table.Text{table.Linked(r.Name, r.Path)}, table.Sayf("%s, %d test classes, split %s, batch norm %s, %s", p.Dataset, p.Classes, p.Split, p.Norm, p.Precision),
					table.Sayf("%d", p.Pairs), ours(1, f.Value, f.Interval), table.Sayf("%d", r.Seed), r.trainedFor())
			}
		}
	}
	if t.Rows == nil {
		return nil
	}
	return t
}

// lake is the figure on Lake's runs, nil where there is none.
func (r *Result) lake() *Figure {
	for i, f := range r.Figures {
		if f.Name == LakeRuns {
			return &r.Figures[i]
		}
	}
	return nil
}

// trainedOn tells what images a result was trained on and how they were drawn.
func (r *Result) trainedOn() (string, error) {
	if r.Training.Steps == 0 {
		return "nothing", nil
	}
	var config struct {
		Train struct {
			Within  bool `yaml:"within_alphabet"`
			Distort struct{ Rotate, Shear, Scale, Shift float64 }
		}
	}
	if err := yaml.Unmarshal([]byte(r.Config), &config); err != nil {
		return "", fmt.Errorf("results: %s: its config: %w", r.Name, err)
	}
	p := r.lake().Protocol
	text := p.TrainedOn + " " + p.Split
	if config.Train.Within {
		text += ", within alphabets"
	}
	if d := config.Train.Distort; d.Rotate > 0 || d.Shear > 0 || d.Scale > 0 || d.Shift > 0 {
		text += ", affine distortions"
	}
	return text, nil
}
