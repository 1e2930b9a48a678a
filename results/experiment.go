package results

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

// Experiment is the runs of one experiment, which differ in the seed alone.
type Experiment struct {
	Name string
	// Label is the name, followed by the settings that tell the experiment from others of the same name, if there are any.
	Label string
	Runs  []Run // one per seed, in ascending order

	config map[string]string // by dotted key; empty values are left out
}

// machineKeys are keys of a configuration that do not make an experiment another one.
var machineKeys = []string{"seed", "threads", "device", "about"}

// cudaKeys are keys that say something of runs on a CUDA device only. Configurations of older versions lack them.
var cudaKeys = []string{"tf32", "deterministic", "cuda_graphs"}

// Experiments groups runs by name and configuration. A configuration counts without its seed and without what describes the
// machine. Of several runs with one seed, which are repetitions and no new sample, the last one is kept. The experiments are in
// the order of their first runs. The error names a run whose configuration is not valid YAML.
func Experiments(runs []Run) ([]Experiment, error) {
	var out []Experiment
	for _, r := range runs {
		config, err := r.settings()
		if err != nil {
			return nil, err
		}
		if edition := r.edition(); edition != "" { // questions of another edition of the data are another test
			config[editionKey] = edition
		}
		i := slices.IndexFunc(out, func(e Experiment) bool { return e.Name == r.Name && maps.Equal(e.config, config) })
		if i < 0 {
			i, out = len(out), append(out, Experiment{Name: r.Name, Label: r.Name, config: config})
		}
		e := &out[i]
		if j := slices.IndexFunc(e.Runs, func(o Run) bool { return o.Seed == r.Seed }); j >= 0 {
			e.Runs[j] = r
			continue
		}
		e.Runs = append(e.Runs, r)
	}
	same := map[string][]int{} // by name
	for i, e := range out {
		slices.SortStableFunc(e.Runs, func(a, b Run) int { return cmp.Compare(a.Seed, b.Seed) })
		same[e.Name] = append(same[e.Name], i)
	}
	for _, numbers := range same {
		if len(numbers) < 2 {
			continue
		}
		var group []Experiment
		for _, i := range numbers {
			group = append(group, out[i])
		}
		for n, settings := range distinctSettings(group) {
			out[numbers[n]].Label += " (" + settings + ")"
		}
	}
	return out, nil
}

// editionKey is the setting of an experiment that names the edition of its data, which the file does not.
const editionKey = "edition"

// edition is that of the data of the run's first figure, empty where data have none.
func (r *Result) edition() string {
	if len(r.Figures) == 0 {
		return ""
	}
	return r.Figures[0].Protocol.Edition
}

// distinctSettings lists for each experiment the settings in which the experiments differ. Checksums, and where the kind of a section
// differs the rest of the section, are left out, unless they are needed to distinguish the experiments.
func distinctSettings(all []Experiment) []string {
	keys := map[string]bool{}
	for _, e := range all {
		for key, value := range e.config {
			keys[key] = keys[key] || slices.ContainsFunc(all, func(o Experiment) bool { return o.config[key] != value })
		}
	}
	maps.DeleteFunc(keys, func(_ string, differs bool) bool { return !differs })
	list := slices.Sorted(maps.Keys(keys))
	short := slices.DeleteFunc(slices.Clone(list), func(key string) bool {
		if strings.HasSuffix(key, ".checksum") {
			return true
		}
		for i, r := range key {
			if kind := key[:i] + ".kind"; r == '.' && kind != key && keys[kind] {
				return true
			}
		}
		return false
	})
	texts := settingTexts(all, short)
	if distinct := slices.Compact(slices.Sorted(slices.Values(texts))); len(distinct) < len(texts) {
		texts = settingTexts(all, list)
	}
	return texts
}

func settingTexts(all []Experiment, keys []string) (out []string) {
	for _, e := range all {
		var parts []string
		for _, key := range keys {
			parts = append(parts, key+"="+or(e.config[key]))
		}
		out = append(out, strings.Join(parts, ", "))
	}
	return out
}

// settings flattens the run's configuration to values by dotted keys, without those of the machine.
func (r Run) settings() (map[string]string, error) {
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(r.Config), &tree); err != nil {
		return nil, fmt.Errorf("results: %s: its config is not valid YAML: %w; train again", r.Path, err)
	}
	if device, _ := tree["device"].(string); !strings.HasPrefix(device, "cuda") {
		for _, key := range cudaKeys {
			delete(tree, key)
		}
	}
	for _, key := range machineKeys {
		delete(tree, key)
	}
	for _, u := range unstated() {
		u.state(tree)
	}
	out := map[string]string{}
	flatten(out, "", tree)
	return out, nil
}

func flatten(into map[string]string, key string, value any) {
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			if key != "" {
				k = key + "." + k
			}
			flatten(into, k, v)
		}
	case []any:
		for i, v := range value {
			flatten(into, fmt.Sprintf("%s.%d", key, i), v)
		}
	case nil:
	default:
		into[key] = digits(value)
	}
}

// over estimates a figure over the seeds that have it. Of a single seed it is the figure with its own interval; N is 1 then. It
// returns one of the figures too, nil where no seed has it.
func (e Experiment) over(find func(*Result) *Figure) (Estimate, *Figure) {
	var values []float64
	var one *Figure
	for _, r := range e.Runs {
		if f := find(r.Result); f != nil {
			values = append(values, f.Value)
			if one == nil {
				one = f
			}
		}
	}
	if len(values) == 1 {
		own := one.estimate()
		return Estimate{N: 1, Mean: one.Value, Half: own.Half}, one
	}
	return Summarize(values), one
}

// overSeeds says what the figures of tables with several seeds mean.
const overSeeds = "For several seeds a figure is the mean over seeds with its 95 % interval by Student's t and the standard deviation over\n" +
	"seeds (s). For a single seed the interval is over test examples and does not include the variation between seeds."

// measured is a cell with an estimate over seeds. Of a single seed it shows the figure's own interval, if there is one.
func measured(digits int, e Estimate, f *Figure, style table.Style) table.Text {
	text := table.Text{{Text: fmt.Sprintf("%.*f", digits, e.Mean), Style: style}}
	switch {
	case e.N > 1:
		return text.With(beside(digits, e.Half), table.Span{Text: fmt.Sprintf(" (s %.*f)", digits, e.Deviation), Style: table.Aside})
	case f.Unit() == unit(Failed): // a count, which is no mean over the test
		return text
	case f.estimate().HasInterval():
		return text.With(beside(digits, e.Half))
	}
	return text.With(table.Span{Text: " (no interval)", Style: table.Aside})
}

// seedCount is the cell that says how many seeds there are.
func (e Experiment) seedCount() table.Text { return seedCount(len(e.Runs)) }

func seedCount(n int) table.Text {
	if n == 1 {
		return table.Say("1 (single)")
	}
	return table.Sayf("%d", n)
}

// link is the experiment's label, which leads to the result of its first seed.
func (e Experiment) link() table.Text { return table.Text{table.Linked(e.Label, e.Runs[0].Path)} }

// trainedFor says how long training took: the mean over seeds.
func (e Experiment) trainedFor() table.Text {
	var steps, minutes float64
	for _, r := range e.Runs {
		steps, minutes = steps+float64(r.Training.Steps), minutes+r.Training.Seconds/60
	}
	n := float64(len(e.Runs))
	return table.Sayf("%.0f %s, %.0f min", steps/n, plural(steps/n, "step"), minutes/n)
}

// allRuns are the runs of experiments.
func allRuns(all []Experiment) (out []Run) {
	for _, e := range all {
		out = append(out, e.Runs...)
	}
	return out
}

// plural is the plural of a word, or its singular for one.
func plural(n float64, of string) string {
	if n == 1 {
		return of
	}
	return of + "s"
}

// seedLink is the run's name and seed, which lead to its result.
func (r Run) seedLink() table.Text {
	return table.Text{table.Linked(fmt.Sprintf("%s, seed %d", r.Name, r.Seed), r.Path)}
}
