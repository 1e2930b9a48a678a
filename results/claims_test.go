package results_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

const claimPages = `
pages:
  - name: mine
    form: few-shot episodes
    dataset: omniglot
    metric: accuracy
    tests: [5-way 1-shot]
    methods:
      - {method: A, experiment: a, rotations: classes, norm: inductive, paper: P, explained: because, figures: {5-way 1-shot: {published: 98.8, fine_tuned: 97.0}}}
      - {method: B, experiment: b, figures: {5-way 1-shot: {published: 90 ± 1}}}
      - {method: C, experiment: c, figures: {5-way 1-shot: {published: 90}}}
      - {method: People, figures: {5-way 1-shot: {published: 95}}}
  - name: questions
    form: question tasks
    dataset: babi
    metric: error
    methods:
      - {method: M, experiment: m, edition: release, figures: {mean: {published: 10}, failed: {published: 3}}}
  - name: classes
    form: instances
    dataset: omniglot
    metric: accuracy
    instances: [1, 2]
    tables: [{title: T, labels: strings, way: 15, guessed: 1}]
    methods:
      - {method: S, labels: strings, way: 15, config: {network.kind: mann}, figures: {1st: {published: 0.1}, 2nd: {published: 60}}}
  - name: runs
    form: one-shot runs
    metric: error
    methods:
      - {method: K, network: siamese, figures: {"Lake's runs": {published: 8}, verification: {published: 93}}}
  - name: sequences
    form: sequence tasks
    tasks:
      - task: copy
        title: Copy
        solved: 1
        models:
          - {model: N, config: {network.kind: ntm}, bits: near 0}
          - {model: L, config: {network.kind: lstm}, bits: 0.5 to 1}
      - task: ngrams
        title: N-grams
        solved: 3
        optimum: 133
        models:
          - {model: N, config: {network.kind: ntm}, bits: "133.5"}
`

func claimsOf(t *testing.T, runs []results.Run, files ...results.ExperimentFile) map[string]results.Claim {
	t.Helper()
	all, err := results.ReadPublications(strings.NewReader(claimPages))
	require.NoError(t, err)
	list, err := all.Claims(runs, files)
	require.NoError(t, err)
	out := map[string]results.Claim{}
	for _, c := range list {
		out[c.Method+", "+c.Figure] = c
	}
	return out
}

// The status of a published figure follows from the results alone: their mean, both intervals and the direction of the metric.
func TestClaims(t *testing.T) {
	const config = "{dataset: {kind: omniglot}, train: {steps: 100}}"
	files := []results.ExperimentFile{
		{Path: "experiments/a.yaml", Name: "a", Network: "protonet", Config: config},
		{Path: "experiments/b.yaml", Name: "b", Network: "protonet", Config: "{dataset: {kind: omniglot}, train: {steps: 300}}"},
	}
	with := func(value float64) results.Run {
		r := seeded("a", 1, value, config)
		r.Machine.Threads = 2
		return r
	}
	// The figure's interval is 0.1234.
	for value, want := range map[float64]string{98.9: results.Reached, 98.7: results.Reached, 98.6: results.Below} {
		c := claimsOf(t, []results.Run{with(value)}, files...)["A, 5-way 1-shot"]
		assert.Equal(t, want, c.Status, "%g", value)
		assert.Equal(t, "engram run experiments/a.yaml --seed 2", c.Command())
		assert.InDelta(t, 40, c.CoreMinutes, 1e-9, "1,200 seconds on two threads")
		assert.Empty(t, c.Note)
		assert.Equal(t, want == results.Below, c.Explained == "because", "only what is below is explained")
	}
	got := claimsOf(t, []results.Run{with(98)}, files...)
	assert.Equal(t, results.NoExperiment, got["A, 5-way 1-shot, fine-tuned"].Status, "its file has no test with fine-tuning")
	b := got["B, 5-way 1-shot"]
	assert.Equal(t, results.NotRun, b.Status)
	assert.Equal(t, "≈ 120 (a)", b.Cost(), "three times the steps of its sibling")
	assert.Equal(t, results.NoExperiment, got["C, 5-way 1-shot"].Status)
	assert.Equal(t, results.NoExperiment, got["People, 5-way 1-shot"].Status)
	assert.Empty(t, got["People, 5-way 1-shot"].Command())

	// Over seeds the interval is Student's; another batch-norm mode is not the published figure; a file that has changed is noted.
	got = claimsOf(t, []results.Run{seeded("b", 1, 88, config), seeded("b", 2, 90, config)}, files...)
	assert.Equal(t, results.Reached, got["B, 5-way 1-shot"].Status, "± 12.7")
	assert.Equal(t, 2, got["B, 5-way 1-shot"].Seeds)
	assert.Equal(t, "the file has changed since", got["B, 5-way 1-shot"].Note)
	assert.Equal(t, "engram run experiments/b.yaml --seed 1", got["B, 5-way 1-shot"].Command())
	other := seeded("a", 1, 99, config)
	other.Figures[0].Protocol.Norm = "transductive"
	assert.Equal(t, results.NotRun, claimsOf(t, []results.Run{other}, files...)["A, 5-way 1-shot"].Status)
	low := seeded("b", 1, 88.9, config)
	low.Figures[0].Interval = .05
	assert.Equal(t, results.Below, claimsOf(t, []results.Run{low}, files...)["B, 5-way 1-shot"].Status, "the published interval is 1")
}

// Errors and bits are better when they are less; other editions of data do not count.
func TestClaimsOfErrorsAndBits(t *testing.T) {
	asked := func(edition string, mean, failed float64) results.Run {
		r := seeded("m", 1, 0, "{dataset: {kind: babi}}")
		p := results.Protocol{Dataset: "babi", TrainedOn: "babi", Edition: edition}
		r.Figures = []results.Figure{
			{Name: results.AllTasks, Metric: results.Error, Value: mean, Interval: .5, Protocol: p}, {Name: results.AllTasks, Metric: results.Failed, Value: failed, Protocol: p},
		}
		return r
	}
	file := results.ExperimentFile{Path: "m.yaml", Name: "m", Network: "memnet", Config: "{dataset: {kind: babi}}"}
	got := claimsOf(t, []results.Run{asked("release, sha256 ab", 10.4, 4)}, file)
	assert.Equal(t, results.Reached, got["M, mean"].Status)
	assert.Equal(t, results.Below, got["M, failed"].Status)
	got = claimsOf(t, []results.Run{asked("release, sha256 ab", 10.6, 3)}, file)
	assert.Equal(t, results.Below, got["M, mean"].Status)
	assert.Equal(t, results.Reached, got["M, failed"].Status)
	c := claimsOf(t, []results.Run{asked("own, sha256 ab", 1, 0)}, file)["M, mean"]
	assert.Equal(t, results.NotRun, c.Status)
	assert.Equal(t, "run on another edition of the data", c.Note)

	sequence := func(kind string, bits float64) results.Run {
		r := seeded(kind, 1, 0, "{dataset: {kind: copy}, network: {kind: "+kind+"}}")
		r.Training.Validation = bits
		return r
	}
	got = claimsOf(t, []results.Run{sequence("ntm", .9), sequence("lstm", 1.1)})
	assert.Equal(t, results.Reached, got["N, Copy, training"].Status, "near 0 is below the bound")
	assert.Equal(t, results.Below, got["L, Copy, training"].Status)

	// What is above the optimal estimator's cost on the same sequences counts, where that is known.
	ngrams := seeded("g", 1, 0, "{dataset: {kind: ngrams}, network: {kind: ntm}}")
	ngrams.Training.Validation, ngrams.Training.Optimum = 135.25, 134.75
	c = claimsOf(t, []results.Run{ngrams})["N, N-grams, training, above the optimum"]
	assert.Equal(t, results.Reached, c.Status)
	assert.Equal(t, "0.5", c.Published)
	assert.InDelta(t, .5, *c.Ours, 1e-9)
	ngrams.Training.Optimum = 0
	assert.Nil(t, claimsOf(t, []results.Run{ngrams})["N, N-grams, training, above the optimum"].Ours)
}

// Figures of a number of classes are those of experiments that were trained on as many, and an instance that can only be
// guessed is no claim.
func TestClaimsByInstance(t *testing.T) {
	run := func(name, trainWay string) results.Run {
		r := seeded(name, 1, 0, "{dataset: {kind: omniglot}, network: {kind: mann}, labels: {kind: strings}, train: {way: "+trainWay+"}, test: [{way: 15}]}")
		p := results.Protocol{Dataset: "omniglot", TrainedOn: "omniglot", Labels: "strings", Way: 15}
		r.Figures = nil
		for i := 1; i <= 2; i++ {
			p.Instance = i
			r.Figures = append(r.Figures, results.Figure{Name: "x", Metric: results.Accuracy, Value: 70, Interval: 1, Protocol: p})
		}
		return r
	}
	const second = "S, strings labels, 15 classes, 2nd instance"
	assert.Equal(t, results.NoExperiment, claimsOf(t, []results.Run{run("five", "5")})[second].Status)
	got := claimsOf(t, []results.Run{run("five", "5"), run("fifteen", "15")})
	assert.Equal(t, results.Reached, got[second].Status)
	assert.Equal(t, "fifteen", got[second].Experiment)
	assert.NotContains(t, got, "S, strings labels, 15 classes, 1st instance")
}

// Pairs that are verified are a claim beside Lake's runs, whose error ours is the complement of.
func TestClaimsOnPairs(t *testing.T) {
	r := seeded("k", 1, 0, "{network: {kind: siamese}, train: {steps: 10}, test: [{kind: lake-runs}, {kind: verification}]}")
	r.Network = "siamese"
	r.Figures = []results.Figure{
		{Name: results.LakeRuns, Metric: results.Accuracy, Value: 91, Interval: .5, Protocol: results.Protocol{Dataset: "omniglot"}},
		{Name: results.Verification, Metric: results.Accuracy, Value: 92.7, Interval: .5, Protocol: results.Protocol{Dataset: "omniglot", Pairs: 10_000}},
	}
	got := claimsOf(t, []results.Run{r})
	assert.Equal(t, results.Below, got["K, Lake's runs"].Status, "9 against 8 % errors")
	assert.Equal(t, results.Reached, got["K, verification"].Status)
	assert.Equal(t, results.Accuracy, got["K, verification"].Metric)
}

// A cost is estimated from a run of the same network by the number of training examples, also where its own file has changed.
func TestCostsOfClaims(t *testing.T) {
	const config = "{dataset: {kind: omniglot}, train: {steps: 100, way: 5, shot: 1, query: 1, batch: 4}}"
	run := seeded("a", 1, 90, config) // 1,200 seconds
	for config, want := range map[string]string{
		config: "20",
		"{dataset: {kind: omniglot}, train: {steps: 200, way: 5, shot: 1, query: 1, batch: 4}}":  "≈ 40 (a)",
		"{dataset: {kind: omniglot}, train: {steps: 100, way: 10, shot: 1, query: 2, batch: 4}}": "≈ 60 (a)",
		"{dataset: {kind: omniglot}, train: {steps: 100, way: 5, shot: 1, query: 1, batch: 8}}":  "≈ 40 (a)",
		"{dataset: {kind: strokes}, train: {steps: 100, way: 5, shot: 1, query: 1, batch: 4}}":   "unknown",
	} {
		c := claimsOf(t, []results.Run{run}, results.ExperimentFile{Path: "a.yaml", Name: "a", Network: "protonet", Config: config})["A, 5-way 1-shot"]
		assert.Equal(t, want, c.Cost(), config)
	}
	// Where the memory differs it is the best guess; where the encoder differs there is none.
	for config, want := range map[string]string{"network: {memory: {kind: lrua}}": "≈ 20 (a)", "network: {encoder: {kind: resnet12}}": "unknown"} {
		file := results.ExperimentFile{Path: "b.yaml", Name: "b", Network: "protonet", Config: "{dataset: {kind: omniglot}, " + config + ", train: {steps: 100, way: 5, shot: 1, query: 1, batch: 4}}"}
		assert.Equal(t, want, claimsOf(t, []results.Run{run}, file)["B, 5-way 1-shot"].Cost(), config)
	}
}
