package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSplit(t *testing.T) {
	names, err := ParseSplit(strings.NewReader("B/character02/rot090\nB/character02/rot000\r\n\n A/character01\n"))
	require.NoError(t, err)
	assert.Equal(t, []string{"B/character02", "A/character01"}, names, "each once, in order")

	for list, says := range map[string]string{
		"":                                  "empty",
		"\n\n":                              "empty",
		"A/c/rot000\nA/c/rot000":            "line 2",
		"A/c/rot045":                        "rotation",
		"A/c/rot90":                         "rotation",
		"A/c/rot+90":                        "rotation",
		"A/c/turn090":                       "rotation",
		"A":                                 "line 1",
		"A/b/rot000/x":                      "line 1",
		"../passwd":                         "line 1",
		"A/..":                              "line 1",
		"/A/rot000":                         "line 1",
		"A\\b/c":                            "line 1",
		"A/c\n" + strings.Repeat("x", 9000): "after line 1",
	} {
		_, err := ParseSplit(strings.NewReader(list))
		assert.ErrorContains(t, err, says, "%.20q", list)
	}
}

func FuzzParseSplit(f *testing.F) {
	f.Add("A/character01/rot000\nA/character01/rot090\n")
	f.Add("A/character01\r\n\n../x/rot000")
	f.Add("A/b/rot0000")
	f.Fuzz(func(t *testing.T, list string) {
		names, err := ParseSplit(strings.NewReader(list))
		if err != nil {
			return
		}
		seen := make(map[string]bool)
		for _, name := range names {
			fields := strings.Split(name, "/")
			if len(fields) != 2 || !plainName(fields[0]) || !plainName(fields[1]) || seen[name] {
				t.Errorf("%q accepted", name)
			}
			seen[name] = true
			if !filepath.IsLocal(name) {
				t.Errorf("%q leaves its folder", name)
			}
		}
		// An accepted list reads the same again.
		again, err := ParseSplit(strings.NewReader(strings.Join(names, "\n")))
		if err != nil || !slices.Equal(again, names) {
			t.Errorf("%q read again gives %q, %v", names, again, err)
		}
	})
}

func TestPartsByRotation(t *testing.T) {
	set := numbered(t, 6, 2, 1, 3)
	split := Split{"mine", []string{"c", "a", "b"}, []string{"d"}, []string{"f", "e"}}
	for rotation, want := range map[Rotation][3]int{ // train, val, test
		"":                 {3, 1, 2},
		RotateNone:         {3, 1, 2},
		RotateEpisode:      {3, 1, 2},
		RotatePerClass:     {3, 1, 2},
		RotateClasses:      {12, 4, 8},
		RotateTrainClasses: {12, 1, 2},
	} {
		p, err := split.Parts(set, rotation)
		require.NoError(t, err)
		assert.Equal(t, want, [3]int{p.Train.Classes(), p.Val.Classes(), p.Test.Classes()}, rotation)
	}
	p, err := split.Parts(set, RotateTrainClasses)
	require.NoError(t, err)
	assert.Equal(t, "c/rot090", p.Train.Class(1))
	assert.Equal(t, "f", p.Test.Class(0))
	assert.Equal(t, imageOf(set, 2, 1, 1), imageOf(p.Train, 1, 1, 0))

	_, err = split.Parts(set, "sideways")
	assert.ErrorContains(t, err, "sideways")
	_, err = Split{"mine", []string{"a"}, []string{"g"}, nil}.Parts(set, RotateNone)
	var missing *MissingError
	require.ErrorAs(t, err, &missing)
	assert.ErrorContains(t, err, "split mine")
	_, err = Split{"mine", []string{"a"}, nil, []string{"a"}}.Parts(set, RotateNone)
	assert.ErrorContains(t, err, "a in train and in test")
}

// Validation classes become training classes, of which the test has none.
func TestTrainVal(t *testing.T) {
	got := Split{SplitVinyals, []string{"a", "b"}, []string{"c"}, []string{"d"}}.trainVal()
	assert.Equal(t, Split{SplitTrainVal, []string{"a", "b", "c"}, nil, []string{"d"}}, got)
	set, err := NewStrokes(1, DrawnOptions{Train: 2, Val: 1, Test: 1, Instances: 2})
	require.NoError(t, err)
	p, err := set.Split().trainVal().Parts(set, RotateClasses)
	require.NoError(t, err)
	assert.Equal(t, [3]int{12, 0, 4}, [3]int{p.Train.Classes(), p.Val.Classes(), p.Test.Classes()})
}

func TestReadVinyalsRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadVinyals(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, filepath.Join(dir, "train.txt"))
	assert.ErrorContains(t, err, "engram data fetch omniglot")

	write := func(file, list string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(list), 0o644))
	}
	write("train.txt", "A/a/rot000\n")
	write("val.txt", "A/b/rot000\n")
	write("test.txt", "A/c/rot000\nA/c/rot001\n")
	_, err = ReadVinyals(dir)
	assert.ErrorContains(t, err, "test.txt: line 2")
	write("test.txt", "A/a/rot090\n")
	_, err = ReadVinyals(dir)
	assert.ErrorContains(t, err, "A/a in train and in test")
}

func TestLakeHoldsOutWholeAlphabets(t *testing.T) {
	var background []string
	for a := range 12 {
		for c := range a + 1 {
			background = append(background, fmt.Sprintf("A%02d/character%02d", a, c))
		}
	}
	evaluation := []string{"Z/character01"}
	one, err := lakeSplit(background, evaluation, 1)
	require.NoError(t, err)
	assert.ElementsMatch(t, background, slices.Concat(one.Train, one.Val))
	assert.Equal(t, evaluation, one.Test)
	held := make(map[string]bool)
	for _, name := range one.Val {
		held[alphabet(name)] = true
	}
	assert.Len(t, held, 2, "a sixth of the alphabets")
	for _, name := range one.Train {
		assert.False(t, held[alphabet(name)], name)
	}
	again, err := lakeSplit(background, evaluation, 1)
	require.NoError(t, err)
	assert.Equal(t, one, again)
	two, err := lakeSplit(background, evaluation, 2)
	require.NoError(t, err)
	assert.NotEqual(t, one.Val, two.Val)

	_, err = lakeSplit([]string{"A/a", "A/b"}, evaluation, 1)
	assert.ErrorContains(t, err, "which has 1")
}

func TestKochTestsOnTheAlphabetsOfLakesRuns(t *testing.T) {
	background := []string{"A/character01", "B/character01"}
	var evaluation []string
	for _, a := range append(OneShotAlphabets(), "Angelic", "ULOG") {
		evaluation = append(evaluation, a+"/character01", a+"/character02")
	}
	s, err := kochSplit(background, evaluation)
	require.NoError(t, err)
	assert.Equal(t, background, s.Train)
	assert.Equal(t, []string{"Angelic/character01", "Angelic/character02", "ULOG/character01", "ULOG/character02"}, s.Val)
	assert.Len(t, s.Test, 20)
	assert.NoError(t, s.disjoint())

	_, err = kochSplit(background, evaluation[2:])
	assert.ErrorContains(t, err, "images_evaluation has no Atlantean")
}

// Training is on Latin only; validation and test are those of the split lake, without Latin.
func TestLatinSplit(t *testing.T) {
	var background []string
	for _, a := range strings.Fields("A B C D E F G H I J K Latin") {
		background = append(background, a+"/character01", a+"/character02")
	}
	evaluation := []string{"Y/character01"}
	seen := false
	for seed := range uint64(20) {
		s, err := latinSplit(background, evaluation, seed)
		require.NoError(t, err)
		lake, err := lakeSplit(background, evaluation, seed)
		require.NoError(t, err)
		assert.Equal(t, SplitLatin, s.Name)
		assert.Equal(t, []string{"Latin/character01", "Latin/character02"}, s.Train)
		assert.Equal(t, evaluation, s.Test)
		require.NoError(t, s.disjoint())
		held := slices.Contains(lake.Val, "Latin/character01")
		seen = seen || held
		if !held {
			assert.Equal(t, lake.Val, s.Val)
		}
	}
	assert.True(t, seen, "includes a seed whose validation would contain Latin")
	_, err := latinSplit(background[:4], evaluation, 1)
	assert.ErrorContains(t, err, "images_background has none")
}

// The small splits train on the five alphabets of the author's small sets; validation and test are those of the split koch.
func TestSmallSplits(t *testing.T) {
	var background, evaluation []string
	for _, a := range strings.Fields("Balinese Bengali Early_Aramaic Greek Japanese_(katakana) Korean Latin Sanskrit Tagalog") {
		background = append(background, a+"/character01", a+"/character02")
	}
	for _, a := range append(OneShotAlphabets(), "Angelic") {
		evaluation = append(evaluation, a+"/character01")
	}
	koch, err := kochSplit(background, evaluation)
	require.NoError(t, err)
	for name, alphabets := range map[string]string{
		SplitSmall1: "Balinese Early_Aramaic Greek Korean Latin", SplitSmall2: "Greek Japanese_(katakana) Latin Sanskrit Tagalog",
	} {
		s, err := smallSplit(name, background, evaluation)
		require.NoError(t, err)
		var want []string
		for _, a := range strings.Fields(alphabets) {
			want = append(want, a+"/character01", a+"/character02")
		}
		assert.Equal(t, Split{name, want, koch.Val, koch.Test}, s)
		_, err = smallSplit(name, background[:12], evaluation)
		assert.ErrorContains(t, err, "images_background has no ")
	}
	if testing.Short() {
		return
	}
	set, err := LoadOmniglot(t.Context(), shared(t), OmniglotOptions{Size: 28})
	require.NoError(t, err)
	for name, characters := range map[string]int{SplitSmall1: 136, SplitSmall2: 156} {
		s, err := set.Split(name, 0)
		require.NoError(t, err)
		assert.Len(t, s.Train, characters, name)
	}
}

func TestAlphabets(t *testing.T) {
	counts := []int{1, 1, 1, 1}
	set, err := NewImages([]string{"B/1", "A/1", "B/2", "plain"}, counts, 1, 1, 1, make([]byte, 4))
	require.NoError(t, err)
	assert.Equal(t, [][]int{{0, 2}, {1}, {3}}, Alphabets(set))
	turned, err := WithRotations(set)
	require.NoError(t, err)
	assert.Equal(t, [][]int{{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7}, {12, 13, 14, 15}}, Alphabets(turned))
}

func TestRandomSplit(t *testing.T) {
	names := make([]string, 1623)
	for i := range names {
		names[i] = fmt.Sprintf("A/%04d", i)
	}
	one, err := randomSplit(names, 1)
	require.NoError(t, err)
	assert.Equal(t, [3]int{1100, 100, 423}, [3]int{len(one.Train), len(one.Val), len(one.Test)})
	assert.ElementsMatch(t, names, slices.Concat(one.Train, one.Val, one.Test))
	assert.True(t, slices.IsSorted(names), "the argument does not change")

	backwards := slices.Clone(names)
	slices.Reverse(backwards)
	again, err := randomSplit(backwards, 1)
	require.NoError(t, err)
	assert.Equal(t, one, again, "for any order of files")
	two, err := randomSplit(names, 2)
	require.NoError(t, err)
	assert.NotEqual(t, one.Test, two.Test)

	_, err = randomSplit(names[:10], 1)
	assert.ErrorContains(t, err, "there are 10")
}

// For any CSV, the parts of a split have no class in common and none twice.
func FuzzCSVSplit(f *testing.F) {
	f.Add("class,split\na,train\nb,val\nc,test\n")
	f.Add("filename,label,split\n\"a,b\",x,test\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "split.csv")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		s, err := CSVSplit(file)
		if err != nil {
			return
		}
		all := slices.Concat(s.Train, s.Val, s.Test)
		slices.Sort(all)
		assert.Len(t, slices.Compact(slices.Clone(all)), len(all), "%q", text)
	})
}
