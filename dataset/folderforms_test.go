package dataset

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/internal/choices"
)

// yes decides between two alternatives.
func yes(c *choices.Choices) bool { return c.Of(2) == 1 }

// form is a folder of images in two forms: as plain as can be, and as users have them.
type form struct {
	plain, root string
	split       Split // nil parts where the folders make none
}

// newForm makes the same classes twice.
func newForm(t *testing.T, c *choices.Choices) (f form) {
	t.Helper()
	dir := t.TempDir()
	f.plain, f.root = filepath.Join(dir, "plain"), filepath.Join(dir, "root")
	store, stored := filepath.Join(dir, "store"), 0
	write := func(file string, data []byte) {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, data, 0o644))
	}
	// link makes a link at a place to what is made elsewhere by fill, absolute or relative.
	link := func(at string, fill func(to string)) {
		to := filepath.Join(store, fmt.Sprint(stored))
		stored++
		fill(to)
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		target := to
		if yes(c) {
			real, err := filepath.EvalSymlinks(filepath.Dir(at))
			require.NoError(t, err)
			target, err = filepath.Rel(real, to)
			require.NoError(t, err)
		}
		require.NoError(t, os.Symlink(target, at))
	}
	names := []string{"a", "b10", "b9", "Ä", "c d", "o'x", "100%", "#1"}
	splits := []string{"train", "val", "test"}
	inSplit := yes(c)
	linkedGroups := map[string]string{}
	count := 1 + c.Of(6)
	if inSplit {
		count = max(count, 3)
	}
	for i := range count {
		group, name := "", names[i]
		if inSplit {
			group = splits[i%3]
			part := []*[]string{&f.split.Train, &f.split.Val, &f.split.Test}[i%3]
			*part = append(*part, name)
		} else {
			group = []string{"", "g", "h/k"}[c.Of(3)]
		}
		at := path.Join(group, name)
		fill := func(folder string) {
			images := 1 + c.Of(3)
			for k := range images {
				data := drawing(20, 20, func(x, y int) bool { return (x+i)%(k+2) == y%(i+2) })
				file := fmt.Sprintf("%d.png", k)
				write(filepath.Join(f.plain, at, file), data)
				if c.Of(4) == 1 {
					link(filepath.Join(folder, file), func(to string) { write(to, data) })
				} else {
					write(filepath.Join(folder, file), data)
				}
			}
			for _, beside := range []string{".hidden.png", "Thumbs.db", "@eaDir/0.png", "notes.txt", ".git/x.png", "__MACOSX/0.png"} {
				if c.Of(4) == 1 {
					write(filepath.Join(folder, beside), []byte("x"))
				}
			}
			if c.Of(4) == 1 {
				require.NoError(t, os.MkdirAll(filepath.Join(folder, "empty", "too"), 0o755))
			}
			if c.Of(4) == 1 && filepath.Dir(folder) != store { // from there it would lead to what other links lead to
				require.NoError(t, os.Symlink("..", filepath.Join(folder, "up")))
			}
			if c.Of(4) == 1 {
				require.NoError(t, os.Symlink(f.root, filepath.Join(folder, "top")))
			}
		}
		// A group that is a link is made once.
		if _, made := linkedGroups[group]; !made && group != "" {
			linkedGroups[group] = ""
			if c.Of(4) == 1 {
				link(filepath.Join(f.root, group), func(to string) { require.NoError(t, os.MkdirAll(to, 0o755)) })
			}
		}
		if c.Of(3) == 1 {
			link(filepath.Join(f.root, at), fill)
		} else {
			fill(filepath.Join(f.root, at))
		}
	}
	if yes(c) {
		write(filepath.Join(f.root, "README.md"), []byte("x"))
	}
	return f
}

// written are ways of writing the path of the root, from the folder above it.
var written = []string{"root", "root/", "./root", "root//", "root/.", "root/x/..", "../%s/root", "link", "link/", "./link/."}

// Whatever links, hidden files, empty folders and slashes there are, the classes are the same and have the same images.
func checkForm(t *testing.T, c *choices.Choices) {
	f := newForm(t, c)
	want := load(t, f.plain)
	above := filepath.Dir(f.root)
	require.NoError(t, os.Symlink("root", filepath.Join(above, "link")))
	t.Chdir(above)
	way := written[c.Of(len(written))]
	if slices.Contains([]string{"root/x/.."}, way) {
		require.NoError(t, os.MkdirAll(filepath.Join(f.root, "x"), 0o755))
	}
	if filepath.Base(way) == "root" && len(way) > 4 && way[0] == '.' && way[1] == '.' {
		way = fmt.Sprintf(way, filepath.Base(above))
	}
	got, err := LoadFolder(t.Context(), way, ImageOptions{})
	require.NoError(t, err, way)
	assert.Equal(t, want.names, got.names)
	assert.Equal(t, want.start, got.start)
	assert.Equal(t, want.pixels, got.pixels)
	assert.Equal(t, want.Checksum(), got.Checksum())
	split, ok := FolderSplit(got)
	assert.Equal(t, f.split.Train != nil, ok)
	if ok {
		for _, p := range [][2][]string{{f.split.Train, split.Train}, {f.split.Val, split.Val}, {f.split.Test, split.Test}} {
			assert.ElementsMatch(t, p[0], p[1])
		}
	}
}

func TestFolderForms(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 20))
	for i := range 60 {
		bytes := make([]byte, 200)
		for k := range bytes {
			bytes[k] = byte(r.Uint32())
		}
		if !t.Run(fmt.Sprint(i), func(t *testing.T) { checkForm(t, &choices.Choices{Left: bytes}) }) {
			return
		}
	}
}

func FuzzFolderForms(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("split folders, links and hidden files"))
	f.Fuzz(func(t *testing.T, data []byte) { checkForm(t, &choices.Choices{Left: data[:min(len(data), 1000)]}) })
}

func TestDuplicates(t *testing.T) {
	other := func(x, y int) bool { return x+y == 19 }
	root := t.TempDir()
	same, one, two := drawing(20, 20, diagonal), drawing(20, 20, other), drawing(20, 20, func(x, _ int) bool { return x == 3 })
	three := drawing(20, 20, func(_, y int) bool { return y == 3 })
	unpack(t, root, map[string][]byte{
		"a/1.png": same, "a/2.png": same, "a/3.png": same,
		"b/1.png": one, "b/2.png": one, "b/3.png": two,
		"c/1.png": two, "c/2.png": three,
		"d/1.png": drawing(20, 20, func(x, y int) bool { return x == 7 }),
	})
	d := load(t, root).Duplicates()
	assert.Equal(t, Duplicates{Same: []string{"a"}, Repeated: 1, Shared: 1, In: [2]string{"b", "c"}}, d)
	assert.Equal(t, []string{
		"in 1 class all images are the same once they are read (a): support and query images are then equal, and accuracy says little",
		"1 image is equal to another of the same class: a query can be equal to a support image",
		"1 image is equal to one of another class, as in b and c: these cannot be told apart",
	}, d.Notes())
	assert.Empty(t, load(t, filepath.Join(folderOf(t, "x/a/1.png"), "x")).Duplicates().Notes(), "a class of one image repeats none")
	many := Duplicates{Same: []string{"a", "b", "c", "d", "e", "f"}}
	assert.Contains(t, many.Notes()[0], "in 6 classes all images are the same once they are read (a, b, c, d, e, ...)")
}
