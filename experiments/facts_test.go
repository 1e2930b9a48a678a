package experiments_test

import (
	"encoding/csv"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/results"
)

// A test that cannot be made is refused before training and leaves no run folder.
func TestImpossibleTestsAreRefusedBeforeTraining(t *testing.T) {
	for set, want := range map[string]string{
		"test.0.way=500":   "test.0, 500-way 1-shot: episode: 500-way episodes need 500 classes but the set has 10",
		"test.0.query=100": "test.0, 5-way 1-shot: episode: shot 1 and query 100 need that many different images",
		"test.0.dataset={kind: strokes, train: 4, val: 4, test: 4, size: 16}": "test.0, 5-way 1-shot: episode: 5-way episodes need 5 classes but the set has 4",
		"test.0.dataset={kind: images, root: nowhere, size: 16}":              "test.0, 5-way 1-shot: dataset: images: data set not found",
	} {
		dir := filepath.Join(t.TempDir(), "run")
		steps := 0
		_, err := tool.Run(t.Context(), config(t, set), experiments.Options{Out: dir, Reporter: &stepper{step: func(int64) { steps++ }}})
		assert.ErrorContains(t, err, want, set)
		assert.Zero(t, steps, set)
		assert.NoDirExists(t, dir, set)
	}
	// Mistakes that the file alone shows are reported when it is read.
	_, err := tool.Parse("x.yaml", []byte(tiny), overrides(t, "test.0.dataset={kind: strokes, size: 20}")...)
	assert.ErrorContains(t, err, "its images have 20×20 pixels with 1 channel, and those that the network is trained on 16×16")
}

// A test must not change what was fixed in training, neither in eval nor in resume.
func TestTrainingIsNotOverriddenByTests(t *testing.T) {
	dir := t.TempDir()
	want := run(t, dir)
	for _, set := range []string{"dataset.split=koch", "network=matchingnet", "train.way=5", "seed=2", "validation.episodes=3"} {
		_, err := tool.Evaluate(t.Context(), dir, experiments.Options{}, overrides(t, set)...)
		assert.ErrorContains(t, err, "is fixed: the model was trained so; only test, stream, threads, device can change", set)
		_, err = tool.Resume(t.Context(), dir, experiments.Options{}, overrides(t, set)...)
		assert.ErrorContains(t, err, "is fixed", set)
	}
	// Another test is kept below the run, with its scores.
	r, err := tool.Evaluate(t.Context(), dir, experiments.Options{}, overrides(t, "test.0.query=2")...)
	require.NoError(t, err)
	kept, err := results.Read(filepath.Join(dir, "evals", "test.0.query=2", "result.json"))
	require.NoError(t, err)
	assert.Equal(t, r.Figures, kept.Figures)
	assert.NotNil(t, kept.Figures[0].Scores)
	assert.Equal(t, want.Training, kept.Training)
	assert.Contains(t, kept.Config, "query: 2")

	// Resume repeats the tests in the run's folder and keeps the training.
	again, err := tool.Resume(t.Context(), dir, experiments.Options{}, overrides(t, "test.0.query=2")...)
	require.NoError(t, err)
	assert.Equal(t, r.Figures, again.Figures)
	assert.Equal(t, want.Training, again.Training)
	c, err := tool.RunConfig(dir)
	require.NoError(t, err)
	text, err := c.Encode()
	require.NoError(t, err)
	assert.Equal(t, again.Config, string(text))
}

// precision: auto and device: auto are decided once, when the run starts, and recorded in its configuration.
func TestARunsFactsAreFixedWhenItStarts(t *testing.T) {
	dir := t.TempDir()
	r := run(t, dir, "network={kind: protonet, encoder: {kind: conv4, filters: 8, precision: auto}}", "device=auto")
	assert.NotContains(t, r.Config, "auto")
	c, err := tool.RunConfig(dir)
	require.NoError(t, err)
	text, err := c.Encode()
	require.NoError(t, err)
	precision, _, _ := strings.Cut(r.Figures[0].Protocol.Precision, " ")
	assert.Contains(t, string(text), "precision: "+precision)
}

// A run of a sweep settles them when it starts, and the sweep recognises it.
func TestASweepsRunSettlesWhereItStarts(t *testing.T) {
	dir := t.TempDir()
	read := func() *experiments.Config {
		return config(t, "network={kind: protonet, encoder: {kind: conv4, filters: 8, precision: auto}}", "device=auto")
	}
	text := func() string {
		text, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
		require.NoError(t, err)
		return string(text)
	}
	require.NoError(t, tool.Create(dir, read()))
	assert.Contains(t, text(), "device: auto", "another machine may start it")
	_, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.NotContains(t, text(), "auto")
	assert.NoError(t, tool.Create(dir, read()))
	assert.ErrorContains(t, tool.Create(dir, config(t)), "holds a run of another configuration")

	dir = t.TempDir() // and one that was started by itself
	_, err = tool.Run(t.Context(), read(), experiments.Options{Out: dir})
	require.NoError(t, err)
	assert.NoError(t, tool.Create(dir, read()))
}

// A figure of an untrained network names no training episodes; that of a stream names the network's precision.
func TestFiguresSayWhatHappened(t *testing.T) {
	r := run(t, t.TempDir(), tinyStream, "threads=1", "train.steps=0", "validation.episodes=0", "network={kind: protonet, encoder: {kind: conv4, filters: 8, precision: bf16}}")
	for _, f := range r.Figures {
		assert.Equal(t, "bf16 convolutions", f.Protocol.Precision, f.Name)
		assert.Zero(t, f.Protocol.TrainWay, f.Name)
	}
}

// A validation of one example has no interval; the run continues.
func TestOneValidationEpisode(t *testing.T) {
	dir := t.TempDir()
	run(t, dir, "validation.episodes=1")
	for _, m := range metrics(t, dir) {
		if m["validation_accuracy"] != nil {
			assert.Zero(t, m["interval"])
		}
	}
}

// Weights of one network are not loaded into another of the same shapes.
func TestAModelOfAnotherNetwork(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	run(t, a)
	run(t, b, "network.kind=matchingnet")
	model, err := os.ReadFile(filepath.Join(b, "model.safetensors"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(a, "model.safetensors"), model, 0o644))
	_, err = tool.Open(a)
	assert.ErrorContains(t, err, "is of a matchingnet network, and the configuration beside it of protonet")
}

// A memory that no episode fills is noted.
func TestAMemoryThatNeverFills(t *testing.T) {
	for slots, noted := range map[string]bool{"128": true, "4": false} {
		n := &notes{}
		_, err := tool.Run(t.Context(), config(t, "network={kind: protonet, encoder: {kind: conv4, filters: 4}, memory: {kind: lrua, slots: "+slots+"}}", "train.steps=0", "validation.episodes=0"),
			experiments.Options{Out: t.TempDir(), Reporter: n})
		require.NoError(t, err)
		assert.Equal(t, noted, strings.Contains(strings.Join(n.lines, "\n"), "it keeps all, as an unbounded memory does"), "%s: %v", slots, n.lines)
	}
}

// Tests that differ in any key are different tests.
func TestTestsThatDifferAreNotTheSame(t *testing.T) {
	const two = "name: x\nnetwork: protonet\ntest: [{way: 5, shot: 1}, {way: 5, shot: 1, KEY}]\n"
	for _, key := range []string{"query: 1", "episodes: 20", "within_alphabet: true", "dataset: {kind: strokes, seed: 1}", "fine_tune: {steps: 1}"} {
		_, err := tool.Parse("x.yaml", []byte(strings.Replace(two, "KEY", key, 1)))
		assert.NoError(t, err, key)
	}
	_, err := tool.Parse("x.yaml", []byte(strings.Replace(two, "KEY", "query: 15", 1)))
	assert.ErrorContains(t, err, "test.1: the same test as an earlier one: 5-way 1-shot")
}

// The folder is checked before the data, so its error is reported even if data are missing.
func TestAFolderThatIsTakenIsToldFirst(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	_, err := tool.Run(t.Context(), config(t, "dataset={kind: images, root: nowhere, size: 16}"), experiments.Options{Out: dir})
	assert.ErrorContains(t, err, "holds a finished run")
}

// Runs that start in the same second get different folders.
func TestDefaultFoldersDiffer(t *testing.T) {
	t.Chdir(t.TempDir())
	for range 3 {
		_, err := tool.Run(t.Context(), config(t, "train.steps=0", "validation.episodes=0"), experiments.Options{})
		require.NoError(t, err)
	}
	folders, err := filepath.Glob("runs/tiny/*/result.json")
	require.NoError(t, err)
	assert.Len(t, folders, 3)
}

// Predictions of every query are in a file, and their counts in the result; the calibration error is that of the
// queries.
func TestPredictionsOfATest(t *testing.T) {
	dir := t.TempDir()
	f := run(t, dir, "test.0.predictions=true").Figures[0]
	file, err := os.Open(filepath.Join(dir, f.Predictions))
	require.NoError(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+f.Protocol.Episodes*f.Protocol.Way*f.Protocol.Query)
	right, queries := 0, 0
	for _, row := range rows[1:] {
		if row[2] == row[3] {
			right++
		}
	}
	assert.InDelta(t, f.Value, 100*float64(right)/float64(len(rows)-1), 1e-9)
	for _, c := range f.PerClass {
		queries += c.Queries
	}
	assert.Equal(t, len(rows)-1, queries)
	require.NotNil(t, f.CalibrationError)
	assert.True(t, *f.CalibrationError >= 0 && *f.CalibrationError <= 100)
}

// The predictions of an episode are of the classes of that episode, also where its batch has been filled again since.
func TestPredictionsKeepTheClassesOfTheirEpisode(t *testing.T) {
	dir := t.TempDir()
	f := run(t, dir, "test.0.predictions=true", "test.0.episodes=40", "test.0.norm=transductive") // whose batches are of one episode
	drawn := map[int]map[string]bool{}
	for _, q := range f.Figures[0].Queries {
		if drawn[q.Episode] == nil {
			drawn[q.Episode] = map[string]bool{}
		}
		drawn[q.Episode][q.Class] = true
		var sum float64
		for _, p := range q.Probabilities {
			sum += p.Probability
		}
		assert.Len(t, q.Probabilities, 5)
		assert.InDelta(t, 1, sum, 1e-5)
	}
	different := map[string]bool{}
	for _, classes := range drawn {
		assert.Len(t, classes, 5)
		different[strings.Join(slices.Sorted(maps.Keys(classes)), " ")] = true
	}
	assert.Greater(t, len(different), 30, "five of ten classes are drawn anew for each of 40 episodes")
}

// A network whose output is not finite is an error in a test, and never an answer.
func TestNotFiniteIsNoAnswer(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	m, err := tool.Open(dir)
	require.NoError(t, err)
	defer m.Close()
	set := m.Images()
	queries := [][]float32{make([]float32, set.Height*set.Width)}
	queries[0][0] = float32(math.NaN())
	support, _ := shown(t)
	folder := loaded(t, support, set)
	_, err = m.Classify(t.Context(), folder, queries, "")
	assert.ErrorContains(t, err, "the network returned values that are not finite")
}

func loaded(t *testing.T, dir string, o dataset.ImageOptions) dataset.Set {
	t.Helper()
	set, err := dataset.LoadFolder(t.Context(), dir, o)
	require.NoError(t, err)
	return set
}
