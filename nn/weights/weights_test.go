package weights_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/encoder"
	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// made is PyTorch's description of its files: values.json, see fixtures.py.
type made struct {
	Tensors map[string]struct {
		Shape []int64
		DType string
		Data  []float64
	}
	Embeddings [][]float64
}

func readMade(t *testing.T) (m made) {
	t.Helper()
	text, err := os.ReadFile("testdata/values.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &m))
	return m
}

func open(t *testing.T, name string) *weights.File {
	t.Helper()
	f, err := weights.Open(filepath.Join("testdata", name))
	require.NoError(t, err)
	return f
}

func TestReadsWhatPyTorchWrote(t *testing.T) {
	want := readMade(t).Tensors
	order := strings.Fields("float32 transposed first second strided scalar empty parameter float64 float16 bfloat16 int64 uint8 bool")
	for _, name := range []string{"kinds.pt", "kinds-legacy.pt"} {
		f := open(t, name)
		assert.Empty(t, f.Notes)
		assert.Equal(t, name, f.Sources[0].File)
		assert.Len(t, f.Sources[0].SHA256, 64)
		var names []string
		for _, w := range f.Tensors {
			names = append(names, w.Name)
			expected := want[w.Name]
			assert.Equal(t, expected.DType, w.DType(), w.Name)
			assert.Equal(t, append([]int64{}, expected.Shape...), append([]int64{}, w.Shape...), w.Name)
			got, err := w.Values()
			if strings.Contains("int64 uint8 bool", w.Name) {
				assert.ErrorContains(t, err, w.Name+" is "+w.DType()+", but parameters are floating point")
				continue
			}
			require.NoError(t, err, w.Name)
			require.Len(t, got, len(expected.Data), w.Name)
			for i, v := range expected.Data {
				assert.Equal(t, float32(v), got[i], "%s of %s, element %d", w.Name, name, i)
			}
		}
		assert.Equal(t, order, names, "in the order of the dict")
	}
}

func TestCheckpointOfATrainingScript(t *testing.T) {
	f := open(t, "checkpoint.pt")
	var names []string
	for _, w := range f.Tensors {
		names = append(names, w.Name)
	}
	assert.Equal(t, strings.Fields("0.weight 0.bias 1.weight 1.bias 1.running_mean 1.running_var"), names)
	assert.Equal(t, []string{
		`the state dict is the file's entry "state_dict"; other entries skipped: ["epoch" "args" "optimizer"]`,
		"num_batches_tracked of 1 layers skipped: a counter that does not affect results",
		"DataParallel's prefix module. removed from the names",
	}, f.Notes)
}

func TestRefusals(t *testing.T) {
	for name, want := range map[string]string{
		"module.pt":   `module.pt holds a whole pickled object ("torch.nn.modules.container.Sequential"), not a state dict, and would need its Python code to be read; in Python, where that code is: torch.save(torch.load(FILE).state_dict(), "weights.pt")`,
		"inside.pt":   `holds a whole pickled object ("torch.nn.modules.container.Sequential") under "model", not a state dict`,
		"script.pt":   "holds a TorchScript module, not a state dict; in Python: torch.save(torch.jit.load(FILE)",
		"list.pt":     "does not hold a state dict, a dict of names and tensors",
		"expanded.pt": "repeats its storage of 1 elements",
		"values.json": "is neither a file of torch.save nor of safetensors",
		"none.pt":     "no file testdata/none.pt",
	} {
		_, err := weights.Open(filepath.Join("testdata", name))
		assert.ErrorContains(t, err, want)
	}
}

// conv4 makes the encoder of protonet.pt, with the names of an experiment.
func conv4(t *testing.T) (*encoder.Conv4, *nn.Params) {
	t.Helper()
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	e, err := encoder.NewConv4(b.In("encoder"), encoder.Conv4Config{Height: 28, Width: 28, Filters: 8})
	require.NoError(t, err)
	return e, b.Params()
}

// protonetMap maps the names of jakesnell/prototypical-networks.
func protonetMap() map[string]string {
	names := map[string]string{}
	for block, theirs := range map[string]string{"block1": "0", "block2": "1", "block3": "2", "block4": "3"} {
		for _, leaf := range []string{"weight", "bias"} {
			names["encoder."+block+".conv."+leaf] = "encoder." + theirs + ".0." + leaf
		}
		for _, leaf := range []string{"weight", "bias", "running_mean", "running_var"} {
			names["encoder."+block+".norm."+leaf] = "encoder." + theirs + ".1." + leaf
		}
	}
	return names
}

func TestProtoNetOfPyTorchGivesPyTorchsEmbeddings(t *testing.T) {
	testkit.Enter(t)
	want := readMade(t).Embeddings
	safe := filepath.Join(t.TempDir(), "protonet.safetensors")
	require.NoError(t, weights.Export(safe, open(t, "protonet.pt"), &weights.Map{}))
	for _, path := range []string{"testdata/protonet.pt", "testdata/protonet-legacy.pt", safe} {
		f, err := weights.Open(path)
		require.NoError(t, err)
		e, ps := conv4(t)
		m := weights.Guess(ps, f, nil)
		assert.Equal(t, protonetMap(), m.Names, path)
		assert.Contains(t, m.Pairs(ps), weights.Pairing{Text: "encoder.block1.conv.weight [8 1 3 3] ← encoder.0.0.weight", Guessed: true})
		require.NoError(t, weights.Load(ps, f, m))
		got := e.Forward(&nn.Pass{Norm: nn.RunningStats}, testImages(3)).Floats()
		for i, row := range want {
			assert.InDeltaSlice(t, row, got[i*len(row):(i+1)*len(row)], 1e-5, path)
		}
	}
}

// testImages returns the images of fixtures.py, [n, 1, 28, 28].
func testImages(n int64) *tensor.Tensor {
	v := make([]float32, n*28*28)
	for i := range v {
		v[i] = float32(i*7919%1009) / 1009
	}
	return tensor.New(v, n, 1, 28, 28)
}

func TestExportGoesBackUnderTheNamesOfTheMap(t *testing.T) {
	testkit.Enter(t)
	dir := t.TempDir()
	f := open(t, "protonet.pt")
	_, ps := conv4(t)
	m := weights.Guess(ps, f, nil)
	require.NoError(t, weights.Load(ps, f, m))
	require.NoError(t, nn.Save(filepath.Join(dir, "model.safetensors"), ps.State(), nil))
	ours, err := weights.Open(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	require.NoError(t, weights.Export(filepath.Join(dir, "out.safetensors"), ours, m))

	back, err := weights.Open(filepath.Join(dir, "out.safetensors"))
	require.NoError(t, err)
	require.Len(t, back.Tensors, len(f.Tensors))
	for _, w := range f.Tensors {
		want, err := w.Values()
		require.NoError(t, err)
		found := false
		for _, b := range back.Tensors {
			if b.Name == w.Name {
				found = true
				got, err := b.Values()
				require.NoError(t, err)
				assert.Equal(t, want, got, w.Name)
				assert.Equal(t, w.Shape, b.Shape, w.Name)
			}
		}
		assert.True(t, found, w.Name)
	}

	m.Names["encoder.block9.conv.weight"] = "x"
	assert.ErrorContains(t, weights.Export(filepath.Join(dir, "x"), ours, m), "the map names encoder.block9.conv.weight, which is not among the parameters")
}

func TestLoadListsEveryMismatch(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	ps := b.Params()
	b.Param("a.weight", nn.Constant(1), 2, 3) // right
	b.Param("b.weight", nn.Constant(2), 4)    // wrong shape
	b.Param("c.weight", nn.Constant(3), 2)    // an integer
	b.Param("d.weight", nn.Constant(4), 7)    // missing
	b.Param("e.weight", nn.Constant(5), 2, 3) // a.weight's tensor
	b.Buffer("f.running", nn.Constant(6), 9)  // named in the map, missing in the file
	f := open(t, "kinds.pt")
	m := &weights.Map{
		Names: map[string]string{
			"a.weight": "float32", "b.weight": "first", "c.weight": "int64", "e.weight": "float32", "f.running": "gone", "g.weight": "second",
		},
		Ignore: []string{"transposed", "strided", "scalar", "empty", "float64", "float16", "bfloat16", "uint8", "bool", "second", "nothing"},
	}
	err := weights.Load(ps, f, m)
	require.Error(t, err)
	for _, want := range []string{
		"the map names g.weight, which the network does not have",
		"the map ignores nothing, which the file does not have",
		"b.weight has the shape [4] in the network, first [2 3] in the file",
		"int64 is int64, but parameters are floating point",
		"d.weight [7] has no counterpart in the file",
		"a.weight and e.weight both take float32",
		"f.running [9] takes gone, which the file does not have",
		"parameter [4] is in the file but not in the network",
	} {
		assert.ErrorContains(t, err, want)
	}
	assert.Len(t, strings.Split(err.Error(), "\n"), 10, "nothing else: %v", err)
	assert.Equal(t, []float64{1, 1, 1, 1, 1, 1}, ps.All()[0].Value().Floats(), "nothing changes")
}

// A guess pairs by name, then by last part and shape in order, then what is unique.
func TestGuess(t *testing.T) {
	testkit.Enter(t)
	b := nn.NewBuilder(1, tensor.CPU)
	t.Cleanup(b.Params().Free)
	for _, p := range []struct {
		name  string
		shape []int64
	}{{"scalar", nil}, {"one.float32", []int64{2, 3}}, {"two.float64", []int64{4}}, {"gain", []int64{3, 3}}, {"odd.float16", []int64{5}}, {"w.bfloat16", []int64{6}}} {
		b.Param(p.name, nn.Constant(0), p.shape...)
	}
	m := weights.Guess(b.Params(), open(t, "kinds.pt"), nil)
	assert.Equal(t, map[string]string{
		"scalar":      "scalar",
		"one.float32": "float32", // same last part and shape
		"odd.float16": "float16",
		"w.bfloat16":  "bfloat16", // wrong shape: Load reports it
		"two.float64": "float64",
	}, m.Names)
}

func TestMapFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "map.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	m, err := weights.ReadMap(write("names: {a: b}\nignore: [c]\n"))
	require.NoError(t, err)
	assert.Equal(t, &weights.Map{Names: map[string]string{"a": "b"}, Ignore: []string{"c"}}, m)
	text, err := m.Encode()
	require.NoError(t, err)
	again, err := weights.ReadMap(write(string(text)))
	require.NoError(t, err)
	assert.Equal(t, m, again)

	record := filepath.Join(dir, "import.yaml")
	require.NoError(t, weights.WriteRecord(record, []weights.Source{{File: "x.pt", SHA256: "ab"}}, m))
	again, err = weights.ReadMap(record)
	require.NoError(t, err)
	assert.Equal(t, m, again)
	source, err := weights.ReadRecord(record)
	require.NoError(t, err)
	assert.Equal(t, []weights.Source{{File: "x.pt", SHA256: "ab"}}, source)
	two := []weights.Source{{Part: "encoder", File: "e.pkl", SHA256: "ab"}, {File: "r.pkl", SHA256: "cd"}}
	require.NoError(t, weights.WriteRecord(record, two, m))
	source, err = weights.ReadRecord(record)
	require.NoError(t, err)
	assert.Equal(t, two, source)

	for _, text := range []string{"nmaes: {a: b}\n", "names: [a]\n", "names: {a: b, a: c}\n", "{"} {
		_, err := weights.ReadMap(write(text))
		assert.ErrorContains(t, err, "it has a mapping names, of Engram's names to the file's, and a list ignore", text)
	}
	_, err = weights.ReadMap(filepath.Join(dir, "none.yaml"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestNotFiniteIsRefused(t *testing.T) {
	testkit.Enter(t)
	path := filepath.Join(t.TempDir(), "nan.safetensors")
	bad := tensor.New([]float64{1, 2, math.MaxFloat64, 4}, 2, 2)
	require.NoError(t, nn.Save(path, []nn.Named{{Name: "w", Tensor: bad}}, nil))
	f, err := weights.Open(path)
	require.NoError(t, err)
	_, err = f.Tensors[0].Values()
	assert.EqualError(t, err, "w holds a value that is not finite as float32, at [1 0]")
}
