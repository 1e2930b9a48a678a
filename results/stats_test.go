package results_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// The factors are those of a table of Student's t at 97.5 %.
func TestIntervalsAreStudents(t *testing.T) {
	values := func(n int) (out []float64) {
		for i := range n {
			out = append(out, float64(i%2))
		}
		return out
	}
	for n, factor := range map[int]float64{2: 12.7062, 3: 4.30265, 10: 2.26216, 20: 2.09302, 1000: 1.96234} {
		e := results.Summarize(values(n))
		assert.Equal(t, n, e.N)
		assert.InDelta(t, factor, e.Half*math.Sqrt(float64(n))/e.Deviation, 1e-4, "%d values", n)
	}
	mean, half := results.MeanInterval([]float64{.2, .4, .6, .8})
	assert.InDelta(t, .5, mean, 1e-12)
	assert.InDelta(t, 3.182446305*0.2581988897/2, half, 1e-9) // t·s/√n with the unbiased s
}

// A single value, or none, has no interval, and no NaN gets into a result file.
func TestASingleValueHasNoInterval(t *testing.T) {
	e := results.Summarize([]float64{7})
	assert.Equal(t, results.Estimate{N: 1, Mean: 7}, e)
	assert.False(t, e.HasInterval())
	assert.Equal(t, results.Estimate{}, results.Summarize(nil))
	mean, half := results.MeanInterval([]float64{7})
	assert.Equal(t, []float64{7, 0}, []float64{mean, half})

	r := sample()
	r.Figures[0].Measure([]float64{80})
	text, err := r.Encode()
	require.NoError(t, err)
	var back results.Result
	require.NoError(t, json.Unmarshal(text, &back))
	assert.True(t, back.Figures[0].Single)
	page, err := results.Page("omniglot", []results.Run{{Path: "p", Result: r}})
	require.NoError(t, err)
	assert.Contains(t, markdown(page), "| **80.00** (no interval) |")

	r.Figures[0].Measure([]float64{80, 90})
	assert.False(t, r.Figures[0].Single)
	assert.InDelta(t, 12.7062*math.Sqrt(50)/math.Sqrt2, r.Figures[0].Interval, 1e-3)
}

// Result files of older versions hold 1.96·s/√n; tables compute the interval of few values anew where these are at hand.
func TestOldIntervalsOfFewValuesAreComputedAnew(t *testing.T) {
	r := lakeRun("a", "siamese", 900, "")
	e := results.Summarize([]float64{0, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 125})
	page, err := results.Page("lake", []results.Run{r})
	require.NoError(t, err)
	assert.InDelta(t, 13.4, e.Half, .05)
	assert.Contains(t, markdown(page), "**8.0** ± 13.4")

	s := sample()
	s.Figures[0].Scores = results.NewScores([]float64{98, 99, 100}, 1, "x")
	page, err = results.Page("omniglot", []results.Run{{Path: "p", Result: s}})
	require.NoError(t, err)
	assert.Contains(t, markdown(page), "**98.77** ± 2.48") // 4.30265·1/√3
}

func TestCalibrationError(t *testing.T) {
	// Confidence 0.9 and 0.5 fall into bins of their own: gaps of |0.9 − 3/4| and |0.5 − 1| weigh 4 and 1 of 5.
	ece, err := results.CalibrationError([]float64{.9, .9, .9, .9, .5}, []bool{true, true, true, false, true})
	require.NoError(t, err)
	assert.InDelta(t, 100*(.15*4+.5)/5, ece, 1e-9)

	// The edge of a bin belongs to the bin below: 1/15 is in the first bin with 0, so that gaps of both signs cancel there.
	ece, err = results.CalibrationError([]float64{0, 1. / 15}, []bool{false, false})
	require.NoError(t, err)
	assert.InDelta(t, 100./30, ece, 1e-9)

	ece, err = results.CalibrationError([]float64{1, 1}, []bool{true, true})
	require.NoError(t, err)
	assert.Zero(t, ece)

	for _, bad := range []struct {
		p     []float64
		right []bool
	}{{nil, nil}, {[]float64{.5}, nil}, {[]float64{math.NaN()}, []bool{true}}, {[]float64{1.01}, []bool{true}}, {[]float64{-.1}, []bool{true}}} {
		_, err := results.CalibrationError(bad.p, bad.right)
		assert.Error(t, err)
	}
}

func TestConfusion(t *testing.T) {
	var c results.Confusion
	for _, pair := range [][2]string{{"a", "a"}, {"a", "b"}, {"a", "b"}, {"b", "b"}, {"b", "c"}} {
		c.Add(pair[0], pair[1])
	}
	assert.Equal(t, []string{"a", "b", "c"}, c.Classes)
	assert.Equal(t, 2, c.Count("a", "b"))
	assert.Zero(t, c.Count("b", "a"))
	assert.Equal(t, []results.ClassAccuracy{{Class: "a", Right: 1, Queries: 3}, {Class: "b", Right: 1, Queries: 2}}, c.PerClass(), "class c had no queries")
	assert.InDelta(t, 100./3, c.PerClass()[0].Percent(), 1e-12)
	assert.Equal(t, []results.Mistake{{"a", "b", 2}, {"b", "c", 1}}, c.Mistakes())

	// It survives a result file; damage is found.
	r := sample()
	ece := 1.5
	r.Figures[0].Confusion, r.Figures[0].PerClass, r.Figures[0].CalibrationError, r.Figures[0].Predictions = &c, c.PerClass(), &ece, "predictions.csv"
	text, err := r.Encode()
	require.NoError(t, err)
	back, err := readText(t, string(text))
	require.NoError(t, err)
	assert.Equal(t, r.Figures, back.Figures)
	for _, damage := range []string{`{"classes":["a"],"counts":{"a":{"b":1}}}`, `{"classes":[],"counts":{"a":{}}}`, `{"classes":["a"],"counts":{"a":{"a":-1}}}`} {
		_, err := readText(t, `{"figures":[{"name":"x","confusion":`+damage+`}]}`)
		assert.ErrorContains(t, err, "is damaged: x: the confusion matrix counts", damage)
	}
}

// A run is judged by the figure that is marked. Older results mark none.
func TestHeadline(t *testing.T) {
	instance := func(k, way int, headline bool) results.Figure {
		return results.Figure{Name: "x", Metric: "accuracy", Value: float64(k), Headline: headline, Protocol: results.Protocol{Way: way, Instance: k}}
	}
	r := &results.Result{Figures: []results.Figure{instance(1, 5, false), instance(2, 5, false), instance(10, 5, false), instance(20, 15, false)}}
	assert.EqualValues(t, 10, r.Headline().Value, "the last instance of the first test")
	r.Figures[1].Headline = true
	assert.EqualValues(t, 2, r.Headline().Value)
	assert.Nil(t, (&results.Result{}).Headline())
	assert.Equal(t, "5-way 1-shot", sample().Headline().Name)
	questions := &results.Result{Figures: []results.Figure{{Name: "task 1", Metric: "error"}, {Name: "all tasks", Metric: "error"}, {Name: "all tasks", Metric: "failed"}}}
	assert.Equal(t, &questions.Figures[1], questions.Headline())
}
