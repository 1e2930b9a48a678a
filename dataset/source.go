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

// Bounds on what an archive or folder may hold. Omniglot's largest image is below 1 kB and it has 32,460 of them.
const (
	maxImageBytes = 64 << 10
	maxImages     = 100_000
)

// character is one class of a source: its images in the order of their file names.
type character struct {
	name  string // ALPHABET/characterNN
	files []imageFile
}

// imageFile is one file of a source.
type imageFile struct {
	name string // base name
	at   string // where it is, for errors
	read func() ([]byte, error)
}

// source is images_background or images_evaluation, zipped or unpacked.
type source struct {
	part string // images_background or images_evaluation
	path string
	zip  bool
}

// findSource finds a part of Omniglot below a root; an archive goes before a folder, as it is faster to read and its
// checksums tell damage.
func findSource(root, part string) (source, bool) {
	if info, err := os.Stat(filepath.Join(root, part+".zip")); err == nil && !info.IsDir() {
		return source{part, filepath.Join(root, part+".zip"), true}, true
	}
	if info, err := os.Stat(filepath.Join(root, part)); err == nil && info.IsDir() {
		return source{part, filepath.Join(root, part), false}, true
	}
	return source{}, false
}

// identity changes whenever the source's files do, as far as names, sizes and times can tell.
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

// open lists the characters of a source, sorted by name. Close the closer when their files are no longer read.
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

// group sorts files, by slash-separated name, into characters.
func (s source) group(files map[string]imageFile) ([]character, error) {
	byName := make(map[string]*character)
	for name, f := range files {
		fields := strings.Split(name, "/")
		if len(fields) == 4 && fields[0] == s.part {
			fields = fields[1:]
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("image %q does not lie in ALPHABET/characterNN", name)
		}
		class := fields[0] + "/" + fields[1]
		if byName[class] == nil {
			byName[class] = &character{name: class}
		}
		f.name = fields[2]
		byName[class].files = append(byName[class].files, f)
	}
	if len(byName) == 0 {
		return nil, errors.New("there is no image ALPHABET/characterNN/NNNN_DD.png in it")
	}
	chars := make([]character, 0, len(byName))
	for _, c := range byName {
		slices.SortFunc(c.files, func(a, b imageFile) int { return strings.Compare(a.name, b.name) })
		for i := 1; i < len(c.files); i++ {
			if c.files[i].name == c.files[i-1].name {
				return nil, fmt.Errorf("image %s/%s is there twice", c.name, c.files[i].name)
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
		return nil, nil, errors.New("it is cut off or not a zip archive")
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

// zipFiles lists the images of an archive. Nothing is ever written to a path that an archive names; an archive with a
// path that leaves its folder is refused all the same, since it is not the author's.
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
			return nil, fmt.Errorf("entry %q claims %d bytes, an image has at most %d", f.Name, f.UncompressedSize64, maxImageBytes)
		}
		if _, twice := files[name]; twice {
			return nil, fmt.Errorf("entry %q is there twice", f.Name)
		}
		if len(files) == maxImages {
			return nil, fmt.Errorf("it has more than %d images", maxImages)
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
		case e.Dir() || skip(e.Name) || !e.Info.Mode().IsRegular(): // reading a pipe or a device would never end
			return nil
		case len(images) == maxImages:
			return fmt.Errorf("it has more than %d images", maxImages)
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

// skip says whether a file is no image: what Finder and others leave behind, a README.
func skip(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(name, "__MACOSX") || strings.HasPrefix(base, ".") || !strings.EqualFold(path.Ext(base), ".png")
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxImageBytes+1))
	if err == nil && len(b) > maxImageBytes {
		err = fmt.Errorf("it is larger than %d bytes, which no image of Omniglot is", maxImageBytes)
	}
	return b, err
}
