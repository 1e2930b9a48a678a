// Package dataset contains labelled images and their sources.
//
// A Set is a number of classes with images: Omniglot, read from its author's archives; Photographs, which are CIFAR-FS,
// FC100 and miniImageNet in the layouts that they are found in; Folder, with a folder of image files per class; the
// built-in Strokes and Textures, which are generated; Images, held in memory or mapped from a file; and Features,
// vectors in the place of images. Select, Split.Parts, WithRotations and Prepare derive sets: some of the classes, every
// class in four rotations, or the middle of images. All of these but Features hold bytes, and Bytes reads them. Package
// episode draws few-shot episodes from a Set.
package dataset

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Set is a labelled set of images of one size. Values lie in [0,1] and ink is 1. A Set is immutable and may be read
// from several goroutines.
type Set interface {
	// Classes returns the number of classes.
	Classes() int
	// Class returns the name of class i, i in [0, Classes()).
	Class(i int) string
	// Instances returns the number of images of a class.
	Instances(class int) int
	// Shape returns the shape of each image.
	Shape() (channels, height, width int)
	// Image writes one image, [channels, height, width], into dst, rotated counter-clockwise by quarter times 90
	// degrees. dst holds at least channels*height*width values. An odd quarter requires height = width; see
	// SquareError. An index out of range is a programmer error and panics like a slice index.
	Image(dst []float32, class, instance, quarter int)
}

// Images is a Set held in memory with one byte per value.
type Images struct {
	names                   []string
	start                   []int // start[i] is the first image of class i; one element more than classes
	channels, height, width int
	pixels                  []byte
	ink                     *[256]float32
}

// NewImages makes a Set of pixels, [images, channels, height, width], 0 for paper and 255 for ink. Images are ordered
// by class; counts holds the number per class. Names must differ, counts be positive and the sizes agree. The slices
// are kept, not copied.
func NewImages(names []string, counts []int, channels, height, width int, pixels []byte) (*Images, error) {
	if channels < 1 || height < 1 || width < 1 {
		return nil, fmt.Errorf("dataset: images of %dx%dx%d: channels, height and width must be positive", channels, height, width)
	}
	if most := 1 << 14; channels > most || height > most || width > most { // their product must not overflow
		return nil, fmt.Errorf("dataset: images of %dx%dx%d: channels, height and width must not exceed %d", channels, height, width, most)
	}
	if len(names) != len(counts) {
		return nil, fmt.Errorf("dataset: %d class names, but %d counts: give one count per class", len(names), len(counts))
	}
	start := make([]int, len(counts)+1)
	seen := make(map[string]bool, len(names))
	for i, n := range counts {
		if n < 1 {
			return nil, fmt.Errorf("dataset: class %q has %d images: a class needs at least one", names[i], n)
		}
		if n > len(pixels) {
			return nil, fmt.Errorf("dataset: class %q has %d images, but there are %d values in all: give all the pixels", names[i], n, len(pixels))
		}
		if seen[names[i]] {
			return nil, fmt.Errorf("dataset: two classes are named %q: names must differ", names[i])
		}
		seen[names[i]] = true
		start[i+1] = start[i] + n
	}
	if size, images := channels*height*width, start[len(counts)]; len(pixels)%size != 0 || len(pixels)/size != images {
		return nil, fmt.Errorf("dataset: %d values for %d images of %dx%dx%d, which take %d",
			len(pixels), images, channels, height, width, images*size)
	}
	return &Images{names, start, channels, height, width, pixels, inkTable()}, nil
}

// inkTable returns the value of each byte, v/255. A table is exact at 255 and as fast as a product.
func inkTable() *[256]float32 {
	var t [256]float32
	for i := range t {
		t[i] = float32(i) / 255
	}
	return &t
}

// Classes implements Set.
func (s *Images) Classes() int { return len(s.names) }

// Class implements Set.
func (s *Images) Class(i int) string { return s.names[i] }

// Instances implements Set.
func (s *Images) Instances(class int) int { return s.start[class+1] - s.start[class] }

// Shape implements Set.
func (s *Images) Shape() (channels, height, width int) { return s.channels, s.height, s.width }

// Image implements Set.
func (s *Images) Image(dst []float32, class, instance, quarter int) {
	expand(dst, s.stored(class, instance), s.ink, s.channels, s.height, s.width, quarter)
}

func (s *Images) bytes(dst []byte, class, instance, quarter int) {
	rotate(dst, s.stored(class, instance), s.channels, s.height, s.width, quarter)
}

// stored returns the memory of an image.
func (s *Images) stored(class, instance int) []byte {
	n := s.Instances(class)
	if uint(instance) >= uint(n) {
		instance = len(s.pixels) // out of range, not the next class's image
	}
	size := s.channels * s.height * s.width
	at := (s.start[class] + instance) * size
	return s.pixels[at : at+size]
}

// SquareError returns nil if the images of a set are square and can be rotated by 90 degrees.
func SquareError(set Set) error {
	if _, h, w := set.Shape(); h != w {
		return fmt.Errorf("dataset: images of %dx%d cannot be rotated by 90 degrees: use rotation %q or square images", h, w, RotateNone)
	}
	return nil
}

// subset is some of the classes of a set.
type subset struct {
	set     Set
	classes []int
}

// Subset returns the given classes of a set, in the given order. Unknown and repeated classes are an error.
func Subset(set Set, classes []int) (Set, error) {
	if set == nil {
		return nil, errors.New("dataset: subset of a nil set")
	}
	seen := make(map[int]bool, len(classes))
	for _, c := range classes {
		if c < 0 || c >= set.Classes() {
			return nil, fmt.Errorf("dataset: class %d of a set of %d classes: classes are numbered from 0", c, set.Classes())
		}
		if seen[c] {
			return nil, fmt.Errorf("dataset: class %d (%s) is named twice: name it once", c, set.Class(c))
		}
		seen[c] = true
	}
	return &subset{set, append([]int(nil), classes...)}, nil
}

// Select returns the classes of a set with the given names, in order. A name that the set does not have matches the
// class with the same name in Unicode normalization form C, if there is exactly one: file systems and editors use
// different forms of accented letters. A MissingError lists the names that the set does not have.
func Select(set Set, names []string) (Set, error) {
	index := make(map[string]int, set.Classes())
	normal := make(map[string]int) // by the name in form C; -1 for several classes
	for i := range set.Classes() {
		name := set.Class(i)
		index[name] = i
		if name = norm.NFC.String(name); !has(normal, name) {
			normal[name] = i
		} else {
			normal[name] = -1
		}
	}
	classes := make([]int, 0, len(names))
	var missing []string
	for _, name := range names {
		if i, ok := index[name]; ok {
			classes = append(classes, i)
		} else if i, ok := normal[norm.NFC.String(name)]; ok && i >= 0 {
			classes = append(classes, i)
		} else {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		e := &MissingError{Names: missing, Have: set.Classes()}
		for i := range min(set.Classes(), someNames) {
			e.Some = append(e.Some, set.Class(i))
		}
		return nil, e
	}
	return Subset(set, classes)
}

func has[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

// someNames is the number of class names that a message lists.
const someNames = 5

// MissingError lists names of classes that a set does not have.
type MissingError struct {
	Names []string // the names that the set does not have
	Have  int      // how many classes the set has
	Some  []string // the first few of their names
}

// Error implements error.
func (e *MissingError) Error() string {
	list := func(names []string, all int) string {
		text := strings.Join(names[:min(len(names), someNames)], ", ")
		if all > someNames {
			text += ", …"
		}
		return text
	}
	return fmt.Sprintf("dataset: %d classes are not among the %d of the set: %s; the set has %s",
		len(e.Names), e.Have, list(e.Names, len(e.Names)), list(e.Some, e.Have))
}

func (s *subset) Classes() int                         { return len(s.classes) }
func (s *subset) Class(i int) string                   { return s.set.Class(s.classes[i]) }
func (s *subset) Instances(class int) int              { return s.set.Instances(s.classes[class]) }
func (s *subset) Shape() (channels, height, width int) { return s.set.Shape() }
func (s *subset) rotated() bool                        { return Rotated(s.set) }
func (s *subset) whole() Set                           { return s.set }
func (s *subset) in(class, inst, turn int) (int, int, int) {
	return s.classes[class], inst, turn
}
func (s *subset) Image(dst []float32, class, inst, turn int) {
	class, inst, turn = s.in(class, inst, turn)
	s.set.Image(dst, class, inst, turn)
}
