package dataset

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Names of the sets of utterances with their intents, and of relations.
const (
	NameBanking77 = "banking77"
	NameCLINC150  = "clinc150"
	NameHWU64     = "hwu64"
	NameFewRel    = "fewrel"
)

// IntentNames lists the sets that [LoadIntents] reads.
func IntentNames() []string { return []string{NameBanking77, NameCLINC150, NameHWU64} }

// intentSet is what is published of a set: how many utterances its files have.
type intentSet struct {
	name, folder string
	classes      int
	train        int // of the folders with fixed shots
	valid, test  int
	distinct     int    // of valid
	outside      [2]int // of no class, in valid and test; 0 where there are none
	original     int    // of the original training data; 0 where it is not read
}

// intentSets has the counts of github.com/jianguoz/Few-Shot-Intent-Detection, and of PolyAI's and CLINC's own files.
func intentSets() []intentSet {
	return []intentSet{
		{NameBanking77, "BANKING77", 77, 8622, 1540, 3080, 1381, [2]int{}, 10_003},
		{NameCLINC150, "CLINC150", 150, 15_000, 3000, 4500, 3000, [2]int{100, 1000}, 15_000},
		{NameHWU64, "HWU64", 64, 8954, 1076, 1076, 1006, [2]int{}, 0},
	}
}

func intentSetOf(name string) (intentSet, bool) {
	all := intentSets()
	i := slices.IndexFunc(all, func(s intentSet) bool { return s.name == name })
	if i < 0 {
		return intentSet{}, false
	}
	return all[i], true
}

// Intents is a set of utterances in the parts that it is published in. Parts that the files lack are nil.
type Intents struct {
	Train, Train5, Train10 *Texts
	Valid                  *Texts // without its repeated lines
	Test                   *Texts
	// Utterances of none of the classes, beside Valid and Test; nil where there are none.
	OutsideValid, OutsideTest *Texts
	Notes                     []string // what the user should know of the files
}

// outsideFolder has utterances of no class, beside the folders of those of classes.
const outsideFolder = "oos"

// The forms that a set's files come in.
const (
	shotFolders  = "folders with fixed shots"
	originalCSV  = "CSV of the authors"
	originalJSON = "JSON of the authors"
)

// layoutOf finds the files of a set in a folder: the form they are in, and where; "" for none.
func (s intentSet) layoutOf(dir string) (form, root string) {
	for _, sub := range []string{"", s.folder, filepath.Join("Datasets", s.folder)} {
		root := filepath.Join(dir, sub)
		switch {
		case s.folders(root):
			return shotFolders, root
		case s.name == NameBanking77 && isFile(filepath.Join(root, "train.csv")) && isFile(filepath.Join(root, "test.csv")):
			return originalCSV, root
		case s.name == NameCLINC150 && isFile(filepath.Join(root, "data_full.json")):
			return originalJSON, root
		}
	}
	return "", ""
}

// folders reports whether a folder has the set's fixed shots. All sets have the same folders: the one whose number of classes is
// right is the set's.
func (s intentSet) folders(root string) bool {
	text, err := readTextFile(filepath.Join(root, "train_5", labelFile))
	if err != nil || !isFile(filepath.Join(root, "test", seqFile)) {
		return false
	}
	labels := map[string]bool{}
	for line := range strings.Lines(text) {
		labels[strings.TrimSpace(line)] = true
	}
	return len(labels) == s.classes
}

// needs says what to put in a folder.
func (s intentSet) needs() string {
	text := fmt.Sprintf("the folder %s of github.com/jianguoz/Few-Shot-Intent-Detection (train, train_5, train_10, valid and test, each with seq.in and label)", s.folder)
	switch s.name {
	case NameBanking77:
		text += ", or PolyAI's train.csv and test.csv"
	case NameCLINC150:
		text += ", or CLINC's data_full.json"
	}
	return text
}

// LoadIntents reads a set of utterances from the folder that [Find] finds, and checks its counts. Repeated lines of the validation
// part are dropped, and reported in Notes: BANKING77's and HWU64's are filled up with them.
func LoadIntents(ctx context.Context, name, root string) (*Intents, error) {
	s, ok := intentSetOf(name)
	if !ok {
		return nil, unknown(name)
	}
	form, dir := s.layoutOf(root)
	var out *Intents
	var err error
	switch form {
	case shotFolders:
		out, err = s.readFolders(ctx, dir)
	case originalCSV:
		out, err = s.readCSV(ctx, dir)
	case originalJSON:
		out, err = s.readJSON(dir)
	default:
		err = fmt.Errorf("%s has no %s", root, s.needs())
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", name, err)
	}
	if out.Valid != nil {
		var dropped int
		if out.Valid, dropped = out.Valid.Distinct(); dropped > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("%s: %d of the %d lines of valid repeat others and are left out", name, dropped, dropped+out.Valid.Len()))
		}
		if got := out.Valid.Len(); got != s.distinct {
			return nil, fmt.Errorf("dataset: %s: valid has %d different utterances, and %d are published: fetch the files again", name, got, s.distinct)
		}
	}
	return out, nil
}

// counted checks the size of a part.
func (s intentSet) counted(part string, t *Texts, want int) error {
	if t.Classes() != s.classes || t.Len() != want {
		return fmt.Errorf("%s has %d utterances of %d classes, and %d of %d are published: fetch the files again", part, t.Len(), t.Classes(), want, s.classes)
	}
	return nil
}

func (s intentSet) readFolders(ctx context.Context, dir string) (*Intents, error) {
	out := &Intents{}
	for _, p := range []struct {
		folder string
		into   **Texts
		want   int
	}{
		{"train", &out.Train, s.train}, {"train_5", &out.Train5, 5 * s.classes}, {"train_10", &out.Train10, 10 * s.classes},
		{"valid", &out.Valid, s.valid}, {"test", &out.Test, s.test},
	} {
		t, err := LoadTexts(ctx, filepath.Join(dir, p.folder), TextOptions{})
		if err == nil {
			err = s.counted(p.folder, t, p.want)
		}
		if err != nil {
			return nil, err
		}
		*p.into = t
	}
	if s.outside[0] > 0 && isFile(filepath.Join(dir, outsideFolder, "test", seqFile)) {
		for i, p := range []struct {
			folder string
			into   **Texts
		}{{"valid", &out.OutsideValid}, {"test", &out.OutsideTest}} {
			folder := filepath.Join(outsideFolder, p.folder)
			t, err := LoadTexts(ctx, filepath.Join(dir, folder), TextOptions{})
			if err != nil {
				return nil, err
			}
			if t.Classes() != 1 || t.Len() != s.outside[i] {
				return nil, fmt.Errorf("%s has %d utterances of %d labels, and %d of one are published: fetch the files again", folder, t.Len(), t.Classes(), s.outside[i])
			}
			*p.into = t
		}
	}
	for _, shots := range []*Texts{out.Train5, out.Train10} {
		for c := range shots.Classes() {
			if n := shots.Len() / s.classes; shots.Instances(c) != n {
				return nil, fmt.Errorf("train_%d has %d utterances of %s", n, shots.Instances(c), shots.Class(c))
			}
		}
	}
	return out, nil
}

func (s intentSet) readCSV(ctx context.Context, dir string) (*Intents, error) {
	out := &Intents{}
	for _, p := range []struct {
		file string
		into **Texts
		want int
	}{{"train.csv", &out.Train, s.original}, {"test.csv", &out.Test, s.test}} {
		t, err := LoadTexts(ctx, filepath.Join(dir, p.file), TextOptions{Text: "text", Label: "category"})
		if err == nil {
			err = s.counted(p.file, t, p.want)
		}
		if err != nil {
			return nil, err
		}
		*p.into = t
	}
	return out, nil
}

func (s intentSet) readJSON(dir string) (*Intents, error) {
	text, err := readTextFile(filepath.Join(dir, "data_full.json"))
	if err != nil {
		return nil, err
	}
	var parts map[string][][]string
	if err := json.Unmarshal([]byte(text), &parts); err != nil {
		return nil, fmt.Errorf("data_full.json: %w", err)
	}
	out := &Intents{}
	for _, p := range []struct {
		key  string
		into **Texts
		want int
	}{{"train", &out.Train, s.original}, {"val", &out.Valid, s.valid}, {"test", &out.Test, s.test}} {
		g := newTextGroups()
		for i, pair := range parts[p.key] {
			if len(pair) != 2 {
				return nil, fmt.Errorf("data_full.json: %s, entry %d is no pair of a text and a label", p.key, i+1)
			}
			if err := g.addChecked(pair[1], pair[0]); err != nil {
				return nil, fmt.Errorf("data_full.json: %s, entry %d: %w", p.key, i+1, err)
			}
		}
		t, err := g.set()
		if err == nil {
			err = s.counted(p.key, t, p.want)
		}
		if err != nil {
			return nil, fmt.Errorf("data_full.json: %s: %w", p.key, err)
		}
		*p.into = t
	}
	return out, nil
}

// Shots returns the fixed training file of 5 or 10 utterances per class.
func (i *Intents) Shots(n int) (*Texts, error) {
	t := map[int]*Texts{5: i.Train5, 10: i.Train10}[n]
	if t == nil {
		return nil, fmt.Errorf("dataset: the files have no fixed %d-shot part: it is one of github.com/jianguoz/Few-Shot-Intent-Detection, for 5 and 10", n)
	}
	return t, nil
}

// All returns the different utterances of all parts, for episodes of held-out classes.
func (i *Intents) All() *Texts {
	var parts []*Texts
	for _, t := range []*Texts{i.Train, i.Valid, i.Test} {
		if t != nil {
			parts = append(parts, t)
		}
	}
	all, _ := JoinTexts(parts...).Distinct()
	return all
}

// fewRelFile is a public file of FewRel.
type fewRelFile struct {
	name                 string
	relations, instances int // instances of each; 0 where they differ
}

func fewRelFiles() []fewRelFile {
	return []fewRelFile{{"train_wiki", 64, 700}, {"val_wiki", 16, 700}, {"val_nyt", 25, 100}, {"val_pubmed", 10, 100}, {"val_semeval", 17, 0}}
}

// FewRelFiles lists FewRel's public files of labelled sentences, without their endings.
func FewRelFiles() (names []string) {
	for _, f := range fewRelFiles() {
		names = append(names, f.name)
	}
	return names
}

// fewRelRoot finds one of FewRel's public files in a folder; "" where there is none.
func fewRelRoot(dir string) string {
	for _, sub := range []string{"", "data"} {
		for _, f := range fewRelFiles() {
			if isFile(filepath.Join(dir, sub, f.name+".json")) {
				return filepath.Join(dir, sub)
			}
		}
	}
	return ""
}

// LoadFewRel reads a public file of FewRel (Han et al. 2018; Gao et al. 2019), such as train_wiki, from the folder that [Find]
// finds, and checks its counts. A text is a sentence with its entities marked, @ head @ and # tail #, as in the punctuation markers
// of Zhou and Chen 2022, which every vocabulary has. A class is a relation, such as P931.
func LoadFewRel(ctx context.Context, root, name string) (*Texts, error) {
	all := fewRelFiles()
	i := slices.IndexFunc(all, func(f fewRelFile) bool { return f.name == name })
	if i < 0 {
		return nil, fmt.Errorf("dataset: fewrel: there is no file %q; there are %s", name, strings.Join(FewRelFiles(), ", "))
	}
	path := filepath.Join(root, name+".json")
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, err := readTextFile(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("dataset: fewrel: %w; put the file of github.com/thunlp/FewRel there", err)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: fewrel: %w", err)
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("dataset: fewrel: %s is empty: put the file of github.com/thunlp/FewRel there", path)
	}
	t, err := ParseFewRel([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("dataset: fewrel: %s: %w", path, err)
	}
	want := all[i]
	if t.Classes() != want.relations {
		return nil, fmt.Errorf("dataset: fewrel: %s has %d relations, and %d are published: fetch the file again", path, t.Classes(), want.relations)
	}
	for c := range t.Classes() {
		if n := t.Instances(c); want.instances > 0 && n != want.instances {
			return nil, fmt.Errorf("dataset: fewrel: %s has %d sentences of %s, and %d are published: fetch the file again", path, n, t.Class(c), want.instances)
		}
	}
	return t, nil
}

// ParseFewRel reads a file of FewRel: an object of lists of sentences, by relation.
func ParseFewRel(text []byte) (*Texts, error) {
	type entity []json.RawMessage // name, number, mentions
	var relations map[string][]struct {
		Tokens []string `json:"tokens"`
		Head   entity   `json:"h"`
		Tail   entity   `json:"t"`
	}
	if err := json.Unmarshal(text, &relations); err != nil {
		return nil, err
	}
	g := newTextGroups()
	for relation, sentences := range relations {
		for i, s := range sentences {
			before, after := make([]string, len(s.Tokens)), make([]string, len(s.Tokens))
			for _, e := range []struct {
				entity
				mark string
			}{{s.Head, "@"}, {s.Tail, "#"}} {
				var mentions [][]int
				if len(e.entity) < 3 || json.Unmarshal(e.entity[2], &mentions) != nil || len(mentions) == 0 || len(mentions[0]) == 0 {
					return nil, fmt.Errorf("%s, sentence %d: an entity has no mention", relation, i+1)
				}
				m := mentions[0]
				first, last := slices.Min(m), slices.Max(m)
				if first < 0 || last >= len(s.Tokens) {
					return nil, fmt.Errorf("%s, sentence %d: an entity is outside its %d words", relation, i+1, len(s.Tokens))
				}
				before[first] += e.mark + " "
				after[last] = " " + e.mark + after[last]
			}
			words := make([]string, len(s.Tokens))
			for k, w := range s.Tokens {
				words[k] = before[k] + w + after[k]
			}
			if err := g.addChecked(relation, strings.Join(words, " ")); err != nil {
				return nil, fmt.Errorf("%s, sentence %d: %w", relation, i+1, err)
			}
		}
	}
	return g.set()
}
