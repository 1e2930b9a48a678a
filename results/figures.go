package results

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// command is the command line that repeats a run.
func command(name, flags string) table.Span {
	return table.Span{Text: "engram run experiments/" + name + ".yaml" + flags, Style: table.Code}
}

// fileName makes the name of a table's file from what distinguishes the table.
func fileName(parts ...string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == '+':
			return 'p'
		}
		return '-'
	}, strings.Join(parts, "-"))
}

// Figures is a table for machines: every figure of every run, one row each, in full precision, with everything that affects it.
// Columns of the protocol are named as in result files; a cell is empty where a key does not apply.
func Figures(runs []Run) *table.Table {
	t := &table.Table{Name: "figures"}
	t.Columns = table.Labels("experiment", "network", "seed", "figure", "metric", "unit", "value", "interval", "calibration_error")
	t.Columns = append(t.Columns, table.Labels(ProtocolKeys()...)...)
	t.Columns = append(t.Columns, table.Labels("steps", "best_step", "validation", "parameters", "seconds", "imported",
		"commit", "modified", "go", "libtorch", "cpu", "cores", "threads", "device", "os", "path")...)
	for _, r := range runs {
		for _, f := range r.Figures {
			row := values(r.Name, r.Network, r.Seed, f.Name, f.Metric, f.Unit(), f.Value, f.intervalText(), calibration(f.CalibrationError))
			for _, v := range f.Protocol.Values() {
				row = append(row, table.Say(v))
			}
			tr, b, m := r.Training, r.Build, r.Machine
			t.Add(append(row, values(tr.Steps, tr.BestStep, tr.Validation, tr.Parameters, tr.Seconds, tr.Imported,
				b.Commit, b.Modified, b.Go, b.LibTorch, m.CPU, m.Cores, m.Threads, m.Device, m.OS, r.Path)...)...)
		}
	}
	return t
}

// intervalText is the figure's interval with all its digits, empty where it has none.
func (f *Figure) intervalText() string {
	if f.Single {
		return ""
	}
	return digits(f.Interval)
}

func calibration(e *float64) string {
	if e == nil {
		return ""
	}
	return digits(*e)
}

// values are cells for machines: numbers with all their digits.
func values(all ...any) (row []table.Text) {
	for _, v := range all {
		row = append(row, table.Say(digits(v)))
	}
	return row
}

// digits writes a value, a number with all its digits.
func digits(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

// Provenance is a table of all runs with their seed, size, training time, code and machine.
func Provenance(runs []Run) *table.Table {
	t := &table.Table{Name: "runs", Columns: slices.Concat(table.Proses("experiment"), table.Numbers("seed", "parameters", "steps", "minutes"),
		table.Labels("commit"), table.Proses("machine"))}
	for _, r := range runs {
		t.Add(table.Text{table.Linked(r.Name, r.Path)}, table.Sayf("%d", r.Seed), table.Sayf("%d", r.Training.Parameters), table.Sayf("%d", r.Training.Steps),
			table.Sayf("%.0f", r.Training.Seconds/60), table.Sayf("%.8s", commit(r.Build)), table.Say(machine(r.Machine)))
	}
	return t
}

// number reads an integer of a configuration, 0 where there is none.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// fraction reads a number of a configuration, 0 where there is none.
func fraction(text string) float64 {
	v, _ := strconv.ParseFloat(text, 64)
	return v
}

// zero is a setting, or 0 where it is not set.
func zero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}
