package results

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// metricFigures are the columns of the comparison of metrics.
var metricFigures = [...]string{"5-way 1-shot", "20-way 1-shot", "5-way 5-shot", "20-way 5-shot"}

// metricTable compares metrics on one network and the same episodes: the Prototypical networks on Omniglot that are no
// published method's. It is empty where there are none.
func metricTable(runs []Run) (string, error) {
	methods, err := readPublished()
	if err != nil {
		return "", err
	}
	headline := func(r *Result) bool {
		for _, p := range methods.Omniglot {
			if p.of(r) {
				return true
			}
		}
		return false
	}
	var rows, notes strings.Builder
	for _, r := range runs {
		if r.Network != "protonet" || headline(r.Result) || !measuredOn(r.Result, "omniglot") {
			continue
		}
		metric, err := r.metric()
		if err != nil {
			return "", fmt.Errorf("results: %s: its config: %w", r.Path, err)
		}
		fmt.Fprintf(&rows, "| %s |", metric)
		for _, name := range metricFigures {
			f := r.figure(name, r.Figures[0].way())
			if f == nil {
				rows.WriteString(" |")
				continue
			}
			fmt.Fprintf(&rows, " %.2f ± %.2f |", f.Value, f.Interval)
		}
		fmt.Fprintf(&rows, " %d | %d steps, %.0f min |\n", r.Seed, r.Training.Steps, r.Training.Seconds/60)
		fmt.Fprintf(&notes, "| [%s](%s) | %s | %.12s | %s |\n", r.Name, r.Path, r.protocols(), commit(r.Build), machine(r.Machine))
	}
	if rows.Len() == 0 {
		return "", nil
	}
	return "\n## Metrics compared\n\nPrototypes under one metric and another: the same network, initialisation, training and test episodes. A figure\n" +
		"here is not to be held against the table above, whose networks were trained for longer.\n\n| metric | " +
		strings.Join(metricFigures[:], " | ") + " | seed | training |\n|---|" + strings.Repeat("---|", len(metricFigures)+2) + "\n" + rows.String() +
		"\n| experiment | measured under | commit | machine |\n|---|---|---|---|\n" + notes.String(), nil
}

// metric names what a result's memory compares by.
func (r *Result) metric() (string, error) {
	var config struct {
		Network struct {
			Memory struct {
				Metric struct{ Kind, Form string }
				Scale  float64
			}
		}
	}
	if err := yaml.Unmarshal([]byte(r.Config), &config); err != nil {
		return "", err
	}
	m := config.Network.Memory
	name := m.Metric.Kind
	if m.Metric.Form != "" {
		name += ", " + m.Metric.Form
	}
	if m.Scale != 0 && m.Scale != 1 {
		name += fmt.Sprintf(" × %g", m.Scale)
	}
	return name, nil
}
