package results_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

func scenario(name string, values map[string]float64, steps int64) results.Run {
	r := &results.Result{Name: name, Network: "transfer", Seed: 1, Training: results.Training{Steps: steps, Seconds: 120}}
	for _, how := range []string{"linear head", "last 1 blocks"} {
		if v, ok := values[how]; ok {
			r.Figures = append(r.Figures, results.Figure{Name: "5-way 5-shot", Metric: "accuracy", Value: v, Interval: .5, Protocol: results.Protocol{
				Dataset: "omniglot", Split: "lake", TrainedOn: "omniglot", Adapted: how, Classes: 659, Query: 10, Episodes: 200, Norm: "inductive", Precision: "fp32",
			}})
		}
	}
	return results.Run{Path: "runs/" + name, Result: r}
}

func TestTransferTable(t *testing.T) {
	text, err := results.Page("transfer", nil)
	require.NoError(t, err)
	assert.Nil(t, text, "no file without runs")
	text, err = results.Page("transfer", []results.Run{
		scenario("transfer-none", map[string]float64{"linear head": 60, "last 1 blocks": 62}, 0),
		scenario("transfer-omniglot", map[string]float64{"linear head": 98.2, "last 1 blocks": 97.5}, 9000),
		scenario("transfer-latin", map[string]float64{"last 1 blocks": 90}, 9000),
		scenario("elsewhere", map[string]float64{"linear head": 1}, 9000),
	})
	require.NoError(t, err)
	assert.Contains(t, markdown(text), `
| from → to | data | tasks | training classes | linear head | last 1 blocks | seeds | training |
|---|---|---|---|---|---|---|---|
| Omniglot → its held-out alphabets | alike (the same pens and hands) | alike (thousands of characters) | omniglot | **98.20** ± 0.50 | **97.50** ± 0.50 | 1 (single) | 9000 steps, 2 min |
| Latin only → all other alphabets | alike (the same pens and hands) | unlike (26 letters of one alphabet) | omniglot | | **90.00** ± 0.50 | 1 (single) | 9000 steps, 2 min |
| nothing → Omniglot | none (a fresh encoder) | none | not trained | 60.00 ± 0.50 | **62.00** ± 0.50 | 1 (single) | 0 steps, 2 min |
`)
	assert.NotContains(t, markdown(text), "elsewhere")
}

// The Omniglot table has a row for each way in which a baseline adapts, and compares them on the same episodes.
func TestBaselineInTheOmniglotTable(t *testing.T) {
	r := sample()
	r.Name, r.Network = "baseline-omniglot", "transfer"
	p := r.Figures[0].Protocol
	p.TrainWay, p.TrainShot, p.Adapted = 0, 0, "linear head from means"
	r.Figures[0].Protocol = p
	r.Figures[0].Value = 95
	r.Figures[0].Scores = results.NewScores([]float64{90, 100}, 1, "x")
	other := sample()
	other.Figures[0].Value = 90
	other.Figures[0].Scores = results.NewScores([]float64{80, 100}, 1, "x")
	p.Adapted = "nearest class mean"
	r.Figures = append(r.Figures, results.Figure{Name: "5-way 1-shot", Metric: "accuracy", Value: 95, Protocol: p, Scores: r.Figures[0].Scores})
	text, err := results.Page("omniglot", []results.Run{{Path: "a", Result: r}, {Path: "b", Result: other}})
	require.NoError(t, err)
	assert.Contains(t, markdown(text), "| Baseline: linear head from means | 86.0 |  | **95.00** ± 63.53 |")
	assert.Contains(t, markdown(text), "| Baseline: nearest class mean |  |  | **95.00** ± 63.53 |")
	assert.Contains(t, markdown(text), "; trained as a classifier, fp32 |")
	assert.Contains(t, markdown(text), `
| 5-way 1-shot, batch norm inductive | [baseline-omniglot](a) | linear head from means | 95.00 ± 63.53 |  |  | 1 (single) |
| 5-way 1-shot, batch norm inductive | [baseline-omniglot](a) | nearest class mean | 95.00 ± 63.53 | 0.00 ± 0.00 | 0.00 ± 0.00 | 1 (single) |
| 5-way 1-shot, batch norm inductive | [protonet-omniglot](b) |  | 90.00 ± 127.06 | -5.00 ± 63.53 | -5.00 ± 63.53 | 1 (single) |
`)
	both := results.Compare(r, r)
	require.Len(t, both, 2)
	for _, c := range both {
		assert.Equal(t, c.A, c.B, "each adaptation with itself")
	}
}
