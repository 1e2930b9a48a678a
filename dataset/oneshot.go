package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/image/draw"
)

// Lake's one-shot classification test: 20 runs of 20 characters of one alphabet, with one training and one test image
// each.
const (
	oneShotRuns  = 20
	oneShotWay   = 20
	oneShotFile  = "all_runs.zip"
	oneShotBytes = 4 << 10 // size of a list of answers; the author's have 980
)

// OneShotAlphabets lists the alphabets of Lake's runs, two runs each; all are in images_evaluation.
func OneShotAlphabets() []string {
	return []string{
		"Atlantean", "Ge_ez", "Glagolitic", "Gurmukhi", "Kannada", "Malayalam", "Manipuri", "Old_Church_Slavonic_(Cyrillic)",
		"Tengwar", "Tibetan",
	}
}

// OneShotRun is one of the 20 runs of Lake et al. 2015: find, for each of 20 test images, the training image of the
// same character among 20 of one alphabet, drawn by another person.
type OneShotRun struct {
	Training [][]float32 // 20 images [size, size], ink 1
	Test     [][]float32 // 20 images [size, size], ink 1
	Answers  []int       // for each test image, the training image of the same character
}

// LoadOneShotRuns reads Lake's 20 runs from all_runs.zip in a root folder, or from the folder all_runs in it: 400
// trials, of which published errors are percentages. Images are size pixels wide and high, at most 105, scaled down
// as by LoadOmniglot with the same filter.
func LoadOneShotRuns(root string, size int, filter Filter) (runs []OneShotRun, err error) {
	if size < 1 || size > OmniglotSide {
		return nil, fmt.Errorf("dataset: Lake's one-shot runs at %d pixels: choose a size from 1 to %d", size, OmniglotSide)
	}
	if filter, err = filter.check(); err != nil {
		return nil, err
	}
	files, closer, where, err := openOneShot(root)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	scaled := oneShotScaler{size, filter.drawings(size)}
	for n := range oneShotRuns {
		run, err := readOneShot(files, fmt.Sprintf("run%02d", n+1), where, scaled)
		if err != nil {
			return nil, fmt.Errorf("dataset: reading %s: %w; fetch it again", where, err)
		}
		runs = append(runs, run)
	}
	return runs, nil
}

func openOneShot(root string) (fs.FS, io.Closer, string, error) {
	archive, folder := filepath.Join(root, oneShotFile), filepath.Join(root, strings.TrimSuffix(oneShotFile, ".zip"))
	if r, err := zip.OpenReader(archive); err == nil {
		return r, r, archive, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, "", fmt.Errorf("dataset: reading %s: %w; fetch it again", archive, err)
	}
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return os.DirFS(folder), io.NopCloser(nil), folder, nil
	}
	return nil, nil, "", fmt.Errorf("dataset: Lake's one-shot runs: %w: neither %s nor %s exists; run `engram data fetch omniglot`, or put it there",
		ErrNotFound, archive, folder)
}

// readOneShot reads one run. Its list of answers has one line "runNN/test/itemII.png runNN/training/classCC.png" per
// item.
func readOneShot(files fs.FS, name, where string, scaled oneShotScaler) (OneShotRun, error) {
	var run OneShotRun
	var err error
	if run.Training, err = oneShotImages(files, name+"/training/class%02d.png", where, scaled); err != nil {
		return run, err
	}
	if run.Test, err = oneShotImages(files, name+"/test/item%02d.png", where, scaled); err != nil {
		return run, err
	}
	list := name + "/class_labels.txt"
	text, err := readBoundedFile(files, list, oneShotBytes)
	if err != nil {
		return run, err
	}
	run.Answers, err = parseOneShot(name, string(text))
	if err != nil {
		return run, fmt.Errorf("%s: %w", list, err)
	}
	return run, nil
}

// oneShotScaler brings images to a side.
type oneShotScaler struct {
	size   int
	scaler draw.Scaler
}

func oneShotImages(files fs.FS, pattern, where string, scaled oneShotScaler) ([][]float32, error) {
	var images [][]float32
	size := scaled.size
	bytes, scratch := make([]byte, size*size), image.NewRGBA(image.Rect(0, 0, size, size))
	for i := range oneShotWay {
		name := fmt.Sprintf(pattern, i+1)
		file := imageFile{name: path.Base(name), at: where + ": " + name, read: func() ([]byte, error) {
			return readBoundedFile(files, name, maxImageBytes)
		}}
		if err := file.decode(bytes, scaled.scaler, scratch); err != nil {
			return nil, err
		}
		pixels := make([]float32, len(bytes))
		for k, v := range bytes {
			pixels[k] = float32(v) / 255
		}
		images = append(images, pixels)
	}
	return images, nil
}

func readBoundedFile(files fs.FS, name string, most int64) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return b, err
}

// parseOneShot reads a list of answers: for each item, in order, the training image of the same character.
func parseOneShot(run, text string) ([]int, error) {
	answers := make([]int, oneShotWay)
	for i := range answers {
		answers[i] = -1
	}
	for n, line := range strings.Split(strings.TrimSpace(text), "\n") {
		var item, class int
		line = strings.TrimSpace(line)
		want := "a line " + run + "/test/itemII.png " + run + "/training/classCC.png"
		if _, err := fmt.Sscanf(line, run+"/test/item%02d.png "+run+"/training/class%02d.png", &item, &class); err != nil {
			return nil, fmt.Errorf("line %d: want %s, got %q", n+1, want, line)
		}
		if item < 1 || item > oneShotWay || class < 1 || class > oneShotWay {
			return nil, fmt.Errorf("line %d: items and classes are numbered from 01 to %d, got %q", n+1, oneShotWay, line)
		}
		if answers[item-1] >= 0 {
			return nil, fmt.Errorf("line %d: item %02d already has an answer", n+1, item)
		}
		answers[item-1] = class - 1
	}
	for i, a := range answers {
		if a < 0 {
			return nil, fmt.Errorf("item %02d has no answer", i+1)
		}
	}
	return answers, nil
}
