package dataset

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/engram-go/engram/dataset/internal/files"
	"github.com/engram-go/engram/stream"
)

// ShareSplit shuffles the classes of a set by a seed and assigns the shares train and val to training and validation,
// the rest to test. A non-zero share gets at least one class, and so does the rest.
func ShareSplit(set Set, train, val float64, seed uint64) (Split, error) {
	if !(train >= 0) || !(val >= 0) || train+val > 1 {
		return Split{}, fmt.Errorf("dataset: shares of %g for training and %g for validation: they must not be negative or sum to more than 1", train, val)
	}
	names := make([]string, set.Classes())
	for i := range names {
		names[i] = set.Class(i)
	}
	slices.Sort(names)
	stream.New(seed, "split/share").Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	count := func(share float64) int {
		n := int(math.Round(share * float64(len(names))))
		if share > 0 {
			n = max(n, 1)
		}
		return n
	}
	t, v := count(train), count(val)
	if train+val < 1 && t+v >= len(names) { // rounding must leave a class for test
		if t > v {
			t--
		} else {
			v--
		}
	}
	if t < 0 || v < 0 || t+v > len(names) || train > 0 && t == 0 || val > 0 && v == 0 {
		return Split{}, fmt.Errorf("dataset: %d classes are too few for training, validation and test: add classes, or omit one part", len(names))
	}
	return Split{Name: "share", Train: names[:t:t], Val: names[t : t+v : t+v], Test: names[t+v:]}, nil
}

// ListSplit reads the classes of each part from a file with one class per line, or from a CSV with a column named
// class or label, like Ravi and Larochelle's lists for miniImageNet. Blank lines and lines that begin with # are
// skipped; a class whose name begins with # needs a CSV and quotes. Files are UTF-8, or UTF-16 with a byte order
// mark. An empty file name means no classes.
func ListSplit(train, val, test string) (Split, error) {
	s := Split{Name: "lists"}
	for _, part := range []struct {
		file string
		into *[]string
	}{{train, &s.Train}, {val, &s.Val}, {test, &s.Test}} {
		if part.file == "" {
			continue
		}
		var err error
		if strings.EqualFold(filepath.Ext(part.file), ".csv") {
			err = readCSV(part.file, []string{"class|label"}, func(row []string) error {
				if !slices.Contains(*part.into, row[0]) {
					*part.into = append(*part.into, row[0])
				}
				return nil
			})
		} else {
			*part.into, err = readLines(part.file)
		}
		if err != nil {
			return Split{}, err
		}
		if len(*part.into) == 0 {
			return Split{}, fmt.Errorf("dataset: %s names no class", part.file)
		}
	}
	return s, s.disjoint()
}

// CSVSplit reads a CSV with the columns class (or label) and split, with the values train, val or test. Lines and
// encodings are as in [ListSplit].
func CSVSplit(file string) (Split, error) {
	s := Split{Name: "csv"}
	parts := map[string]*[]string{"train": &s.Train, "val": &s.Val, "test": &s.Test}
	err := readCSV(file, []string{"class|label", "split"}, func(row []string) error {
		part, ok := parts[row[1]]
		if !ok {
			return fmt.Errorf("unknown split %q: use train, val or test", row[1])
		}
		if !slices.Contains(*part, row[0]) {
			*part = append(*part, row[0])
		}
		return nil
	})
	if err != nil {
		return Split{}, err
	}
	return s, s.disjoint()
}

// readText reads a split list.
func readText(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("dataset: reading a split list: %w", err)
	}
	text, err := files.Text(b)
	if err != nil {
		return "", fmt.Errorf("dataset: reading the split list %s: %w", file, err)
	}
	return text, nil
}

func readLines(file string) ([]string, error) {
	text, err := readText(file)
	if err != nil {
		return nil, err
	}
	var names []string
	seen := map[string]bool{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if seen[norm.NFC.String(line)] {
			return nil, fmt.Errorf("dataset: %s, line %d: %q is listed twice", file, i+1, line)
		}
		seen[norm.NFC.String(line)] = true
		names = append(names, line)
	}
	return names, nil
}

// readCSV calls each with the values of the named columns of every row; a column can have alternative names.
func readCSV(file string, columns []string, each func(row []string) error) error {
	text, err := readText(file)
	if err != nil {
		return err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comment = '#'
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("dataset: %s is empty: its first line names the columns", file)
	}
	if err != nil {
		return fmt.Errorf("dataset: %s: %w", file, err)
	}
	at := make([]int, len(columns))
	for i, c := range columns {
		at[i] = slices.IndexFunc(header, func(name string) bool {
			return slices.Contains(strings.Split(c, "|"), strings.ToLower(strings.TrimSpace(name)))
		})
		if at[i] < 0 {
			return fmt.Errorf("dataset: %s has no column %s: its first line names %s", file, strings.ReplaceAll(c, "|", " or "), strings.Join(header, ", "))
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("dataset: %s: %w", file, err)
		}
		values := make([]string, len(at))
		for i, k := range at {
			values[i] = strings.TrimSpace(row[k])
		}
		if err := each(values); err != nil {
			line, _ := r.FieldPos(0)
			return fmt.Errorf("dataset: %s, line %d: %w", file, line, err)
		}
	}
}
