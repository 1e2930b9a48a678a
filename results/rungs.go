package results

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/engram-go/engram/results/table"
)

// A Rung is a round of successive halving: candidates that were trained for the same number of steps.
type Rung struct {
	Step    int64       `json:"step"`
	Entries []RungEntry `json:"entries"`
}

// RungEntry is how a candidate stood in a rung.
type RungEntry struct {
	Name string `json:"name"`
	// Score is the best validation score within the steps of the rung, the mean over seeds, in the metric's unit.
	Score  Estimate `json:"score"`
	Metric string   `json:"metric,omitempty"`
	Failed bool     `json:"failed,omitempty"` // one of its runs
	Kept   bool     `json:"kept"`             // it was trained further
}

// order ranks entries: those that failed are last.
func (e RungEntry) order(o RungEntry) int {
	if e.Failed || o.Failed {
		return cmp.Compare(truth(e.Failed), truth(o.Failed))
	}
	if lowerIsBetter(e.Metric) {
		return cmp.Compare(e.Score.Mean, o.Score.Mean)
	}
	return cmp.Compare(o.Score.Mean, e.Score.Mean)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Select keeps the n best entries by validation. Of equal ones the earlier is better. Entries that failed are not kept.
func (r *Rung) Select(n int) {
	ranked := make([]int, len(r.Entries))
	for i := range ranked {
		ranked[i] = i
		r.Entries[i].Kept = false
	}
	slices.SortStableFunc(ranked, func(i, j int) int { return r.Entries[i].order(r.Entries[j]) })
	for _, i := range ranked[:min(n, len(ranked))] {
		r.Entries[i].Kept = !r.Entries[i].Failed
	}
}

// BestValidation returns the best validation score within a number of steps, in its metric's unit, from the text of a
// metrics.jsonl. The metric is empty where there was no validation.
func BestValidation(text []byte, steps int64) (best float64, metric string, err error) {
	for _, by := range learned {
		m, err := DecodeMetrics(text, by.score)
		if err != nil {
			return 0, "", err
		}
		for _, p := range m.Validation {
			v := by.factor * p.Score
			better := v > best
			if lowerIsBetter(by.score) {
				better = v < best
			}
			if p.Step <= steps && (metric == "" || better) {
				best, metric = v, by.score
			}
		}
	}
	return best, metric, nil
}

// RungTable shows how the candidates of successive halving were chosen: a row for each, those that came furthest first, and a
// column for each rung, with the validation score at its end.
func RungTable(rungs []Rung) *table.Table {
	t := &table.Table{Name: "rungs", Columns: table.Labels("experiment")}
	if len(rungs) == 0 {
		return t
	}
	type row struct {
		name  string
		last  RungEntry
		rungs int
		cells []table.Text
	}
	rows := map[string]*row{}
	var order []*row
	for i, r := range rungs {
		t.Columns = append(t.Columns, table.Numbers(fmt.Sprintf("validation, %d %s", r.Step, plural(float64(r.Step), "step")))...)
		for _, e := range r.Entries {
			if rows[e.Name] == nil {
				rows[e.Name] = &row{name: e.Name}
				order = append(order, rows[e.Name])
			}
			cell := table.Say("failed")
			if !e.Failed {
				cell = spread(figureDigits(&Figure{Metric: e.Metric, Value: e.Score.Mean}), e.Score, table.Plain)
			}
			at := rows[e.Name]
			at.last, at.rungs, at.cells = e, i, append(at.cells, cell)
		}
	}
	t.Columns = append(t.Columns, table.Labels("then")...)
	slices.SortStableFunc(order, func(a, b *row) int { return cmp.Or(cmp.Compare(b.rungs, a.rungs), a.last.order(b.last)) })
	for _, r := range order {
		cells := append([]table.Text{table.Say(r.name)}, r.cells...)
		for len(cells) < 1+len(rungs) {
			cells = append(cells, nil)
		}
		then := "stopped"
		if r.last.Kept {
			then = "trained to the end"
		}
		t.Add(append(cells, table.Say(then))...)
	}
	t.Notes = append(t.Notes, table.Sayf("Successive halving by the best validation score so far (%s), the mean over seeds.", rungs[0].Entries[0].Metric))
	return t
}
