// Package python_test runs the tests of the Python reader of results, and holds it against what Go writes.
package python_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/nn"
	"github.com/engram-go/engram/tensor"
)

// python runs Python in this folder; the test is skipped where there is none.
func python(t *testing.T, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return out
}

func TestReader(t *testing.T) {
	python(t, "-m", "unittest", "test_engram_results")
}

func TestReaderReadsWhatGoWrites(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, tensor.Do(func() error {
		return nn.Save(file, []nn.Named{
			{Name: "f", Tensor: tensor.New([]float32{1.5, -2, 3e-8, 4}, 2, 2)},
			{Name: "i", Tensor: tensor.New([]int64{7, -8}, 2)},
			{Name: "b", Tensor: tensor.New([]float32{0.5, -3}, 2).To(tensor.BFloat16)},
		}, map[string]string{"classes": `["ä","b"]`})
	}))
	const read = `
import json, sys, engram_results as er
tensors, notes = er.read_safetensors(sys.argv[1])
print(json.dumps({"classes": json.loads(notes["classes"]), **{k: v.tolist() for k, v in tensors.items()}}))
`
	var got struct {
		Classes []string
		F       [][]float32
		I       []int64
		B       []float32
	}
	require.NoError(t, json.Unmarshal(python(t, "-c", read, file), &got))
	assert.Equal(t, []string{"ä", "b"}, got.Classes)
	assert.Equal(t, [][]float32{{1.5, -2}, {3e-8, 4}}, got.F)
	assert.Equal(t, []int64{7, -8}, got.I)
	assert.Equal(t, []float32{0.5, -3}, got.B)
}
