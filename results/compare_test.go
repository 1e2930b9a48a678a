package results_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// scored is a result on Omniglot with right answers of 75 an episode.
func scored(name string, right ...int64) *results.Result {
	r := sample()
	r.Name = name
	var sum float64
	for _, n := range right {
		sum += float64(n) / .75
	}
	r.Figures[0].Value = sum / float64(len(right))
	r.Figures[0].Scores = &results.Scores{Per: .75, Values: right, On: "x"}
	return r
}

func TestPairedDifference(t *testing.T) {
	a, b := scored("a", 75, 60, 45, 72), scored("b", 72, 57, 45, 66)
	b.Figures[0].Protocol.TrainWay = 20 // belongs to the method
	got := results.Compare(a, b)
	require.Len(t, got, 1)
	assert.Empty(t, got[0].Why)
	assert.InDelta(t, 4, got[0].Difference, 1e-12)                           // of 4, 4, 0 and 8 percent
	assert.InDelta(t, 3.182446305*math.Sqrt(32./3)/2, got[0].Interval, 1e-8) // t·s/√4 with 3 degrees of freedom
	back := results.Compare(b, a)
	assert.Equal(t, -got[0].Difference, back[0].Difference)
}

func TestWhatCannotBeCompared(t *testing.T) {
	for want, change := range map[string]func(f *results.Figure){
		"the protocols differ: norm: inductive against transductive":                           func(f *results.Figure) { f.Protocol.Norm = "transductive" },
		"the protocols differ: episodes: 1000 against 600; rotations: classes against not set": func(f *results.Figure) { f.Protocol.Episodes, f.Protocol.Rotations = 600, "" },
		"the scores were not kept":  func(f *results.Figure) { f.Scores = nil },
		"other examples were drawn": func(f *results.Figure) { f.Scores.On = "y" },
		"drawn by another version":  func(f *results.Figure) { f.Scores.Values = []int64{1} },
	} {
		b := scored("b", 1, 2, 3)
		change(&b.Figures[0])
		got := results.Compare(scored("a", 1, 2, 3), b)
		require.Len(t, got, 1, want)
		assert.Contains(t, got[0].Why, want)
		assert.Zero(t, got[0].Difference)
	}
	b := scored("b", 1)
	b.Figures[0].Name = "20-way 1-shot"
	assert.Empty(t, results.Compare(scored("a", 1), b), "no test in common")
}

// Of two figures of one name, the one under the same protocol is compared.
func TestTheNearestProtocolIsCompared(t *testing.T) {
	b := scored("b", 1, 2)
	other := b.Figures[0]
	other.Protocol.Norm = "transductive"
	b.Figures = []results.Figure{other, b.Figures[0]}
	got := results.Compare(scored("a", 1, 3), b)
	require.Len(t, got, 1)
	assert.Empty(t, got[0].Why)
	assert.Equal(t, "inductive", got[0].B.Protocol.Norm)
}

func TestScoresLieBesideTheResult(t *testing.T) {
	dir := t.TempDir()
	r := scored("a", 75, 0, 3)
	r.Figures = append(r.Figures, results.Figure{Name: "other", Metric: "bits"})
	scores, err := r.EncodeScores()
	require.NoError(t, err)
	assert.Equal(t, "[\n{\"name\":\"5-way 1-shot\",\"metric\":\"accuracy\",\"per\":0.75,\"values\":[75,0,3],\"on\":\"x\"},\n{\"name\":\"other\",\"metric\":\"bits\"}\n]\n", string(scores))
	text, err := r.Encode()
	require.NoError(t, err)
	path := filepath.Join(dir, "result.json")
	require.NoError(t, os.WriteFile(path, text, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "scores.json"), scores, 0o644))
	back, err := results.Read(path)
	require.NoError(t, err)
	assert.Equal(t, r, back)

	none, err := sample().EncodeScores()
	require.NoError(t, err)
	assert.Nil(t, none)

	for bad, want := range map[string]string{
		"[":                                     "runs/x/scores.json is damaged",
		"[]":                                    "it has 0 figures, the result 2",
		`[{"name":"x","metric":"accuracy"},{}]`: "figure 0 is x, accuracy, in the result 5-way 1-shot, accuracy",
		`[{"nmae":"x"}]`:                        `unknown field "nmae"`,
		`[{"name":"5-way 1-shot","metric":"accuracy","values":[1]},{"name":"other","metric":"bits"}]`: "figure 0 counts in units of 0",
	} {
		_, err := results.ReadRuns(fstest.MapFS{"runs/x/result.json": {Data: text}, "runs/x/scores.json": {Data: []byte(bad)}})
		assert.ErrorContains(t, err, want, bad)
	}
}

func TestNewScoresRoundsToItsUnit(t *testing.T) {
	s := results.NewScores([]float64{100, 100 * 74. / 75, 0}, .75, "x")
	assert.Equal(t, []int64{75, 74, 0}, s.Values)
	assert.Nil(t, results.NewScores([]float64{1, math.NaN()}, 1000, ""))
	assert.Equal(t, []int64{1235, -1}, results.NewScores([]float64{1.23456, -.001}, 1000, "").Values)
}

func TestPairedDifferencesOnOmniglot(t *testing.T) {
	runs := []results.Run{
		{Path: "b", Result: scored("b", 72, 57, 45, 66)}, {Path: "a", Result: scored("a", 75, 60, 45, 72)}, {Path: "c", Result: sample()},
		{Path: "d", Result: scored("d", 72, 57, 45, 69)}, {Path: "other", Result: scored("other", 72, 57, 45)},
	}
	text, err := results.Page("omniglot", runs)
	require.NoError(t, err)
	// The best first, other episodes and runs without scores left out.
	_, got, _ := strings.Cut(markdown(text), "| less the one above | seeds |\n")
	assert.Contains(t, got, `
| 5-way 1-shot, batch norm inductive | [a](a) |  | 84.00 ± 28.94 |  |  | 1 (single) |
| 5-way 1-shot, batch norm inductive | [d](d) |  | 81.00 ± 26.18 | -3.00 ± 3.18 | -3.00 ± 3.18 | 1 (single) |
| 5-way 1-shot, batch norm inductive | [b](b) |  | 80.00 ± 24.92 | -4.00 ± 5.20 | -1.00 ± 3.18 | 1 (single) |
`)
	assert.Equal(t, 3, strings.Count(got, "\n| 5"), got)

	text, err = results.Page("omniglot", runs[2:3])
	require.NoError(t, err)
	assert.NotContains(t, markdown(text), "Paired differences")
}
