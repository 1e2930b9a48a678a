package dataset

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/engram-go/engram/dataset/internal/files"
)

// NameText is the kind of a user's own texts.
const NameText = "text"

// TextFormats are the forms of texts that [LoadTexts] reads, for messages.
const TextFormats = "CSV, TSV, JSON lines, or a folder with a folder of .txt files, or a .txt file with a text a line, for each class"

// Limits of text files, which are read to memory.
const (
	maxTextFileBytes = 1 << 30
	maxTextBytes     = 1 << 20
	maxTexts         = 5_000_000
)

// TextOptions are the settings of [LoadTexts]. Zero values mean the usual names.
type TextOptions struct {
	// Text and Label name the columns of CSV and TSV, and the keys of JSON lines. Empty ones are the first there are of text,
	// sentence, utterance, query and question; and of label, category, intent, class and target.
	Text, Label string
}

// LoadTexts reads labelled texts. The classes are sorted by name; the texts of a class keep their order.
//
//   - .csv and .tsv: the first line names the columns. A field in quotes may hold line breaks.
//   - .jsonl and .ndjson: one object a line. A label may be a number.
//   - a folder: each folder in it is a class, with one text per .txt file, sorted by name; each .txt file in it is a class, with
//     one text a line. A file seq.in with a file label beside it is one of texts with their classes, a line each.
//
// Files are UTF-8, or UTF-16 with a byte order mark. White space around texts is left out.
func LoadTexts(ctx context.Context, path string, o TextOptions) (*Texts, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: text: %w", err)
	}
	g := newTextGroups()
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case info.IsDir():
		err = readTextFolder(ctx, path, g)
	case ext == ".csv":
		err = readTable(path, ',', o, g)
	case ext == ".tsv":
		err = readTable(path, '\t', o, g)
	case ext == ".jsonl" || ext == ".ndjson":
		err = readJSONLines(path, o, g)
	default:
		err = fmt.Errorf("%s is none of these: %s", path, TextFormats)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: text: %w", err)
	}
	set, err := g.set()
	if err != nil {
		return nil, fmt.Errorf("dataset: text: %s: %w", path, err)
	}
	return set, nil
}

// readTextFile reads a whole file as UTF-8.
func readTextFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxTextFileBytes {
		return "", fmt.Errorf("%s must be a regular file of at most %d bytes", path, maxTextFileBytes)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text, err := files.Text(b)
	if err == nil && !utf8.ValidString(text) {
		err = errors.New("it is not in UTF-8: save it as UTF-8")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// addChecked adds a text. Errors name what is wrong with it.
func (g *textGroups) addChecked(class, text string) error {
	class, text = strings.TrimSpace(class), strings.TrimSpace(text)
	switch {
	case class == "":
		return errors.New("the label is empty")
	case text == "":
		return errors.New("the text is empty")
	case len(text) > maxTextBytes:
		return fmt.Errorf("the text has %d bytes, and the limit is %d", len(text), maxTextBytes)
	}
	g.add(class, text)
	return nil
}

// The usual names of columns.
var (
	textColumns  = [...]string{"text", "sentence", "utterance", "query", "question"}
	labelColumns = [...]string{"label", "category", "intent", "class", "target"}
)

// column finds a column by the name given, or by one of the usual ones.
func columnOf(header []string, given string, usual []string) (int, error) {
	names := usual
	if given != "" {
		names = []string{given}
	}
	for _, name := range names {
		if i := slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) }); i >= 0 {
			return i, nil
		}
	}
	return 0, fmt.Errorf("it has no column %s; it has %s", strings.Join(names, " or "), strings.Join(header, ", "))
}

func readTable(path string, comma rune, o TextOptions, g *textGroups) error {
	text, err := readTextFile(path)
	if err != nil {
		return err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.ReuseRecord, r.LazyQuotes = comma, true, comma == '\t'
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is empty: its first line names the columns", path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	textAt, err := columnOf(header, o.Text, textColumns[:])
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	labelAt, err := columnOf(header, o.Label, labelColumns[:])
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for n := 0; ; n++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n == maxTexts {
			return fmt.Errorf("%s has more than %d texts", path, maxTexts)
		}
		if err == nil {
			if err = g.addChecked(strings.Clone(row[labelAt]), strings.Clone(row[textAt])); err != nil {
				line, _ := r.FieldPos(0)
				err = fmt.Errorf("line %d: %w", line, err)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

func readJSONLines(path string, o TextOptions, g *textGroups) error {
	text, err := readTextFile(path)
	if err != nil {
		return err
	}
	n, count := 0, 0
	for line := range strings.Lines(text) {
		if n++; strings.TrimSpace(line) == "" {
			continue
		}
		if count++; count > maxTexts {
			return fmt.Errorf("%s has more than %d texts", path, maxTexts)
		}
		if err := readObject(line, o, g); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
	return nil
}

func readObject(line string, o TextOptions, g *textGroups) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &object); err != nil {
		return fmt.Errorf("it is no JSON object: %w", err)
	}
	var keys []string
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	textAt, err := columnOf(keys, o.Text, textColumns[:])
	if err != nil {
		return err
	}
	labelAt, err := columnOf(keys, o.Label, labelColumns[:])
	if err != nil {
		return err
	}
	var text string
	if err := json.Unmarshal(object[keys[textAt]], &text); err != nil {
		return fmt.Errorf("%s is no text: %w", keys[textAt], err)
	}
	var label any
	d := json.NewDecoder(strings.NewReader(string(object[keys[labelAt]])))
	d.UseNumber()
	if err := d.Decode(&label); err != nil {
		return fmt.Errorf("%s: %w", keys[labelAt], err)
	}
	switch label := label.(type) {
	case string:
		return g.addChecked(label, text)
	case json.Number:
		return g.addChecked(label.String(), text)
	}
	return fmt.Errorf("%s is neither a text nor a number", keys[labelAt])
}

func readTextFolder(ctx context.Context, dir string, g *textGroups) error {
	if seq := filepath.Join(dir, seqFile); isFile(seq) && isFile(filepath.Join(dir, labelFile)) {
		return readParallel(dir, g)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := e.Name()
		path := filepath.Join(dir, name)
		info, err := os.Stat(path) // of what a link leads to
		switch {
		case name[0] == '.':
			continue
		case err != nil:
			return err
		case info.IsDir():
			err = readClassFolder(ctx, name, path, g)
		case isTXT(name):
			err = readClassLines(strings.TrimSuffix(name, filepath.Ext(name)), path, g)
		}
		if err != nil {
			return err
		}
	}
	if len(g.by) == 0 {
		return fmt.Errorf("%s has no .txt files: it must have %s", dir, "a folder of .txt files, or a .txt file with a text a line, for each class")
	}
	return nil
}

func isTXT(name string) bool { return strings.EqualFold(filepath.Ext(name), ".txt") }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readClassFolder reads the files of a class, one text each.
func readClassFolder(ctx context.Context, class, dir string, g *textGroups) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Name()[0] == '.' || !isTXT(e.Name()) {
			continue
		}
		found = true
		path := filepath.Join(dir, e.Name())
		text, err := readTextFile(path)
		if err != nil {
			return err
		}
		if err := g.addChecked(class, text); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if !found {
		return fmt.Errorf("%s has no .txt files: a class needs one", dir)
	}
	return nil
}

// readClassLines reads the file of a class, with one text a line. Empty lines are left out.
func readClassLines(class, path string, g *textGroups) error {
	text, err := readTextFile(path)
	if err != nil {
		return err
	}
	n, found := 0, false
	for line := range strings.Lines(text) {
		if n++; strings.TrimSpace(line) == "" {
			continue
		}
		found = true
		if err := g.addChecked(class, line); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
	if !found {
		return fmt.Errorf("%s has no text: it must have one a line", path)
	}
	return nil
}

// Files of texts with their classes, a line each.
const (
	seqFile   = "seq.in"
	labelFile = "label"
)

func readParallel(dir string, g *textGroups) error {
	var lines [2][]string
	for i, name := range []string{seqFile, labelFile} {
		text, err := readTextFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		lines[i] = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	if len(lines[0]) != len(lines[1]) {
		return fmt.Errorf("%s: %s has %d lines and %s %d: they must have as many", dir, seqFile, len(lines[0]), labelFile, len(lines[1]))
	}
	for i := range lines[0] {
		if err := g.addChecked(lines[1][i], lines[0][i]); err != nil {
			return fmt.Errorf("%s: line %d: %w", dir, i+1, err)
		}
	}
	return nil
}

// ReadTexts reads texts to classify, one a line; empty lines are left out.
func ReadTexts(r io.Reader) (texts []string, err error) {
	s := bufio.NewScanner(files.Decoder(r))
	s.Buffer(make([]byte, 0, 64<<10), maxTextBytes)
	n := 0
	for s.Scan() {
		n++
		text := strings.TrimSpace(s.Text())
		switch {
		case !utf8.ValidString(text):
			return nil, fmt.Errorf("dataset: text: line %d is not in UTF-8", n)
		case len(texts) == maxTexts:
			return nil, fmt.Errorf("dataset: text: more than %d texts", maxTexts)
		case text != "":
			texts = append(texts, text)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("dataset: text: after line %d: %w", n, err)
	}
	return texts, nil
}

// ReadTextFiles reads texts to classify from a file with one a line, or from the .txt files of a folder.
func ReadTextFiles(path string) (texts []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	paths := []string{path}
	if info.IsDir() {
		paths = nil
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Name()[0] != '.' && isTXT(e.Name()) {
				paths = append(paths, filepath.Join(path, e.Name()))
			}
		}
	}
	for _, p := range paths {
		text, err := readTextFile(p)
		if err != nil {
			return nil, err
		}
		some, err := ReadTexts(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		texts = append(texts, some...)
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return texts, nil
}
