package experiments_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// A run from another begins with its model: without a step it gives the same figures, and with steps other ones.
func TestRunFromARun(t *testing.T) {
	from := t.TempDir()
	want := run(t, from)
	dir := t.TempDir()
	same := run(t, dir, "from="+from, "train.steps=0", "seed=7")
	assert.Equal(t, want.Figures[0].Value, same.Figures[0].Value)
	assert.Equal(t, "strokes, after strokes", same.Figures[0].Protocol.TrainedOn)
	text, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	require.NoError(t, err)
	assert.Regexp(t, `from:\n +run: "`+from+`"\n +parts: \[\]\n +sha256: "?[0-9a-f]{64}"?\n +trained_on: strokes\n`, string(text))

	further := t.TempDir()
	trained := run(t, further, "from={run: "+from+"}")
	assert.NotEqual(t, want.Figures[0].Value, trained.Figures[0].Value)

	// What is interrupted goes on from its own checkpoint, and what is created starts from the model.
	interrupted(t, config(t, "from="+from), 12, 5, trained)
	created := t.TempDir()
	require.NoError(t, tool.Create(created, config(t, "from="+from)))
	got, err := tool.Resume(t.Context(), created, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, trained, got)

	// A run that has yet to start needs the other one, and says so; one that has started does not, nor do its tests.
	waiting := t.TempDir()
	require.NoError(t, tool.Create(waiting, config(t, "from="+from)))
	require.NoError(t, os.RemoveAll(from))
	again, err := tool.Evaluate(t.Context(), further, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, trained.Figures, again.Figures)
	_, err = tool.Resume(t.Context(), waiting, experiments.Options{})
	assert.EqualError(t, err, "from: "+from+" is not a run folder: it holds no config.yaml; a relative path begins at the working directory")
}

// Only the encoder is taken over: the rest keeps its own initial values.
func TestRunFromAPartOfARun(t *testing.T) {
	from, plain, dir := t.TempDir(), t.TempDir(), t.TempDir()
	run(t, from)
	run(t, plain, "network="+smallRelationnet, "train.steps=0", "dataset.size=16")
	run(t, dir, "network="+smallRelationnet, "train.steps=0", "dataset.size=16", "from={run: "+from+", parts: [encoder]}")
	testkit.Enter(t)
	tensors := func(dir, part string) map[string][]float64 {
		state, err := nn.Open(filepath.Join(dir, "model.safetensors"))
		require.NoError(t, err)
		ts, err := state.Sub(part + ".").Tensors(tensor.CPU)
		require.NoError(t, err)
		require.NotEmpty(t, ts)
		out := map[string][]float64{}
		for _, n := range ts {
			out[n.Name] = n.Tensor.Floats()
		}
		return out
	}
	assert.Equal(t, tensors(from, "encoder"), tensors(dir, "encoder"))
	assert.NotEqual(t, tensors(plain, "encoder"), tensors(dir, "encoder"))
	assert.Equal(t, tensors(plain, "memory"), tensors(dir, "memory"))
}

func TestRunFromWhatCannotBe(t *testing.T) {
	from := t.TempDir()
	run(t, from)
	empty := t.TempDir()
	for sets, want := range map[string]string{
		"from=" + empty:                                                                   "from.run: " + empty + " is not a run folder: it holds no config.yaml; give a run folder, as it is called from here",
		"from={run: " + from + ", sha256: ab}|":                                           "from: the model of " + from + " has the SHA-256 ",
		"from=" + from + "|network.encoder.filters=6":                                     "from: " + from + " is of another network: ",
		"from={run: " + from + ", parts: [memory]}|":                                      `from.parts: the network has no part "memory"; it has encoder`,
		"from={run: " + from + ", parts: [encoder]}|network.encoder.filters=6":            "from: the encoder of " + from + " is another: ",
		"from=" + from + "|network.encoder={kind: conv4, filters: 4, from: " + from + "}": "the encoder has a key from, and the key from of the file takes over the encoder of " + from + ": leave out from and sha256 of the encoder, or name other parts in from.parts",
		"from=[a]": "from=[a]: want a mapping of keys to values, got a list",
	} {
		before, after, runs := strings.Cut(sets, "|")
		changes := overrides(t, before)
		if after != "" {
			changes = append(changes, overrides(t, after)...)
		}
		c, err := tool.Parse("tiny.yaml", []byte(tiny), changes...)
		dir := filepath.Join(t.TempDir(), "run")
		if err == nil && runs {
			_, err = tool.Run(t.Context(), c, experiments.Options{Out: dir})
		}
		assert.ErrorContains(t, err, want, sets)
		assert.NoDirExists(t, dir)
	}
	require.NoError(t, os.Remove(filepath.Join(from, "result.json")))
	_, err := tool.Parse("tiny.yaml", []byte(tiny), overrides(t, "from="+from)...)
	assert.ErrorContains(t, err, "the run of "+from+" has not ended: continue it with: engram resume "+from)
}

// A finished run's folder says what it holds.
func TestOutOfAFinishedRun(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	_, err := tool.Run(t.Context(), config(t), experiments.Options{Out: dir})
	assert.EqualError(t, err, dir+" holds a finished run, of tiny with seed 1: choose another --out; 'engram eval "+dir+"' tests it again, and --from "+dir+" starts a run from its model")
	require.NoError(t, os.Remove(filepath.Join(dir, "result.json")))
	_, err = tool.Run(t.Context(), config(t), experiments.Options{Out: dir})
	assert.ErrorContains(t, err, "holds a run already: continue it with 'engram resume "+dir+"'")
}
