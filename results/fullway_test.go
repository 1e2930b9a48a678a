package results_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

const fullWayPage = `
pages:
  - name: texts
    form: full-way tests
    title: Texts
    about: Accuracy.
    metric: accuracy
    datasets: [bank, home]
    shots: [5, 10]
    methods:
      - {method: Nearest class mean, network: transfer, config: {network.encoder.kind: bert}, head: nearest class mean, encoder: MiniLM}
      - {method: Logistic regression, network: transfer, config: {network.encoder.kind: bert}, head: logistic regression, encoder: MiniLM}
      - {method: Others, encoder: USE, paper: A 2020, figures: {bank 5-shot: {published: 76.29}, home 10-shot: {published: 83.75}}}
`

// asked is a run that tells all classes of a data set apart by so many examples of each, with a figure for each head.
func asked(data string, shot int, seed uint64, value float64, heads ...string) results.Run {
	r := seeded(data+"-minilm", seed, value, "network: {encoder: {kind: bert, weights: MiniLM, sha256: 0123456789abcdef0123}}\ndataset: {shots: "+string(rune('0'+shot%10))+"}")
	r.Network, r.Training.Steps = "transfer", 0
	f := r.Figures[0]
	f.Name = "all classes"
	f.Protocol = results.Protocol{Dataset: data, TrainedOn: data, Split: "fixed file", Classes: 7, Way: 7, Shot: shot, Queries: 40}
	r.Figures = nil
	for i, head := range heads {
		f.Value, f.Protocol.Adapted = value+float64(i), head
		r.Figures = append(r.Figures, f)
	}
	return r
}

func TestFullWayPage(t *testing.T) {
	all, err := results.ReadPublications(strings.NewReader(fullWayPage))
	require.NoError(t, err)
	heads := []string{"nearest class mean, cosine", "logistic regression, C 30"}
	runs := []results.Run{
		asked("bank", 5, 1, 70, heads...), asked("bank", 5, 2, 72, heads...), asked("home", 10, 1, 80, heads[1]),
		asked("street", 5, 1, 90, heads...), // which the page does not have
	}
	page, err := all.Page("texts", runs)
	require.NoError(t, err)
	text := markdown(page)
	for _, line := range []string{
		"| method | encoder | bank 5-shot | bank 10-shot | home 5-shot | home 10-shot | seeds |\n",
		"| Nearest class mean | MiniLM | **71.00** ± 12.71 (s 1.41) | | | | 2 |\n",
		"| Logistic regression | MiniLM | **72.00** ± 12.71 (s 1.41) | | | **80.00** ± 0.12 | 2, 1 |\n",
		"| Others | USE | 76.29 |  |  | 83.75 | |\n",
		"bank, fixed file, 7 classes, 40 queries, nearest class mean, cosine; logistic regression, C 30, weights of MiniLM, SHA-256 0123456789abcdef, nothing trained but the head",
		"Published: Others, USE: A 2020.",
	} {
		assert.Contains(t, text, line)
	}
	assert.NotContains(t, text, "street")

	own, err := all.Own(runs[:1])
	require.NoError(t, err)
	assert.NotContains(t, markdown(own[1]), "Others")
	none, err := all.Page("texts", nil)
	require.NoError(t, err)
	assert.Nil(t, none)
}
