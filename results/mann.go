package results

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

// The columns of Santoro et al. 2016, tables 1 and 2.
var (
	mannInstances = [...]int{1, 2, 3, 4, 5, 10}
	mannColumns   = [...]string{"1st", "2nd", "3rd", "4th", "5th", "10th"}
)

// mannTables are the tables of results/mann.md.
var mannTables = []struct {
	labels string
	way    int
}{{"one-hot", 5}, {"one-hot", 15}, {"strings", 5}, {"strings", 15}}

// mannConfig is what a table must know of a run's experiment file.
type mannConfig struct {
	Network struct {
		Controller, Memory, Encoder struct{ Kind string }
	}
	Train struct {
		Batch       int64
		Shift, Turn float64
	}
}

// method names the run's network, in the words of published.yaml where that has it.
func (c *mannConfig) method() string {
	n := c.Network
	name := "MANN, LSTM controller"
	switch lstm, none := n.Controller.Kind == "lstm", n.Memory.Kind == "none"; {
	case lstm && none:
		name = "LSTM"
	case none:
		name = "Feedforward"
	case !lstm:
		name = "MANN, feedforward controller"
	}
	if kind := n.Memory.Kind; kind != "lrua" && kind != "none" {
		name += ", " + strings.ToUpper(kind) + " addressing"
	}
	if kind := n.Encoder.Kind; kind != "none" {
		name += ", " + kind + " encoder"
	}
	return name
}

// mannRun is a run of MANN's.
type mannRun struct {
	Run
	mannConfig
}

// MANN returns results/mann.md: the paper's tables, published figures and re-runs beside ours.
func MANN(runs []Run) (*table.Page, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	var ours []mannRun
	for _, r := range runs {
		if r.Network != "mann" || !measuredOn(r.Result, "omniglot") {
			continue
		}
		m := mannRun{Run: r}
		if err := yaml.Unmarshal([]byte(r.Config), &m.mannConfig); err != nil {
			return nil, fmt.Errorf("results: %s: its config: %w", r.Path, err)
		}
		ours = append(ours, m)
	}

	page := &table.Page{Name: "mann", Title: "Memory-Augmented Neural Network: one-shot classification of Omniglot"}
	page.Add(table.Say(`Accuracy in percent by which image of its class it is, over test episodes of classes that were never trained or selected on,
with the 95 % interval of the mean. A string is right where all its letters are. The model is the best on validation
classes; test classes are touched once. Published figures: Santoro et al. 2016, tables 1 and 2, as third parties transcribe
them.`))
	for _, m := range mannTables {
		t := mannTable(all.MANN, ours, m.labels, m.way)
		if t.Rows == nil {
			continue
		}
		labels := "One-hot labels"
		if m.labels == "strings" {
			labels = "Labels of five letters"
		}
		page.Add(table.Heading(fmt.Sprintf("%s, %d classes", labels, m.way)), t)
	}
	if len(ours) == 0 {
		return page, nil
	}
	protocols := &table.Table{Columns: slices.Concat(table.Labels("experiment"), table.Proses("measured under"), table.Labels("training", "commit", "machine"))}
	for _, r := range ours {
		p := r.Figures[0].Protocol
		row := r.provenance(fmt.Sprintf("split %s, between alphabets, rotations: %s (%d test classes), %d test episodes, images as they are; trained on %d classes, images moved by up to %v pixels and %v degrees, %s",
			p.Split, p.Rotations, p.Classes, p.Episodes, p.TrainWay, r.Train.Shift, r.Train.Turn, p.Precision))
		row[0] = table.Text{table.Linked(fmt.Sprintf("%s, seed %d", r.Name, r.Seed), r.Path)}
		protocols.Add(slices.Insert(row, 2, table.Sayf("%d episodes, best at %d, %.0f min",
			r.Result.Training.Steps*r.Train.Batch, r.Result.Training.BestStep*r.Train.Batch, r.Result.Training.Seconds/60))...)
	}
	page.Add(table.Heading("Protocols"), protocols)
	return page, nil
}

// mannTable has a row for each published method, its re-runs and ours, and then what nobody has published.
func mannTable(methods []published, runs []mannRun, labels string, way int) *table.Table {
	t := &table.Table{Name: fileName("mann", labels, fmt.Sprint(way)), Columns: slices.Concat(table.Proses("model", ""), table.Numbers(mannColumns[:]...))}
	told := map[string]bool{}
	run := func(r mannRun, method string) {
		cells, any, where := make([]table.Text, len(mannInstances)), false, "Engram"
		for i, k := range mannInstances {
			cells[i] = table.Say("")
			for _, f := range r.Figures {
				if p := f.Protocol; p.Labels == labels && p.Way == way && p.Instance == k && p.Shift == 0 && p.Turn == 0 {
					cells[i], any = ours(1, f.Value, f.Interval), true
					if p.TrainWay != way {
						where = fmt.Sprintf("Engram, trained on %d classes", p.TrainWay)
					}
				}
			}
		}
		if any {
			source := table.Sayf("%s, ", where).With(table.Linked(fmt.Sprintf("seed %d", r.Seed), r.Path))
			t.Add(append([]table.Text{table.Say(method), source}, cells...)...)
		}
	}
	for _, m := range methods {
		if m.Labels != labels || m.Way != way {
			continue
		}
		told[m.Method] = true
		paper := []table.Text{table.Say(m.Method), table.Say("published")}
		again := []table.Text{table.Say(m.Method), table.Sayf("re-run: %s", m.Reruns)}
		for _, c := range mannColumns {
			f := m.Figures[c]
			paper, again = append(paper, table.Sayf("%.1f", f.Published)), append(again, table.Say(join(f.Reruns)))
		}
		t.Add(paper...)
		if m.Reruns != "" {
			t.Add(again...)
		}
		for _, r := range runs {
			if r.method() == m.Method {
				run(r, m.Method)
			}
		}
	}
	for _, r := range runs {
		if method := r.method(); !told[method] {
			run(r, method)
		}
	}
	return t
}
