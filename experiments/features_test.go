package experiments_test

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// The formats hold the same embeddings, and the embeddings of a class are nearer to each other than those of different classes.
func TestFeatures(t *testing.T) {
	f, err := tool.Features(t.Context(), "../models/quickstart-protonet", experiments.FeatureOptions{Images: "../examples/letters/support"})
	require.NoError(t, err)
	assert.Equal(t, []string{"A", "E", "K", "O", "T"}, f.Classes)
	assert.Equal(t, []int{0, 0, 1, 1, 2, 2, 3, 3, 4, 4}, f.Labels)
	assert.Equal(t, filepath.Join("../examples/letters/support", "A", "2.png"), f.Images[1])
	require.Equal(t, 64, f.Width)
	require.Len(t, f.Values, 10*64)
	distance := func(i, j int) (sum float64) {
		for k := range 64 {
			d := float64(f.Values[i*64+k] - f.Values[j*64+k])
			sum += d * d
		}
		return sum
	}
	var same, other float64
	for i := range 10 {
		for j := range 10 {
			if i != j && f.Labels[i] == f.Labels[j] {
				same += distance(i, j) / 10
			} else if i != j {
				other += distance(i, j) / 80
			}
		}
	}
	assert.Less(t, 2*same, other)

	dir := t.TempDir()
	files, err := f.Write(filepath.Join(dir, "x.npy"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(dir, "x.npy"), filepath.Join(dir, "x.labels.csv")}, files)
	npy, err := os.ReadFile(files[0])
	require.NoError(t, err)
	head := 10 + int(binary.LittleEndian.Uint16(npy[8:]))
	assert.Zero(t, head%64)
	assert.Equal(t, "\x93NUMPY\x01\x00", string(npy[:8]))
	assert.Contains(t, string(npy[10:head]), "'descr': '<f4', 'fortran_order': False, 'shape': (10, 64)")
	assert.Equal(t, byte('\n'), npy[head-1])
	require.Len(t, npy, head+4*10*64)
	assert.Equal(t, f.Values[65], math.Float32frombits(binary.LittleEndian.Uint32(npy[head+4*65:])))
	labels, err := os.ReadFile(files[1])
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(labels), "label,class,image\n0,A,"), string(labels))

	files, err = f.Write(filepath.Join(dir, "y.csv"))
	require.NoError(t, err)
	assert.Len(t, files, 1)
	file, err := os.Open(files[0])
	require.NoError(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 11)
	require.Len(t, rows[1], 3+64)
	v, err := strconv.ParseFloat(rows[2][3+1], 32)
	require.NoError(t, err)
	assert.Equal(t, f.Values[65], float32(v))

	files, err = f.Write(filepath.Join(dir, "z.safetensors"))
	require.NoError(t, err)
	state, err := nn.Open(files[0])
	require.NoError(t, err)
	var classes []string
	require.NoError(t, json.Unmarshal([]byte(state.Notes["classes"]), &classes))
	assert.Equal(t, f.Classes, classes)
	shape, ok := state.Shape("embeddings")
	assert.True(t, ok)
	assert.Equal(t, []int64{10, 64}, shape)
	assert.Zero(t, tensor.Live())
	_, err = f.Write(filepath.Join(dir, "z.txt"))
	assert.ErrorContains(t, err, "want a name that ends in .npy, .safetensors, .csv")
}

func TestFeaturesOfTheRunsOwnData(t *testing.T) {
	dir := t.TempDir()
	run(t, dir)
	for split, classes := range map[string]int{"test": 10, "training": 40} {
		f, err := tool.Features(t.Context(), dir, experiments.FeatureOptions{Split: split})
		require.NoError(t, err)
		assert.Len(t, f.Classes, classes)
		assert.Len(t, f.Values, len(f.Labels)*f.Width)
		assert.Equal(t, "1", f.Images[0], "drawn characters are numbered")
	}
	_, err := tool.Features(t.Context(), "../models/quickstart-memnet", experiments.FeatureOptions{Split: "test"})
	assert.ErrorContains(t, err, "memnet embeds neither images nor texts")
	_, err = tool.Features(t.Context(), filepath.Join("..", "results", "runs", "maml-omniglot", "seed-1"), experiments.FeatureOptions{Split: "test"})
	assert.ErrorContains(t, err, "maml adapts its encoder to each task")
	_, err = tool.Predictions(t.Context(), "../models/quickstart-memnet", -1, experiments.Options{})
	assert.ErrorContains(t, err, "memnet has none")
	_, err = tool.Predictions(t.Context(), dir, 7, experiments.Options{})
	assert.ErrorContains(t, err, "has no test 7")
	figure, err := tool.Predictions(t.Context(), dir, -1, experiments.Options{})
	require.NoError(t, err)
	assert.Len(t, figure.Queries, figure.Protocol.Episodes*figure.Protocol.Way*figure.Protocol.Query)
	assert.NoDirExists(t, filepath.Join(dir, "evals"))
}
