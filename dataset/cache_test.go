package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// made is images that are made by a rule, and counts how often one is.
func made(images int, decoded *atomic.Int64) *encoded {
	return &encoded{
		file: "made.images", key: "1", channels: 1, height: 2, width: 3,
		list: func(_ context.Context, e *encoded) (closer, error) {
			for i := range images / 4 {
				e.names, e.counts = append(e.names, fmt.Sprint(i)), append(e.counts, 4)
			}
			e.decoder = func() func(int, []byte) error {
				return func(i int, dst []byte) error {
					decoded.Add(1)
					copy(dst, bytes.Repeat([]byte{byte(i)}, 6))
					return nil
				}
			}
			return nil, nil
		},
	}
}

func TestCacheIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	var decoded atomic.Int64
	var all sync.WaitGroup
	for range 6 { // as several runs do that are started together
		all.Go(func() {
			images, storage, err := made(400, &decoded).load(t.Context(), dir)
			if assert.NoError(t, err) {
				assert.Equal(t, filepath.Join(dir, "made.images"), storage.Cache)
				assert.EqualValues(t, 2400, storage.Bytes)
				assert.Equal(t, []byte{7, 7, 7, 7, 7, 7}, images.stored(1, 3))
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 400, decoded.Load())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 1, "neither locks nor halves are left")

	e := made(400, &decoded)
	e.key = "2"
	_, storage, err := e.load(t.Context(), dir)
	require.NoError(t, err)
	assert.True(t, storage.Decoded)
	assert.Contains(t, storage.String(), "0.0 MB decoded to "+storage.Cache)
	e = made(400, &decoded)
	e.key, e.width = "2", 2
	_, storage, err = e.load(t.Context(), dir)
	require.NoError(t, err)
	assert.True(t, storage.Decoded)
}

func TestCacheIsDoneWithout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	var decoded atomic.Int64
	for _, dir := range []string{"", filepath.Join(file, "below")} {
		images, storage, err := made(400, &decoded).load(t.Context(), dir)
		require.NoError(t, err)
		assert.Empty(t, storage.Cache)
		assert.Equal(t, []byte{7, 7, 7, 7, 7, 7}, images.stored(1, 3))
		assert.Contains(t, storage.String(), "decoded to memory")
	}
	e := made(400, &decoded)
	e.height, e.width = 1<<13, 1<<13
	_, _, err := e.load(t.Context(), "")
	assert.ErrorContains(t, err, "26843545600 bytes, and without a cache at most 4294967296")
}

// Whichever goroutine meets one first, the error is that of the first image that has one, and nothing is kept.
func TestCacheOfBadImages(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		var decoded atomic.Int64
		e := made(400, &decoded)
		list := e.list
		e.list = func(ctx context.Context, e *encoded) (closer, error) {
			c, err := list(ctx, e)
			e.decoder = func() func(int, []byte) error {
				return func(i int, _ []byte) error {
					if i >= 100 {
						return fmt.Errorf("image %d", i)
					}
					return nil
				}
			}
			return c, err
		}
		_, _, err := e.load(t.Context(), dir)
		assert.EqualError(t, err, "image 100")
		e.list = func(context.Context, *encoded) (closer, error) { return nil, errors.New("no list") }
		_, _, err = e.load(t.Context(), dir)
		assert.EqualError(t, err, "no list")
		if dir != "" {
			files, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, files)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := made(400, new(atomic.Int64)).load(ctx, "")
	assert.ErrorIs(t, err, context.Canceled)
}

// A large folder is mapped from the cache, and decoded again when an image changes in place.
func TestFolderCache(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	unpack(t, root, map[string][]byte{"a/1.png": square(0, 9), "a/2.png": square(0, 8), "b/1.png": square(3, 9)})
	load := func() *Folder {
		t.Helper()
		f, err := loadFolder(t.Context(), root, ImageOptions{Height: 9, Width: 9}, dir, 3)
		require.NoError(t, err)
		return f
	}
	plain, err := LoadFolder(t.Context(), root, ImageOptions{Height: 9, Width: 9})
	require.NoError(t, err)
	assert.Empty(t, plain.Storage.Cache, "three images are not worth a file")
	assert.Equal(t, "2 classes, 3 images", plain.Describe())
	first, second := load(), load()
	assert.True(t, first.Storage.Decoded)
	assert.False(t, second.Storage.Decoded)
	assert.Contains(t, second.Describe(), "2 classes, 3 images, 0.0 MB mapped from "+dir)
	for _, f := range []*Folder{first, second} {
		assert.Equal(t, plain.pixels, f.pixels)
		assert.Equal(t, plain.Files, f.Files)
		assert.Equal(t, plain.Checksum(), f.Checksum())
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "a", "2.png"), square(5, 8), 0o644))
	third := load()
	assert.True(t, third.Storage.Decoded)
	assert.NotEqual(t, plain.pixels, third.pixels)
}
