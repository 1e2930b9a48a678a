package dataset

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// content is the content of the test server's file, long enough for several reads.
func content() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 20_000) }

func remote() []RemoteFile {
	return []RemoteFile{
		{"images.zip", "/a/images.zip", fmt.Sprintf("%x", md5.Sum(content()))},
		{"splits/list.txt", "/b/list.txt", fmt.Sprintf("%x", sha256.Sum256(content()))},
	}
}

// serve serves content with ranges, and counts requests and requested bytes.
func serve(t *testing.T, handler http.HandlerFunc) (Fetcher, *atomic.Int64) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return Fetcher{Base: server.URL, Client: server.Client()}, &requests
}

func whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(content()))
}

// assertFetched checks that a folder contains the two files and nothing else.
func assertFetched(t *testing.T, dir string) {
	t.Helper()
	for _, f := range remote() {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Path)))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content(), b), f.Path)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "*.part"))
	require.NoError(t, err)
	assert.Empty(t, parts)
}

func TestFetchOnce(t *testing.T) {
	f, requests := serve(t, whole)
	dir := filepath.Join(t.TempDir(), "new")
	seen := make(map[string]int64)
	progress := func(done, total int64, file string) {
		assert.EqualValues(t, len(content()), total)
		assert.GreaterOrEqual(t, done, seen[file])
		seen[file] = done
	}
	require.NoError(t, f.Fetch(t.Context(), remote(), dir, progress))
	assertFetched(t, dir)
	size := int64(len(content()))
	assert.Equal(t, map[string]int64{"images.zip": size, "splits/list.txt": size}, seen)

	require.NoError(t, f.Fetch(t.Context(), remote(), dir, nil))
	assert.EqualValues(t, 2, requests.Load(), "existing files are not fetched again")
}

func TestFetchResumes(t *testing.T) {
	var asked atomic.Value
	f, requests := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Header.Get("Range"))
		whole(w, r)
	})
	dir := t.TempDir()
	part := filepath.Join(dir, "images.zip.part")
	files := remote()[:1]
	done := filepath.Join(dir, "images.zip")

	require.NoError(t, os.WriteFile(part, content()[:1000], 0o644))
	first := int64(0)
	require.NoError(t, f.Fetch(t.Context(), files, dir, func(done, total int64, _ string) {
		assert.EqualValues(t, len(content()), total)
		if first == 0 {
			first = done
		}
	}))
	assert.Equal(t, "bytes=1000-", asked.Load())
	assert.Greater(t, first, int64(1000), "progress counts earlier bytes")
	b, err := os.ReadFile(done)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content(), b))

	for name, left := range map[string][]byte{
		"the start of another file": bytes.Repeat([]byte("x"), 1000),
		"all of it":                 content(),
		"more than all":             append(content(), 'x'),
	} {
		require.NoError(t, os.Remove(done))
		require.NoError(t, os.WriteFile(part, left, 0o644))
		requests.Store(0)
		require.NoError(t, f.Fetch(t.Context(), files, dir, nil), name)
		b, err := os.ReadFile(done)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(content(), b), name)
		assert.LessOrEqual(t, requests.Load(), int64(2), name)
		assert.NoFileExists(t, part)
	}
}

func TestFetchFromAServerWithoutRanges(t *testing.T) {
	f, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content()) })
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "images.zip.part"), content()[:1000], 0o644))
	require.NoError(t, f.Fetch(t.Context(), remote(), dir, nil))
	assertFetched(t, dir)
}

func TestFetchRefusesAWrongChecksum(t *testing.T) {
	f, requests := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>log in</html>")) })
	dir := t.TempDir()
	err := f.Fetch(t.Context(), remote(), dir, nil)
	assert.ErrorContains(t, err, "checksum")
	assert.ErrorContains(t, err, "images.zip")
	assert.EqualValues(t, 1, requests.Load())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestFetchDoesNotReplaceAnotherFile(t *testing.T) {
	f, requests := serve(t, whole)
	dir := t.TempDir()
	path := filepath.Join(dir, "images.zip")
	require.NoError(t, os.WriteFile(path, []byte("zipped again"), 0o644))
	err := f.Fetch(t.Context(), remote(), dir, nil)
	assert.ErrorContains(t, err, path)
	assert.ErrorContains(t, err, "move it away")
	assert.Zero(t, requests.Load())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "zipped again", string(b))
}

func TestFetchKeepsAnInterruptedDownload(t *testing.T) {
	half := len(content()) / 2
	f, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			whole(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content())))
		_, _ = w.Write(content()[:half])
		panic(http.ErrAbortHandler)
	})
	dir := t.TempDir()
	err := f.Fetch(t.Context(), remote()[:1], dir, nil)
	assert.ErrorContains(t, err, "was interrupted")
	assert.NoFileExists(t, filepath.Join(dir, "images.zip"))
	info, err := os.Stat(filepath.Join(dir, "images.zip.part"))
	require.NoError(t, err)
	assert.Positive(t, info.Size())
	require.NoError(t, f.Fetch(t.Context(), remote()[:1], dir, nil), "and continues it")
}

func TestFetchStops(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	f, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(content()[:1000])
		w.(http.Flusher).Flush()
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := f.Fetch(ctx, remote(), dir, func(int64, int64, string) { cancel() })
	assert.ErrorIs(t, err, context.Canceled)
	assert.NoFileExists(t, filepath.Join(dir, "images.zip"))

	f.Stall = 50 * time.Millisecond
	err = f.Fetch(t.Context(), remote(), dir, nil)
	assert.ErrorContains(t, err, "no data for 50ms")
}

func TestFetchWithoutANetwork(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	dir := t.TempDir()
	err := Fetcher{Base: server.URL}.Fetch(t.Context(), remote(), dir, nil)
	for _, says := range []string{
		server.URL + "/a/images.zip", filepath.Join(dir, "images.zip"),
		server.URL + "/b/list.txt", filepath.Join(dir, "splits", "list.txt"),
	} {
		assert.ErrorContains(t, err, says)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "leaves no empty file")
	below := filepath.Join(dir, "cache", "engram", "omniglot")
	assert.Error(t, Fetcher{Base: server.URL}.Fetch(t.Context(), remote(), below, nil))
	assert.NoDirExists(t, filepath.Join(dir, "cache"), "removes the folders that it made")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "mine"), 0o755))
	assert.Error(t, Fetcher{Base: server.URL}.Fetch(t.Context(), remote(), filepath.Join(dir, "mine"), nil))
	assert.DirExists(t, filepath.Join(dir, "mine"), "keeps a folder that existed")
	f, _ := serve(t, http.NotFound)
	assert.ErrorContains(t, f.Fetch(t.Context(), remote(), dir, nil), "404 Not Found")

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	f, _ = serve(t, whole)
	assert.ErrorContains(t, f.Fetch(t.Context(), remote(), filepath.Join(file, "x"), nil), "file")
}

func TestRemoteFiles(t *testing.T) {
	files, err := RemoteFiles(NameOmniglot)
	require.NoError(t, err)
	assert.Len(t, files, 7)
	for _, f := range files {
		assert.True(t, filepath.IsLocal(filepath.FromSlash(f.Path)), f.Path)
	}
	assert.ErrorContains(t, Fetch(t.Context(), NameStrokes, t.TempDir(), nil), "built in")
	assert.ErrorContains(t, Fetch(t.Context(), "imagenet", t.TempDir(), nil), "unknown")

	// The checksums of the runs and lists are those of the files that others use.
	root := shared(t)
	for _, f := range files[2:] {
		assert.NoError(t, checkSum(filepath.Join(root, filepath.FromSlash(f.Path)), f.Sum))
	}
}

// An absolute URL is not sought on another server.
func TestFetchFromAnotherServer(t *testing.T) {
	f, requests := serve(t, whole)
	files := []RemoteFile{{"a.bin", f.Base + "/a.bin", remote()[0].Sum}}
	f.Base = "http://127.0.0.1:1"
	require.NoError(t, f.Fetch(t.Context(), files, t.TempDir(), nil))
	assert.Equal(t, int64(1), requests.Load())

	files, err := RemoteFiles(NameBabi)
	require.NoError(t, err)
	assert.Equal(t, babiArchive, files[0].Path)
}
