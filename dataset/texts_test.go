package dataset

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// wantTexts are the texts that every form holds.
func wantTexts(t *testing.T, set *Texts) {
	t.Helper()
	require.Equal(t, 2, set.Classes())
	assert.Equal(t, "card", set.Class(0))
	assert.Equal(t, "top up", set.Class(1))
	assert.Equal(t, [][]string{{"where is \"it\"?", "lost, again"}, {"add é money"}}, set.texts)
}

func TestLoadTextsReadsEachForm(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"a.csv":              "text,category\n\"where is \"\"it\"\"?\",card\nadd é money,top up\n\" lost, again\",card\n",
		"bom.csv":            "\ufeffcategory,n,Sentence\ncard,1,\"where is \"\"it\"\"?\"\ntop up,2,add é money\ncard,3,\"lost, again\"\n",
		"a.tsv":              "label\ttext\ncard\twhere is \"it\"?\ntop up\tadd é money\ncard\tlost, again\n",
		"a.jsonl":            "{\"text\": \"where is \\\"it\\\"?\", \"label\": \"card\"}\n\n{\"label\":\"top up\",\"text\":\"add é money\"}\n{\"text\":\"lost, again\",\"label\":\"card\"}\n",
		"files/card/1.txt":   "where is \"it\"?\n",
		"files/card/2.txt":   "lost, again",
		"files/top up/.txt":  "hidden",
		"files/top up/a.txt": "add é money",
		"lines/card.txt":     "where is \"it\"?\n\nlost, again\n",
		"lines/top up.TXT":   "add é money",
		"lines/README.md":    "not a class",
		"seq/seq.in":         "where is \"it\"?\nadd é money\nlost, again\n",
		"seq/label":          "card\ntop up\ncard\n",
	})
	for _, name := range []string{"a.csv", "bom.csv", "a.tsv", "a.jsonl", "files", "lines", "seq"} {
		t.Run(name, func(t *testing.T) {
			set, err := LoadTexts(t.Context(), filepath.Join(dir, name), TextOptions{})
			require.NoError(t, err)
			wantTexts(t, set)
		})
	}
}

func TestLoadTextsNamesColumns(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.csv": "text,translated,label,n\na,b,c,1\n", "a.jsonl": `{"text":"a","translated":"b","n":7}`})
	set, err := LoadTexts(t.Context(), filepath.Join(dir, "a.csv"), TextOptions{Text: "Translated", Label: "n"})
	require.NoError(t, err)
	assert.Equal(t, &Texts{[]string{"1"}, [][]string{{"b"}}}, set)
	set, err = LoadTexts(t.Context(), filepath.Join(dir, "a.jsonl"), TextOptions{Text: "translated", Label: "n"})
	require.NoError(t, err)
	assert.Equal(t, &Texts{[]string{"7"}, [][]string{{"b"}}}, set)
}

func TestLoadTextsNamesTheFault(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"columns.csv": "utterances,kind\n", "empty.csv": "", "short.csv": "text,label\na\n", "blank.csv": "text,label\na,b\n ,b\n",
		"nolabel.tsv": "text\tlabel\na\t\n", "bad.jsonl": "{\"text\":\"a\",\"label\":\"b\"}\n[1]\n", "list.jsonl": `{"text":"a","label":[1]}`,
		"latin.csv": "text,label\ncaf\xe9,a\n", "a.xlsx": "", "none/x/readme.md": "", "nothing/x.md": "", "seq/seq.in": "a\nb\n", "seq/label": "c\n",
		"lines/a.txt": "\n\n", "rows.csv": "text,label\n",
	})
	for name, message := range map[string]string{
		"columns.csv": "no column text or sentence or utterance or query or question; it has utterances, kind",
		"empty.csv":   "its first line names the columns", "short.csv": "line 2", "blank.csv": "line 3: the text is empty",
		"nolabel.tsv": "line 2: the label is empty", "bad.jsonl": "line 2: it is no JSON object", "list.jsonl": "neither a text nor a number",
		"latin.csv": "not in UTF-8", "a.xlsx": "none of these", "none": "has no .txt files: a class needs one", "nothing": "has no .txt files",
		"seq": "seq.in has 2 lines and label 1", "lines": "has no text", "rows.csv": "there are no texts", "gone.csv": "no such file",
	} {
		_, err := LoadTexts(t.Context(), filepath.Join(dir, name), TextOptions{})
		assert.ErrorContains(t, err, message, name)
	}
}

func TestReadTexts(t *testing.T) {
	texts, err := ReadTexts(strings.NewReader("a b \n\n\tc\r\n"))
	require.NoError(t, err)
	assert.Equal(t, []string{"a b", "c"}, texts)
	_, err = ReadTexts(strings.NewReader("a\n\xff\n"))
	assert.ErrorContains(t, err, "line 2")
	dir := t.TempDir()
	write(t, dir, map[string]string{"b.txt": "2\n3", "a.txt": "1", "c.md": "4"})
	texts, err = ReadTextFiles(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2", "3"}, texts)
	_, err = ReadTextFiles(filepath.Join(dir, "gone"))
	assert.Error(t, err)
}

func TestNewTextsRefuses(t *testing.T) {
	for _, c := range []struct {
		names   []string
		texts   [][]string
		message string
	}{
		{[]string{"a"}, nil, "1 class names"}, {[]string{"a", "a"}, [][]string{{"x"}, {"y"}}, "two classes"},
		{[]string{"a"}, [][]string{{}}, "no texts"}, {[]string{"a"}, [][]string{{""}}, "empty text"}, {[]string{""}, [][]string{{"x"}}, "no name"},
	} {
		_, err := NewTexts(c.names, c.texts)
		assert.ErrorContains(t, err, c.message)
	}
}

// words numbers the words of a text by their lengths; texts of more than four are cut off.
func words(text string) (tokens []int32, cut bool) {
	for _, w := range strings.Fields(text) {
		if len(tokens) == 4 {
			return tokens, true
		}
		tokens = append(tokens, int32(len(w)))
	}
	return tokens, false
}

func TestTokens(t *testing.T) {
	texts, err := NewTexts([]string{"a", "b", "c"}, [][]string{{"x yy", "zzz"}, {"yy yy x x zzzz"}, {"q"}})
	require.NoError(t, err)
	some, err := Select(texts, []string{"b", "a"})
	require.NoError(t, err)
	tokens := Tokenize(some, words)
	assert.Equal(t, []int32{2, 2, 1, 1}, tokens.Row(0, 0))
	assert.Equal(t, 4, tokens.Longest())
	assert.Equal(t, 1, tokens.Cut())
	assert.Equal(t, 2, tokens.Classes())
	assert.Equal(t, "a", tokens.Class(1))
	assert.Equal(t, 2, tokens.Instances(1))
	_, _, width := tokens.Shape()
	row := []float32{9, 9, 9, 9}
	tokens.Image(row[:width], 1, 0, 0)
	assert.Equal(t, []float32{1, 2, 0, 0}, row)
	assert.Panics(t, func() { tokens.Image(row, 0, 0, 1) })

	part, err := Subset(tokens, []int{1})
	require.NoError(t, err)
	assert.Equal(t, []int32{3}, Rows(part)(0, 1))
	text, ok := Text(part, 0, 1)
	assert.True(t, ok)
	assert.Equal(t, "zzz", text)
	assert.True(t, HoldsTexts(part))
	assert.Nil(t, Rows(texts))

	count, all := tokens.Documents(5)
	assert.Equal(t, []int{0, 2, 2, 1, 0}, count)
	assert.Equal(t, 3, all)
	assert.Equal(t, "3 texts of 1 to 4 tokens, half of them of at most 2, padded to the longest of a batch; 1 are longer and cut off", Lengths(tokens))

	strokes, err := NewStrokes(1, DrawnOptions{Train: 2, Val: 1, Test: 1, Instances: 2, Size: 8})
	require.NoError(t, err)
	assert.Nil(t, Rows(strokes))
	assert.False(t, HoldsTexts(strokes))
	assert.Nil(t, Bytes(tokens))
	assert.Panics(t, func() { Tokenize(strokes, words) })
}

func TestDistinctAndJoin(t *testing.T) {
	a, err := NewTexts([]string{"x"}, [][]string{{"One  two", "one two ", "three"}})
	require.NoError(t, err)
	b, err := NewTexts([]string{"w", "x"}, [][]string{{"one two"}, {"THREE"}})
	require.NoError(t, err)
	rest, of := b.Without("w")
	assert.Equal(t, []*Texts{{[]string{"x"}, [][]string{{"THREE"}}}, {[]string{"w"}, [][]string{{"one two"}}}}, []*Texts{rest, of})
	_, of = b.Without("y")
	assert.Nil(t, of)
	none, _ := a.Without("x")
	assert.Nil(t, none)
	both := JoinTokens(Tokenize(a, words), Tokenize(b, words))
	assert.Equal(t, []string{"x", "w", "x"}, []string{both.Class(0), both.Class(1), both.Class(2)})
	text, ok := Text(both, 2, 0)
	assert.True(t, ok)
	assert.Equal(t, "THREE", text)
	assert.Equal(t, Tokenize(b, words).Row(0, 0), Rows(both)(1, 0))

	joined := JoinTexts(a, b)
	assert.Equal(t, &Texts{[]string{"w", "x"}, [][]string{{"one two"}, {"One  two", "one two ", "three", "THREE"}}}, joined)
	distinct, dropped := joined.Distinct()
	assert.Equal(t, 2, dropped)
	assert.Equal(t, [][]string{{"one two"}, {"One  two", "three"}}, distinct.texts)
	assert.Equal(t, 3, distinct.Len())
	assert.NotEqual(t, joined.Checksum(), distinct.Checksum())
}

func TestRequests(t *testing.T) {
	o := RequestsOptions{Train: 6, Val: 2, Test: 3, Instances: 5}
	set, split, err := NewRequests(1, o)
	require.NoError(t, err)
	again, _, err := NewRequests(1, o)
	require.NoError(t, err)
	other, _, err := NewRequests(2, o)
	require.NoError(t, err)
	assert.Equal(t, set, again)
	assert.NotEqual(t, set.Checksum(), other.Checksum())
	assert.Equal(t, 11, set.Classes())
	parts, err := split.Parts(set, RotateNone)
	require.NoError(t, err)
	assert.Equal(t, []int{6, 2, 3}, []int{parts.Train.Classes(), parts.Val.Classes(), parts.Test.Classes()})
	for c := range set.Classes() {
		assert.Equal(t, 5, set.Instances(c))
		action, object, ok := strings.Cut(set.Class(c), "/")
		assert.True(t, ok && action != "" && object != "")
	}
	_, _, err = NewRequests(1, RequestsOptions{Train: MostRequests(), Test: 1, Instances: 5})
	assert.ErrorContains(t, err, "192 classes in all")
	_, _, err = NewRequests(1, RequestsOptions{Train: 1, Instances: 1})
	assert.ErrorContains(t, err, "use 2 to 1000")
}

// placeIntents writes files with the counts of a published set. Every class has the same number of texts, but for the first.
func placeIntents(t *testing.T, dir, name string) intentSet {
	t.Helper()
	s, ok := intentSetOf(name)
	require.True(t, ok)
	for _, p := range []struct {
		folder          string
		lines, distinct int
	}{{"train", s.train, s.train}, {"train_5", 5 * s.classes, 5 * s.classes}, {"train_10", 10 * s.classes, 10 * s.classes}, {"valid", s.valid, s.distinct}, {"test", s.test, s.test}} {
		var texts, labels strings.Builder
		for i := range p.lines {
			k := i
			if i >= p.distinct {
				k = i - p.distinct // a line that repeats another
			}
			fmt.Fprintf(&texts, "%s number %d\n", p.folder, k)
			fmt.Fprintf(&labels, "class%d\n", k%s.classes)
		}
		write(t, dir, map[string]string{p.folder + "/seq.in": texts.String(), p.folder + "/label": labels.String()})
	}
	return s
}

func TestLoadIntents(t *testing.T) {
	base := nowhere(t)
	dir := filepath.Join(base, "data")
	s := placeIntents(t, filepath.Join(dir, "HWU64"), NameHWU64)
	root, err := Find(NameHWU64, dir)
	require.NoError(t, err)
	set, err := LoadIntents(t.Context(), NameHWU64, root)
	require.NoError(t, err)
	assert.Equal(t, []string{"hwu64: 70 of the 1076 lines of valid repeat others and are left out"}, set.Notes)
	five, err := set.Shots(5)
	require.NoError(t, err)
	assert.Equal(t, 5*64, five.Len())
	_, err = set.Shots(3)
	assert.ErrorContains(t, err, "no fixed 3-shot part")
	assert.Equal(t, s.train+s.distinct+s.test, set.All().Len())
	assert.Nil(t, set.OutsideTest)

	clinc := filepath.Join(base, "clinc")
	placeIntents(t, clinc, NameCLINC150)
	write(t, clinc, map[string]string{"oos/valid/seq.in": strings.Repeat("what\n", 100), "oos/valid/label": strings.Repeat("oos\n", 100),
		"oos/test/seq.in": strings.Repeat("why\n", 1000), "oos/test/label": strings.Repeat("oos\n", 1000)})
	with, err := LoadIntents(t.Context(), NameCLINC150, clinc)
	require.NoError(t, err)
	assert.Equal(t, []int{100, 1000}, []int{with.OutsideValid.Len(), with.OutsideTest.Len()})
	write(t, clinc, map[string]string{"oos/test/seq.in": "why\n", "oos/test/label": "oos\n"})
	_, err = LoadIntents(t.Context(), NameCLINC150, clinc)
	assert.ErrorContains(t, err, "oos/test has 1 utterances of 1 labels, and 1000 of one are published")

	_, err = Find(NameCLINC150, dir)
	assert.ErrorIs(t, err, ErrNotFound, "another set's folders")
	assert.ErrorContains(t, err, "CLINC's data_full.json")
	_, err = Find(NameBanking77, filepath.Join(dir, "HWU64"))
	assert.ErrorIs(t, err, ErrNotFound, "folders of the same names with other classes")

	write(t, dir, map[string]string{"HWU64/test/seq.in": "one\n", "HWU64/test/label": "class1\n"})
	_, err = LoadIntents(t.Context(), NameHWU64, root)
	assert.ErrorContains(t, err, "test has 1 utterances of 1 classes, and 1076 of 64 are published: fetch the files again")
}

func TestLoadIntentsOfTheAuthors(t *testing.T) {
	dir := t.TempDir()
	rows := func(n, classes int) string {
		var b strings.Builder
		b.WriteString("text,category\n")
		for i := range n {
			fmt.Fprintf(&b, "\"line\none, %d\",class%d\n", i, i%classes)
		}
		return b.String()
	}
	write(t, dir, map[string]string{"train.csv": rows(10_003, 77), "test.csv": rows(3080, 77)})
	root, err := Find(NameBanking77, dir)
	require.NoError(t, err)
	set, err := LoadIntents(t.Context(), NameBanking77, root)
	require.NoError(t, err)
	assert.Nil(t, set.Valid)
	_, err = set.Shots(5)
	assert.ErrorContains(t, err, "Few-Shot-Intent-Detection")

	parts := map[string][][]string{}
	for key, n := range map[string]int{"train": 15_000, "val": 3000, "test": 4500, "oos_train": 100} {
		for i := range n {
			parts[key] = append(parts[key], []string{fmt.Sprint(key, i), fmt.Sprint("class", i%150)})
		}
	}
	text, err := json.Marshal(parts)
	require.NoError(t, err)
	write(t, dir, map[string]string{"clinc150/data_full.json": string(text)})
	root, err = Find(NameCLINC150, filepath.Join(dir, "clinc150"))
	require.NoError(t, err)
	set, err = LoadIntents(t.Context(), NameCLINC150, root)
	require.NoError(t, err)
	assert.Equal(t, 22_500, set.All().Len())
}

const fewRelExample = `{"P1": [{"tokens": ["Anna", "Lee", "was", "born", "in", "Rome", "."], "h": ["anna lee", "Q1", [[0, 1]]], "t": ["rome", "Q2", [[5]]]}],
 "P2": [{"tokens": ["x"], "h": ["x", "Q3", [[0]]], "t": ["x", "Q3", [[0]]]}]}`

func TestParseFewRel(t *testing.T) {
	set, err := ParseFewRel([]byte(fewRelExample))
	require.NoError(t, err)
	assert.Equal(t, &Texts{[]string{"P1", "P2"}, [][]string{{"@ Anna Lee @ was born in # Rome # ."}, {"@ # x # @"}}}, set)
	for old, message := range map[string]string{`[[0, 1]]`: "an entity has no mention", `[[5]]`: "outside its 7 words"} {
		new := map[string]string{`[[0, 1]]`: `[]`, `[[5]]`: `[[7]]`}[old]
		_, err := ParseFewRel([]byte(strings.Replace(fewRelExample, old, new, 1)))
		assert.ErrorContains(t, err, message)
	}
}

func TestLoadFewRelChecksCounts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"data/train_wiki.json": fewRelExample})
	root, err := Find(NameFewRel, dir)
	require.NoError(t, err)
	_, err = LoadFewRel(t.Context(), root, "train_wiki")
	assert.ErrorContains(t, err, "has 2 relations, and 64 are published")
	_, err = LoadFewRel(t.Context(), root, "val_wiki")
	assert.ErrorContains(t, err, "thunlp/FewRel")
	write(t, dir, map[string]string{"data/val_nyt.json": ""})
	_, err = LoadFewRel(t.Context(), root, "val_nyt")
	assert.ErrorContains(t, err, "val_nyt.json is empty")
	only := t.TempDir()
	write(t, only, map[string]string{"val_pubmed.json": fewRelExample})
	_, err = Find(NameFewRel, only)
	assert.NoError(t, err, "without the training file")
	_, err = LoadFewRel(t.Context(), root, "test_wiki")
	assert.ErrorContains(t, err, "there are train_wiki, val_wiki")
}

func FuzzTexts(f *testing.F) {
	f.Add([]byte("text,label\na,b\n"), uint8(0))
	f.Add([]byte("text\tlabel\na\tb\n"), uint8(1))
	f.Add([]byte(`{"text":"a","label":"b"}`), uint8(2))
	f.Add([]byte(fewRelExample), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, form uint8) {
		var set *Texts
		var err error
		if form %= 4; form == 3 {
			set, err = ParseFewRel(b)
		} else {
			path := filepath.Join(t.TempDir(), "a"+[]string{".csv", ".tsv", ".jsonl"}[form])
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			set, err = LoadTexts(t.Context(), path, TextOptions{})
		}
		if err != nil {
			return
		}
		if _, err := NewTexts(set.names, set.texts); err != nil {
			t.Fatal(err)
		}
	})
}
