package results_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

const benchmarkPage = `
pages:
  - name: photographs
    form: few-shot benchmark
    title: Photographs
    about: Accuracy.
    dataset: photographs
    metric: accuracy
    tests: [5-way 1-shot, 5-way 5-shot]
    methods:
      - method: Prototypes
        network: protonet
        config: {network.encoder.kind: conv4}
        encoder: Conv-4 (64)
        paper: A 2020
        protocol: 600 episodes
        figures:
          5-way 1-shot: {published: 55.5 ± 0.7, reruns: [~, 54.10]}
          5-way 5-shot: {published: 72.0}
        reruns: B; C
      - {method: A classifier, network: transfer, encoder: Conv-4 (64)}
      - {method: TIM, network: transfer, head: TIM, encoder: ResNet-18, transductive: true, paper: D 2021, figures: {5-way 1-shot: {published: 73.9}}}
      - {method: Adapted, network: maml, norm: transductive, paper: F 2017, figures: {5-way 1-shot: {published: 60.1}}}
      - {method: Never run, encoder: WRN-28-10, paper: E 2022, transductive: true, figures: {5-way 5-shot: {published: 90.68}}}
      - {method: Never run nor published, network: none}
`

// photographs is a run on the data set photographs with a figure of one way and shot for each adaptation.
func photographs(name, network string, seed uint64, value float64, adaptations ...string) results.Run {
	r := seeded(name, seed, value, "network: {encoder: {kind: conv4, filters: 64}}")
	r.Network, r.Training.Parameters, r.About = network, 113088, "About "+name
	f := r.Figures[0]
	f.Protocol.Dataset, f.Protocol.TrainedOn, f.Protocol.Split, f.Protocol.Rotations = "photographs", "photographs", "photographs", "none"
	r.Figures = nil
	for i, adapted := range adaptations {
		f.Value, f.Protocol.Adapted = value+float64(i), adapted
		r.Figures, r.TestSeconds = append(r.Figures, f), append(r.TestSeconds, float64(12*(i+1)))
	}
	return r
}

func TestBenchmark(t *testing.T) {
	all, err := results.ReadPublications(strings.NewReader(benchmarkPage))
	require.NoError(t, err)
	heads := []string{"nearest class mean", "TIM, 150 steps, transductive", "ridge regression"}
	runs := []results.Run{
		photographs("proto", "protonet", 1, 56, ""), photographs("proto", "protonet", 2, 57, ""), photographs("proto", "protonet", 3, 58, ""),
		photographs("classifier", "transfer", 1, 60, heads...),
		photographs("maml", "maml", 1, 50, ""),
		photographs("mine", "siamese", 1, 40, ""),
	}
	page, err := all.Page("photographs", runs)
	require.NoError(t, err)
	text := markdown(page)
	assert.Contains(t, text, "| method | queries | encoder | 5-way 1-shot: paper | re-runs | Engram | 5-way 5-shot: paper | re-runs | Engram | experiment | parameters | seeds | training | 1,000 tasks |\n")
	link := func(name string) string { return "[" + name + "](runs/" + name + "/seed-1/result.json)" }
	for _, row := range []string{
		// The mean over seeds, with Student's t: 4.30265·1/√3.
		"| Prototypes | inductive | Conv-4 (64) | 55.5 ± 0.7 | –, 54.10 | **57.00** ± 2.48 (s 1.00) | 72.0 |  | | " + link("proto") + " | 113088 | 3 | 9000 steps, 20 min | 12 s |",
		"| A classifier | inductive | Conv-4 (64) |  |  | **60.00** ± 0.12 |  |  | | " + link("classifier") + ": nearest class mean | 113088 | 1 (single) | 9000 steps, 20 min | 12 s |",
		"| A classifier | inductive | Conv-4 (64) |  |  | **62.00** ± 0.12 |  |  | | " + link("classifier") + ": ridge regression |",
		"| TIM | transductive | ResNet-18 | 73.9 |  | **61.00** ± 0.12 |  |  | | " + link("classifier") + ": TIM, 150 steps, transductive | 113088 | 1 (single) | 9000 steps, 20 min | 24 s |",
		// What is published is transductive, and ours is not.
		"| Adapted | transductive (batch norm) |  | 60.1 |  | |  |  | | | | | | |\n| Adapted | inductive | conv4 (64) |  |  | **50.00** ± 0.12 |",
		"| Never run | transductive | WRN-28-10 |  |  | | 90.68 |  | | | | | | |",
		"| About mine | inductive | conv4 (64) |  |  | **40.00** ± 0.12 |",
	} {
		assert.Contains(t, text, row)
	}
	assert.NotContains(t, text, "nor published")
	assert.Contains(t, text, "Published: Prototypes, Conv-4 (64): A 2020 (600 episodes) (re-runs: B; C); TIM, ResNet-18: D 2021; ")
	assert.Equal(t, 1, strings.Count(text, "[classifier, seed 1]"), "one protocol for all heads of a run")

	own, err := all.Own(runs[:3])
	require.NoError(t, err)
	assert.NotContains(t, markdown(own[1]), "Never run")
	none, err := all.Page("photographs", nil)
	require.NoError(t, err)
	assert.Nil(t, none)

	rows := records(t, all.Published())
	assert.Equal(t, "55.5", rows[0]["value"])
	assert.Equal(t, "0.7", rows[0]["interval"])
	assert.Equal(t, "encoder: ResNet-18; queries: transductive", rows[3]["protocol"])

	for _, bad := range []string{"fast", "55.5 ±", "± 0.7", "55.5 ± x"} {
		_, err = results.ReadPublications(strings.NewReader(strings.Replace(benchmarkPage, "55.5 ± 0.7", bad, 1)))
		assert.ErrorContains(t, err, "is no published figure: write 55.5, or 55.5 ± 0.7", bad)
	}
}

// The overview and names in other tables tell of a transductive head, also where it is a run's only one.
func TestTransductiveHeadsAreMarked(t *testing.T) {
	runs := []results.Run{photographs("classifier", "transfer", 1, 60, "TIM, 150 steps, transductive")}
	assert.Equal(t, []string{"5-way 1-shot (transductive)"}, results.Distinct(runs[0].Figures))
	overview, err := results.Overview(runs)
	require.NoError(t, err)
	assert.Contains(t, overview.Markdown(), "5-way 1-shot (transductive), accuracy")
}
