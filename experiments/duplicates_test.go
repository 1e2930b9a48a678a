package experiments_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

// Where every query of a test is in its support set, the run says so.
func TestEqualImagesAreNoted(t *testing.T) {
	root := t.TempDir()
	files, err := filepath.Glob("../examples/letters/support/*/*")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 3)
	for class := range 12 {
		data, err := os.ReadFile(files[class%len(files)])
		require.NoError(t, err)
		dir := filepath.Join(root, fmt.Sprint("class", class))
		require.NoError(t, os.Mkdir(dir, 0o755))
		for i := range 4 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d%s", i, filepath.Ext(files[class%len(files)]))), data, 0o644))
		}
	}
	n := &notes{}
	c := config(t, "dataset={kind: images, root: "+root+", size: 16, split: {kind: share, train: 0.5, val: 0.25}}",
		"train={way: 3, shot: 1, query: 2, steps: 0}", "validation.episodes=0", "test=[{way: 3, shot: 1, query: 3, episodes: 5}]")
	_, err = tool.Run(t.Context(), c, experiments.Options{Out: t.TempDir(), Reporter: n})
	require.NoError(t, err)
	said := strings.Join(n.lines, "\n")
	assert.Contains(t, said, root+": in 12 classes all images are the same once they are read (class0, class1, class10, class11, class2, ...): support and query images are then equal, and accuracy says little")
}
