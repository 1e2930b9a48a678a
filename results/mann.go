package results

import (
	"bytes"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
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
func MANN(runs []Run) ([]byte, error) {
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

	var b bytes.Buffer
	b.WriteString(generated + `
# Memory-Augmented Neural Network: one-shot classification of Omniglot

Accuracy in percent by which image of its class it is, over test episodes of classes that were never trained or selected on,
with the 95 % interval of the mean. A string is right where all its letters are. The model is the best on validation
classes; test classes are touched once. Published figures: Santoro et al. 2016, tables 1 and 2, as third parties transcribe
them.
`)
	for _, t := range mannTables {
		rows := mannRows(all.MANN, ours, t.labels, t.way)
		if len(rows) == 0 {
			continue
		}
		labels := "One-hot labels"
		if t.labels == "strings" {
			labels = "Labels of five letters"
		}
		fmt.Fprintf(&b, "\n## %s, %d classes\n\n| model | | %s |\n|---|---|%s\n%s",
			labels, t.way, strings.Join(mannColumns[:], " | "), strings.Repeat("---|", len(mannColumns)), strings.Join(rows, ""))
	}
	if len(ours) > 0 {
		b.WriteString("\n## Protocols\n\n| experiment | measured under | training | commit | machine |\n|---|---|---|---|---|\n")
	}
	for _, r := range ours {
		p := r.Figures[0].Protocol
		fmt.Fprintf(&b, "| [%s, seed %d](%s) | split %s, between alphabets, rotations: %s (%d test classes), %d test episodes, images as they are; trained on %d classes, images moved by up to %v pixels and %v degrees, %s | %d episodes, best at %d, %.0f min | %.12s | %s |\n",
			r.Name, r.Seed, r.Path, p.Split, p.Rotations, p.Classes, p.Episodes, p.TrainWay, r.Train.Shift, r.Train.Turn, p.Precision,
			r.Result.Training.Steps*r.Train.Batch, r.Result.Training.BestStep*r.Train.Batch, r.Result.Training.Seconds/60, commit(r.Build), machine(r.Machine))
	}
	return b.Bytes(), nil
}

// mannRows are the rows of one table: each published method with its re-runs and ours, and then what nobody has published.
func mannRows(methods []published, ours []mannRun, labels string, way int) (rows []string) {
	told := map[string]bool{}
	run := func(r mannRun, method string) {
		cells, any, where := make([]string, len(mannInstances)), false, "Engram"
		for i, k := range mannInstances {
			for _, f := range r.Figures {
				if p := f.Protocol; p.Labels == labels && p.Way == way && p.Instance == k && p.Shift == 0 && p.Turn == 0 {
					cells[i], any = fmt.Sprintf("**%.1f** ± %.1f", f.Value, f.Interval), true
					if p.TrainWay != way {
						where = fmt.Sprintf("Engram, trained on %d classes", p.TrainWay)
					}
				}
			}
		}
		if any {
			rows = append(rows, fmt.Sprintf("| %s | %s, [seed %d](%s) | %s |\n", method, where, r.Seed, r.Path, strings.Join(cells, " | ")))
		}
	}
	for _, m := range methods {
		if m.Labels != labels || m.Way != way {
			continue
		}
		told[m.Method] = true
		var paper, again []string
		for _, c := range mannColumns {
			f := m.Figures[c]
			paper, again = append(paper, fmt.Sprintf("%.1f", f.Published)), append(again, join(f.Reruns))
		}
		rows = append(rows, fmt.Sprintf("| %s | published | %s |\n", m.Method, strings.Join(paper, " | ")))
		if m.Reruns != "" {
			rows = append(rows, fmt.Sprintf("| %s | re-run: %s | %s |\n", m.Method, m.Reruns, strings.Join(again, " | ")))
		}
		for _, r := range ours {
			if r.method() == m.Method {
				run(r, m.Method)
			}
		}
	}
	for _, r := range ours {
		if method := r.method(); !told[method] {
			run(r, method)
		}
	}
	return rows
}
