package dataset

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nowhere sets a working directory, an environment and a cache without data.
func nowhere(t *testing.T) (base string) {
	base = t.TempDir()
	work := filepath.Join(base, "project")
	require.NoError(t, os.Mkdir(work, 0o755))
	t.Chdir(work)
	t.Setenv("ENGRAM_DATA", "")
	t.Setenv("ENGRAM_CACHE", filepath.Join(base, "cache"))
	return base
}

func place(t *testing.T, root string) {
	unpack(t, root, map[string][]byte{"images_background.zip": nil, "images_evaluation/A/c/1.png": nil})
}

func TestFindOrder(t *testing.T) {
	base := nowhere(t)
	given, env := filepath.Join(base, "given"), filepath.Join(base, "env")
	fetched, err := FetchDir(NameOmniglot)
	require.NoError(t, err)

	place(t, fetched)
	root, err := Find(NameOmniglot, "")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(base, "cache", "data", "omniglot"), root)

	place(t, filepath.Join(base, "shared", "data", "omniglot"))
	root, err = Find(NameOmniglot, "")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join("..", "shared", "data", "omniglot"), root)

	t.Setenv("ENGRAM_DATA", env)
	place(t, env) // the folder itself, not its subfolder omniglot
	root, err = Find(NameOmniglot, "")
	require.NoError(t, err)
	assert.Equal(t, env, root)

	_, err = Find(NameOmniglot, given)
	assert.ErrorIs(t, err, ErrNotFound, "no fallback for a given folder")
	place(t, given)
	root, err = Find(NameOmniglot, given)
	require.NoError(t, err)
	assert.Equal(t, given, root)
}

func TestFindErrorNamesPlaces(t *testing.T) {
	base := nowhere(t)
	t.Setenv("ENGRAM_DATA", filepath.Join(base, "env"))
	_, err := Find(NameOmniglot, "")
	require.ErrorIs(t, err, ErrNotFound)
	for _, says := range []string{
		filepath.Join(base, "env"), filepath.Join(base, "env", "omniglot"), "$ENGRAM_DATA",
		filepath.Join("..", "shared", "data"), filepath.Join(base, "cache", "data", "omniglot"),
		"engram data fetch omniglot", "images_background.zip", "images_evaluation.zip",
	} {
		assert.ErrorContains(t, err, says)
	}
	_, err = Find(NameStrokes, "")
	assert.ErrorContains(t, err, "built in")
	_, err = Find("imagenet", "")
	assert.ErrorContains(t, err, "omniglot, strokes")
}

func TestSurvey(t *testing.T) {
	base := nowhere(t)
	omniglot := func() Status {
		all := Survey("")
		require.Len(t, all, len(Names()))
		assert.Equal(t, NameStrokes, all[1].Name)
		assert.True(t, all[1].Complete())
		return all[0]
	}
	s := omniglot()
	assert.False(t, s.Usable())
	assert.Len(t, s.Missing, 5)
	assert.NotEmpty(t, s.Places)

	root := filepath.Join(base, "cache", "data", "omniglot")
	unpack(t, root, map[string][]byte{"images_background.zip": nil, "splits/vinyals/train.txt": nil})
	s = omniglot()
	assert.False(t, s.Usable())
	test, val := filepath.Join("splits", "vinyals", "test.txt"), filepath.Join("splits", "vinyals", "val.txt")
	assert.ElementsMatch(t, []string{"images_evaluation.zip", val, test}, s.Missing, "half a fetch")

	unpack(t, root, map[string][]byte{"images_evaluation.zip": nil})
	s = omniglot()
	assert.True(t, s.Usable())
	assert.False(t, s.Complete())
	assert.Equal(t, root, s.Root)
	assert.ElementsMatch(t, []string{val, test}, s.Missing)

	unpack(t, root, map[string][]byte{"splits/vinyals/val.txt": nil, "splits/vinyals/test.txt": nil})
	assert.True(t, omniglot().Complete())
}

func TestFindBabi(t *testing.T) {
	base := nowhere(t)
	_, err := Find(NameBabi, "")
	require.ErrorIs(t, err, ErrNotFound)
	assert.ErrorContains(t, err, "tasks_1-20_v1-2.tar.gz")
	assert.ErrorContains(t, err, "engram data fetch babi")
	_, err = Find(NameStories, "")
	assert.ErrorContains(t, err, "built in")

	shared := filepath.Join(base, "shared", "data", "babi")
	for _, c := range []struct{ file, found string }{
		{"tasks_1-20_notes.txt", ""},
		{"tasks_1-20.tgz", "tasks_1-20.tgz"},
		{"tasks_1-20_v1-2/README", "tasks_1-20.tgz"},
		{"tasks_1-20_v1-2/en-10k/x", "tasks_1-20_v1-2"}, // the released edition comes first
		{"en/x", ""}, // the folder itself
	} {
		unpack(t, shared, map[string][]byte{c.file: nil})
		root, err := Find(NameBabi, "")
		if c.file == "tasks_1-20_notes.txt" {
			require.ErrorIs(t, err, ErrNotFound)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, filepath.Join("..", "shared", "data", "babi", c.found), root)
	}

	s := Survey("")[2]
	assert.Equal(t, NameBabi, s.Name)
	assert.True(t, s.Complete())
	s = Survey(t.TempDir())[2]
	assert.False(t, s.Usable())
	assert.Equal(t, []string{"tasks_1-20_v1-2.tar.gz"}, s.Missing)
	assert.True(t, Survey("")[3].Complete(), "stories are built in")
}
