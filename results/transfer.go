package results

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// transferScenario is what is carried over to what: how alike the data are, and how alike the tasks.
type transferScenario struct {
	Experiment, Title, Data, Tasks string
}

// Transfer returns results/transfer.md: which of an encoder's layers to freeze, by how alike data and tasks are. It is nil
// where no run is of a scenario.
func Transfer(runs []Run) ([]byte, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	type row struct {
		transferScenario
		Run
	}
	var rows []row
	var tests, ways []string // in the order in which they come
	for _, s := range all.Transfer {
		for _, r := range runs {
			if r.Network != "transfer" || r.Name != s.Experiment {
				continue
			}
			rows = append(rows, row{s, r})
			for _, f := range r.Figures {
				if !slices.Contains(tests, f.Name) {
					tests = append(tests, f.Name)
				}
				if !slices.Contains(ways, f.Protocol.Adapted) {
					ways = append(ways, f.Protocol.Adapted)
				}
			}
		}
	}
	if rows == nil {
		return nil, nil
	}
	var b bytes.Buffer
	b.WriteString(generated + `
# What transfer learning carries over, and which layers to freeze

An encoder is trained as a classifier in one place and gets a new head in another, for each episode from a few labelled images.
How much of it is tuned along with the head goes from nothing to all of it. Rows differ in what the encoder was trained on,
columns in what is tuned; every figure is of the same episodes, of alphabets that no encoder has seen. Accuracy in percent with
the 95 % interval of the mean; the best of a row, and what does not differ from it by more than the two intervals, is bold.
`)
	for _, test := range tests {
		fmt.Fprintf(&b, "\n## %s\n\n| from → to | data | tasks | training classes | %s | seed | training |\n|---|---|---|---|%s---|---|\n",
			test, strings.Join(ways, " | "), strings.Repeat("---|", len(ways)))
		for _, r := range rows {
			best := Figure{}
			for _, f := range r.Figures {
				if f.Name == test && f.Value > best.Value {
					best = f
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |", r.Title, r.Data, r.Tasks, r.trained())
			for _, way := range ways {
				i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == test && f.Protocol.Adapted == way })
				if i < 0 {
					b.WriteString(" |")
					continue
				}
				f, bold := r.Figures[i], ""
				if best.Value-f.Value <= best.Interval+f.Interval {
					bold = "**"
				}
				fmt.Fprintf(&b, " %s%.2f%s ± %.2f |", bold, f.Value, bold, f.Interval)
			}
			fmt.Fprintf(&b, " %d | %d steps, %.0f min |\n", r.Seed, r.Training.Steps, r.Training.Seconds/60)
		}
	}
	b.WriteString("\n| experiment | measured under | commit | machine |\n|---|---|---|---|\n")
	for _, r := range rows {
		p := r.Figures[0].Protocol
		fmt.Fprintf(&b, "| [%s](%s) | %s, split %s (%d test classes), batch norm %s, %d queries a class, %d episodes; %s | %.12s | %s |\n", r.Name, r.Path,
			p.Dataset, p.Split, p.Classes, p.Norm, p.Query, p.Episodes, p.Precision, commit(r.Build), machine(r.Machine))
	}
	return b.Bytes(), nil
}

// trained tells what a result's encoder was trained on.
func (r *Result) trained() string {
	if r.Training.Steps == 0 {
		return "none"
	}
	return r.Figures[0].Protocol.TrainedOn
}
