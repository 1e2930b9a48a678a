package dataset

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/unicode"
)

func diagonal(x, y int) bool { return x == y }

// folderOf makes a root with an image at each path.
func folderOf(t *testing.T, paths ...string) string {
	t.Helper()
	root, all := t.TempDir(), map[string][]byte{}
	for _, p := range paths {
		all[p] = drawing(20, 20, diagonal)
	}
	unpack(t, root, all)
	return root
}

func load(t *testing.T, root string) *Folder {
	t.Helper()
	f, err := LoadFolder(t.Context(), root, ImageOptions{})
	require.NoError(t, err, root)
	return f
}

// Every form of a folder's path reads the same classes.
func TestFolderPathForms(t *testing.T) {
	root := folderOf(t, "photos/a/1.png", "photos/a/2.png", "photos/g/b/1.png")
	require.NoError(t, os.Symlink("photos", filepath.Join(root, "link")))
	want := load(t, filepath.Join(root, "photos"))
	t.Chdir(root)
	for _, form := range []string{"photos", "photos/", "./photos", "./photos//", "photos/.", "photos/a/..", root + "//photos/", "link", "link/", "./link", "link/g/../"} {
		f := load(t, form)
		assert.Equal(t, []string{"a", "g/b"}, f.names, form)
		assert.Equal(t, want.start, f.start, form)
		assert.Equal(t, want.Checksum(), f.Checksum(), form)
	}
	t.Chdir("photos")
	for _, form := range []string{".", "./", "../photos", "..//photos/", "../link"} {
		assert.Equal(t, want.pixels, load(t, form).pixels, form)
	}
}

func TestFolderFollowsLinks(t *testing.T) {
	root := folderOf(t, "store/x/1.png", "store/x/2.png", "store/group/y/1.png", "store/image.png", "photos/a/1.png")
	for from, to := range map[string]string{
		"photos/linked": "../store/x", "photos/group": "../store/group", "photos/a/2.png": "../../store/image.png", "photos/a/again": "..",
	} {
		require.NoError(t, os.Symlink(filepath.FromSlash(to), filepath.Join(root, from)))
	}
	f := load(t, filepath.Join(root, "photos"))
	assert.Equal(t, []string{"a", "group/y", "linked"}, f.names)
	assert.Equal(t, []int{0, 2, 3, 5}, f.start)
	assert.Equal(t, "3 classes, 5 images; left out: 1 link to a folder above it", f.Describe())

	require.NoError(t, os.Symlink("linked", filepath.Join(root, "photos", "other")))
	_, err := LoadFolder(t.Context(), filepath.Join(root, "photos"), ImageOptions{})
	assert.ErrorContains(t, err, "classes linked and other of")
	assert.ErrorContains(t, err, "are the same folder")
	require.NoError(t, os.Remove(filepath.Join(root, "photos", "other")))
	require.NoError(t, os.Symlink("gone", filepath.Join(root, "photos", "other")))
	_, err = LoadFolder(t.Context(), filepath.Join(root, "photos"), ImageOptions{})
	assert.ErrorContains(t, err, "other leads nowhere")
}

// Omniglot's folders can also be links, at every level.
func TestOmniglotFollowsLinks(t *testing.T) {
	real, linked := t.TempDir(), t.TempDir()
	back, eval := tiny()
	unpack(t, real, back)
	unpack(t, real, eval)
	want, err := LoadOmniglot(t.Context(), real, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	link := func(from, to string) {
		t.Helper()
		require.NoError(t, os.Symlink(filepath.Join(real, to), filepath.Join(linked, from)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(linked, "images_background", "Zend"), 0o755))
	link("images_evaluation", "images_evaluation")
	link("images_background/Alpha", "images_background/Alpha")
	link("images_background/Zend/character02", "images_background/Zend/character02")
	got, err := LoadOmniglot(t.Context(), linked, OmniglotOptions{NoCache: true})
	require.NoError(t, err)
	assert.Equal(t, want.names, got.names)
	assert.Equal(t, want.pixels, got.pixels)
}

func TestFolderCountsLeftOut(t *testing.T) {
	root := folderOf(t, "a/1.png", "g/b/1.png", "g/b/2.PNG")
	unpack(t, root, map[string][]byte{
		"a/x.heic": nil, "a/y.HEIC": nil, "notes.txt": nil, "a/README": nil, "a/.hidden.png": nil, ".git/config": nil,
		"a/Thumbs.db": nil, "a/@eaDir/1.png/thumb.jpg": nil, "__MACOSX/a/1.png": nil, "h/@eaDir/x": nil,
	})
	require.NoError(t, os.MkdirAll(filepath.Join(root, "empty", "inner"), 0o755))
	f := load(t, root)
	assert.Equal(t, []string{"a", "g/b"}, f.names)
	assert.Equal(t, LeftOut{Formats: map[string]int{".heic": 2, ".txt": 1, "": 1}, Hidden: 2, System: 4, Empty: 3}, f.Left)
	assert.Equal(t, "2 classes, 3 images; left out: 4 files of other formats (.heic, .txt, no extension), 2 hidden files and folders, 4 system files and folders, 3 empty folders", f.Describe())
	assert.Equal(t, "1 class, 1 image", load(t, folderOf(t, "a/1.png")).Describe())
	assert.Equal(t, "1 file of another format (.avif)", LeftOut{Formats: map[string]int{".avif": 1}}.String())
}

func TestFolderChecksum(t *testing.T) {
	sum := func(change func(root string)) string {
		root := folderOf(t, "a/1.png", "b/1.png")
		change(root)
		return load(t, root).Checksum()
	}
	same := sum(func(string) {})
	assert.Len(t, same, 64)
	assert.Equal(t, same, sum(func(root string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, "a", "notes.txt"), nil, 0o644))
	}), "what is left out does not count")
	other := []string{same}
	for _, change := range []func(root string) error{
		func(root string) error {
			return os.Rename(filepath.Join(root, "a/1.png"), filepath.Join(root, "a/2.png"))
		},
		func(root string) error {
			return os.Rename(filepath.Join(root, "a/1.png"), filepath.Join(root, "b/2.png"))
		},
		func(root string) error { return os.RemoveAll(filepath.Join(root, "a")) },
		func(root string) error {
			return os.WriteFile(filepath.Join(root, "a/1.png"), drawing(20, 20, func(x, y int) bool { return x*y%7 == 3 }), 0o644)
		},
	} {
		s := sum(func(root string) { require.NoError(t, change(root)) })
		assert.NotContains(t, other, s)
		other = append(other, s)
	}
}

func TestFolderSplit(t *testing.T) {
	for _, c := range []struct {
		paths []string
		names []string
		want  Split
	}{
		{[]string{"train/a/1.png", "train/g/b/1.png", "val/c/1.png", "test/d/1.png"}, []string{"d", "a", "g/b", "c"}, Split{SplitFolders, []string{"a", "g/b"}, []string{"c"}, []string{"d"}}},
		{[]string{"Train/a/1.png", "validation/c/1.png"}, []string{"a", "c"}, Split{SplitFolders, []string{"a"}, []string{"c"}, nil}},
		{[]string{"train/a/1.png", "valid/c/1.png", "test/b/1.png"}, []string{"b", "a", "c"}, Split{SplitFolders, []string{"a"}, []string{"c"}, []string{"b"}}},
		{[]string{"train/train/x/1.png", "train/x/1.png", "val/y/1.png"}, []string{"train/x", "x", "y"}, Split{SplitFolders, []string{"train/x", "x"}, []string{"y"}, nil}},
	} {
		root := folderOf(t, c.paths...)
		unpack(t, root, map[string][]byte{"README.txt": nil, ".cache/x/1.png": nil})
		f := load(t, root)
		assert.Equal(t, c.names, f.names)
		s, ok := FolderSplit(f)
		assert.True(t, ok)
		assert.Equal(t, c.want, s)
		_, err := s.Parts(f, RotateNone)
		require.NoError(t, err)
	}
	for _, paths := range [][]string{
		{"train/a/1.png", "test/b/1.png", "more/c/1.png"}, // another group
		{"train/a/1.png", "train/b/1.png"},                // one part
		{"train/1.png", "test/1.png"},                     // classes with these names
		{"train/a/1.png", "test/1.png"},
		{"a/train/1.png", "a/test/1.png"},
	} {
		f := load(t, folderOf(t, paths...))
		_, ok := FolderSplit(f)
		assert.False(t, ok, paths)
		want := map[string]bool{}
		for _, p := range paths {
			want[filepath.ToSlash(filepath.Dir(p))] = true
		}
		assert.Equal(t, slices.Sorted(maps.Keys(want)), f.names)
	}
	_, ok := FolderSplit(classes(t, 3))
	assert.False(t, ok)

	f := load(t, folderOf(t, "train/a/1.png", "train/b/1.png", "test/a/1.png"))
	assert.Equal(t, []string{"test/a", "train/a", "b"}, f.names)
	s, ok := FolderSplit(f)
	require.True(t, ok)
	_, err := s.Parts(f, RotateNone)
	assert.ErrorContains(t, err, "split folders has a in train and in test: a class belongs to one part")
}

// Lists in any encoding and Unicode form, with comments, name the same classes.
func TestSplitListForms(t *testing.T) {
	const composed, decomposed = "caf\u00e9", "cafe\u0301"
	root := folderOf(t, composed+"/1.png", "b/1.png", "c/1.png")
	set := load(t, root)
	encode := func(e unicode.Endianness, text string) []byte {
		b, err := unicode.UTF16(e, unicode.UseBOM).NewEncoder().Bytes([]byte(text))
		require.NoError(t, err)
		return b
	}
	for form, list := range map[string]string{"plain": composed + "\r\nb\r\n", "decomposed": decomposed + "\nb", "comments": "# classes\n" + decomposed + "\n  # more\nb\n"} {
		csvList := "#x\nclass,split\n" + composed + ",train\nb,train\nc,test\n"
		for encoding, text := range map[string][][]byte{
			"UTF-8": {[]byte(list), []byte(csvList)}, "mark": {[]byte("\ufeff" + list), []byte("\ufeff" + csvList)},
			"UTF-16LE": {encode(unicode.LittleEndian, list), encode(unicode.LittleEndian, csvList)},
			"UTF-16BE": {encode(unicode.BigEndian, list), encode(unicode.BigEndian, csvList)},
		} {
			dir := t.TempDir()
			unpack(t, dir, map[string][]byte{"list.txt": text[0], "all.csv": text[1]})
			lists, err := ListSplit(filepath.Join(dir, "list.txt"), "", "")
			require.NoError(t, err, "%s %s", form, encoding)
			table, err := CSVSplit(filepath.Join(dir, "all.csv"))
			require.NoError(t, err, "%s %s", form, encoding)
			for _, s := range []Split{lists, table} {
				parts, err := s.Parts(set, RotateNone)
				require.NoError(t, err, "%s %s", form, encoding)
				assert.Equal(t, []string{composed, "b"}, []string{parts.Train.Class(0), parts.Train.Class(1)})
			}
		}
	}
	dir := t.TempDir()
	unpack(t, dir, map[string][]byte{"twice.txt": []byte(composed + "\n" + decomposed), "wide.txt": []byte("a\x00b\x00")})
	_, err := ListSplit(filepath.Join(dir, "twice.txt"), "", "")
	assert.ErrorContains(t, err, "line 2")
	_, err = ListSplit(filepath.Join(dir, "wide.txt"), "", "")
	assert.ErrorContains(t, err, "wide.txt: it is not a text file")
	err = Split{"mine", []string{composed}, nil, []string{decomposed}}.disjoint()
	assert.ErrorContains(t, err, "in train and in test")

	names, err := ParseSplit(bytes.NewReader(encode(unicode.LittleEndian, "# list\nA/c01\n")))
	require.NoError(t, err)
	assert.Equal(t, []string{"A/c01"}, names)
}

func TestMissingClassesAreNamed(t *testing.T) {
	set := classes(t, 12)
	_, err := Split{"lists", []string{"c00", "dog"}, nil, nil}.Parts(set, RotateNone)
	assert.ErrorContains(t, err, "1 classes are not among the 12 of the set: dog; the set has c00, c01, c02, c03, c04, …")
	assert.NotContains(t, fmt.Sprint(err), "fetch")
	_, err = Split{SplitVinyals, []string{"c00", "dog"}, nil, nil}.Parts(set, RotateNone)
	assert.ErrorContains(t, err, "fetch Omniglot again")
}

// If a set has both forms of a name, only the same form matches.
func TestSelectByUnicodeForm(t *testing.T) {
	set, err := NewImages([]string{"\u00e9", "e\u0301", "o\u0308"}, []int{1, 1, 1}, 1, 1, 1, make([]byte, 3))
	require.NoError(t, err)
	some, err := Select(set, []string{"e\u0301", "\u00f6"})
	require.NoError(t, err)
	assert.Equal(t, []string{"e\u0301", "o\u0308"}, []string{some.Class(0), some.Class(1)})
}
