package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// written writes files to a new folder and returns the path of the first.
func written(t *testing.T, name, text string, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	for files := append([]string{name, text}, more...); len(files) > 0; files = files[2:] {
		require.NoError(t, os.WriteFile(filepath.Join(dir, files[0]), []byte(files[1]), 0o644))
	}
	return filepath.Join(dir, name)
}

const gridBase = `
name: grid
network: {kind: protonet, encoder: {kind: conv4, filters: 8}}
train: {way: 10, shot: 2}
test: [{way: 5, shot: 1}]
threads: 1
`

const grid = `base: base.yaml
matrix:
  train.way: [5, 20]
  network.memory: [keyvalue, {kind: lrua, slots: 50}]
  seed: [1, 2, 3]
`

func TestMatrixExpandsInTheOrderOfTheFile(t *testing.T) {
	file := written(t, "x.yaml", grid, "base.yaml", gridBase)
	m, err := tool.Matrix(file, overrides(t, "optimizer.rate=0.5")...)
	require.NoError(t, err)
	assert.Equal(t, "grid", m.Name)
	assert.Equal(t, file, m.File)
	assert.Equal(t, []string{"train.way", "network.memory", "seed"}, m.Axes)
	require.Len(t, m.Runs, 12)
	var names, folders []string
	for _, r := range m.Runs {
		names, folders = append(names, r.Name), append(folders, r.Folder)
	}
	assert.Equal(t, []string{"way=5,memory=keyvalue,seed=1", "way=5,memory=keyvalue,seed=2", "way=5,memory=keyvalue,seed=3", "way=5,memory=lrua+slots=50,seed=1"}, names[:4])
	assert.Equal(t, "way=20,memory=lrua+slots=50,seed=3", names[11])
	assert.Equal(t, []string{"way=5,memory=keyvalue/seed-1", "way=5,memory=keyvalue/seed-2"}, folders[:2])

	last := m.Runs[11]
	assert.Equal(t, "grid/way=20,memory=lrua+slots=50", last.Config.Name, "runs of one name differ in their seed alone")
	assert.Equal(t, uint64(3), last.Config.Seed)
	text, err := last.Config.Encode()
	require.NoError(t, err)
	for _, want := range []string{"way: 20\n", "kind: lrua\n", "slots: 50\n", "rate: 0.5\n", "filters: 8\n"} {
		assert.Contains(t, string(text), want)
	}
	for _, not := range []string{"base", "matrix"} {
		assert.NotContains(t, string(text), not)
	}

	// The resolved text, and the overrides on the command line, give the same run.
	again, err := tool.Parse("config.yaml", text)
	require.NoError(t, err)
	twice, err := again.Encode()
	require.NoError(t, err)
	assert.Equal(t, string(text), string(twice))
	var sets []string
	for _, o := range last.Overrides {
		sets = append(sets, o.String())
	}
	assert.Equal(t, []string{"train.way=20", "network.memory={kind: lrua, slots: 50}", "seed=3", "optimizer.rate=0.5"}, sets)
	picked, err := tool.Load(file, overrides(t, sets...)...)
	require.NoError(t, err)
	twice, err = picked.Encode()
	require.NoError(t, err)
	assert.Equal(t, string(text), string(twice))
}

func TestOverridesFixAxes(t *testing.T) {
	file := written(t, "x.yaml", grid, "base.yaml", gridBase)
	_, err := tool.Load(file)
	assert.EqualError(t, err, file+" has a matrix of 12 runs: engram sweep "+file+" runs them, --set KEY=VALUE of each of train.way, network.memory, seed picks one")
	_, err = tool.Load(file, overrides(t, "train.way=5", "seed=1")...)
	assert.ErrorContains(t, err, "a matrix of 2 runs")
	assert.ErrorContains(t, err, "of each of network.memory picks one")

	m, err := tool.Matrix(file, overrides(t, "network.memory=lrua", "network.memory.slots=7", "train.way=7")...)
	require.NoError(t, err)
	require.Len(t, m.Runs, 3)
	assert.Equal(t, "way=7,memory=lrua/seed-1", m.Runs[0].Folder, "an axis that is fixed stays in the name")
	text, err := m.Runs[0].Config.Encode()
	require.NoError(t, err)
	assert.Contains(t, string(text), "slots: 7\n", "what comes after an override of the axis is laid over it")

	_, err = tool.Matrix(written(t, "x.yaml", strings.Replace(grid, "network.memory:", "network.memory.scale: [1, 2] #", 1), "base.yaml", gridBase), overrides(t, "network.memory=lrua")...)
	assert.EqualError(t, err, "--set network.memory=lrua: sets what the matrix varies, network.memory.scale; set that one, or set it after")
}

// A matrix of seeds only is one experiment, and a file without a matrix one run.
func TestNamesOfRuns(t *testing.T) {
	for text, want := range map[string][3]string{
		"":                         {"", "seed-1", "grid"},
		"matrix: {seed: [4, 5]}\n": {"seed=4", "seed-4", "grid"},
		"matrix: {train.way: [5], validation.way: [6]}\n":      {"train.way=5,validation.way=6", "train.way=5,validation.way=6/seed-1", "grid/train.way=5,validation.way=6"},
		"matrix: {test.0.way: [5]}\n":                          {"way=5", "way=5/seed-1", "grid/way=5"},
		"matrix: {test.0: [{way: 5, shot: 3}]}\n":              {"test.0=way=5+shot=3", "test.0=way=5+shot=3/seed-1", "grid/test.0=way=5+shot=3"},
		"matrix: {dataset: [{kind: omniglot, split: lake}]}\n": {"dataset=omniglot+split=lake", "dataset=omniglot+split=lake/seed-1", "grid/dataset=omniglot+split=lake"},
	} {
		m, err := tool.Matrix(written(t, "x.yaml", gridBase+text))
		require.NoError(t, err, text)
		r := m.Runs[0]
		assert.Equal(t, want, [3]string{r.Name, r.Folder, r.Config.Name}, text)
	}
	m, err := tool.Matrix(written(t, "x.yaml", gridBase+"matrix: {about: [a"+strings.Repeat("b", 500)+"]}\n"))
	require.NoError(t, err)
	assert.Less(t, len(m.Runs[0].Folder), 200, "a name that is long is cut")
}

// All runs are checked, and each mistake is reported once, with its runs.
func TestMistakesInRunsOfAMatrix(t *testing.T) {
	for text, want := range map[string]string{
		"matrix: {train.way: [5, 1], seed: [1, 2]}\n":                     `x.yaml:7: train.way: must be at least 2, got 1 (runs with way=1)`,
		"matrix: {train.way: [5, 1], seed: [1]}\n":                        `x.yaml:7: train.way: must be at least 2, got 1 (run way=1,seed=1)`,
		"matrix: {trian.way: [5, 6]}\n":                                   `x.yaml:7: unknown key "trian"; did you mean "train"?`,
		"optimzer: adam\nmatrix: {seed: [1, 2]}\n":                        `x.yaml:7: unknown key "optimzer"; did you mean "optimizer"?`,
		"matrix:\n  network: [protonet, maml]\n  train.way: [5, 20]\n":    "x.yaml:8: network: test.0: 5-way, but maml has an output for each of the 20 classes of train.way; make them the same (run network=maml,way=20)",
		"matrix: {name: [a, b]}\n":                                        `x.yaml:7: matrix: name: is made of the file's name and the values of a run; leave it out`,
		"matrix: {seed: [1, 1.0]}\n":                                      `x.yaml:7: seed: two values of the matrix are called 1; leave one out, or write it so that they differ`,
		"matrix:\n  train.way: [5]\n  train: [{way: 5}]\n":                `x.yaml:9: matrix: train: replaces train.way, which comes before it; put that one last`,
		"matrix: {seed: []}\n":                                            `x.yaml:7: matrix: seed: has no values (give some, or leave the key out)`,
		"matrix: {seed: [1, 2]}\nmatrix: {seed: [3]}\n":                   `x.yaml:8: matrix: duplicate key "matrix", first given on line 7 (keep one)`,
		"matrix: {train.way: [5, 6, 7, 1], train.shot: [1, 0]}\n":         `x.yaml:7: train.shot: must be at least 1, got 0 (runs with shot=0)`,
		"matrix: {train.distort: [{shear: 2}], validation.way: [0, 1]}\n": `x.yaml:7: train.distort.shear: must be below 1, got 2`,
	} {
		file := written(t, "x.yaml", gridBase+text)
		_, err := tool.Matrix(file)
		if assert.Error(t, err, text) {
			assert.Contains(t, strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", ""), want)
			assert.LessOrEqual(t, strings.Count(err.Error(), "\n"), 100)
		}
	}
	// Three of four runs, which are not a block.
	_, err := tool.Matrix(written(t, "x.yaml", gridBase+"matrix: {network: [maml, reptile], train.way: [5, 20], optimizer: [adam, {kind: sgd, momentum: 1}]}\n"))
	require.Error(t, err)
	assert.Equal(t, 1, strings.Count(err.Error(), "optimizer: reptile moves by sgd"), "%v", err)
	assert.Contains(t, err.Error(), "optimizer.momentum: must be below 1, got 1 (runs with optimizer=sgd+momentum=1)")
	assert.Contains(t, err.Error(), "(runs with network=maml,way=20)")

	digits := "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
	many := gridBase + "matrix:\n  seed: [" + digits + "]\n  train.query: [1" + digits + "]\n  train.report: [1" + digits + "]\n  train.save: [1" + digits + "]\n  train.keep: [1, 2]\n"
	_, err = tool.Matrix(written(t, "x.yaml", many))
	assert.ErrorContains(t, err, "x.yaml:12: matrix: train.keep: makes more than 10000 runs of this file; spread them over several")
}

// Parse cannot read base files.
func TestTextAloneHasNoBase(t *testing.T) {
	_, err := tool.Parse("x.yaml", []byte(grid))
	assert.ErrorContains(t, err, `x.yaml:1: base: this text cannot build on "base.yaml"`)
	_, err = tool.Parse("x.yaml", []byte(gridBase+"matrix: {seed: [1, 2]}\n"))
	assert.ErrorContains(t, err, "x.yaml has a matrix of 2 runs")
	c, err := tool.Parse("x.yaml", []byte(gridBase+"matrix: {seed: [1, 2]}\n"), overrides(t, "seed=2")...)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), c.Seed)
}

// The kind in a base determines the meaning of the file's keys.
func TestBaseDecidesTheKindOfExperiment(t *testing.T) {
	c, err := tool.Load(written(t, "x.yaml", "base: y.yaml\ntest: [{length: 5}]\n", "y.yaml", "name: y\nnetwork: ntm\ndataset: copy\n"))
	require.NoError(t, err)
	assert.Equal(t, "copy", c.Dataset)
}
