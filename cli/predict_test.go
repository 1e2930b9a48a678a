package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

const letters = "../examples/letters/"

func TestPredict(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	code, _, stderr := engram(t.Context(), []string{"run", tinyFile(t), "--out", dir, "-q"})
	require.Equal(t, exitOK, code, stderr)

	a, k := letters+"query/A1.png", letters+"query/K3.jpg"
	code, out, stderr := engram(t.Context(), []string{"predict", "--run", dir, "--support", letters + "support", "--query", a, k})
	require.Equal(t, exitOK, code, stderr)
	assert.Empty(t, stderr)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 2)
	assert.Regexp(t, `^`+a+`\t[AEKOT]\t[01]\.\d{4}$`, lines[0])
	assert.Regexp(t, `^`+k+`\t[AEKOT]\t[01]\.\d{4}$`, lines[1])

	code, out, _ = engram(t.Context(), []string{"predict", "--run", dir, "--support", letters + "support", "--query", letters + "query", "--top", "2"})
	require.Equal(t, exitOK, code)
	assert.Equal(t, 2*15, strings.Count(out, "\n"), "two lines for each of the images of a folder")

	code, out, _ = engram(t.Context(), []string{"predict", "--run", dir, "--support", letters + "support", "--query", a, "--json"})
	require.Equal(t, exitOK, code)
	var all []experiments.Prediction
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	assert.Equal(t, strings.Split(lines[0], "\t")[:2], []string{all[0].File, all[0].Class})
	assert.Len(t, all[0].Probabilities, 5)

	odd := filepath.Join(t.TempDir(), "a\tb.png")
	image, err := os.ReadFile(a)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(odd, image, 0o644))
	_, out, _ = engram(t.Context(), []string{"predict", "--run", dir, "--support", letters + "support", "--query", odd})
	assert.Equal(t, 2, strings.Count(out, "\t"), "a name with a tab is quoted: %s", out)

	broken := filepath.Join(t.TempDir(), "broken.png")
	require.NoError(t, os.WriteFile(broken, image[:100], 0o644))
	lone := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(lone, "A"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(lone, "A", "1.png"), image, 0o644))
	memnet := filepath.Join(t.TempDir(), "memnet")
	file := filepath.Join(t.TempDir(), "memnet.yaml")
	require.NoError(t, os.WriteFile(file, []byte("name: tiny\nnetwork: memnet\ndataset: {kind: stories, train: 50, test: 20}\ntrain: {epochs: 1}\n"), 0o644))
	code, _, stderr = engram(t.Context(), []string{"run", file, "--out", memnet, "-q"})
	require.Equal(t, exitOK, code, stderr)
	support := letters + "support"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "--run is needed; --support is needed; --query is needed"},
		{[]string{"--run", dir, "--support", support}, exitUsage, "--query is needed"},
		{[]string{"--run", dir, "--support", support, "--query", a, "--ink", "blue"}, exitUsage, `--ink: "blue" is none of dark, light`},
		{[]string{"--run", dir, "--support", support, "--query", a, "--fit", "x"}, exitUsage, `--fit: "x" is none of pad, crop, stretch`},
		{[]string{"--run", dir, "--support", support, "--query", a, "--norm", "x"}, exitUsage, `--norm: "x" is none of inductive, transductive`},
		{[]string{"--run", dir, "--support", support, "--query", a, "--top", "0"}, exitUsage, "--top: want at least 1"},
		{[]string{"--run", "/nowhere", "--support", support, "--query", a}, exitFailure, "is not a run folder"},
		{[]string{"--run", memnet, "--support", support, "--query", a}, exitFailure, "memnet does not classify images by labelled examples"},
		{[]string{"--run", dir, "--support", "/nowhere", "--query", a}, exitFailure, "support: dataset: data set not found: no folder /nowhere"},
		{[]string{"--run", dir, "--support", letters + "query", "--query", a}, exitFailure, "is in no class"},
		{[]string{"--run", dir, "--support", lone, "--query", a}, exitFailure, "has one class, A: add folders of other classes"},
		{[]string{"--run", dir, "--support", support, "--query", broken, "none.png"}, exitFailure, "save it again or remove it\ndataset: stat none.png: no such file"},
		{[]string{"--run", dir, "--support", support, "--query", support}, exitFailure, "holds no PNG, JPEG, WebP, GIF, BMP or TIFF images"},
	} {
		code, out, stderr := engram(t.Context(), append([]string{"predict"}, c.args...))
		assert.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		assert.Contains(t, stderr, c.want, c.args)
		assert.Empty(t, out)
	}
}

// Texts come from files and from standard input; a line of the output begins with the text.
func TestPredictTexts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	file := filepath.Join(t.TempDir(), "texts.yaml")
	require.NoError(t, os.WriteFile(file, []byte("name: texts\nnetwork: {kind: transfer, encoder: bag-of-words, head: {kind: mean, metric: cosine}}\n"+
		"dataset: requests\ntrain: {steps: 0}\nvalidation: {episodes: 0}\ntest: [{way: 5, shot: 1, episodes: 2}]\n"), 0o644))
	code, _, stderr := engram(t.Context(), []string{"run", file, "--out", dir, "-q"})
	require.Equal(t, exitOK, code, stderr)
	predict := func(input string, args ...string) (code int, out, stderr string) {
		var o, e bytes.Buffer
		root := newRoot(experiments.Standard(), "engram", strings.NewReader(input), &o, &e)
		code = execute(t.Context(), root, append([]string{"predict", "--run", dir, "--support", "../examples/requests/support"}, args...))
		return code, o.String(), e.String()
	}
	code, out, stderr := predict("cancel that flight\n\nsend the\tinvoice\n")
	require.Equal(t, exitOK, code, stderr)
	lines := strings.Split(out, "\n")
	require.Len(t, lines, 3)
	assert.Regexp(t, `^cancel that flight\tcancel-flight\t[01]\.\d{4}$`, lines[0])
	assert.Regexp(t, `^"send the\\tinvoice"\tsend-invoice\t[01]\.\d{4}$`, lines[1])

	code, out, stderr = predict("", "--query", "../examples/requests/query.txt", "--top", "3")
	require.Equal(t, exitOK, code, stderr)
	assert.Equal(t, 3*3, strings.Count(out, "\n"))

	code, out, stderr = predict("remind me\n", "--query", "-", "--json")
	require.Equal(t, exitOK, code, stderr)
	var all []experiments.Prediction
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	assert.Equal(t, "remind me", all[0].Text)
	assert.Equal(t, "remind-appointment", all[0].Class)

	code, out, stderr = predict("")
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, stderr, "no text to classify is given")
	assert.Empty(t, out)
}
