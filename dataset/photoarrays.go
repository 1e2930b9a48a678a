package dataset

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/engram-go/engram/dataset/cachefile"
	"github.com/engram-go/engram/dataset/internal/pickle"
)

// The folders in CIFAR-100's archives.
const (
	cifarPython = "cifar-100-python"
	cifarBinary = "cifar-100-binary"
)

// maxMemberBytes bounds what is unpacked of an archive; the largest file of CIFAR-100 has 155 MB.
const maxMemberBytes = 512 << 20

// contents are files that are mapped.
type contents struct{ bytes [][]byte }

// Close implements [io.Closer].
func (c *contents) Close() error {
	for _, b := range c.bytes {
		cachefile.Unmap(b)
	}
	return nil
}

// mapFiles maps files.
func mapFiles(paths []string) (*contents, error) {
	c := &contents{}
	for _, path := range paths {
		b, err := func() ([]byte, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			info, err := f.Stat()
			if err != nil {
				return nil, err
			}
			return cachefile.Map(f, info.Size())
		}()
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.bytes = append(c.bytes, b)
	}
	return c, nil
}

// mapNext maps the next n bytes of r, by way of a temporary file, so that they need not stay in memory.
func mapNext(r io.Reader, n int64) (b []byte, err error) {
	f, err := os.CreateTemp("", "engram-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if _, err := io.CopyN(f, r, n); err != nil {
		return nil, err
	}
	return cachefile.Map(f, n)
}

// untar maps files of a packed archive.
func untar(ctx context.Context, path string, names []string) (_ *contents, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	again := func(err error) error {
		return fmt.Errorf("%s is damaged: %w; fetch it again", path, noEOF(err))
	}
	packed, err := gzip.NewReader(f)
	if err != nil {
		return nil, again(err)
	}
	c := &contents{make([][]byte, len(names))}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	left := len(names)
	for r := tar.NewReader(packed); left > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s has no %s: fetch it again", path, strings.Join(names, ", "))
		}
		if err != nil {
			return nil, again(err)
		}
		i := slices.Index(names, strings.TrimPrefix(h.Name, "./"))
		if i < 0 || h.Typeflag != tar.TypeReg || c.bytes[i] != nil {
			continue
		}
		if h.Size > maxMemberBytes {
			return nil, fmt.Errorf("%s: %s has %d bytes, and no file of CIFAR-100 more than %d", path, h.Name, h.Size, maxMemberBytes)
		}
		c.bytes[i], err = mapNext(r, h.Size)
		if disk := new(os.PathError); errors.As(err, &disk) {
			return nil, fmt.Errorf("unpacking %s: %w", path, err)
		}
		if err != nil {
			return nil, again(err)
		}
		left--
	}
	return c, nil
}

// photoArrays is a layout of files that hold the pixels of many images each.
type photoArrays struct {
	p       *publication
	what    string
	archive string   // that holds the files; empty where they lie in a folder
	paths   []string // of the files, or in the archive
	// read finds the images in the contents of the files.
	read func(p *publication, files [][]byte, paths []string) (*arrays, error)
}

func (l *photoArrays) describe() string { return l.what }

func (l *photoArrays) identity(context.Context) (string, error) {
	sum := sha256.New()
	paths := l.paths
	if l.archive != "" {
		paths = []string{l.archive}
	}
	for _, path := range paths {
		if err := stampFile(sum, "", path); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

func (l *photoArrays) list(ctx context.Context, e *encoded, o ImageOptions) (closer, error) {
	var c *contents
	var err error
	if l.archive != "" {
		c, err = untar(ctx, l.archive, l.paths)
	} else {
		c, err = mapFiles(l.paths)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", l.p.name, err)
	}
	a, err := l.read(l.p, c.bytes, l.paths)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("dataset: %s: %w", l.p.name, err), c.Close())
	}
	var images []arrayImage
	for _, class := range a.classes {
		e.names, e.counts = append(e.names, class.name), append(e.counts, len(class.images))
		images = append(images, class.images...)
	}
	e.decoder = func() func(int, []byte) error {
		s := newScaler(l.p.side, o)
		return func(i int, dst []byte) error {
			s.write(dst, images[i].pixels, a.step, a.next)
			return nil
		}
	}
	return c, nil
}

// arrays are classes of images in memory.
type arrays struct {
	classes    []arrayClass
	step, next int // how far the channels of an image, and its pixels, lie apart
}

type arrayClass struct {
	name   string
	images []arrayImage
}

type arrayImage struct{ pixels []byte }

// findCIFAR finds CIFAR-100's archives or what was unpacked from them.
func findCIFAR(p *publication, root string) layout {
	for _, version := range []struct {
		folder string
		files  []string
		read   func(p *publication, files [][]byte, paths []string) (*arrays, error)
	}{
		{cifarPython, []string{"train", "test"}, readCIFARPickles},
		{cifarBinary, []string{"train.bin", "test.bin"}, readCIFARBinary},
	} {
		for _, folder := range []string{version.folder, "."} {
			var paths []string
			for _, file := range version.files {
				if path := filepath.Join(root, folder, file); exists(path, false) {
					paths = append(paths, path)
				}
			}
			if len(paths) == len(version.files) {
				return &photoArrays{p: p, what: filepath.Join(root, folder), paths: paths, read: version.read}
			}
		}
		if archive := filepath.Join(root, version.folder+".tar.gz"); exists(archive, false) {
			l := &photoArrays{p: p, what: archive, archive: archive, read: version.read}
			for _, file := range version.files {
				l.paths = append(l.paths, version.folder+"/"+file)
			}
			return l
		}
	}
	return nil
}

// bySplit sorts images with CIFAR-100's fine labels into the classes of a split, the training images of CIFAR-100 before its test
// images.
func (p *publication) bySplit(images [][]arrayImage) *arrays {
	side := p.side
	a := &arrays{step: side * side, next: 1}
	for _, class := range p.classes() {
		a.classes = append(a.classes, arrayClass{class, images[slices.Index(p.fine, class)]})
	}
	return a
}

// readCIFARPickles reads the pickles train and test: dicts with data [images, 3072], the planes of red, green and blue one after
// another, and fine_labels.
func readCIFARPickles(p *publication, files [][]byte, paths []string) (*arrays, error) {
	images, size := make([][]arrayImage, len(p.fine)), 3*p.side*p.side
	for i, file := range files {
		d, err := loadDict(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
		data, labels, err := dataAndLabels(d, "data", "fine_labels", size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
		for k, label := range labels {
			if label < 0 || label >= len(images) {
				return nil, fmt.Errorf("%s: image %d has the label %d, and CIFAR-100 has %d classes", paths[i], k, label, len(images))
			}
			images[label] = append(images[label], arrayImage{data[k*size : (k+1)*size]})
		}
	}
	return p.bySplit(images), nil
}

// readCIFARBinary reads train.bin and test.bin: for each image its coarse label, its fine label, and 3072 pixels.
func readCIFARBinary(p *publication, files [][]byte, paths []string) (*arrays, error) {
	images, size := make([][]arrayImage, len(p.fine)), 2+3*p.side*p.side
	for i, file := range files {
		if len(file)%size != 0 {
			return nil, fmt.Errorf("%s has %d bytes, which is no multiple of the %d of an image: fetch it again", paths[i], len(file), size)
		}
		for image := range slices.Chunk(file, size) {
			label := int(image[1])
			if label >= len(images) {
				return nil, fmt.Errorf("%s: an image has the label %d, and CIFAR-100 has %d classes", paths[i], label, len(images))
			}
			images[label] = append(images[label], arrayImage{image[2:]})
		}
	}
	return p.bySplit(images), nil
}

func loadDict(file []byte) (*pickle.Dict, error) {
	v, err := pickle.Load(file)
	if err != nil {
		return nil, err
	}
	d, ok := v.(*pickle.Dict)
	if !ok {
		return nil, errors.New("the pickle holds no dict of images and labels")
	}
	return d, nil
}

// byteArray returns the data of an array of bytes, of images of a size each.
func byteArray(d *pickle.Dict, key string, size int) ([]byte, error) {
	v, ok := d.Get(key)
	if !ok {
		return nil, fmt.Errorf("the pickle has no %s", key)
	}
	a, ok := v.(*pickle.Array)
	if !ok || a.Type[1:] != "u1" || a.Fortran || len(a.Shape) < 2 {
		return nil, fmt.Errorf("%s of the pickle is no array of bytes, [images, …]", key)
	}
	if a.Shape[0]*size != len(a.Data) {
		return nil, fmt.Errorf("%s of the pickle has the shape %v: an image needs %d values", key, a.Shape, size)
	}
	return a.Data, nil
}

func dataAndLabels(d *pickle.Dict, data, labels string, size int) ([]byte, []int, error) {
	pixels, err := byteArray(d, data, size)
	if err != nil {
		return nil, nil, err
	}
	v, ok := d.Get(labels)
	if !ok {
		return nil, nil, fmt.Errorf("the pickle has no %s", labels)
	}
	ints, ok := pickle.Ints(v)
	if !ok || len(ints)*size != len(pixels) {
		return nil, nil, fmt.Errorf("%s of the pickle are not one number for each of %d images", labels, len(pixels)/size)
	}
	return pixels, ints, nil
}

// findPickles finds a pickle for each part.
func findPickles(p *publication, root string) layout {
	for _, set := range p.pickles {
		var paths []string
		for _, names := range [][]string{set.train, set.val, set.test} {
			for _, name := range names {
				if path := filepath.Join(root, name); exists(path, false) {
					paths = append(paths, path)
					break
				}
			}
		}
		if len(paths) == 3 {
			return &photoArrays{p: p, what: "pickles in " + root, paths: paths, read: readParts}
		}
	}
	return nil
}

// readParts reads a pickle for each part of the split: data [images, height, width, 3] with labels, and perhaps catname2label; or
// image_data with class_dict. Classes without a name are called by their part and label.
func readParts(p *publication, files [][]byte, paths []string) (*arrays, error) {
	out := &arrays{step: 1, next: 3}
	size := 3 * p.side * p.side
	for i, want := range [][]string{p.split.Train, p.split.Val, p.split.Test} {
		d, err := loadDict(files[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
		part := []string{"train", "val", "test"}[i]
		classes, err := partClasses(d, part, size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
		if len(classes) != len(want) {
			return nil, fmt.Errorf("%s has %d classes, and %s has %d for %s: complete it", paths[i], len(classes), p.name, len(want), part)
		}
		for _, c := range classes {
			if strings.Contains(c.name, "/") || slices.Contains(want, c.name) {
				continue
			}
			return nil, fmt.Errorf("%s has class %s, which is not among the %s classes of %s: it is of another split", paths[i], c.name, part, p.name)
		}
		out.classes = append(out.classes, classes...)
	}
	return out, nil
}

func partClasses(d *pickle.Dict, part string, size int) ([]arrayClass, error) {
	var out []arrayClass
	if v, ok := d.Get("class_dict"); ok {
		data, err := byteArray(d, "image_data", size)
		if err != nil {
			return nil, err
		}
		classes, ok := v.(*pickle.Dict)
		if !ok {
			return nil, errors.New("class_dict of the pickle is no dict of classes")
		}
		classes.All(func(name string, of any) {
			rows, ok := pickle.Ints(of)
			class := arrayClass{name: name}
			for _, row := range rows {
				if ok = ok && row >= 0 && row < len(data)/size; ok {
					class.images = append(class.images, arrayImage{data[row*size : (row+1)*size]})
				}
			}
			if !ok && err == nil {
				err = fmt.Errorf("class_dict of the pickle names images of class %s that are not there", name)
			}
			out = append(out, class)
		})
		slices.SortFunc(out, func(a, b arrayClass) int { return strings.Compare(a.name, b.name) })
		return out, err
	}
	data, labels, err := dataAndLabels(d, "data", "labels", size)
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	if v, ok := d.Get("catname2label"); ok {
		if all, ok := v.(*pickle.Dict); ok {
			all.All(func(name string, label any) {
				if n, ok := label.(int64); ok {
					names[int(n)] = name
				}
			})
		}
	}
	images := map[int][]arrayImage{}
	for k, label := range labels {
		images[label] = append(images[label], arrayImage{data[k*size : (k+1)*size]})
	}
	for label, of := range images {
		name, ok := names[label]
		if !ok {
			name = fmt.Sprintf("%s/%03d", part, label)
		}
		out = append(out, arrayClass{name, of})
	}
	slices.SortFunc(out, func(a, b arrayClass) int { return strings.Compare(a.name, b.name) })
	return out, nil
}
