package dataset

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/engram-go/engram/dataset/internal/files"
)

// Limits of an archive or folder. Omniglot's largest image is below 1 kB and it has 32,460 of them.
const (
	maxImageBytes = 64 << 10
	maxImages     = 100_000
)

// character is one class of a source, with images in the order of their file names.
type character struct {
	name  string // ALPHABET/characterNN
	files []imageFile
}

// imageFile is one file of a source.
type imageFile struct {
	name string // base name
	at   string // location, for errors
	read func() ([]byte, error)
}

// source is images_background or images_evaluation, zipped or unpacked.
type source struct {
	part string // images_background or images_evaluation
	path string
	zip  bool
}

// findSource finds a part of Omniglot in a root. An archive comes before a folder, because it is faster to read and
// has checksums.
func findSource(root, part string) (source, bool) {
	if info, err := os.Stat(filepath.Join(root, part+".zip")); err == nil && !info.IsDir() {
		return source{part, filepath.Join(root, part+".zip"), true}, true
	}
	if info, err := os.Stat(filepath.Join(root, part)); err == nil && info.IsDir() {
		return source{part, filepath.Join(root, part), false}, true
	}
	return source{}, false
}

// identity changes whenever the names, sizes or times of the source's files change.
func (s source) identity(ctx context.Context, w io.Writer) error {
	full, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	stamp := func(name string, info fs.FileInfo) {
		fmt.Fprintf(w, "%q %d %s\n", name, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
	}
	if s.zip {
		info, err := os.Stat(s.path)
		if err != nil {
			return err
		}
		stamp(full, info)
		return nil
	}
	fmt.Fprintf(w, "%q\n", full)
	return files.Walk(ctx, s.path, func(e files.Entry) error {
		if e.Info != nil && !e.Dir() {
			stamp(e.Name, e.Info)
		}
		return nil
	})
}

// open lists the characters of a source, sorted by name. Close the closer after reading their files.
func (s source) open(ctx context.Context) ([]character, io.Closer, error) {
	list, again := s.listFolder, "copy the folder again"
	if s.zip {
		list, again = s.listZip, "fetch the file again"
	}
	files, closer, err := list(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("dataset: reading %s: %w; %s", s.path, err, again)
	}
	chars, err := s.group(files)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("dataset: reading %s: %w; %s", s.path, err, again), closer.Close())
	}
	return chars, closer, nil
}

// group groups files by character.
func (s source) group(files map[string]imageFile) ([]character, error) {
	byName := make(map[string]*character)
	for name, f := range files {
		fields := strings.Split(name, "/")
		if len(fields) == 4 && fields[0] == s.part {
			fields = fields[1:]
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("image %q is not in a folder ALPHABET/characterNN", name)
		}
		class := fields[0] + "/" + fields[1]
		if byName[class] == nil {
			byName[class] = &character{name: class}
		}
		f.name = fields[2]
		byName[class].files = append(byName[class].files, f)
	}
	if len(byName) == 0 {
		return nil, errors.New("no image ALPHABET/characterNN/NNNN_DD.png")
	}
	chars := make([]character, 0, len(byName))
	for _, c := range byName {
		slices.SortFunc(c.files, func(a, b imageFile) int { return strings.Compare(a.name, b.name) })
		for i := 1; i < len(c.files); i++ {
			if c.files[i].name == c.files[i-1].name {
				return nil, fmt.Errorf("duplicate image %s/%s", c.name, c.files[i].name)
			}
		}
		chars = append(chars, *c)
	}
	slices.SortFunc(chars, func(a, b character) int { return strings.Compare(a.name, b.name) })
	return chars, nil
}

func (s source) listZip(ctx context.Context) (map[string]imageFile, io.Closer, error) {
	r, err := zip.OpenReader(s.path)
	if errors.Is(err, zip.ErrFormat) {
		return nil, nil, errors.New("it is truncated or not a zip archive")
	}
	if err != nil {
		return nil, nil, err
	}
	files, err := zipFiles(&r.Reader, s.path)
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	return files, r, nil
}

// zipFiles lists the images of an archive. Nothing is ever written to a path from an archive; an archive with a path
// outside its folder is refused because it is not the author's.
func zipFiles(r *zip.Reader, where string) (map[string]imageFile, error) {
	files := make(map[string]imageFile)
	for _, f := range r.File {
		name := strings.TrimSuffix(f.Name, "/")
		if !fs.ValidPath(name) || strings.ContainsAny(name, "\\:\x00") {
			return nil, fmt.Errorf("entry %q points outside the archive", f.Name)
		}
		if skip(name) || strings.HasSuffix(f.Name, "/") {
			continue
		}
		if f.UncompressedSize64 > maxImageBytes {
			return nil, fmt.Errorf("entry %q claims %d bytes, the limit for an image is %d", f.Name, f.UncompressedSize64, maxImageBytes)
		}
		if _, twice := files[name]; twice {
			return nil, fmt.Errorf("duplicate entry %q", f.Name)
		}
		if len(files) == maxImages {
			return nil, fmt.Errorf("more than %d images", maxImages)
		}
		files[name] = imageFile{at: where + ": " + f.Name, read: func() ([]byte, error) {
			r, err := f.Open()
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return readBounded(r)
		}}
	}
	return files, nil
}

func (s source) listFolder(ctx context.Context) (map[string]imageFile, io.Closer, error) {
	images := make(map[string]imageFile)
	err := files.Walk(ctx, s.path, func(e files.Entry) error {
		switch {
		case e.Err != nil && (path.Ext(e.Base()) == "" || !skip(e.Name)):
			return e.Err
		case e.Dir() || skip(e.Name) || !e.Info.Mode().IsRegular(): // reading a pipe or a device might never end
			return nil
		case len(images) == maxImages:
			return fmt.Errorf("more than %d images", maxImages)
		}
		images[e.Name] = imageFile{at: e.Path, read: func() ([]byte, error) {
			f, err := os.Open(e.Path)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return readBounded(f)
		}}
		return nil
	})
	return images, io.NopCloser(nil), err
}

// skip reports whether a file is not an image, such as Finder's files or a README.
func skip(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(name, "__MACOSX") || strings.HasPrefix(base, ".") || !strings.EqualFold(path.Ext(base), ".png")
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxImageBytes+1))
	if err == nil && len(b) > maxImageBytes {
		err = fmt.Errorf("it is larger than %d bytes, unlike any image of Omniglot", maxImageBytes)
	}
	return b, err
}
