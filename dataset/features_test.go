package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/nlpodyssey/safetensors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func littleEndian(t *testing.T, v any) []byte {
	t.Helper()
	b, err := binary.Append(nil, binary.LittleEndian, v)
	require.NoError(t, err)
	return b
}

func tensorsFile(t *testing.T, types map[string]safetensors.DType, shapes map[string][]uint64, data map[string][]byte, meta map[string]string) string {
	t.Helper()
	views := map[string]safetensors.TensorView{}
	for name := range types {
		v, err := safetensors.NewTensorView(types[name], shapes[name], data[name])
		require.NoError(t, err)
		views[name] = v
	}
	b, err := safetensors.Serialize(views, meta)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "f.safetensors")
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

// numPy is a file as numpy.save writes it.
func numPy(kind, shape string, data []byte) []byte {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, shape)
	for (10+len(header)+1)%64 != 0 {
		header += " "
	}
	header += "\n"
	return append(append(binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header))), header...), data...)
}

func TestFeatures(t *testing.T) {
	values := []float32{1, 2, -3, 4, 5, 6, 7, 8.5}
	labels := []int64{3, 0, 3, 1}
	file := tensorsFile(t, map[string]safetensors.DType{"features": safetensors.F32, "labels": safetensors.I64},
		map[string][]uint64{"features": {4, 2}, "labels": {4}}, map[string][]byte{"features": littleEndian(t, values), "labels": littleEndian(t, labels)},
		map[string]string{"classes": `["ant", "bee", "none", "cat"]`})
	folder := t.TempDir()
	unpack(t, folder, map[string][]byte{
		"features.npy": numPy("<f4", "4, 2", littleEndian(t, values)), "labels.npy": numPy("<i8", "4,", littleEndian(t, labels)), "classes.json": []byte(`["ant", "bee", "none", "cat"]`),
	})
	wide, short := make([]float64, 8), make([]int32, 4)
	for i, v := range values {
		wide[i] = float64(v)
	}
	for i, v := range labels {
		short[i] = int32(v)
	}
	other := t.TempDir()
	unpack(t, other, map[string][]byte{"features.npy": numPy("<f8", "4, 2", littleEndian(t, wide)), "labels.npy": numPy("<i4", "4,", littleEndian(t, short))})
	sums := map[string]bool{}
	for path, names := range map[string][]string{file: {"ant", "bee", "cat"}, folder: {"ant", "bee", "cat"}, other: {"0", "1", "3"}} {
		f, err := LoadFeatures(path)
		require.NoError(t, err)
		c, h, w := f.Shape()
		assert.Equal(t, []int{1, 1, 2}, []int{c, h, w})
		require.Equal(t, 3, f.Classes())
		for i, name := range names {
			assert.Equal(t, name, f.Class(i))
			assert.Equal(t, []int{1, 1, 2}[i], f.Instances(i))
		}
		row := make([]float32, 2)
		f.Image(row, 2, 1, 0)
		assert.Equal(t, []float32{5, 6}, row)
		f.Image(row, 1, 0, 0)
		assert.Equal(t, []float32{7, 8.5}, row)
		assert.Nil(t, Bytes(f))
		assert.Panics(t, func() { f.Image(row, 0, 1, 0) })
		assert.Panics(t, func() { f.Image(row, 0, 0, 1) })
		sums[f.Checksum()] = true
	}
	assert.Len(t, sums, 2, "the same data have the same checksum")
	assert.Zero(t, NoFeatures(3).Classes())
}

func TestFeaturesRefuse(t *testing.T) {
	good := map[string][]byte{
		"features.npy": numPy("<f4", "2, 2", littleEndian(t, []float32{1, 2, 3, 4})), "labels.npy": numPy("<i8", "2,", littleEndian(t, []int64{0, 1})), "classes.json": []byte(`["a", "b"]`),
	}
	nan := float32(math.NaN())
	for says, change := range map[string]map[string][]byte{
		"row 1 has the label 2, and there are 2": {"labels.npy": numPy("<i8", "2,", littleEndian(t, []int64{0, 2}))},
		"the label -1":                           {"labels.npy": numPy("<i8", "2,", littleEndian(t, []int64{0, -1}))},
		"one for each of the 2 rows":             {"labels.npy": numPy("<i8", "1,", littleEndian(t, []int64{0}))},
		"must be integers":                       {"labels.npy": numPy("<f4", "2,", littleEndian(t, []float32{0, 1}))},
		"must be floats, [rows, width]":          {"features.npy": numPy("<f4", "4,", littleEndian(t, []float32{1, 2, 3, 4}))},
		"row 1 has the value NaN":                {"features.npy": numPy("<f4", "2, 2", littleEndian(t, []float32{1, 2, nan, 4}))},
		"20 bytes of data: it is damaged":        {"features.npy": numPy("<f4", "2, 2", littleEndian(t, []float32{1, 2, 3, 4, 5}))},
		"it is cut off":                          {"features.npy": numPy("<f4", "99999999999, 99999999999", littleEndian(t, []float32{1, 2, 3}))},
		"of the type f2":                         {"features.npy": numPy("<f2", "2, 2", make([]byte, 8))},
		"is not understood":                      {"features.npy": numPy("<U8", "2, 2", make([]byte, 8))},
		"it is no NumPy file":                    {"features.npy": []byte("hello, hello")},
		"its header is cut off":                  {"features.npy": []byte("\x93NUMPY\x01\x00\xff\xff......")},
		"no JSON list":                           {"classes.json": []byte("{}")},
		`two classes are named "a"`:              {"classes.json": []byte(`["a", "a"]`)},
		"no such file or directory":              {"labels.npy": nil},
	} {
		root, files := t.TempDir(), map[string][]byte{}
		for name, b := range good {
			files[name] = b
		}
		for name, b := range change {
			if files[name] = b; b == nil {
				delete(files, name)
			}
		}
		unpack(t, root, files)
		_, err := LoadFeatures(root)
		assert.ErrorContains(t, err, says)
		assert.ErrorContains(t, err, root)
	}
	f32 := map[string]safetensors.DType{"features": safetensors.F32, "labels": safetensors.F32}
	shapes := map[string][]uint64{"features": {1, 1}, "labels": {1}}
	data := map[string][]byte{"features": make([]byte, 4), "labels": make([]byte, 4)}
	_, err := LoadFeatures(tensorsFile(t, f32, shapes, data, nil))
	assert.ErrorContains(t, err, "must be integers")
	delete(f32, "labels")
	_, err = LoadFeatures(tensorsFile(t, f32, shapes, data, nil))
	assert.ErrorContains(t, err, "no tensor labels; it has features")
	file := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(file, []byte("hello"), 0o644))
	_, err = LoadFeatures(file)
	assert.ErrorContains(t, err, "no whole safetensors file")
	_, err = LoadFeatures(file + "y")
	assert.ErrorIs(t, err, os.ErrNotExist)
}
