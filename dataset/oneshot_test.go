package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Modified Hausdorff distance (Dubuisson and Jain 1994) on the ink pixels, centred, as in the author's demo: it makes
// 155 errors in Lake's 400 trials, a figure that depends on every image and every answer.
func TestModifiedHausdorffMakes155ErrorsOnLakesRuns(t *testing.T) {
	root := filepath.Join("..", "..", "shared", "data", NameOmniglot)
	if _, err := os.Stat(filepath.Join(root, oneShotFile)); err != nil {
		t.Skip("no data of Lake's one-shot runs")
	}
	runs, err := LoadOneShotRuns(root, OmniglotSide, FilterBilinear)
	require.NoError(t, err)
	require.Len(t, runs, 20)
	errs := make([]int, len(runs))
	var workers sync.WaitGroup
	for n, run := range runs {
		workers.Go(func() { errs[n] = errorsOf(run) })
	}
	workers.Wait()
	var percent []float64
	total := 0
	for _, e := range errs {
		total += e
		percent = append(percent, 5*float64(e))
	}
	assert.Equal(t, 155, total)
	assert.Equal(t, []float64{45, 35, 40, 25, 30, 15, 60, 35, 40, 55, 15, 70, 65, 35, 15, 25, 30, 40, 70, 30}, percent)
}

// errorsOf counts the test images whose nearest training image shows another character.
func errorsOf(run OneShotRun) (errs int) {
	var training [][]dot
	for _, image := range run.Training {
		training = append(training, ink(image))
	}
	for i, image := range run.Test {
		item, best, nearest := ink(image), math.Inf(1), -1
		for c, other := range training {
			d := directed(item, other, best)
			if d < best {
				d = max(d, directed(other, item, best))
			}
			if d < best {
				best, nearest = d, c
			}
		}
		if nearest != run.Answers[i] {
			errs++
		}
	}
	return errs
}

type dot struct{ x, y float64 }

// ink returns the ink pixels relative to their mean.
func ink(image []float32) []dot {
	var ps []dot
	var mean dot
	for i, v := range image {
		if v > .5 {
			p := dot{float64(i % OmniglotSide), float64(i / OmniglotSide)}
			ps = append(ps, p)
			mean.x, mean.y = mean.x+p.x, mean.y+p.y
		}
	}
	for i := range ps {
		ps[i].x -= mean.x / float64(len(ps))
		ps[i].y -= mean.y / float64(len(ps))
	}
	return ps
}

// directed returns the mean distance of a's points to their nearest in b, or any value of at least best if it is not
// below best.
func directed(a, b []dot, best float64) float64 {
	sum := 0.0
	for _, p := range a {
		nearest := math.Inf(1)
		for _, q := range b {
			nearest = min(nearest, (p.x-q.x)*(p.x-q.x)+(p.y-q.y)*(p.y-q.y))
		}
		if sum += math.Sqrt(nearest); sum >= best*float64(len(a)) {
			return math.Inf(1)
		}
	}
	return sum / float64(len(a))
}

// Every image of the runs occurs in images_evaluation, in one of the ten alphabets, two runs each, also when scaled
// down.
func TestOneShotRunsMatchTheirAlphabets(t *testing.T) {
	root := shared(t)
	const size = 28
	runs, err := LoadOneShotRuns(root, size, FilterBilinear)
	require.NoError(t, err)
	set, err := LoadOmniglot(t.Context(), root, OmniglotOptions{Size: size})
	require.NoError(t, err)
	split, err := set.Split(SplitKoch, 0)
	require.NoError(t, err)
	assert.Equal(t, []int{964, 277, 382}, []int{len(split.Train), len(split.Val), len(split.Test)})
	parts, err := split.Parts(set, RotateNone)
	require.NoError(t, err)
	of := make(map[string]string) // the alphabet, by image
	key := func(image []float32) string { return fmt.Sprint(image) }
	for c := range parts.Test.Classes() {
		for i := range parts.Test.Instances(c) {
			of[key(imageOf(parts.Test, c, i, 0))] = alphabet(parts.Test.Class(c))
		}
	}
	times := make(map[string]int)
	for n, run := range runs {
		a := of[key(run.Training[0])]
		times[a]++
		for _, image := range append(run.Training, run.Test...) {
			require.Equal(t, a, of[key(image)], "run %d", n+1)
		}
	}
	for _, a := range OneShotAlphabets() {
		assert.Equal(t, 2, times[a], a)
	}

	_, err = LoadOneShotRuns(root, 106, FilterBilinear)
	assert.ErrorContains(t, err, "from 1 to 105")
}

func TestDamagedOneShotRuns(t *testing.T) {
	_, err := LoadOneShotRuns(t.TempDir(), OmniglotSide, FilterBilinear)
	assert.ErrorIs(t, err, ErrNotFound)
	assert.ErrorContains(t, err, "all_runs.zip")

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, oneShotFile), []byte("PK"), 0o644))
	_, err = LoadOneShotRuns(dir, OmniglotSide, FilterBilinear)
	assert.ErrorContains(t, err, "fetch it again")

	dir = t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "all_runs", "run01", "training"), 0o755))
	_, err = LoadOneShotRuns(dir, OmniglotSide, FilterBilinear)
	assert.True(t, errors.Is(err, fs.ErrNotExist), "%v", err)
	assert.ErrorContains(t, err, "run01/training/class01.png")
}

func TestParseOneShot(t *testing.T) {
	good := answers()
	parsed, err := parseOneShot("run07", good)
	require.NoError(t, err)
	assert.Equal(t, 19, parsed[0])
	assert.Equal(t, 0, parsed[19])
	for text, want := range map[string]string{
		strings.Replace(good, "run07/test/item03", "run08/test/item03", 1):                 "line 3: want a line run07/test/",
		strings.Replace(good, "class01", "class21", 1):                                     "line 20: items and classes are numbered from 01 to 20",
		strings.Replace(good, "item02", "item01", 1):                                       "line 2: item 01 already has an answer",
		strings.Replace(good, "run07/test/item01.png run07/training/class20.png\n", "", 1): "item 01 has no answer",
		"": "line 1: want",
	} {
		_, err := parseOneShot("run07", text)
		assert.ErrorContains(t, err, want)
	}
}

// answers is a list in which item i shows class 21-i.
func answers() string {
	var b strings.Builder
	for i := 1; i <= oneShotWay; i++ {
		b.WriteString("run07/test/item" + two(i) + ".png run07/training/class" + two(oneShotWay+1-i) + ".png\n")
	}
	return b.String()
}

func two(n int) string { return string([]byte{'0' + byte(n/10), '0' + byte(n%10)}) }

func FuzzParseOneShot(f *testing.F) {
	f.Add(answers())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseOneShot("run07", text)
		if err != nil {
			return
		}
		for _, a := range parsed {
			assert.True(t, a >= 0 && a < oneShotWay)
		}
	})
}
