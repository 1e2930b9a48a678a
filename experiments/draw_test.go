package experiments_test

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

const drawn = `name: x
network: {kind: protonet, encoder: {kind: conv4, filters: 4}}
test: [{way: 5, shot: 1}]
matrix:
  optimizer.rate: {from: 1e-4, to: 1e-1, scale: log}
  train.way: {from: 2, to: 4}
  network.memory.merge: [mean]
  seed: [1, 2]
`

func draw(t *testing.T, text string, r experiments.Random) *experiments.Matrix {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	m, err := experiments.Standard().Draw(file, r)
	require.NoError(t, err)
	return m
}

func folders(m *experiments.Matrix) (names []string) {
	for _, r := range m.Runs {
		names = append(names, r.Folder)
	}
	return names
}

// Draws lie in their ranges, differ, come with all seeds, and depend on the seed of the search alone: more of them begin with the
// same ones.
func TestDraws(t *testing.T) {
	m := draw(t, drawn, experiments.Random{Draws: 60, Seed: 1})
	require.Len(t, m.Runs, 120)
	low, ways, seen := 0, map[string]int{}, map[string]bool{}
	for i, r := range m.Runs {
		assert.False(t, seen[r.Folder], r.Folder)
		seen[r.Folder] = true
		assert.Equal(t, uint64(i%2+1), r.Config.Seed)
		set := map[string]string{}
		for _, o := range r.Overrides {
			key, value, _ := strings.Cut(o.String(), "=")
			set[key] = value
		}
		rate, err := strconv.ParseFloat(set["optimizer.rate"], 64)
		require.NoError(t, err)
		assert.True(t, rate >= 1e-4 && rate <= 1e-1, rate)
		if rate < math.Sqrt(1e-4*1e-1) {
			low++
		}
		ways[set["train.way"]]++
	}
	assert.InDelta(t, 60, low, 24, "half of the draws on a log scale are below the geometric mean")
	assert.Len(t, ways, 3, "both ends of a range of whole numbers are drawn, and nothing else: %v", ways)

	assert.Equal(t, folders(m)[:20], folders(draw(t, drawn, experiments.Random{Draws: 10, Seed: 1})))
	assert.NotEqual(t, folders(m)[:20], folders(draw(t, drawn, experiments.Random{Draws: 10, Seed: 2})))

	grid := strings.ReplaceAll(drawn, "{from: 1e-4, to: 1e-1, scale: log}", "[1e-3, 1e-2]")
	assert.Len(t, draw(t, grid, experiments.Random{Draws: 60, Seed: 1}).Runs, 12, "all combinations, each once")
}

func TestRangesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"{from: 1, to: 1}":               "from must be less than to, got 1 and 1",
		"{from: 0, to: 1, scale: log}":   "from must be above 0 on a log scale, got 0",
		"{from: 0, to: 1, scale: cubic}": `scale: want linear or log, got "cubic"`,
		"{from: low, to: 1}":             "from: want a number",
		"{from: 0, to: 1, step: 1}":      `unknown key "step" of a range; valid keys: from, to, scale`,
		"{way: 5}":                       "want a list of values, got a mapping",
	} {
		file := filepath.Join(t.TempDir(), "x.yaml")
		require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(drawn, "{from: 2, to: 4}", text)), 0o644))
		_, err := experiments.Standard().Matrix(file)
		assert.ErrorContains(t, err, want, text)
		assert.ErrorContains(t, err, "x.yaml:6: matrix: train.way: ", text)
	}
	file := filepath.Join(t.TempDir(), "x.yaml")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(drawn, "[1, 2]", "{from: 1, to: 9}")), 0o644))
	_, err := experiments.Standard().Matrix(file)
	assert.ErrorContains(t, err, "seed: want a list of seeds")
}
