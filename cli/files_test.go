package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The experiment files of the project are listed with what their results took; each is in order.
func TestListShowsEveryExperimentAndItsCost(t *testing.T) {
	t.Chdir("..")
	files, err := filepath.Glob("experiments/*.yaml")
	require.NoError(t, err)
	code, out, stderr := engram(t.Context(), []string{"list"})
	require.Equal(t, exitOK, code, stderr)
	assert.Len(t, strings.Split(strings.TrimSpace(out), "\n"), len(files)+1)

	code, out, stderr = engram(t.Context(), []string{"list", "--json"})
	require.Equal(t, exitOK, code, stderr)
	var all []listed
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	for _, l := range all {
		if l.File == "experiments/protonet-omniglot.yaml" {
			assert.Equal(t, "protonet", l.Network)
			assert.Equal(t, "omniglot", l.Data)
			assert.NotZero(t, l.Runs)
			assert.Regexp(t, `^\d+ min$`, l.cost())
		}
	}
	code, out, stderr = engram(t.Context(), append([]string{"validate"}, files...))
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "in order: "+strings.Join(files, ", ")+"\n", regexp.MustCompile(` \(\d+ runs\)`).ReplaceAllString(out, ""))
}

func TestCosts(t *testing.T) {
	assert.Equal(t, "not yet run", listed{}.cost())
	assert.Equal(t, "59 s", listed{Runs: 1, Seconds: 59}.cost())
	assert.Equal(t, "59 min", listed{Runs: 1, Seconds: 59 * 60}.cost())
	assert.Equal(t, "1.5 h", listed{Runs: 1, Seconds: 90 * 60}.cost())
	assert.Equal(t, "12 runs, not yet run", listed{Matrix: 12}.cost())
	assert.Equal(t, "12 runs, 5 s each", listed{Matrix: 12, Runs: 3, Seconds: 5}.cost())
}

func TestListAndValidateTellOfWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	code, _, stderr := engram(t.Context(), []string{"list", dir})
	assert.Equal(t, exitFailure, code)
	assert.Equal(t, "engram: "+dir+": no experiment file (*.yaml) is below it\n", stderr)

	for name, text := range map[string]string{"a.yaml": "name: a\nnetwrok: protonet\n", "b.yaml": "name: b\nnetwork: nonsense\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	for _, args := range [][]string{{"list", dir}, {"validate", filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")}} {
		code, out, stderr := engram(t.Context(), args)
		assert.Equal(t, exitFailure, code)
		assert.Empty(t, out)
		assert.Contains(t, stderr, filepath.Join(dir, "a.yaml")+`:2: unknown key "netwrok"`, args)
		assert.Contains(t, stderr, filepath.Join(dir, "b.yaml")+":2: network", args)
	}
}

// What show prints is an experiment file that means the same, and holds every key.
func TestShowPrintsTheResolvedFile(t *testing.T) {
	code, out, stderr := engram(t.Context(), []string{"show", tinyFile(t), "--set", "train.way=4"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "way: 4")
	assert.Contains(t, out, "prefetch: ")
	again := filepath.Join(t.TempDir(), "again.yaml")
	require.NoError(t, os.WriteFile(again, []byte(out), 0o644))
	code, twice, stderr := engram(t.Context(), []string{"show", again})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, out, twice)
}

// A file with a matrix is listed as its runs, and run once one of them is picked.
func TestFilesWithAMatrix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	require.NoError(t, os.WriteFile(file, []byte("base: "+tinyFile(t)+"\nname: x\nmatrix: {network: [protonet, matchingnet], train.way: [3, 4]}\n"), 0o644))
	code, out, stderr := engram(t.Context(), []string{"validate", file})
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, "in order: "+file+" (4 runs)\n", out)

	code, out, stderr = engram(t.Context(), []string{"list", filepath.Dir(file)})
	require.Equal(t, exitOK, code, stderr)
	assert.Regexp(t, `x.yaml +protonet, matchingnet +strokes +4 runs, not yet run`, out)

	code, out, stderr = engram(t.Context(), []string{"show", file, "--seed", "2"})
	require.Equal(t, exitOK, code, stderr)
	assert.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 5)
	assert.Regexp(t, `network=matchingnet,way=4/seed-2 +x/network=matchingnet,way=4 +network=matchingnet  train.way=4  seed=2\n$`, out)

	code, out, stderr = engram(t.Context(), []string{"show", file, "--set", "network=protonet", "--set", "train.way=4"})
	require.Equal(t, exitOK, code, stderr)
	assert.Contains(t, out, "name: \"x/network=protonet,way=4\"\n")

	code, out, stderr = engram(t.Context(), []string{"run", file, "--set", "train.way=4"})
	assert.Equal(t, exitFailure, code)
	assert.Empty(t, out)
	assert.Equal(t, "engram: "+file+" has a matrix of 2 runs: engram sweep "+file+" runs them, --set KEY=VALUE of each of network picks one\n", stderr)
}

func TestSchemaPrintsTheCommittedFile(t *testing.T) {
	want, err := os.ReadFile("../experiments/experiment.schema.json")
	require.NoError(t, err)
	code, out, stderr := engram(t.Context(), []string{"schema"})
	require.Equal(t, exitOK, code, stderr)
	assert.True(t, string(want) == out)
}

// A file's name is that of a folder.
func TestNamesThatAreNoFolders(t *testing.T) {
	for _, name := range []string{"..", "../up", "/root", ".", `"two\nlines"`, "a//b"} {
		file := filepath.Join(t.TempDir(), "x.yaml")
		require.NoError(t, os.WriteFile(file, []byte("name: "+name+"\nnetwork: protonet\ntest: [{way: 5, shot: 1}]\n"), 0o644))
		code, _, stderr := engram(t.Context(), []string{"validate", file})
		assert.Equal(t, exitFailure, code, name)
		assert.Contains(t, stderr, ":1: name: ", name)
	}
}
