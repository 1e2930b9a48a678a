package results_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

func streamSample() *results.Result {
	r := sample()
	r.Name, r.About = "stream-x", "A stream"
	for _, f := range []struct {
		memory string
		slots  int64
		value  float64
	}{{"keyvalue", 0, 90}, {"lrua", 64, 50.04}, {"lrua", 16, 9.5}} {
		p := r.Figures[0].Protocol
		p.Way, p.Shot, p.Query, p.Episodes, p.Memory, p.Slots, p.Asked = 100, 10, 2, 20, f.memory, f.slots, 5
		for _, metric := range []string{"accuracy", "accuracy while passing"} {
			r.Figures = append(r.Figures, results.Figure{Name: f.memory, Metric: metric, Value: f.value, Interval: .5, Protocol: p})
		}
	}
	return r
}

func TestStreamTables(t *testing.T) {
	text, err := results.Page("stream", []results.Run{{Path: "p", Result: streamSample()}, {Path: "q", Result: sample()}})
	require.NoError(t, err)
	for _, want := range []string{
		"## stream-x\n\nA stream. A single seed; 20 test streams of 1000 examples, 10 of each of 100 classes; 2 queries per class, asked 5 times.",
		"| accuracy | unbounded | 16 slots | 64 slots |\n|---|---|---|---|\n| keyvalue | 90.0 ± 0.5 | | |\n| lrua | | 9.5 ± 0.5 | 50.0 ± 0.5 |\n",
		"| accuracy while passing | unbounded |",
	} {
		assert.Contains(t, markdown(text), want)
	}
	assert.NotContains(t, markdown(text), "## x")

	plots, err := results.Plots([]results.Run{{Path: "q", Result: sample()}, {Path: "p", Result: streamSample()}})
	require.NoError(t, err)
	require.Len(t, plots, 1)
	assert.Equal(t, "results/stream.svg", plots[0].Path)
	assert.Contains(t, string(plots[0].Text), ">keyvalue</text>")
	assert.Contains(t, string(plots[0].Text), ">lrua</text>")
	plots, err = results.Plots([]results.Run{{Path: "q", Result: sample()}})
	require.NoError(t, err)
	assert.Empty(t, plots, "no stream, no file")
}

// A run on streams is not a row among the reproductions of papers.
func TestStreamRunIsNotInTheOmniglotTable(t *testing.T) {
	text, err := results.Page("omniglot", []results.Run{{Path: "p", Result: streamSample()}})
	require.NoError(t, err)
	assert.NotContains(t, markdown(text), "stream-x")
}
