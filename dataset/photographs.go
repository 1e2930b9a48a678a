package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/draw"
)

// publication is what is published of a data set of photographs.
type publication struct {
	name     string
	side     int // of its images in pixels, which have three channels
	perClass int
	split    Split
	fine     []string // the classes in the order of CIFAR-100's fine labels; nil for other sets
	pickles  []pickleFiles
	needs    string // what Find's error says to bring, with the layouts that are read
}

// pickleFiles are pickles for training, validation and test, in the spellings that are found.
type pickleFiles struct {
	train, val, test []string
}

func publications() []publication {
	cifar := func(name, prefix string, split Split) publication {
		return publication{
			name: name, side: 32, perClass: 600, split: split, fine: cifar100Classes(),
			pickles: []pickleFiles{{[]string{prefix + "_train.pickle"}, []string{prefix + "_val.pickle"}, []string{prefix + "_test.pickle"}}},
			needs: cifarPython + ".tar.gz or " + cifarBinary + ".tar.gz (or a folder unpacked from them), or a folder per class (below data, images, or train, val and test), or " +
				prefix + "_train.pickle, " + prefix + "_val.pickle and " + prefix + "_test.pickle",
		}
	}
	return []publication{
		cifar(NameCIFARFS, "CIFAR_FS", cifarFSSplit()),
		cifar(NameFC100, "FC100", fc100Split()),
		{
			name: NameMiniImageNet, side: 84, perClass: 600, split: miniImageNetSplit(),
			pickles: []pickleFiles{
				{
					[]string{"miniImageNet_category_split_train_phase_train.pickle"}, []string{"miniImageNet_category_split_val.pickle"},
					[]string{"miniImageNet_category_split_test.pickle"},
				},
				{
					[]string{"mini-imagenet-cache-train.pkl"}, []string{"mini-imagenet-cache-val.pkl", "mini-imagenet-cache-validation.pkl"},
					[]string{"mini-imagenet-cache-test.pkl"},
				},
			},
			needs: "a folder images with Ravi's files (n0153282900000005.jpg and so on; with or without train.csv, val.csv and test.csv beside it), or a folder per class (n01532829), or miniImageNet_category_split_*.pickle, or mini-imagenet-cache-*.pkl",
		},
	}
}

func publicationOf(name string) (publication, bool) {
	all := publications()
	i := slices.IndexFunc(all, func(p publication) bool { return p.name == name })
	if i < 0 {
		return publication{}, false
	}
	return all[i], true
}

// PhotographNames lists the published data sets of photographs that LoadPhotographs reads.
func PhotographNames() []string {
	var names []string
	for _, p := range publications() {
		names = append(names, p.name)
	}
	return names
}

// PhotographSide is the side in pixels of the published images of a data set; 0 for an unknown name.
func PhotographSide(name string) int {
	p, _ := publicationOf(name)
	return p.side
}

// PhotographOptions say how to load a data set of photographs. The zero value works.
type PhotographOptions struct {
	// Size is the side of the images in pixels; 0 means the published one, 32 or 84. Others are scaled by a triangle filter.
	Size int
	// CacheDir is where the decoded images are kept; empty means CacheDir(). A folder that cannot be written to is done without.
	CacheDir string
}

// Photographs is a Set of colour photographs with a published split: CIFAR-FS (Bertinetto et al. 2019), FC100 (Oreshkin et al.
// 2018) or miniImageNet (Vinyals et al. 2016; Ravi and Larochelle 2017). Channels are red, green and blue, and 1 is white. All
// have 600 images in each of 100 classes. Classes lie in the order of the split, by name within each part, and images by file name
// or as the file has them.
type Photographs struct {
	*Images
	// Layout describes the files that the images were read from.
	Layout string
	// Storage says where the pixels lie.
	Storage Storage

	name   string
	counts [3]int // classes of the parts
}

// LoadPhotographs reads a data set of [PhotographNames] from a folder, in the first of these layouts that the folder holds:
//
//   - CIFAR-100's archive of Python pickles, or its binary version, packed or unpacked;
//   - Ravi's CSV lists (header filename,label, or easyfsl's class_name,image_name) with the images in images/, images/<class>/ or
//     <class>/;
//   - the images of miniImageNet in one folder images, whose names begin with their class;
//   - a folder per class, below the folder itself, data, images or processed, and there also below train, val and test: images
//     of a class in several of these are put together, as a copy needs that splits each class for ordinary classification;
//   - pickles with a part of the split each: a dict of data [images, height, width, 3] and labels, or of image_data and class_dict.
//
// Pickles are read as data, and no code of theirs is run. The classes and the number of images of each are compared with the
// published ones. Decoded images are kept in a file of the cache and mapped from there.
func LoadPhotographs(ctx context.Context, name, root string, o PhotographOptions) (*Photographs, error) {
	p, ok := publicationOf(name)
	if !ok {
		return nil, fmt.Errorf("dataset: unknown data set of photographs %q: use one of %s", name, strings.Join(PhotographNames(), ", "))
	}
	if o.CacheDir == "" {
		o.CacheDir, _ = CacheDir() // without one the images are decoded anew
	}
	return p.load(ctx, root, o)
}

func (p *publication) load(ctx context.Context, root string, o PhotographOptions) (*Photographs, error) {
	name := p.name
	if o.Size == 0 {
		o.Size = p.side
	}
	if o.Size < 1 || o.Size > maxPictureSide {
		return nil, fmt.Errorf("dataset: %s at %d pixels: choose a size from 1 to %d", name, o.Size, maxPictureSide)
	}
	l, err := p.layout(root)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return nil, fmt.Errorf("dataset: %s holds no layout of %s that is read here: put %s there%s", root, name, p.needs, aboutHDF5(root))
	}
	image := ImageOptions{Height: o.Size, Width: o.Size, Colour: true, Ink: InkLight, Fit: FitCrop}
	e := &encoded{channels: 3, height: o.Size, width: o.Size}
	if e.file, err = cacheName(name, root, image); err != nil {
		return nil, err
	}
	if e.key, err = l.identity(ctx); err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", name, err)
	}
	e.list = func(ctx context.Context, e *encoded) (closer, error) {
		c, err := l.list(ctx, e, image)
		if err == nil {
			err = p.check(e.names, e.counts, l.describe())
		}
		if err != nil && c != nil {
			err = errors.Join(err, c.Close())
		}
		return c, err
	}
	out := &Photographs{Layout: l.describe(), name: name, counts: [3]int{len(p.split.Train), len(p.split.Val), len(p.split.Test)}}
	out.Images, out.Storage, err = e.load(ctx, o.CacheDir)
	return out, err
}

// Split is the published split.
func (p *Photographs) Split() Split {
	train, val := p.counts[0], p.counts[0]+p.counts[1]
	return Split{p.name, p.names[:train:train], p.names[train:val:val], p.names[val:]}
}

// Describe says in one line what was read, from which layout, and where the pixels lie.
func (p *Photographs) Describe() string {
	return fmt.Sprintf("%d classes, %d images from %s; %s", p.Classes(), p.start[p.Classes()], p.Layout, p.Storage)
}

// classes are the published ones in the order of the split.
func (p *publication) classes() []string {
	return slices.Concat(p.split.Train, p.split.Val, p.split.Test)
}

// check compares classes and counts with the published ones. Classes of pickles may have numbers for names.
func (p *publication) check(names []string, counts []int, from string) error {
	want := p.classes()
	if len(names) != len(want) {
		return fmt.Errorf("dataset: %s has %d classes, and %s has %d: complete it", from, len(names), p.name, len(want))
	}
	for i, n := range counts {
		if n != p.perClass {
			return fmt.Errorf("dataset: class %s in %s has %d images, and every class of %s has %d: complete it, or use the kind images for a set of your own",
				names[i], from, n, p.name, p.perClass)
		}
	}
	return nil
}

// layout is a way in which a data set lies on the disk.
type layout interface {
	// describe names the files, for messages.
	describe() string
	// identity is a checksum of the names, sizes and times of the files.
	identity(ctx context.Context) (string, error)
	// list sets names, counts and decoder of e, in the order of the split.
	list(ctx context.Context, e *encoded, o ImageOptions) (closer, error)
}

// closer is what a list leaves open while images are decoded.
type closer = interface{ Close() error }

// layout finds the layout of a folder; nil where it has none.
func (p *publication) layout(root string) (layout, error) {
	if p.fine != nil {
		if l := findCIFAR(p, root); l != nil {
			return l, nil
		}
	} else {
		if l := findCSV(p, root); l != nil {
			return l, nil
		}
		if l := findFlat(p, root); l != nil {
			return l, nil
		}
	}
	if l := findClassFolders(p, root); l != nil {
		return l, nil
	}
	if l := findPickles(p, root); l != nil {
		return l, nil
	}
	return nil, nil
}

// aboutHDF5 says what to do with the HDF5 files of a folder, which torchmeta keeps images in; empty where there are none.
func aboutHDF5(root string) string {
	found, _ := filepath.Glob(filepath.Join(root, "*.hdf5")) // fails on a bad pattern only
	if found == nil {
		return ""
	}
	return fmt.Sprintf("; HDF5 files such as %s are not read: the script in docs/photographs.md writes their images to a folder per class", found[0])
}

// exists reports whether there is a file, or a folder.
func exists(path string, folder bool) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir() == folder
}

// scaler writes images in memory, [3, side, side] or [side, side, 3], to dst, [3, o.Height, o.Width].
type scaler struct {
	side     int
	o        ImageOptions
	from, to *image.RGBA
}

func newScaler(side int, o ImageOptions) *scaler {
	return &scaler{side, o, image.NewRGBA(image.Rect(0, 0, side, side)), image.NewRGBA(image.Rect(0, 0, o.Width, o.Height))}
}

// write writes an image whose channels lie step values apart, and whose pixels next apart.
func (s *scaler) write(dst, src []byte, step, next int) {
	plane := s.side * s.side
	if s.side == s.o.Height && s.side == s.o.Width {
		for c := range 3 {
			to, at := dst[c*plane:(c+1)*plane], c*step
			for i := range to {
				to[i] = src[at]
				at += next
			}
		}
		return
	}
	for i := range plane {
		for c := range 3 {
			s.from.Pix[4*i+c] = src[c*step+i*next]
		}
		s.from.Pix[4*i+3] = 255
	}
	draw.BiLinear.Scale(s.to, s.to.Bounds(), s.from, s.from.Bounds(), draw.Src, nil)
	plane = s.o.Height * s.o.Width
	for c := range 3 {
		for i := range plane {
			dst[c*plane+i] = s.to.Pix[4*i+c]
		}
	}
}

// join is filepath.Join for a path with slashes below a folder.
func join(root, path string) string { return filepath.Join(root, filepath.FromSlash(path)) }
