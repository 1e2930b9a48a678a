package results

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results/table"
)

// metricFigures are the columns of the comparison of metrics.
var metricFigures = [...]string{"5-way 1-shot", "20-way 1-shot", "5-way 5-shot", "20-way 5-shot"}

// metricParts compare metrics on one network and the same episodes: the experiments that published.yaml lists under metrics. There are none where there are no such runs.
func metricParts(runs []Run) ([]table.Part, error) {
	methods, err := readPublished()
	if err != nil {
		return nil, err
	}
	t := &table.Table{Name: "omniglot-metrics", Columns: slices.Concat(table.Labels("metric"), table.Numbers(metricFigures[:]...),
		table.Numbers("seed"), table.Labels("training"))}
	protocols := &table.Table{Columns: protocolColumns()}
	for _, r := range runs {
		if !slices.Contains(methods.Metrics, r.Name) || !measuredOn(r.Result, "omniglot") {
			continue
		}
		metric, err := r.metric()
		if err != nil {
			return nil, fmt.Errorf("results: %s: its config: %w", r.Path, err)
		}
		if p := r.Figures[0].Protocol.Precision; p != "fp32" {
			metric += ", " + p
		}
		row := []table.Text{table.Say(metric)}
		for _, name := range metricFigures {
			f := r.figure(name, r.Figures[0].way())
			if f == nil {
				row = append(row, nil)
				continue
			}
			row = append(row, table.Sayf("%.2f", f.Value).With(beside(2, f.Interval)))
		}
		t.Add(append(row, table.Sayf("%d", r.Seed), r.trainedFor())...)
		protocols.Add(r.provenance(r.protocols())...)
	}
	if t.Rows == nil {
		return nil, nil
	}
	return []table.Part{
		table.Heading("Metrics compared"),
		table.Say("Prototypes under one metric and another, in float32 where no precision is named: the same network, initialisation,\n" +
			"training and test episodes. A figure here is not to be held against the table above, whose networks were trained for longer."),
		t, protocols,
	}, nil
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
