package cli

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// shipped are the folders of the models that are part of the project.
func shipped(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../models/*/model.safetensors")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for i := range files {
		files[i] = filepath.Dir(files[i])
	}
	return files
}

// Every model has its checksum, its result with the figures that the page shows, and a configuration of today.
func TestShippedModelsAreAsDescribed(t *testing.T) {
	sums, err := os.ReadFile("../models/SHA256SUMS")
	require.NoError(t, err)
	page, err := os.ReadFile("../models/README.md")
	require.NoError(t, err)
	folders := shipped(t)
	assert.Equal(t, len(folders), strings.Count(string(sums), "\n"))
	for _, dir := range folders {
		name := filepath.Base(dir)
		model, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		require.NoError(t, err)
		assert.Less(t, len(model), 500_000, "%s: models of the repository are small", name)
		assert.Contains(t, string(sums), fmt.Sprintf("%x  %s/model.safetensors\n", sha256.Sum256(model), name))
		r, err := results.Read(filepath.Join(dir, results.FileName))
		require.NoError(t, err)
		assert.NotEmpty(t, r.Build.Commit, name)
		assert.False(t, r.Build.Modified, name)
		row := page[strings.Index(string(page), "`"+name+"`"):]
		assert.Contains(t, string(row), r.Headline().Text()+" %", name)
		assert.Contains(t, string(row), fmt.Sprintf("| %.0f kB |", float64(len(model))/1000), name)
		code, _, stderr := engram(t.Context(), []string{"validate", filepath.Join(dir, "config.yaml")})
		assert.Equal(t, exitOK, code, stderr)
	}
}

// The letters example is classified by the shipped models, and stories are explained, without any training or data.
func TestShippedModelsWork(t *testing.T) {
	letters := []string{"--support", "../examples/letters/support", "--query", "../examples/letters/query"}
	for _, name := range []string{"quickstart-protonet", "quickstart-matchingnet"} {
		code, stdout, stderr := engram(t.Context(), append([]string{"predict", "--run", "../models/" + name}, letters...))
		require.Equal(t, exitOK, code, stderr)
		right := 0
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		for _, line := range lines {
			file, rest, _ := strings.Cut(line, "\t")
			class, _, _ := strings.Cut(rest, "\t")
			if strings.HasPrefix(filepath.Base(file), class) {
				right++
			}
		}
		assert.Len(t, lines, 15)
		assert.GreaterOrEqual(t, right, 14, "%s:\n%s", name, stdout)
	}
	code, stdout, stderr := engram(t.Context(), []string{"explain", "../models/quickstart-memnet", "--task", "2"})
	assert.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, "hop 3")

	out := t.TempDir()
	code, stdout, stderr = engram(t.Context(), []string{"plot", "../models/quickstart-protonet", "--out", out})
	assert.Equal(t, exitOK, code, stderr)
	assert.Contains(t, stdout, filepath.Join(out, "episode.png"))
	assert.Contains(t, stdout, filepath.Join(out, "embeddings.png"))
	code, _, stderr = engram(t.Context(), []string{"resume", "../models/quickstart-memnet"})
	assert.Equal(t, exitOK, code, stderr)
}
