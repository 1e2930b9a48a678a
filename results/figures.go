package results

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/results/table"
)

// command is how a run is done again.
func command(name, flags string) table.Span {
	return table.Span{Text: "engram run experiments/" + name + ".yaml" + flags, Style: table.Code}
}

// fileName joins what tells a table apart to the name of its file.
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

// Figures is a table for machines: every figure of every run, a row each, in full precision, with all that moved it. Columns
// of the protocol are called as in result files; a cell is empty where a key does not apply.
func Figures(runs []Run) *table.Table {
	t := &table.Table{Name: "figures"}
	t.Columns = table.Labels("experiment", "network", "seed", "figure", "metric", "unit", "value", "interval")
	t.Columns = append(t.Columns, table.Labels(ProtocolKeys()...)...)
	t.Columns = append(t.Columns, table.Labels("steps", "best_step", "validation", "parameters", "seconds", "imported",
		"commit", "modified", "go", "libtorch", "cpu", "cores", "threads", "device", "os", "path")...)
	for _, r := range runs {
		for _, f := range r.Figures {
			row := values(r.Name, r.Network, r.Seed, f.Name, f.Metric, f.Unit(), f.Value, f.Interval)
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

// Published is a table for machines: every figure of published.yaml, a row each. A figure that is text, as read off a plot, is
// as it stands there.
func Published() (*table.Table, error) {
	all, err := readPublished()
	if err != nil {
		return nil, err
	}
	t := &table.Table{Name: "published"}
	t.Columns = table.Labels("page", "method", "experiment", "figure", "metric", "unit", "kind", "value", "protocol", "source")
	const accuracy = "accuracy"
	for _, page := range []struct {
		name, metric string
		methods      []published
	}{{"omniglot", accuracy, all.Omniglot}, {"mann", accuracy, all.MANN}, {"babi", Error, all.Babi}} {
		for _, m := range page.methods {
			var protocol []string
			for _, key := range []struct{ name, value string }{{"rotations", m.Rotations}, {"norm", m.Norm}, {"labels", m.Labels}} {
				if key.value != "" {
					protocol = append(protocol, key.name+": "+key.value)
				}
			}
			if m.Way > 0 {
				protocol = append(protocol, fmt.Sprintf("way: %d", m.Way))
			}
			for _, name := range slices.Sorted(maps.Keys(m.Figures)) {
				f, metric := m.Figures[name], page.metric
				if name == Failed {
					metric = Failed
				}
				add := func(kind string, value float64, source string) {
					t.Add(values(page.name, m.Method, m.Experiment, name, metric, (&Figure{Metric: metric}).Unit(), kind, value, strings.Join(protocol, "; "), source)...)
				}
				if f.Published != 0 || m.Paper != "" || page.name == "mann" {
					add("published", f.Published, m.source(page.name))
				}
				if f.FineTuned != 0 {
					add("published, fine-tuned", f.FineTuned, m.source(page.name))
				}
				if f.OtherNorm != 0 {
					add("published, the other batch-norm mode", f.OtherNorm, m.source(page.name))
				}
				for _, v := range f.Reruns {
					add("re-run", v, m.Reruns)
				}
			}
		}
	}
	for _, m := range all.Lake {
		t.Add(values("lake", m.Method, m.Run, LakeRuns, Error, "%", "published", m.Error, "trained: "+m.Trained, m.Paper)...)
	}
	for _, task := range all.Sequences {
		for _, m := range task.Models {
			add := func(figure, value, after string) {
				t.Add(values("ntm", model(m.Memory, m.Controller), "", task.Task+", "+figure, Bits, "bits", "published", value, after, "Graves et al. 2014, "+task.Paper)...)
			}
			add("training", m.Bits, "sequences: "+m.Sequences)
			for _, test := range slices.Sorted(maps.Keys(m.Tests)) {
				add(test, m.Tests[test], "")
			}
		}
	}
	return t, nil
}

// source is the paper of a method.
func (p *published) source(page string) string {
	if p.Paper == "" && page == "mann" {
		return "Santoro et al. 2016, tables 1 and 2, as third parties transcribe them"
	}
	return p.Paper
}

// Provenance is a table of every run: its seed, the code and the machine that it came from, and how long it took.
func Provenance(runs []Run) *table.Table {
	t := &table.Table{Name: "runs", Columns: slices.Concat(table.Proses("experiment"), table.Numbers("seed", "parameters", "steps", "minutes"),
		table.Labels("commit"), table.Proses("machine"))}
	for _, r := range runs {
		t.Add(r.link(), table.Sayf("%d", r.Seed), table.Sayf("%d", r.Training.Parameters), table.Sayf("%d", r.Training.Steps),
			table.Sayf("%.0f", r.Training.Seconds/60), table.Sayf("%.8s", commit(r.Build)), table.Say(machine(r.Machine)))
	}
	return t
}

// ProtocolKeys are the names of what a figure can have been measured under, as result files have them; see [Protocol.Values].
func ProtocolKeys() (keys []string) {
	protocol := reflect.TypeFor[Protocol]()
	for i := range protocol.NumField() {
		key, _, _ := strings.Cut(protocol.Field(i).Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

// Values are what the protocol says of each of [ProtocolKeys]: nothing of what does not apply.
func (p Protocol) Values() (values []string) {
	fields := reflect.ValueOf(p)
	for i := range fields.NumField() {
		value := ""
		if !fields.Field(i).IsZero() {
			value = digits(fields.Field(i).Interface())
		}
		values = append(values, value)
	}
	return values
}
