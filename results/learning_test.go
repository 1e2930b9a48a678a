package results_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// learning is a run with a metrics.jsonl.
func learning(t *testing.T, seed int, lines ...string) results.Run {
	t.Helper()
	folder := fmt.Sprintf("runs/x/seed-%d/", seed)
	runs, err := results.ReadRuns(fstest.MapFS{
		folder + "result.json":   {Data: fmt.Appendf(nil, `{"name": "x", "seed": %d}`, seed)},
		folder + "metrics.jsonl": {Data: []byte(strings.Join(lines, "\n") + "\n")},
	})
	require.NoError(t, err)
	return runs[0]
}

func TestLearningCurveOfSeeds(t *testing.T) {
	a := learning(t, 1, `{"step":1,"accuracy":0.5}`, `{"step":10,"validation_accuracy":0.6}`, `{"step":20,"validation_accuracy":0.8}`)
	b := learning(t, 2, `{"step":1,"accuracy":0.3}`, `{"step":10,"validation_accuracy":0.4}`)
	f, ok, err := results.LearningCurve([]results.Run{a, b})
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "x, mean and range of 2 seeds", f.Title)
	assert.Equal(t, "accuracy (%)", f.Y)
	require.Len(t, f.Lines, 2)
	v := f.Lines[1]
	assert.Equal(t, "validation", v.Name)
	assert.Equal(t, []float64{10, 20}, v.X)
	assert.InDeltaSlice(t, []float64{50, 80}, v.Y, 1e-9)
	assert.InDeltaSlice(t, []float64{40, 80}, v.Low, 1e-9)
	assert.InDeltaSlice(t, []float64{60, 80}, v.High, 1e-9, "after the first has ended there is one")
	assert.InDeltaSlice(t, []float64{40}, f.Lines[0].Y, 1e-9)

	f, ok, err = results.LearningCurve([]results.Run{a})
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "x, seed 1", f.Title)
	require.Len(t, f.Lines, 3, "as it was, smoothed, validation")
	assert.True(t, f.Lines[0].Pale)
	assert.Nil(t, f.Lines[2].Low)
}

// Training and validation on different tasks share the axis of one unit, and say so.
func TestLearningCurveNamesDifferentTasks(t *testing.T) {
	r := learning(t, 1, `{"step":1,"accuracy":0.5}`, `{"step":10,"validation_accuracy":0.6}`)
	r.Config = "{train: {way: 60, shot: 1}, validation: {way: 20, shot: 1}}"
	f, ok, err := results.LearningCurve([]results.Run{r})
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "training (60-way 1-shot)", f.Lines[0].Name)
	assert.Equal(t, "validation (20-way 1-shot)", f.Lines[2].Name)
	assert.Contains(t, f.Note, "different tasks")
	r.Config = "{train: {way: 20, shot: 1}, validation: {way: 20, shot: 1}}"
	f, _, err = results.LearningCurve([]results.Run{r})
	require.NoError(t, err)
	assert.Equal(t, "validation", f.Lines[2].Name)
	assert.Empty(t, f.Note)
}

// A network that was trained on labelled images was shown no episodes, whatever its file would say of them.
func TestLearningCurveOfAClassifier(t *testing.T) {
	r := learning(t, 1, `{"step":1,"accuracy":0.5}`, `{"step":10,"validation_accuracy":0.6}`)
	r.Config = "{train: {way: 20, shot: 1}, validation: {way: 5, shot: 5}}"
	r.Figures = []results.Figure{{Name: "5-way 1-shot", Protocol: results.Protocol{Way: 5, Shot: 1}}}
	f, ok, err := results.LearningCurve([]results.Run{r})
	require.NoError(t, err)
	require.True(t, ok)
	assert.Equal(t, "training", f.Lines[0].Name)
	assert.Equal(t, "validation (5-way 5-shot)", f.Lines[2].Name)
}

func TestLongLearningCurveIsThinned(t *testing.T) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf(`{"step":%d,"bits":%d}`, 20*(i+1), i%4))
	}
	f, ok, err := results.LearningCurve([]results.Run{learning(t, 1, lines...)})
	require.NoError(t, err)
	require.True(t, ok)
	raw := f.Lines[0]
	require.Len(t, raw.X, 250)
	assert.Equal(t, "steps (thousands)", f.X)
	assert.InDelta(t, 20, raw.X[249], 1e-9, "the last step is there")
	assert.InDelta(t, 1.5, raw.Y[7], 1e-9, "the mean of four")
}

func TestNoLearningCurve(t *testing.T) {
	_, ok, err := results.LearningCurve([]results.Run{{Result: sample()}, learning(t, 1, `{"step":1,"loss":2}`)})
	require.NoError(t, err)
	assert.False(t, ok)
	_, _, err = results.LearningCurve([]results.Run{learning(t, 1, "x", "y")})
	assert.ErrorContains(t, err, "metrics: line 1")
}
