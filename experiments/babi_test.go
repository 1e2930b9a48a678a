package experiments_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// tinyStories is an experiment on stories that takes a second: 180 training questions in 6 steps per epoch.
const tinyStories = `
name: tiny-stories
dataset: {kind: stories, train: 100, test: 50}
network: {kind: memnet, width: 10, hops: 2, noise: 0.1}
train: {epochs: 6, linear_start: {epochs: 2, factor: 0.5}, report: 1, save: 4}
optimizer: {kind: sgd, rate: 0.01}
schedule: {kind: step, every: 2, factor: 0.1}
validation: {share: 0.1, every: 2}
`

func runStories(t *testing.T, dir string, sets ...string) *results.Result {
	t.Helper()
	r, err := tool.Run(t.Context(), parse(t, tinyStories, sets...), experiments.Options{Out: dir})
	require.NoError(t, err)
	return r
}

func TestStoriesTrainResumeAndReport(t *testing.T) {
	for name, sets := range map[string][]string{
		"joint":            nil,
		"a network a task": {"train.networks=task"},
		// With a rate near zero the loss never falls after the first validation.
		"ended by validation": {"train.linear_start={epochs: 5, patience: 1}", "optimizer.rate=1e-30", "validation.every=1"},
	} {
		t.Run(name, func(t *testing.T) {
			before := tensor.Live()
			want := runStories(t, t.TempDir(), sets...)
			steps := want.Training.Steps
			assert.Equal(t, int64(36), steps)

			interrupted(t, parse(t, tinyStories, sets...), steps, 5, want)
			assert.Equal(t, before, tensor.Live())
		})
	}
}

// tinyReading is tinyStories for a network that reads word by word: 90 stories of two questions in 6 steps per epoch.
const tinyReading = `
name: tiny-reading
dataset: {kind: stories, train: 100, test: 50}
network: {kind: ntm, controller: {kind: lstm, size: 12}, memory: {kind: dnc, slots: 8, width: 6}, bypass: 0.1}
train: {epochs: 2, batch: 16, pauses: 1, longest: 400, clip: {norm: 10, carried: 10}, report: 1, save: 4}
optimizer: {kind: adam, rate: 0.01}
validation: {share: 0.1}
`

// Networks that read word by word, whatever their memory, train, resume and report as the others do, and can be explained.
func TestStoriesAreReadWordByWord(t *testing.T) {
	for name, sets := range map[string][]string{
		"DNC":                    nil,
		"LSTM, a network a task": {"network.memory=none", "train.networks=task"},
		"layers":                 {"network={kind: blocks, width: 16}", "train.clip.carried=0"},
		"attention":              {"network={kind: blocks, width: 16, mixer: attention, positions: 200}", "train.clip.carried=0"},
	} {
		t.Run(name, func(t *testing.T) {
			before := tensor.Live()
			config := func() *experiments.Config { return parse(t, tinyReading, sets...) }
			dir := t.TempDir()
			want, err := tool.Run(t.Context(), config(), experiments.Options{Out: dir})
			require.NoError(t, err)
			interrupted(t, config(), want.Training.Steps, 5, want)
			assert.Equal(t, before, tensor.Live())

			byName := map[string]results.Figure{}
			for _, f := range want.Figures {
				byName[f.Name+", "+f.Metric] = f
			}
			assert.InDelta(t, (byName["task 1, error"].Value+byName["task 2, error"].Value)/2, byName["all tasks, error"].Value, 1e-9)
			assert.Equal(t, 50, byName["task 2, error"].Protocol.Questions)
			x, err := tool.Explain(t.Context(), dir, experiments.ExplainOptions{Task: 1, Count: 1})
			require.NoError(t, err)
			require.Len(t, x, 1)
			assert.NotEmpty(t, x[0].Said)
			assert.Empty(t, x[0].Sentences[0].Weights)
			assert.Positive(t, x[0].Chance)
		})
	}
}

func TestKeysOfReadingAreCheckedWithTheNetwork(t *testing.T) {
	for set, want := range map[string]string{
		"train.longest=5": "train.longest: no story of joint has at most 5 words; use more",
		"network={kind: blocks, mixer: attention, positions: 10}": "and the network learns vectors of 10 positions; use more positions, or none",
	} {
		_, err := tool.Run(t.Context(), parse(t, tinyReading, "train.clip.carried=0", set), experiments.Options{Out: t.TempDir()})
		assert.ErrorContains(t, err, want, set)
	}
	for _, c := range []struct{ text, set, want string }{
		{tinyReading, "network={kind: blocks}", "train.clip.carried: is for networks that run over a sequence; leave it out"},
		{tinyReading, "network={kind: blocks, decoder: true}", "decoder: is for the task compression; leave it out"},
		{tinyReading, "train.linear_start.epochs=1", "a network that reads word by word has no softmax over sentences that could be left out"},
		{tinyReading, "dataset=omniglot", "ntm learns from sequences, and omniglot holds images"},
		{tinyStories, "train.pauses=3", "train.pauses: is for networks that read word by word; leave it out"},
		{tinyStories, "train.longest=3", "train.longest: is for networks that read word by word; leave it out"},
	} {
		_, err := tool.Parse("x.yaml", []byte(c.text), overrides(t, c.set)...)
		assert.ErrorContains(t, err, c.want, c.set)
	}
}

func TestFiguresOfStories(t *testing.T) {
	for _, networks := range []string{"joint", "task"} {
		r := runStories(t, t.TempDir(), "train.networks="+networks)
		var names []string
		byName := map[string]results.Figure{}
		for _, f := range r.Figures {
			names = append(names, f.Name+", "+f.Metric)
			byName[f.Name+", "+f.Metric] = f
		}
		assert.Equal(t, []string{
			"task 1, error", "task 1, attention", "task 2, error", "task 2, attention",
			"all tasks, error", "all tasks, failed", "training questions, error",
		}, names)
		assert.Equal(t, results.Protocol{
			Dataset: "stories", Split: "100, test", TrainedOn: "stories", Precision: "fp32", Questions: 50, TrainNetworks: networks, Edition: "seed 0",
		}, byName["task 2, error"].Protocol)
		assert.InDelta(t, (byName["task 1, error"].Value+byName["task 2, error"].Value)/2, byName["all tasks, error"].Value, 1e-9)
		assert.Greater(t, byName["all tasks, error"].Interval, 0.0)
		assert.Equal(t, 2.0, byName["all tasks, failed"].Value)
		training := byName["training questions, error"]
		assert.Equal(t, "100, training", training.Protocol.Split)
		assert.Equal(t, 180, training.Protocol.Questions)
		assert.Equal(t, r.Figures[0].Protocol.Questions+r.Figures[2].Protocol.Questions, byName["all tasks, error"].Protocol.Questions)
	}
}

// The linear start has its own rate; the schedule begins after it and counts epochs.
func TestPhasesOfTheRate(t *testing.T) {
	rates := func(sets ...string) (rates []float64) {
		dir := t.TempDir()
		runStories(t, dir, sets...)
		for _, m := range metrics(t, dir) {
			if rate, ok := m["rate"]; ok && (m["step"].(float64)-1) == 6*float64(len(rates)) { // the first step of an epoch
				rates = append(rates, rate.(float64))
			}
		}
		return rates
	}
	assert.InDeltaSlice(t, []float64{.005, .005, .01, .01, .001, .001}, rates(), 1e-12)
	assert.InDeltaSlice(t, []float64{.01, .01, .001, .001, .0001, .0001}, rates("train.linear_start.epochs=0"), 1e-12)
	// Validation after epochs 1 and 2, without improvement: the linear start ends there, not after five.
	early := rates("train.linear_start={epochs: 5, patience: 1, factor: 0.5}", "optimizer.rate=1e-30", "validation.every=1")
	assert.InDeltaSlice(t, []float64{.5e-30, .5e-30, 1e-30, 1e-30, .1e-30, .1e-30}, early, 1e-36)
	// Linear over the four epochs after the linear start.
	assert.InDeltaSlice(t, []float64{.005, .005, .01, .0075, .005, .0025}, rates("schedule=linear"), 1e-12)
}

// The saved model records whether its softmaxes are on.
func TestLinearStartIsOfTheModel(t *testing.T) {
	dir := t.TempDir()
	// Only the last epoch has softmaxes, and the rate is too small to move the model away from the first.
	r := runStories(t, dir, "train.linear_start={epochs: 5, factor: 1}", "optimizer.rate=1e-30", "validation.every=1")
	x, err := tool.Explain(t.Context(), dir, experiments.ExplainOptions{Task: 1, Count: 1})
	require.NoError(t, err)
	sum := x[0].Empty[0]
	for _, s := range x[0].Sentences {
		sum += s.Weights[0]
	}
	softmax := math.Abs(sum-1) < 1e-5
	assert.Equal(t, r.Training.BestStep == 36, softmax, "the best model is of step %d, its weights sum to %g", r.Training.BestStep, sum)
}

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	runStories(t, dir, "train.linear_start.epochs=0")
	all, err := tool.Explain(t.Context(), dir, experiments.ExplainOptions{Task: 2, Count: 3})
	require.NoError(t, err)
	require.Len(t, all, 3)
	for _, x := range all {
		assert.Equal(t, 2, x.Task)
		assert.Regexp(t, `^where is the (lamp|apple|rope)$`, x.Question)
		assert.Greater(t, x.Chance, 0.0)
		supports := 0
		sums := slices.Clone(x.Empty)
		require.Len(t, sums, 2)
		for _, s := range x.Sentences {
			if s.Supports {
				supports++
			}
			require.Len(t, s.Weights, 2)
			for hop, w := range s.Weights {
				sums[hop] += w
			}
		}
		assert.Equal(t, 2, supports)
		assert.InDeltaSlice(t, []float64{1, 1}, sums, 1e-5)
	}
	wrong, err := tool.Explain(t.Context(), dir, experiments.ExplainOptions{Task: 2, Count: 100, Wrong: true})
	require.NoError(t, err)
	require.NotEmpty(t, wrong)
	for _, x := range wrong {
		assert.NotEqual(t, x.Answer, x.Said)
	}

	_, err = tool.Explain(t.Context(), dir, experiments.ExplainOptions{Task: 3, Count: 1})
	assert.ErrorContains(t, err, "there is no task 3 among the run's: choose one of [1 2]")
	run(t, filepath.Join(dir, "other"))
	_, err = tool.Explain(t.Context(), filepath.Join(dir, "other"), experiments.ExplainOptions{Task: 1, Count: 1})
	assert.ErrorContains(t, err, "protonet reads no stories")
}

// babiFolder writes task 1 in the released layout. Its test file has a story with unknown words, one with an unknown
// answer, and one longer than the memory.
func babiFolder(t *testing.T) string {
	dir := t.TempDir()
	file := func(part, text string) {
		path := filepath.Join(dir, "tasks_1-20_v1-2", "en", "qa1_single-supporting-fact_"+part+".txt")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	var train strings.Builder
	for i := range 40 {
		fmt.Fprintf(&train, "1 Mary moved to the %s.\n2 Where is Mary?\t%[1]s\t1\n", []string{"hall", "attic"}[i%2])
	}
	for _, room := range []string{"hall", "attic"} { // so long that the memory has 50 slots
		for i := range 50 {
			fmt.Fprintf(&train, "%d Mary moved to the %s.\n", i+1, room)
		}
		fmt.Fprintf(&train, "51 Where is Mary?\t%s\t50\n", room)
	}
	file("train", train.String())
	var long strings.Builder
	for i := range 60 {
		fmt.Fprintf(&long, "%d Mary moved to the hall.\n", i+1)
	}
	file("test", "1 Zaphod teleported hither.\n2 Where is Zaphod?\thall\t1\n"+
		"1 Mary moved to the cellar.\n2 Where is Mary?\tcellar\t1\n"+
		long.String()+"61 Where is Mary?\thall\t60\n")
	return dir
}

func TestUnknownWordsAndLongStories(t *testing.T) {
	const text = `
name: x
dataset: {kind: babi, tasks: [1]}
network: {kind: memnet, width: 8, hops: 1, encoding: bag}
train: {batch: 8, epochs: 20}
optimizer: {kind: adam, rate: 0.02}
validation: {share: 0.1}
`
	dir, data := t.TempDir(), babiFolder(t)
	r, err := tool.Run(t.Context(), parse(t, text), experiments.Options{Out: dir, Data: data})
	require.NoError(t, err)
	assert.Regexp(t, `^tasks_1-20_v1-2, sha256 [0-9a-f]{16}$`, r.Figures[0].Protocol.Edition)
	assert.Equal(t, "en, test", r.Figures[0].Protocol.Split)
	assert.GreaterOrEqual(t, r.Figures[0].Value, 100./3-1e-9, "an answer that training never gave is not said")
	x, err := tool.Explain(t.Context(), dir, experiments.ExplainOptions{Task: 1, Count: 3, Data: data})
	require.NoError(t, err)
	require.Len(t, x, 3)
	assert.Equal(t, "hall", x[2].Said)
	assert.Empty(t, x[2].Sentences[9].Weights, "the memory holds the last 50 sentences")
	assert.Len(t, x[2].Sentences[10].Weights, 1)

	t.Setenv("ENGRAM_DATA", t.TempDir())
	t.Setenv("ENGRAM_CACHE", t.TempDir())
	t.Chdir(t.TempDir())
	_, err = tool.Run(t.Context(), parse(t, text), experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "engram data fetch babi")
	_, err = tool.Run(t.Context(), parse(t, text, "validation.share=0.01"), experiments.Options{Out: t.TempDir(), Data: data})
	assert.ErrorContains(t, err, "validation.share 0.01 leaves 42 questions to train joint on and 0 for validation")
}

func TestMistakesInStoryFiles(t *testing.T) {
	const good = "name: x\nnetwork: memnet\n"
	for text, want := range map[string]string{
		good + "dataset: omniglot\n":                                                       `x.yaml:2: network: memnet learns from stories, and omniglot holds images; use one of stories, babi, or another network`,
		"name: x\nnetwork: protonet\ndataset: babi\n":                                      `x.yaml:2: network: protonet learns from images, and babi holds stories; use one of strokes, omniglot, images,`,
		good + "dataset: {kind: babi, tasks: [21]}\n":                                      `x.yaml:3: dataset.tasks.0: must be at most 20`,
		good + "dataset: {kind: babi, tasks: [2, 1, 2]}\n":                                 `x.yaml:3: dataset.tasks: one is named twice`,
		good + "train: {epochs: 5, linear_start: {epochs: 5}}\n":                           `x.yaml:3: train.linear_start.epochs: leaves none of the 5 epochs`,
		good + "train: {linear_start: {epochs: 2, patience: 1}}\nvalidation: {share: 0}\n": `x.yaml:3: train.linear_start.patience: needs validation.share, which is 0`,
		good + "train: {steps: 5}\n":                                                       `x.yaml:3: train: unknown key "steps"`,
		good + "test: [{length: 5}]\n":                                                     `x.yaml:3: unknown key "test"`,
		"name: x\nnetwork: {kind: memnet, encoding: positions}\n":                          `x.yaml:2: network.encoding: `,
	} {
		_, err := tool.Parse("x.yaml", []byte(text))
		assert.ErrorContains(t, err, want)
	}
	_, err := tool.Parse("x.yaml", []byte(good))
	assert.NoError(t, err, "the built-in stories need nothing more")
}
