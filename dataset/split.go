package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/engram-go/engram/dataset/internal/files"
	"github.com/engram-go/engram/stream"
)

// Names of the splits of Omniglot.
const (
	// SplitVinyals is the split that most papers use: 1028, 172 and 423 characters, read from the files train.txt,
	// val.txt and test.txt in splits/vinyals. Gurmukhi has characters in both training and test, but no character is
	// in two parts.
	SplitVinyals = "vinyals"
	// SplitTrainVal is SplitVinyals with its validation characters among those for training and none for validation, as Snell et
	// al. 2017 train in the end: 1200 and 423 characters.
	SplitTrainVal = "vinyals-trainval"
	// SplitLake trains on the author's background set and tests on the evaluation set, 659 characters. Of the 30
	// background alphabets, sorted by name and shuffled by the seed, the last 5 are the validation set; of fewer
	// alphabets a sixth, at least one.
	SplitLake = "lake"
	// SplitKoch trains on the author's background set, 964 characters of 30 alphabets, and tests on the ten
	// evaluation alphabets of Lake's one-shot runs, 382 characters; the other ten, 277 characters, are the validation
	// set. These are the numbers of alphabets of Koch et al. 2015, section 3.1, whose ten for validation are not
	// known.
	SplitKoch = "koch"
	// SplitRandom shuffles the 1623 sorted names by the seed: 1200 for training, of which the last 100 are held out
	// for validation (as in learn2learn), then 423 for test.
	SplitRandom = "random-1200"
	// SplitLatin trains on the 26 letters of Latin only, from the background set. Validation and test are those of
	// SplitLake, without Latin. It tests training on a small, narrow set.
	SplitLatin = "latin"
	// SplitSmall1 and SplitSmall2 train on the alphabets of the author's background small 1, 136 characters, or background small 2,
	// 156 characters: five each, as Lake et al. 2015 and 2019 report. Validation and test are those of SplitKoch.
	SplitSmall1 = "small1"
	SplitSmall2 = "small2"
)

// SplitNames lists the splits of Omniglot.
func SplitNames() []string {
	return []string{SplitVinyals, SplitTrainVal, SplitLake, SplitKoch, SplitRandom, SplitLatin, SplitSmall1, SplitSmall2}
}

// Split is three disjoint lists of class names, without rotations.
type Split struct {
	Name             string
	Train, Val, Test []string
}

// Parts is a set split in three.
type Parts struct {
	Train, Val, Test Set
}

// Parts splits a set and applies the rotations that make classes. It returns a MissingError if the split names
// classes that the set does not have, and an error for a class in two parts.
func (s Split) Parts(set Set, r Rotation) (Parts, error) {
	r, err := ParseRotation(string(r))
	if err != nil {
		return Parts{}, err
	}
	if r != RotateNone {
		if err := SquareError(set); err != nil {
			return Parts{}, err
		}
	}
	if err := s.disjoint(); err != nil {
		return Parts{}, err
	}
	var p Parts
	for _, part := range []struct {
		set   *Set
		names []string
		train bool
	}{{&p.Train, s.Train, true}, {&p.Val, s.Val, false}, {&p.Test, s.Test, false}} {
		chosen, err := Select(set, part.names)
		if missing := new(MissingError); errors.As(err, &missing) && slices.Contains(SplitNames(), s.Name) {
			return Parts{}, fmt.Errorf("split %s: %w; fetch Omniglot again", s.Name, err)
		}
		if err != nil {
			return Parts{}, fmt.Errorf("split %s: %w", s.Name, err)
		}
		if *part.set, err = r.apply(chosen, part.train); err != nil {
			return Parts{}, fmt.Errorf("split %s: %w", s.Name, err)
		}
	}
	return p, nil
}

func (s Split) disjoint() error {
	in := make(map[string]string)
	for _, part := range []struct {
		name  string
		names []string
	}{{"train", s.Train}, {"val", s.Val}, {"test", s.Test}} {
		for _, name := range part.names {
			name = norm.NFC.String(name)
			if folder, rest, ok := strings.Cut(name, "/"); s.Name == SplitFolders && ok && splitPart(folder) == part.name {
				name = rest // a class in the folders of several parts
			}
			if other, ok := in[name]; ok && (s.Name != SplitFolders || other != part.name) {
				return fmt.Errorf("dataset: split %s has %s in %s and in %s: a class belongs to one part", s.Name, name, other, part.name)
			}
			in[name] = part.name
		}
	}
	return nil
}

// ReadVinyals reads the lists train.txt, val.txt and test.txt in a folder.
func ReadVinyals(dir string) (Split, error) {
	s := Split{Name: SplitVinyals}
	for _, part := range []struct {
		file  string
		names *[]string
	}{{"train.txt", &s.Train}, {"val.txt", &s.Val}, {"test.txt", &s.Test}} {
		path := filepath.Join(dir, part.file)
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return Split{}, fmt.Errorf("dataset: the split %q needs the list %s: run `engram data fetch omniglot`, or put it there, or choose another split (%s): %w",
				SplitVinyals, path, strings.Join(SplitNames()[2:], ", "), err)
		}
		if err != nil {
			return Split{}, fmt.Errorf("dataset: reading a split list: %w", err)
		}
		*part.names, err = ParseSplit(bytes.NewReader(text))
		if err != nil {
			return Split{}, fmt.Errorf("dataset: %s: %w; fetch the list again", path, err)
		}
	}
	return s, s.disjoint()
}

// trainVal moves the validation classes of a split to those for training.
func (s Split) trainVal() Split {
	return Split{SplitTrainVal, slices.Concat(s.Train, s.Val), nil, s.Test}
}

// ParseSplit reads a list of lines ALPHABET/characterNN/rotRRR, or without the rotation, and returns the characters
// in order of first appearance. Blank lines, lines that begin with # and a byte order mark are skipped; with one, the
// list can be UTF-16. Errors name the line.
func ParseSplit(r io.Reader) ([]string, error) {
	var names []string
	seen := make(map[string]bool)  // lines
	known := make(map[string]bool) // characters
	scan := bufio.NewScanner(files.Decoder(r))
	scan.Buffer(nil, 4096)
	n := 0
	for scan.Scan() {
		n++
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Split(line, "/")
		if len(fields) == 3 {
			degrees, ok := strings.CutPrefix(fields[2], "rot")
			if d, err := strconv.ParseUint(degrees, 10, 16); !ok || err != nil || len(degrees) != 3 || d >= 360 || d%90 != 0 {
				return nil, fmt.Errorf("line %d: %q is not a rotation: want rot000, rot090, rot180 or rot270", n, fields[2])
			}
			fields = fields[:2]
		}
		if len(fields) != 2 || !plainName(fields[0]) || !plainName(fields[1]) {
			return nil, fmt.Errorf("line %d: %q is not of the form ALPHABET/characterNN/rotRRR", n, line)
		}
		if seen[line] {
			return nil, fmt.Errorf("line %d: %q is listed twice", n, line)
		}
		seen[line] = true
		if name := fields[0] + "/" + fields[1]; !known[name] {
			known[name] = true
			names = append(names, name)
		}
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("after line %d: %w", n, err)
	}
	if names == nil {
		return nil, errors.New("the list is empty")
	}
	return names, nil
}

// plainName reports whether a part of a path is an ordinary file or folder name.
func plainName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\\:\x00") && strings.TrimSpace(s) == s
}

// lakeSplit holds out whole alphabets of the background set for validation.
func lakeSplit(background, evaluation []string, seed uint64) (Split, error) {
	var alphabets []string
	for _, name := range background {
		alphabets = append(alphabets, alphabet(name))
	}
	slices.Sort(alphabets)
	alphabets = slices.Compact(alphabets)
	if len(alphabets) < 2 {
		return Split{}, fmt.Errorf("dataset: the split %q holds out alphabets for validation and needs at least 2 in images_background, which has %d: fetch the whole of Omniglot",
			SplitLake, len(alphabets))
	}
	stream.New(seed, "split/"+SplitLake).Shuffle(len(alphabets), func(i, j int) {
		alphabets[i], alphabets[j] = alphabets[j], alphabets[i]
	})
	held := max(1, len(alphabets)/6)
	held = len(alphabets) - held
	s := Split{Name: SplitLake, Test: slices.Clone(evaluation)}
	for _, name := range background {
		if slices.Contains(alphabets[held:], alphabet(name)) {
			s.Val = append(s.Val, name)
		} else {
			s.Train = append(s.Train, name)
		}
	}
	return s, nil
}

// latinSplit trains on the letters of Latin; the rest is SplitLake.
func latinSplit(background, evaluation []string, seed uint64) (Split, error) {
	s, err := lakeSplit(background, evaluation, seed)
	if err != nil {
		return Split{}, err
	}
	latin := func(name string) bool { return alphabet(name) == "Latin" }
	train := Split{Name: SplitLatin, Val: slices.DeleteFunc(s.Val, latin), Test: s.Test}
	for _, name := range background {
		if latin(name) {
			train.Train = append(train.Train, name)
		}
	}
	if train.Train == nil {
		return Split{}, fmt.Errorf("dataset: the split %q trains on the alphabet Latin, and images_background has none: fetch the whole of Omniglot", SplitLatin)
	}
	return train, nil
}

// smallAlphabets are the alphabets of the author's small background sets.
func smallAlphabets(split string) []string {
	if split == SplitSmall1 {
		return []string{"Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"}
	}
	return []string{"Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"}
}

// smallSplit trains on five alphabets; the rest is SplitKoch.
func smallSplit(name string, background, evaluation []string) (Split, error) {
	s, err := kochSplit(background, evaluation)
	if err != nil {
		return Split{}, err
	}
	s.Name, s.Train = name, nil
	for _, a := range smallAlphabets(name) {
		before := len(s.Train)
		for _, c := range background {
			if alphabet(c) == a {
				s.Train = append(s.Train, c)
			}
		}
		if len(s.Train) == before {
			return Split{}, fmt.Errorf("dataset: the split %q trains on five alphabets, and images_background has no %s: fetch the whole of Omniglot", name, a)
		}
	}
	return s, nil
}

// kochSplit splits the evaluation set by the alphabets of Lake's runs.
func kochSplit(background, evaluation []string) (Split, error) {
	s := Split{Name: SplitKoch, Train: slices.Clone(background)}
	in := make(map[string]bool)
	for _, name := range evaluation {
		in[alphabet(name)] = true
		if slices.Contains(OneShotAlphabets(), alphabet(name)) {
			s.Test = append(s.Test, name)
		} else {
			s.Val = append(s.Val, name)
		}
	}
	for _, a := range OneShotAlphabets() {
		if !in[a] {
			return Split{}, fmt.Errorf("dataset: the split %q tests on the alphabets of Lake's one-shot runs, and images_evaluation has no %s: fetch the whole of Omniglot", SplitKoch, a)
		}
	}
	return s, nil
}

// randomSplit shuffles the sorted names.
func randomSplit(names []string, seed uint64) (Split, error) {
	const train, val, all = 1100, 100, 1623
	if len(names) != all {
		return Split{}, fmt.Errorf("dataset: the split %q needs %d characters, but there are %d: fetch the whole of Omniglot", SplitRandom, all, len(names))
	}
	names = slices.Sorted(slices.Values(names))
	stream.New(seed, "split/"+SplitRandom).Shuffle(all, func(i, j int) { names[i], names[j] = names[j], names[i] })
	return Split{SplitRandom, names[:train:train], names[train : train+val : train+val], names[train+val:]}, nil
}

// Alphabets groups the classes of a set by alphabet, the first part of their names, in order of first appearance.
func Alphabets(set Set) [][]int {
	var groups [][]int
	at := make(map[string]int)
	for i := range set.Classes() {
		a := alphabet(set.Class(i))
		g, ok := at[a]
		if !ok {
			g = len(groups)
			at[a], groups = g, append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// alphabet returns the first part of a character's name.
func alphabet(name string) string {
	a, _, _ := strings.Cut(name, "/")
	return a
}
