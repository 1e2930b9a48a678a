package experiments_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/experiments/registry"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// authors is the encoder of jakesnell/prototypical-networks with fewer filters, as PyTorch saved it.
const authors = "../nn/weights/testdata/protonet.pt"

// protonetOmniglot is the experiment, on data that every machine has.
func protonetOmniglot(t *testing.T, sets ...string) *experiments.Config {
	t.Helper()
	text, err := os.ReadFile("protonet-omniglot.yaml")
	require.NoError(t, err)
	return parse(t, string(text), append([]string{
		"dataset={kind: strokes, train: 60, val: 20, test: 20}", "network.encoder.filters=8",
		"test=[{way: 5, shot: 1, query: 3, episodes: 40}, {way: 5, shot: 5, query: 3, episodes: 40}]",
	}, sets...)...)
}

func TestImportedNetworkIsTheOneThatPyTorchSaved(t *testing.T) {
	before := tensor.Live()
	dir := filepath.Join(t.TempDir(), "run")
	said := &notes{}
	r, err := tool.Import(t.Context(), protonetOmniglot(t), []string{authors}, nil, experiments.Options{Out: dir, Reporter: said})
	require.NoError(t, err)
	assert.Equal(t, before, tensor.Live())
	assert.Contains(t, said.lines, "encoder.block2.norm.running_var [8] ← encoder.1.1.running_var")
	assert.NotContains(t, strings.Join(said.lines, "\n"), "plots", "nothing was learned that a curve could show")
	assert.Contains(t, r.Training.Imported, "protonet.pt, SHA-256 ")
	assert.Zero(t, r.Training.Steps)
	assert.Equal(t, "elsewhere", r.Figures[0].Protocol.TrainedOn, "the file's training is not that of the weights")
	assert.Zero(t, r.Figures[0].Protocol.TrainWay)
	assert.Greater(t, r.Figures[1].Value, 40.0, "random features tell strokes apart better than chance, which is 20 %%")

	again, err := tool.Evaluate(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	figures := again.Figures
	assert.Equal(t, r.Figures, figures)
	again, err = tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	assert.Equal(t, r.Figures, again.Figures)

	// The model in the folder computes PyTorch's embeddings.
	testkit.Enter(t)
	var made struct{ Embeddings [][]float64 }
	text, err := os.ReadFile("../nn/weights/testdata/values.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &made))
	b := nn.NewBuilder(0, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
	require.NoError(t, err)
	state, err := nn.Open(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	require.NoError(t, b.Params().Load(state))
	images := make([]float32, 3*28*28)
	for i := range images {
		images[i] = float32(i*7919%1009) / 1009 // as fixtures.py makes them
	}
	got := e.Forward(&nn.Pass{Norm: nn.RunningStats}, tensor.New(images, 3, 1, 28, 28)).Floats()
	for i, want := range made.Embeddings {
		assert.InDeltaSlice(t, want, got[i*len(want):(i+1)*len(want)], 1e-5)
	}

	// The export equals the original.
	m, err := weights.ReadMap(filepath.Join(dir, "import.yaml"))
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "out.safetensors")
	require.NoError(t, experiments.Export(dir, out, m))
	exported, err := weights.Open(out)
	require.NoError(t, err)
	original, err := weights.Open(authors)
	require.NoError(t, err)
	guessed := map[string][]float32{}
	for _, w := range exported.Tensors {
		guessed[w.Name], err = w.Values()
		require.NoError(t, err)
	}
	assert.Len(t, guessed, len(original.Tensors))
	for _, w := range original.Tensors {
		values, err := w.Values()
		require.NoError(t, err)
		assert.Equal(t, values, guessed[w.Name], w.Name)
	}
}

// An import that is interrupted during its tests continues with the tests, not with training.
func TestInterruptedImportResumes(t *testing.T) {
	want, err := tool.Import(t.Context(), protonetOmniglot(t), []string{authors}, nil, experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = tool.Import(ctx, protonetOmniglot(t), []string{authors}, nil, experiments.Options{Out: dir, Reporter: &testStopper{cancel: cancel}})
	require.ErrorIs(t, err, context.Canceled)
	assert.ErrorContains(t, err, "engram resume "+dir)
	got, err := tool.Resume(t.Context(), dir, experiments.Options{})
	require.NoError(t, err)
	sameOutcome(t, want, got)
	assert.NoFileExists(t, filepath.Join(dir, "checkpoint.safetensors"))
}

// testStopper cancels a run at its first test.
type testStopper struct {
	experiments.Silent
	cancel func()
}

func (s *testStopper) Testing(string, int) { s.cancel() }

func TestImportOfWhatDoesNotFitLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	_, err := tool.Import(t.Context(), protonetOmniglot(t, "network.encoder.filters=16"), []string{authors}, nil, experiments.Options{Out: dir})
	require.Error(t, err)
	assert.Equal(t, 48, strings.Count(err.Error(), "\n")-1, "24 parameters and buffers, and 24 tensors: %v", err)
	assert.ErrorContains(t, err, "encoder.block1.conv.weight [16 1 3 3] has no counterpart in the file")
	assert.ErrorContains(t, err, "encoder.0.0.weight [8 1 3 3] is in the file but not in the network")
	assert.NoDirExists(t, dir)

	run(t, dir)
	_, err = tool.Import(t.Context(), protonetOmniglot(t), []string{authors}, nil, experiments.Options{Out: dir})
	assert.ErrorContains(t, err, "holds a finished run")
	assert.NoFileExists(t, filepath.Join(dir, "import.yaml"))
}

// A model of Engram is imported into another experiment by name.
func TestImportOfAnEngramModel(t *testing.T) {
	from := t.TempDir()
	want := run(t, from)
	r, err := tool.Import(t.Context(), config(t, "name=other", "network.kind=matchingnet", "network.memory={kind: prototype, metric: squared-euclidean, scale: 1}"),
		[]string{filepath.Join(from, "model.safetensors")}, nil, experiments.Options{Out: t.TempDir()})
	require.NoError(t, err)
	assert.Equal(t, want.Figures[0].Value, r.Figures[0].Value)
}

func TestExportOfNoRun(t *testing.T) {
	dir := t.TempDir()
	assert.EqualError(t, experiments.Export(dir, filepath.Join(dir, "x"), nil), dir+" is not a run folder: it holds no config.yaml")
}

// learningToCompare is the name that the authors of the Relation network have for a parameter, and the file that holds it.
func learningToCompare(name string) (file, theirs string) {
	part, rest, _ := strings.Cut(name, ".")
	leaf := rest[strings.LastIndexByte(rest, '.')+1:]
	var block int
	if i := strings.Index(rest, "block"); i >= 0 {
		_, _ = fmt.Sscanf(rest[i:], "block%d", &block)
		at := map[bool]int{true: 0, false: 1}[strings.Contains(rest, "conv")]
		return part, fmt.Sprintf("layer%d.%d.%s", block, at, leaf)
	}
	return part, strings.ReplaceAll(rest, "metric.", "")
}

// The two files of a Relation network give the network back, whether or not the user says which is which.
func TestImportOfANetworkInTwoFiles(t *testing.T) {
	from := t.TempDir()
	want := run(t, from, "network="+smallRelationnet, "dataset.size=28")
	testkit.Enter(t)
	state, err := weights.Open(filepath.Join(from, "model.safetensors"))
	require.NoError(t, err)
	files := map[string][]nn.Named{}
	for _, w := range state.Tensors {
		file, name := learningToCompare(w.Name)
		values, err := w.Values()
		require.NoError(t, err)
		files[file] = append(files[file], nn.Named{Name: name, Tensor: tensor.New(values, w.Shape...)})
	}
	require.Len(t, files, 2)
	dir := t.TempDir()
	var plain, said []string
	for part, tensors := range files {
		path := filepath.Join(dir, part+"_5way_1shot.safetensors")
		require.NoError(t, nn.Save(path, tensors, nil))
		plain, said = append(plain, path), append(said, part+"="+path)
	}
	for _, files := range [][]string{plain, said} {
		out := t.TempDir()
		r, err := tool.Import(t.Context(), config(t, "network="+smallRelationnet, "dataset.size=28"), files, nil, experiments.Options{Out: out})
		require.NoError(t, err)
		assert.Equal(t, want.Figures[0].Value, r.Figures[0].Value)
		assert.Contains(t, r.Training.Imported, "encoder_5way_1shot.safetensors, SHA-256 ")
		assert.Contains(t, r.Training.Imported, "; ")
		again, err := tool.Evaluate(t.Context(), out, experiments.Options{})
		require.NoError(t, err)
		assert.Equal(t, r.Training.Imported, again.Training.Imported)
	}

	_, err = tool.Import(t.Context(), config(t, "network="+smallRelationnet, "dataset.size=28"), []string{"relation=" + plain[0], plain[1]}, nil, experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "the network has no part relation; it has encoder, memory")
	_, err = tool.Import(t.Context(), config(t), []string{plain[0], plain[0]}, nil, experiments.Options{Out: t.TempDir()})
	assert.ErrorContains(t, err, "would have the same names; say of which part of the network each is: PART="+plain[0])
}

// Weights that were trained on other values get them: the network of a run with the key input is that without it on images
// that are normalised by hand.
func TestImportWithTheInputThatTheWeightsWereTrainedOn(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	_, err := tool.Import(t.Context(), protonetOmniglot(t), []string{authors}, nil, experiments.Options{Out: dirs[0]})
	require.NoError(t, err)
	c := protonetOmniglot(t, "network.encoder.input={inverted: true, mean: [0.922], std: [0.084]}")
	assert.True(t, c.NormalizesImages())
	assert.False(t, protonetOmniglot(t).NormalizesImages())
	_, err = tool.Import(t.Context(), c, []string{authors}, nil, experiments.Options{Out: dirs[1]})
	require.NoError(t, err)

	testkit.Enter(t)
	images, normalised := make([]float32, 2*28*28), make([]float32, 2*28*28)
	for i := range images {
		images[i] = float32(i*7919%1009) / 1009
		normalised[i] = (1 - images[i] - .922) / .084
	}
	var embedded [2][]float64
	for i, x := range [][]float32{normalised, images} {
		m, err := tool.Open(dirs[i])
		require.NoError(t, err)
		embedded[i] = m.Network().(registry.ImageEncoder).Encode(&nn.Pass{Norm: nn.RunningStats}, tensor.New(x, 2, 1, 28, 28)).Floats()
		m.Close()
	}
	assert.InDeltaSlice(t, embedded[0], embedded[1], 1e-3)
	assert.Greater(t, slices.Max(embedded[0]), .5)
}

// Who shows no notes is warned of guesses all the same.
func TestGuessesAreWarnings(t *testing.T) {
	w := &warned{}
	_, err := tool.Import(t.Context(), protonetOmniglot(t), []string{authors}, nil, experiments.Options{Out: t.TempDir(), Reporter: w})
	require.NoError(t, err)
	require.Len(t, w.lines, 25)
	assert.Contains(t, w.lines[0], "24 of 24 tensors are paired by a guess")
	assert.Equal(t, "encoder.block1.conv.weight [8 1 3 3] ← encoder.0.0.weight", w.lines[1])
}

type warned struct {
	experiments.Silent
	lines []string
}

func (w *warned) Warn(line string) { w.lines = append(w.lines, line) }
