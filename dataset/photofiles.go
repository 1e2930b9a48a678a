package dataset

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The sub-folders that folders of classes lie in, and those that a set already split has below them.
func classBases() []string   { return []string{"", "data", "images", "processed"} }
func splitFolders() []string { return []string{"", "train", "val", "valid", "validation", "test"} }

// photoFiles is a layout of image files.
type photoFiles struct {
	p    *publication
	root string
	what string // of describe, with the root
	find func(ctx context.Context) (map[string][]string, error)

	classes map[string][]string // paths below the root by class; nil until found
}

func (l *photoFiles) describe() string { return l.what + " " + l.root }

func (l *photoFiles) files(ctx context.Context) (err error) {
	if l.classes == nil {
		l.classes, err = l.find(ctx)
	}
	return err
}

func (l *photoFiles) identity(ctx context.Context) (string, error) {
	if err := l.files(ctx); err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, class := range l.p.classes() {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		for _, file := range l.classes[class] {
			if err := stampFile(sum, class, join(l.root, file)); err != nil {
				return "", err
			}
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// stampFile writes a line that changes when a file does, as far as its name, size and time can tell.
func stampFile(w io.Writer, class, file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	line := strconv.AppendQuote(strconv.AppendQuote(nil, class), file) // several times as fast as Fprintf, for many files
	line = strconv.AppendInt(append(line, ' '), info.Size(), 10)
	line = strconv.AppendInt(append(line, ' '), info.ModTime().UnixNano(), 10)
	_, err = w.Write(append(line, '\n'))
	return err
}

func (l *photoFiles) list(ctx context.Context, e *encoded, o ImageOptions) (closer, error) {
	if err := l.files(ctx); err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", l.p.name, err)
	}
	var missing, files []string
	for _, class := range l.p.classes() {
		if len(l.classes[class]) == 0 {
			missing = append(missing, class)
		}
		e.names, e.counts = append(e.names, class), append(e.counts, len(l.classes[class]))
		files = append(files, l.classes[class]...)
	}
	if missing != nil {
		names := strings.Join(missing[:min(len(missing), someNames)], ", ")
		if len(missing) > someNames {
			names += ", …"
		}
		return nil, fmt.Errorf("dataset: %s lacks %d of the 100 classes of %s: %s; complete it", l.describe(), len(missing), l.p.name, names)
	}
	e.decoder = func() func(int, []byte) error {
		return func(i int, dst []byte) error { return decodeImage(dst, join(l.root, files[i]), o) }
	}
	return nil, nil
}

// findClassFolders finds a folder per class.
func findClassFolders(p *publication, root string) layout {
	for _, base := range classBases() {
		for _, class := range []string{p.split.Train[0], p.split.Val[0], p.split.Test[0]} {
			for _, part := range splitFolders() {
				if exists(join(root, path.Join(base, part, class)), true) {
					return &photoFiles{p: p, root: join(root, base), what: "folders per class in", find: func(context.Context) (map[string][]string, error) {
						return classFolders(p, join(root, base))
					}}
				}
			}
		}
	}
	return nil
}

func classFolders(p *publication, root string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, class := range p.classes() {
		for _, part := range splitFolders() {
			folder := path.Join(part, class)
			entries, err := os.ReadDir(join(root, folder))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, e := range entries {
				if !strings.HasPrefix(e.Name(), ".") && IsImage(e.Name()) {
					out[class] = append(out[class], path.Join(folder, e.Name()))
				}
			}
		}
		slices.SortStableFunc(out[class], func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	}
	return out, nil
}

// findFlat finds miniImageNet's images in one folder, whose names begin with the nine characters of the class.
func findFlat(p *publication, root string) layout {
	for _, folder := range []string{"images", "."} {
		if matches, _ := filepath.Glob(join(root, folder+"/"+p.split.Train[0]+"[0-9]*.*")); len(matches) == 0 { // fails on a bad pattern only
			continue
		}
		return &photoFiles{p: p, root: filepath.Join(root, folder), what: "one folder of images,", find: func(context.Context) (map[string][]string, error) {
			entries, err := os.ReadDir(filepath.Join(root, folder))
			if err != nil {
				return nil, err
			}
			out := map[string][]string{}
			for _, e := range entries {
				if name := e.Name(); len(name) > 9 && IsImage(name) {
					out[name[:9]] = append(out[name[:9]], name)
				}
			}
			return out, nil
		}}
	}
	return nil
}

// findCSV finds the lists train.csv, val.csv and test.csv with images beside them.
func findCSV(p *publication, root string) layout {
	for _, part := range []string{"train.csv", "val.csv", "test.csv"} {
		if !exists(filepath.Join(root, part), false) {
			return nil
		}
	}
	return &photoFiles{p: p, root: root, what: "the lists train.csv, val.csv and test.csv of", find: func(context.Context) (map[string][]string, error) {
		out := map[string][]string{}
		pattern := ""
		for _, part := range []struct {
			file    string
			classes []string
		}{{"train.csv", p.split.Train}, {"val.csv", p.split.Val}, {"test.csv", p.split.Test}} {
			file := filepath.Join(root, part.file)
			err := readCSV(file, []string{"filename|image_name", "label|class|class_name"}, func(row []string) error {
				name, class := row[0], row[1]
				if !slices.Contains(part.classes, class) {
					return fmt.Errorf("class %s does not belong to the %s classes of Ravi and Larochelle's split, which is the one that %s stands for; for another split use the kind images",
						class, strings.TrimSuffix(part.file, ".csv"), p.name)
				}
				if !plainName(name) {
					return fmt.Errorf("%q is not the name of a file", name)
				}
				if pattern == "" {
					if pattern = imagePattern(root, name, class); pattern == "" {
						return fmt.Errorf("there is no %s in %s: put the images there", name, filepath.Join(root, "images"))
					}
				}
				out[class] = append(out[class], strings.NewReplacer("CLASS", class, "NAME", name).Replace(pattern))
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	}}
}

// imagePattern finds where the images of lists lie.
func imagePattern(root, name, class string) string {
	for _, pattern := range []string{"images/NAME", "images/CLASS/NAME", "CLASS/NAME", "NAME"} {
		if exists(join(root, strings.NewReplacer("CLASS", class, "NAME", name).Replace(pattern)), false) {
			return pattern
		}
	}
	return ""
}
