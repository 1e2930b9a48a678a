package results_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// Results of versions that had one way of resizing say so when they are read, and are the same experiment as later seeds.
func TestOldResultsStateTheirResizing(t *testing.T) {
	read := func(seed uint64, config, resize string) results.Run {
		t.Helper()
		r := sample()
		r.Seed, r.Config, r.Figures[0].Protocol.Resize = seed, config, resize
		text, err := r.Encode()
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), results.FileName)
		require.NoError(t, os.WriteFile(path, text, 0o644))
		got, err := results.Read(path)
		require.NoError(t, err)
		return results.Run{Path: fmt.Sprint("runs/seed-", seed), Result: got}
	}
	old := read(1, "{dataset: {kind: omniglot, size: 28}, test: [{dataset: {kind: omniglot, size: 28}}]}", "")
	assert.Equal(t, "bilinear", old.Figures[0].Protocol.Resize)
	whole := read(1, "{dataset: {kind: omniglot, size: 105}}", "")
	assert.Equal(t, results.NotResized, whole.Figures[0].Protocol.Resize)
	later := read(2, "{dataset: {kind: omniglot, resize: bilinear, size: 28}, test: [{dataset: {kind: omniglot, resize: bilinear, size: 28}}]}", "bilinear")
	nearest := read(3, "{dataset: {kind: omniglot, resize: nearest, size: 28}, test: [{dataset: {kind: omniglot, resize: nearest, size: 28}}]}", "nearest")
	assert.Equal(t, "nearest", nearest.Figures[0].Protocol.Resize)

	all, err := results.Experiments([]results.Run{old, later, nearest})
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Len(t, all[0].Runs, 2)
	assert.Contains(t, all[1].Label, "dataset.resize=nearest")

	page, err := results.Page("omniglot", []results.Run{old, nearest})
	require.NoError(t, err)
	assert.Contains(t, markdown(page), "fp32, resized bilinearly |")
	assert.Contains(t, markdown(page), "fp32, resized by nearest neighbour |")
	assert.Contains(t, results.Compare(old.Result, nearest.Result)[0].Why, "resize: bilinear against nearest")
}
