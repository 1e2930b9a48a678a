package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestImportAndExport(t *testing.T) {
	const authors = "../nn/weights/testdata/protonet.pt"
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	fit := []string{"--set", "network.encoder.filters=8", "--set", "dataset.size=28"}
	code, text, stderr := engram(t.Context(), append([]string{"import", tinyFile(t), authors, "--print-map"}, fit...))
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, text, "    encoder.block1.conv.weight: encoder.0.0.weight\n")
	names := filepath.Join(dir, "map.yaml")
	require.NoError(t, os.WriteFile(names, []byte(text), 0o644))

	code, out, stderr := engram(t.Context(), append([]string{"import", tinyFile(t), authors, "--map", names, "--out", run}, fit...))
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stderr, "encoder.block1.conv.weight [8 1 3 3] ← encoder.0.0.weight\n")
	assert.Regexp(t, `tiny +1 +strokes 5-way 1-shot +10 +accuracy`, out)
	code, again, stderr := engram(t.Context(), []string{"eval", run, "-q"})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out, again)

	file := filepath.Join(dir, "out.safetensors")
	code, _, stderr = engram(t.Context(), []string{"export", run, file, "--map", filepath.Join(run, "import.yaml")})
	require.Equal(t, exitOK, code, stderr)
	exported, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(exported), `"encoder.0.0.weight"`)

	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{append([]string{"import", tinyFile(t), authors, "--map", names, "--print-map"}, fit...), exitUsage, "map print-map"},
		{[]string{"import", tinyFile(t)}, exitUsage, "takes FILE WEIGHTS, got 1 argument"},
		{[]string{"import", tinyFile(t), "none.pt"}, exitFailure, "no file none.pt"},
		{[]string{"import", tinyFile(t), authors, "--map", "none.yaml"}, exitFailure, "none.yaml"},
		{[]string{"import", tinyFile(t), authors, "--out", filepath.Join(dir, "new")}, exitFailure, "the file does not fit the network"},
		{[]string{"export", "/nowhere", file}, exitFailure, "/nowhere is not a run folder: it holds no config.yaml"},
	} {
		code, _, stderr := engram(t.Context(), c.args)
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, c.args)
	}
}
