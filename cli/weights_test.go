package cli

import (
	"os"
	"path/filepath"
	"strings"
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
	assert.Contains(t, stderr, "the network got images with values between 0 and 1, ink as 1; where the weights were trained on others, import them with --inverted, --mean and --std\n")
	assert.Regexp(t, `tiny +1 +strokes 5-way 1-shot +10 +accuracy`, out)
	code, again, stderr := engram(t.Context(), []string{"eval", run, "-q"})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out, again)

	// Guesses are shown with --quiet, and nothing else is; what the weights were trained on is kept in the run.
	quiet := filepath.Join(dir, "quiet")
	code, _, stderr = engram(t.Context(), append([]string{"import", tinyFile(t), authors, "-q", "--out", quiet, "--inverted", "--mean", "0.92", "--std", "0.08", "--size", "28"}, fit[:2]...))
	require.Equal(t, exitOK, code, stderr)
	assert.True(t, strings.HasPrefix(stderr, "24 of 24 tensors are paired by a guess"), stderr)
	assert.Equal(t, 25, strings.Count(stderr, "\n"), stderr)
	text2, err := os.ReadFile(filepath.Join(quiet, "config.yaml"))
	require.NoError(t, err)
	assert.Regexp(t, `input:\n +inverted: true\n +mean:\n? +[^\n]*0.92\]?\n +std:\n? +[^\n]*0.08`, string(text2))
	assert.Contains(t, string(text2), "size: 28")

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
		{[]string{"import", tinyFile(t)}, exitUsage, "got 1 argument"},
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
