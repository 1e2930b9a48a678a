package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Tables of given runs, in any folder, are printed or written to a file.
func TestTableOfOwnRuns(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ntm-copy", "protonet-omniglot"} {
		require.NoError(t, os.CopyFS(filepath.Join(dir, "runs", name), os.DirFS(filepath.Join("..", "results", "runs", name))))
	}
	code, out, stderr := engram(t.Context(), []string{"table", filepath.Join(dir, "runs")})
	require.Equal(t, exitOK, code, stderr)
	assert.Empty(t, stderr)
	assert.Regexp(t, `^# Experiments\n`, out)
	assert.Contains(t, out, "| **0.002** ± 0.000 (s 0.000) bits | length 10, bits | copy, fresh sequences | 5 |")
	assert.Contains(t, out, "| Prototypical network, trained on training classes alone |  |  | **98.63** ± 0.16 |")
	for _, absent := range []string{"Matching network", "not run", "Associative recall", "![", "../experiments/", "Memory Networks"} {
		assert.NotContains(t, out, absent)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is written")

	file := filepath.Join(dir, "new", "tables.md")
	code, out, stderr = engram(t.Context(), []string{"table", filepath.Join(dir, "runs"), "-o", file})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, file+"\n", out)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Contains(t, string(text), "](../runs/protonet-omniglot/seed-1/result.json)", "links lead from the file to the runs")

	own := filepath.Join(dir, "pages.yaml")
	require.NoError(t, os.WriteFile(own, []byte("pages: [{name: mine, form: few-shot episodes, title: My page, dataset: omniglot, tests: [5-way 1-shot], "+
		"methods: [{method: Prototypes, network: protonet, figures: {5-way 1-shot: {published: 12.5}}}]}]\n"), 0o644))
	code, out, stderr = engram(t.Context(), []string{"table", filepath.Join(dir, "runs"), "--pages", own})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "# My page\n")
	assert.Contains(t, out, "| Prototypes | 12.5 |  | **98.63** ± 0.16 |")
	code, out, stderr = engram(t.Context(), []string{"report", filepath.Join(dir, "runs"), "--pages", own, "-o", "-"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "<h2>My page</h2>")
	require.NoError(t, os.WriteFile(own, []byte("pages: [{name: mine, form: few-shot}]\n"), 0o644))
	code, _, stderr = engram(t.Context(), []string{"table", filepath.Join(dir, "runs"), "--pages", own})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, `mine: unknown form "few-shot"; want one of: few-shot benchmark, few-shot episodes, `)

	for _, args := range [][]string{{"table", "--pages", own}, {"report", "--pages", own}, {"table", "-o", file}, {"table", dir, "--dir", dir}} {
		code, _, _ = engram(t.Context(), args)
		assert.Equal(t, exitUsage, code)
	}
	code, _, stderr = engram(t.Context(), []string{"table", t.TempDir()})
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "there is no result.json")
}
