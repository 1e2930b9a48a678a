package babi_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/dataset/babi"
)

// release is the released layout with two tasks and other files.
var release = map[string]string{
	"tasks_1-20_v1-2/en/qa1_single-supporting-fact_train.txt":     "1 Mary moved to the hall.\n2 Where is Mary?\thall\t1\n",
	"tasks_1-20_v1-2/en/qa1_single-supporting-fact_test.txt":      "1 John moved to the hall.\n2 Where is John?\thall\t1\n",
	"tasks_1-20_v1-2/en/qa12_conjunction_train.txt":               "1 Mary and John ran.\n2 Who ran?\tmary\t1\n",
	"tasks_1-20_v1-2/en/qa12_conjunction_test.txt":                "1 John and Mary ran.\n2 Who ran?\tjohn\t1\n",
	"tasks_1-20_v1-2/en-10k/qa1_single-supporting-fact_train.txt": "1 Mary moved to the hall.\n2 Where is Mary?\thall\t1\n3 Where is Mary?\thall\t1\n",
	"tasks_1-20_v1-2/en-10k/qa1_single-supporting-fact_test.txt":  "1 John moved to the hall.\n2 Where is John?\thall\t1\n",
	"tasks_1-20_v1-2/hn/qa1_single-supporting-fact_train.txt":     "ignored",
	"tasks_1-20_v1-2/README":                                      "ignored",
}

func unpacked(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range release {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

func zipped(t *testing.T) string {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range release {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "tasks_1-20.zip")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

func tarred(t *testing.T) string {
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	w := tar.NewWriter(packed)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "./tasks_1-20_v1-2/en", Typeflag: tar.TypeDir, Mode: 0o755}))
	for name, text := range release {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: "./" + name, Size: int64(len(text)), Mode: 0o644}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, packed.Close())
	path := filepath.Join(t.TempDir(), "tasks_1-20_v1-2.tar.gz")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	return path
}

func TestAllSourcesAreEqual(t *testing.T) {
	dir := unpacked(t)
	want, err := babi.Load(t.Context(), dir, babi.Folder1k, 1, 12)
	require.NoError(t, err)
	require.Len(t, want.Train, 2)
	assert.Equal(t, 12, want.Train[1].Task)
	assert.Equal(t, "john", want.Test[1].Answer)
	assert.Regexp(t, `^tasks_1-20_v1-2, sha256 [0-9a-f]{16}$`, want.Edition)
	for _, source := range []string{filepath.Join(dir, "tasks_1-20_v1-2"), zipped(t), tarred(t)} {
		got, err := babi.Load(t.Context(), source, babi.Folder1k, 1, 12)
		require.NoError(t, err)
		assert.Equal(t, want, got, source)
	}

	large, err := babi.Load(t.Context(), dir, babi.Folder10k, 1)
	require.NoError(t, err)
	assert.Len(t, large.Train, 2)
	assert.NotEqual(t, want.Edition, large.Edition)
}

// Links to the source, to a folder of it and to its files are followed; a link that leads back is not.
func TestLinksAreFollowed(t *testing.T) {
	dir := unpacked(t)
	real := filepath.Join(dir, "tasks_1-20_v1-2")
	want, err := babi.Load(t.Context(), real, babi.Folder1k, 1, 12)
	require.NoError(t, err)
	links := t.TempDir()
	for _, sub := range []string{"folder/tasks_1-20_v1-2", "files/tasks_1-20_v1-2/en"} {
		require.NoError(t, os.MkdirAll(filepath.Join(links, sub), 0o755))
	}
	require.NoError(t, os.Symlink(real, filepath.Join(links, "tasks_1-20_v1-2")))
	require.NoError(t, os.Symlink(filepath.Join(real, "en"), filepath.Join(links, "folder/tasks_1-20_v1-2/en")))
	require.NoError(t, os.Symlink("..", filepath.Join(links, "folder/tasks_1-20_v1-2/loop")))
	require.NoError(t, os.Symlink("gone", filepath.Join(links, "folder/tasks_1-20_v1-2/notes")))
	entries, err := os.ReadDir(filepath.Join(real, "en"))
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, os.Symlink(filepath.Join(real, "en", e.Name()), filepath.Join(links, "files/tasks_1-20_v1-2/en", e.Name())))
	}
	for _, source := range []string{"tasks_1-20_v1-2", "tasks_1-20_v1-2/", "folder", "folder/tasks_1-20_v1-2", "files"} {
		got, err := babi.Load(t.Context(), links+"/"+source, babi.Folder1k, 1, 12)
		require.NoError(t, err, source)
		assert.Equal(t, want, got, source)
	}
	t.Chdir(filepath.Join(links, "tasks_1-20_v1-2"))
	require.NoError(t, os.Remove(filepath.Join(links, "files/tasks_1-20_v1-2/en/qa1_single-supporting-fact_test.txt")))
	require.NoError(t, os.Symlink("gone", filepath.Join(links, "files/tasks_1-20_v1-2/en/qa1_single-supporting-fact_test.txt")))
	_, err = babi.Load(t.Context(), filepath.Join(links, "files"), babi.Folder1k, 1)
	assert.ErrorContains(t, err, "leads nowhere")
}

func TestLoadErrors(t *testing.T) {
	dir := unpacked(t)
	_, err := babi.Load(t.Context(), dir, "en")
	assert.EqualError(t, err, "babi: "+dir+" holds no en/qa2_*_train.txt")
	_, err = babi.Load(t.Context(), dir, "fr", 1)
	assert.EqualError(t, err, "babi: "+dir+" holds no fr/qa1_*_train.txt")
	_, err = babi.Load(t.Context(), filepath.Join(dir, "none"), "en", 1)
	assert.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = babi.Load(ctx, dir, "en", 1)
	assert.ErrorIs(t, err, context.Canceled)

	file := filepath.Join(dir, "tasks_1-20_v1-2", "en", "qa1_single-supporting-fact_test.txt")
	require.NoError(t, os.WriteFile(file, []byte("1 Mary moved.\n3 Where?\thall\t1\n"), 0o644))
	_, err = babi.Load(t.Context(), dir, "en", 1)
	assert.EqualError(t, err, "babi: "+file+":2: line 3 of a story follows line 1")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	_, err = babi.Load(t.Context(), dir, "en", 1)
	assert.EqualError(t, err, "babi: "+file+" holds no question")
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(file), "qa1_again_test.txt"), nil, 0o644))
	_, err = babi.Load(t.Context(), dir, "en", 1)
	assert.ErrorContains(t, err, "it holds task 1 twice")

	for name, make := range map[string]func(*testing.T) string{"zip": zipped, "tar.gz": tarred} {
		path := make(t)
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		for cut := range len(whole) - 1 {
			require.NoError(t, os.WriteFile(path, whole[:cut], 0o644))
			_, err = babi.Load(t.Context(), path, "en", 1)
			require.ErrorContains(t, err, "it is truncated or not a "+name+" archive", "%d of %d bytes", cut, len(whole))
		}
	}
}

// A copy that lacks one training file is read without that task, which is said; a task that is asked for must be there.
func TestATaskWithoutTrainingFileIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "tasks_1-20_v1-2", babi.Folder10k)
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for task := range babi.Tasks {
		for _, part := range []string{"train", "test"} {
			if task+1 == 3 && part == "train" {
				continue
			}
			text := "1 Mary went to the hall.\n2 Where is Mary?\thall\t1\n"
			require.NoError(t, os.WriteFile(filepath.Join(folder, fmt.Sprintf("qa%d_x_%s.txt", task+1, part)), []byte(text), 0o644))
		}
	}
	data, err := babi.Load(t.Context(), dir, babi.Folder10k)
	require.NoError(t, err)
	assert.Equal(t, []int{3}, data.Without)
	assert.Len(t, data.Train, 19)
	assert.Empty(t, babi.Of(data.Test, 3), "its test questions are left out too")
	assert.Regexp(t, `^tasks_1-20_v1-2 without task 3, sha256 [0-9a-f]{16}$`, data.Edition)
	assert.Contains(t, data.Lacks(), "the training file of task 3 is missing: 19 of 20 tasks")
	_, err = babi.Load(t.Context(), dir, babi.Folder10k, 3)
	assert.EqualError(t, err, "babi: "+dir+" holds no en-10k/qa3_*_train.txt")
	whole, err := babi.Load(t.Context(), dir, babi.Folder10k, 1, 2)
	require.NoError(t, err)
	assert.Empty(t, whole.Lacks())

	require.NoError(t, os.Remove(filepath.Join(folder, "qa3_x_test.txt")))
	_, err = babi.Load(t.Context(), dir, babi.Folder10k)
	assert.EqualError(t, err, "babi: "+dir+" holds no en-10k/qa3_*_train.txt", "any other gap is damage")
}

// The data of the official generator, if they are on this machine.
func TestTheData(t *testing.T) {
	source, err := dataset.Find(dataset.NameBabi, filepath.Join("..", "..", "..", "shared", "data"))
	if err != nil {
		t.Skip("no bAbI data")
	}
	data, err := babi.Load(t.Context(), source, babi.Folder1k)
	require.NoError(t, err)
	for part, questions := range map[string][]babi.Question{"train": data.Train, "test": data.Test} {
		count := map[int]int{}
		for _, q := range questions {
			count[q.Task]++
		}
		require.Len(t, count, babi.Tasks)
		for task, n := range count {
			assert.InDelta(t, 1000, n, 8, "%s %d", part, task) // whole stories: task 20 has 1,008
		}
	}
}
