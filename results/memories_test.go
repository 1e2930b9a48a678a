package results_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/engram-go/engram/results"
)

// compared is a run of an experiment with a memory; settings are further lines of its configuration.
func compared(experiment, section, memory, settings string, seed uint64, figures ...results.Figure) results.Run {
	r := &results.Result{Name: experiment + "/memory=" + memory, Network: "n", Seed: seed, Figures: figures,
		Training: results.Training{Steps: 100, Seconds: 4, ProcessorSeconds: 2, Parameters: 1234}, Machine: results.Machine{Device: "cpu"}}
	r.Config = fmt.Sprintf("network: {%s: %s}\nseed: %d\n%s", section, memory, seed, settings)
	return results.Run{Path: fmt.Sprintf("runs/%s-%s-%d", experiment, memory, seed), Result: r}
}

func holding(name, metric string, value float64, state int64) results.Figure {
	return results.Figure{Name: name, Metric: metric, Value: value, Interval: .5, State: state}
}

func TestMemoryTable(t *testing.T) {
	none, err := results.Page("memories", nil)
	require.NoError(t, err)
	assert.Nil(t, none, "no file without runs")

	at120 := func(v float64) []results.Figure {
		return []results.Figure{holding("length 20", "wrong bits", v/10, 2560), holding("length 120", "wrong bits", v, 3000)}
	}
	runs := []results.Run{
		compared("memories-copy", "memory", "{kind: ntm, slots: 128}", "", 1, at120(20)...),
		compared("memories-copy", "memory", "{kind: ntm, slots: 128}", "", 2, at120(30)...),
		compared("memories-copy", "memory", "{kind: delta, rate: 1}", "", 1, at120(40)...),
		compared("memories-copy", "memory", "{kind: delta, rate: 2}", "", 1, at120(10)...),
		compared("elsewhere", "memory", "{kind: lrua}", "", 1, at120(0)...),
	}
	// MAD has a mean only where all six tasks are there.
	for i, task := range []string{"{kind: context-recall, noise: 0}", "{kind: context-recall, noise: 0.2}", "{kind: fuzzy-recall}", "{kind: selective-copy}", "{kind: memorization}"} {
		name := []string{"length 128", "length 128", "length 128", "length 256, copied 16", "length 32"}[i]
		for _, memory := range []string{"{kind: delta, rate: 1}", "{kind: kda}"} {
			runs = append(runs, compared("memories-mad", "mixer", memory, "dataset: "+task, 1, holding(name, "macro accuracy", float64(10*i), 2048)))
		}
	}
	runs = append(runs, compared("memories-mad-compression", "mixer", "{kind: delta, rate: 1}", "", 1, holding("length 32", "macro accuracy", 40, 2048)))
	for _, slots := range []int64{0, 64} {
		f := holding("x", "accuracy", 50+float64(slots), 6400)
		f.Protocol.Slots, f.Protocol.Memory = slots, "delta"
		if slots > 0 {
			f.Protocol.Memory = "lrua"
		}
		runs = append(runs, compared("memories-stream", "memory", fmt.Sprintf("{kind: prototype, seen: %d}", slots), "", 1, f))
	}
	page, err := results.Page("memories", runs)
	require.NoError(t, err)
	text := markdown(page)
	for _, want := range []string{
		"| NTM | 1234 | 2560 | 20.0 | [2.5](runs/memories-copy-{kind: ntm, slots: 128}-1) ± 6.4 | [25.0](runs/memories-copy-{kind: ntm, slots: 128}-1) ± 63.5 |",
		"| delta rule, eigenvalues in [-1, 1] | 1234 | 2560 | 20.0 | [**1.0**](runs/memories-copy-{kind: delta, rate: 2}-1) ± 0.5 | [**10.0**]",
		"[**23.3**](runs/memories-mad-{kind: delta, rate: 1}-1)",
		"| KDA | | | |",
		"`engram sweep experiments/memories-mad.yaml`; `engram sweep experiments/memories-mad-compression.yaml`",
	} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "runs/elsewhere")
	assert.Contains(t, text, "[**114.0**](runs/memories-stream", "a stream with 64 slots")
	assert.Contains(t, text, "[**50.0**](runs/memories-stream", "a memory without slots")

	run := compared("memories-mqar", "width: 32, mixer", "{kind: kda}", "", 1, holding("length 64, pairs 8", "accuracy", 90, 1024))
	plots, err := results.Plots([]results.Run{run})
	require.NoError(t, err)
	require.Len(t, plots, 1)
	assert.Equal(t, "results/plots/memories.svg", plots[0].Path)
	assert.Contains(t, string(plots[0].Text), ">KDA</text>")
}

// A truth table has the figures of its settings, and a drawing of them.
func TestTruthTable(t *testing.T) {
	run := func(writes, rate int, value float64, seed ...uint64) results.Run {
		return compared("s3", "mixer", fmt.Sprintf("{kind: delta-product, writes: %d, rate: %d}", writes, rate), "", append(seed, 1)[0],
			holding("length 128", "whole sequences", 100, 0), holding("length 512", "whole sequences", value, 0))
	}
	runs := []results.Run{run(1, 1, 0), run(1, 2, 3), run(2, 2, 99), run(2, 2, 100, 2)}
	page, err := results.Page("memories", runs)
	require.NoError(t, err)
	text := markdown(page)
	assert.Contains(t, text, "| one step per token | [0.0](runs/s3-{kind: delta-product, writes: 1, rate: 1}-1) ± 0.5 | [3.0]")
	assert.Contains(t, text, "| two steps per token | | [99.5](runs/s3-{kind: delta-product, writes: 2, rate: 2}-1) ± 6.4 (s 0.7) |")
	assert.NotContains(t, text, "Parity, trained on", "which was not run")
	plots, err := results.Plots(runs)
	require.NoError(t, err)
	require.Len(t, plots, 1)
	assert.Equal(t, "results/plots/memories-s3.svg", plots[0].Path)
}

// Every experiment that fills a column has a row for each memory of its matrix, and a figure that its tests give.
func TestMemoriesOfTheMatricesHaveRows(t *testing.T) {
	text, err := os.ReadFile("published.yaml")
	require.NoError(t, err)
	var published struct {
		Pages []struct {
			Name string
			Rows []struct{ Kinds []string }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &published))
	rows := map[string]bool{}
	for _, p := range published.Pages {
		for _, r := range p.Rows {
			for _, kind := range r.Kinds {
				rows[kind] = true
			}
		}
	}
	files, err := filepath.Glob("../experiments/memories-*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var e struct{ Matrix map[string][]any }
		require.NoError(t, yaml.Unmarshal(text, &e))
		for _, key := range []string{"network.memory", "network.mixer"} {
			for _, v := range e.Matrix[key] {
				if section, ok := v.(map[string]any); ok {
					v = section["kind"]
				}
				assert.True(t, rows[fmt.Sprint(v)], "%s: no row of results/memories.md for %v", file, v)
			}
		}
	}
}
