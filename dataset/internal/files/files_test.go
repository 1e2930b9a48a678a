package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func names(t *testing.T, root string) (all, loops []string) {
	t.Helper()
	require.NoError(t, Walk(t.Context(), root, func(e Entry) error {
		require.NoError(t, e.Err)
		all = append(all, e.Name)
		if e.Loop {
			loops = append(loops, e.Name)
		}
		return nil
	}))
	return all, loops
}

func TestWalkFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "root", "a"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "other", "in"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "other", "f"), nil, 0o644))
	for from, to := range map[string]string{
		"root/b": "../other", "root/a/file": "../../other/f", "root/a/up": "..", "other/in/back": "../../root", "link": "root",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, from)))
	}
	want := []string{".", "a", "a/file", "a/up", "b", "b/f", "b/in", "b/in/back"}
	for _, root := range []string{"root", "link", "root/", "./root", "other/../link//"} {
		all, loops := names(t, dir+"/"+root)
		assert.Equal(t, want, all, root)
		assert.Equal(t, []string{"a/up", "b/in/back"}, loops, root)
	}
}

// A link to a folder above the root leads back to the root through a folder that is not a link.
func TestWalkStopsAtItsRoot(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "root", "a"), 0o755))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "root", "up")))
	all, loops := names(t, filepath.Join(dir, "root"))
	assert.Equal(t, []string{".", "a", "up", "up/root"}, all)
	assert.Equal(t, []string{"up/root"}, loops)
}

func TestWalkReportsLinksThatLeadNowhere(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("gone", filepath.Join(dir, "a")))
	require.NoError(t, os.Symlink("b", filepath.Join(dir, "b")))
	broken := 0
	require.NoError(t, Walk(t.Context(), dir, func(e Entry) error {
		if e.Err != nil {
			broken++
			assert.ErrorContains(t, e.Err, "leads nowhere")
			assert.False(t, e.Dir())
		}
		return nil
	}))
	assert.Equal(t, 2, broken)
	assert.ErrorIs(t, Walk(t.Context(), filepath.Join(dir, "a"), nil), fs.ErrNotExist)
}

func TestWalkStops(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	var all []string
	require.NoError(t, Walk(t.Context(), dir, func(e Entry) error {
		all = append(all, e.Name)
		if e.Name == "a" {
			return fs.SkipDir
		}
		return nil
	}))
	assert.Equal(t, []string{".", "a"}, all)
	wrong := errors.New("wrong")
	assert.ErrorIs(t, Walk(t.Context(), dir, func(Entry) error { return wrong }), wrong)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, Walk(ctx, dir, nil), context.Canceled)
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"é\n": "é\n", "\ufeffa": "a", "": "", "\xff\xfea\x00\xe9\x00": "aé", "\xfe\xff\x00a\x00\xe9": "aé", "\xe9": "\xe9",
	} {
		got, err := Text([]byte(in))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err := Text([]byte("a\x00b\x00"))
	assert.ErrorContains(t, err, "save it as UTF-8")
}
