package babi

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/engram-go/engram/dataset/internal/files"
)

// Data are training and test questions.
type Data struct {
	Train, Test []Question
	// Edition identifies data of the same layout: the name of the folder or archive and the start of the SHA-256 of
	// the files read. The authors' edition is tasks_1-20_v1-2.
	Edition string
	// Without lists the tasks that were left out because their training file is missing; see [Load].
	Without []int
}

// Of returns the questions of the given tasks.
func Of(questions []Question, tasks ...int) []Question {
	return slices.DeleteFunc(slices.Clone(questions), func(q Question) bool { return !slices.Contains(tasks, q.Task) })
}

// The folders of the layout: 1,000 training questions per task, and 10,000.
const (
	Folder1k  = "en"
	Folder10k = "en-10k"
)

// Load reads the given tasks, or all, from the released layout: the files qaN_*_train.txt and qaN_*_test.txt in the
// folder en, en-10k or another. The source is a folder that contains it, at any depth, or a zip or tar.gz of one.
// Symbolic links in a folder are followed.
//
// Where all tasks are read, a task with a test file and no training file is left out, as task 3 of copies of the release that lack
// its largest file. Data.Without and the edition say so. Of tasks that are asked for, and of any other missing file, it is an error.
func Load(ctx context.Context, source, folder string, tasks ...int) (*Data, error) {
	all := len(tasks) == 0
	if all {
		for t := range Tasks {
			tasks = append(tasks, t+1)
		}
	}
	wanted := func(name string) (key fileKey, ok bool) {
		key, ok = parseName(name, folder)
		return key, ok && slices.Contains(tasks, key.task)
	}
	found, err := open(ctx, source, wanted)
	if err != nil {
		return nil, fmt.Errorf("babi: reading %s: %w", source, err)
	}
	data, sum := &Data{}, sha256.New()
	if all {
		tasks = slices.DeleteFunc(tasks, func(task int) bool {
			_, train := found[fileKey{task, "train"}]
			_, test := found[fileKey{task, "test"}]
			if test && !train {
				data.Without = append(data.Without, task)
			}
			return test && !train
		})
		if len(tasks) == 0 {
			return nil, fmt.Errorf("babi: %s holds no training file in %s", source, folder)
		}
	}
	root := filepath.Base(source)
	if full, err := filepath.Abs(source); err == nil { // also for "."
		root = filepath.Base(full)
	}
	for _, task := range tasks {
		for _, part := range []string{"train", "test"} {
			f, ok := found[fileKey{task, part}]
			if !ok {
				return nil, fmt.Errorf("babi: %s holds no %s/qa%d_*_%s.txt", source, folder, task, part)
			}
			questions, err := Parse(strings.NewReader(f.text), f.at, task)
			if err != nil {
				return nil, err
			}
			if len(questions) == 0 {
				return nil, fmt.Errorf("babi: %s holds no question", f.at)
			}
			io.WriteString(sum, f.text)
			if part == "train" {
				data.Train = append(data.Train, questions...)
			} else {
				data.Test = append(data.Test, questions...)
			}
			// The edition of an archive is named after the folder in it, so the archive's own name does not matter.
			if above := path.Dir(path.Dir(f.name)); above != "." {
				root = path.Base(above)
			}
		}
	}
	for _, task := range data.Without {
		root += fmt.Sprintf(" without task %d", task)
	}
	data.Edition = fmt.Sprintf("%s, sha256 %.8x", root, sum.Sum(nil))
	return data, nil
}

// Lacks says in one sentence what was left out, or nothing.
func (d *Data) Lacks() string {
	if len(d.Without) == 0 {
		return ""
	}
	tasks := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(d.Without)), ", "), "[]")
	return fmt.Sprintf("the training file of task %s is missing: %d of %d tasks are trained and tested, and means are over these; "+
		"put the file of the release there for all", tasks, Tasks-len(d.Without), Tasks)
}

// fileKey identifies a file of the layout.
type fileKey struct {
	task int
	part string // train or test
}

// file is a file that has been read.
type file struct {
	name string // below the source, with slashes
	at   string // for errors
	text string
}

var filePattern = regexp.MustCompile(`^qa([0-9]{1,2})_(?:.*_)?(train|test)\.txt$`)

// parseName returns the file of the layout for a path; folders above the given folder do not matter.
func parseName(name, folder string) (fileKey, bool) {
	m := filePattern.FindStringSubmatch(path.Base(name))
	if m == nil || path.Base(path.Dir(name)) != folder {
		return fileKey{}, false
	}
	task, err := strconv.Atoi(m[1])
	return fileKey{task, m[2]}, err == nil
}

// maxFileBytes limits the size of a file; the largest known has 6 MB.
const maxFileBytes = 64 << 20

// open reads the wanted files of a source.
func open(ctx context.Context, source string, wanted func(string) (fileKey, bool)) (map[fileKey]file, error) {
	found := map[fileKey]file{}
	// take reads a file if it is wanted.
	take := func(name, at string, read func() (io.ReadCloser, error)) error {
		key, ok := wanted(name)
		if !ok {
			return ctx.Err()
		}
		if before, twice := found[key]; twice {
			return fmt.Errorf("it holds task %d twice: %s and %s", key.task, before.name, name)
		}
		r, err := read()
		if err != nil {
			return err
		}
		defer r.Close()
		text, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
		if err != nil {
			return &readError{name, err}
		}
		if len(text) > maxFileBytes {
			return fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
		}
		found[key] = file{name, at, string(text)}
		return ctx.Err()
	}
	switch {
	case strings.HasSuffix(source, ".zip"):
		r, err := zip.OpenReader(source)
		if errors.Is(err, zip.ErrFormat) {
			return nil, errors.New("it is truncated or not a zip archive")
		}
		if err != nil {
			return nil, err
		}
		defer r.Close()
		for _, f := range r.File {
			if err := take(f.Name, source+": "+f.Name, f.Open); err != nil {
				return nil, damaged("zip", err)
			}
		}
		return found, nil
	case strings.HasSuffix(source, ".tar.gz"), strings.HasSuffix(source, ".tgz"):
		return found, damaged("tar.gz", openTar(source, take))
	}
	return found, files.Walk(ctx, source, func(e files.Entry) error {
		_, wants := wanted(e.Name)
		switch {
		case e.Err != nil && wants:
			return e.Err
		case e.Info == nil || !e.Info.Mode().IsRegular():
			return nil
		}
		return take(e.Name, e.Path, func() (io.ReadCloser, error) { return os.Open(e.Path) })
	})
}

func openTar(source string, take func(name, at string, read func() (io.ReadCloser, error)) error) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return &readError{path.Base(filepath.ToSlash(source)), err}
	}
	r := tar.NewReader(unpacked)
	last := "the first file"
	for {
		h, err := r.Next()
		if err == io.EOF {
			// After the last file there is only gzip's checksum.
			_, err = io.Copy(io.Discard, unpacked)
		}
		if err != nil {
			return &readError{last, err}
		}
		if h == nil {
			return nil
		}
		if last = h.Name; h.Typeflag != tar.TypeReg {
			continue
		}
		if err := take(h.Name, source+": "+h.Name, func() (io.ReadCloser, error) { return io.NopCloser(r), nil }); err != nil {
			return err
		}
	}
}

// readError is an error while reading a file, or while reading an archive after its last file.
type readError struct {
	name string
	err  error
}

func (e *readError) Error() string { return e.name + ": " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// damaged explains a read error of an archive.
func damaged(kind string, err error) error {
	if read := new(*readError); errors.As(err, read) {
		return fmt.Errorf("it is truncated or not a %s archive: %w", kind, err)
	}
	return err
}
