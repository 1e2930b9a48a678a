package results

import (
	"fmt"
	"slices"

	"github.com/engram-go/engram/results/table"
)

// transferScenario is what is carried over to what: how alike the data are, and how alike the tasks.
type transferScenario struct {
	Experiment, Title, Data, Tasks string
}

// Transfer returns results/transfer.md: which of an encoder's layers to freeze, by how alike data and tasks are. It is nil
// where no run is of a scenario.
func Transfer(runs []Run) (*table.Page, error) {
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
	page := &table.Page{Name: "transfer", Title: "What transfer learning carries over, and which layers to freeze"}
	page.Add(table.Say(`An encoder is trained as a classifier in one place and gets a new head in another, for each episode from a few labelled images.
How much of it is tuned along with the head goes from nothing to all of it. Rows differ in what the encoder was trained on,
columns in what is tuned; every figure is of the same episodes, of alphabets that no encoder has seen. Accuracy in percent with
the 95 % interval of the mean; the best of a row, and what does not differ from it by more than the two intervals, is bold.`))
	for _, test := range tests {
		t := &table.Table{Name: fileName("transfer", test), Columns: slices.Concat(table.Proses("from → to", "data", "tasks"), table.Labels("training classes"),
			table.Numbers(ways...), table.Numbers("seed"), table.Labels("training"))}
		for _, r := range rows {
			best := Figure{}
			for _, f := range r.Figures {
				if f.Name == test && f.Value > best.Value {
					best = f
				}
			}
			row := []table.Text{table.Say(r.Title), table.Say(r.Data), table.Say(r.Tasks), table.Say(r.source())}
			for _, way := range ways {
				i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == test && f.Protocol.Adapted == way })
				if i < 0 {
					row = append(row, nil)
					continue
				}
				f := r.Figures[i]
				cell := ours(2, f.Value, f.Interval)
				if best.Value-f.Value > best.Interval+f.Interval {
					cell[0].Style = table.Plain
				}
				row = append(row, cell)
			}
			t.Add(append(row, table.Sayf("%d", r.Seed), r.trainedFor())...)
		}
		page.Add(table.Heading(test), t)
	}
	protocols := &table.Table{Columns: protocolColumns()}
	for _, r := range rows {
		p := r.Figures[0].Protocol
		protocols.Add(r.provenance(fmt.Sprintf("%s, split %s (%d test classes), batch norm %s, %d queries a class, %d episodes; %s",
			p.Dataset, p.Split, p.Classes, p.Norm, p.Query, p.Episodes, p.Precision))...)
	}
	page.Add(protocols)
	return page, nil
}

// source tells what a result's encoder was trained on.
func (r *Result) source() string {
	if r.Training.Steps == 0 {
		return "none"
	}
	return r.Figures[0].Protocol.TrainedOn
}
