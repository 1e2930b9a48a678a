package weights_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/testkit"
	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/nn/weights"
	"github.com/engram-go/engram/tensor"
)

// saved writes a file with a tensor of 2×3 under each name, whose values count up from 0.
func saved(t *testing.T, names ...string) *weights.File {
	t.Helper()
	var out []nn.Named
	for _, name := range names {
		out = append(out, nn.Named{Name: name, Tensor: tensor.New([]float32{0, 1, 2, 3, 4, 5}, 2, 3)})
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, nn.Save(path, out, nil))
	f, err := weights.Open(path)
	require.NoError(t, err)
	return f
}

func TestLayout(t *testing.T) {
	testkit.Enter(t)
	own := func() (*nn.Params, *nn.Param) {
		b := nn.NewBuilder(1, tensor.CPU)
		t.Cleanup(b.Params().Free)
		return b.Params(), b.In("encoder").In("a").Param("weight", nn.Constant(7), 3, 2)
	}
	l := weights.Layout{
		Convert: func(f *weights.File) error {
			f.Rename(func(name string) string { return strings.TrimPrefix(name, "backbone.") })
			a := f.Find("a.weight")
			if a == nil {
				return nil
			}
			values, err := a.Values()
			*a = *weights.NewTensor("a.weight", []float32{values[0], values[3], values[1], values[4], values[2], values[5]}, 3, 2)
			return err
		},
		Skip: []string{"fc.*"},
	}

	ps, p := own()
	skipped, err := l.Check(saved(t, "backbone.a.weight", "fc.weight"), ps.All(), "encoder.")
	require.NoError(t, err)
	assert.Equal(t, []string{"fc.weight"}, skipped)
	assert.Equal(t, 7., p.Value().Floats()[0], "a check changes nothing")
	require.NoError(t, l.Load(saved(t, "backbone.a.weight", "fc.weight"), ps.All(), "encoder."))
	assert.Equal(t, []float64{0, 3, 1, 4, 2, 5}, p.Value().Floats())

	// A fresh parameter keeps its value.
	l.Fresh = []string{"*.weight"}
	ps, p = own()
	require.NoError(t, l.Load(saved(t, "fc.weight"), ps.All(), "encoder."))
	assert.Equal(t, 7., p.Value().Floats()[0])
	l.Fresh = nil

	_, err = l.Check(saved(t, "b.weight"), ps.All(), "encoder.")
	assert.EqualError(t, err, "the weights do not fit the network:\nencoder.a.weight [3 2] takes a.weight, which the file does not have\nb.weight [2 3] is in the file but not in the network")
	_, err = weights.Layout{}.Check(saved(t, "a.weight"), ps.All(), "encoder.")
	assert.EqualError(t, err, "the weights do not fit the network:\nencoder.a.weight has the shape [3 2] in the network, a.weight [2 3] in the file")
	_, err = l.Check(saved(t, "b", "c", "d", "e", "f", "g", "h", "i", "j"), ps.All(), "encoder.")
	assert.ErrorContains(t, err, "\nand 2 more")
	assert.Panics(t, func() { weights.NewTensor("a", []float32{1}, 2) })
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	_, _, err := weights.Locate(filepath.Join(dir, "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = weights.Locate(dir)
	assert.ErrorContains(t, err, "holds no weights: neither model.safetensors nor pytorch_model.bin")
	touch := func(name string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		return path
	}
	touch("pytorch_model.bin.index.json")
	_, _, err = weights.Locate(dir)
	assert.ErrorContains(t, err, "holds its weights in several files")
	old := touch("pytorch_model.bin")
	file, folder, err := weights.Locate(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{old, dir}, []string{file, folder})
	newer := touch("model.safetensors")
	file, _, err = weights.Locate(dir)
	require.NoError(t, err)
	assert.Equal(t, newer, file)
	file, folder, err = weights.Locate(newer)
	require.NoError(t, err)
	assert.Equal(t, []string{newer, ""}, []string{file, folder})
}
