package dataset

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/engram-go/engram/stream"
)

// DrawnOptions configures a set whose images a program draws. The defaults are those of [NewStrokes] and [NewTextures].
type DrawnOptions struct {
	Train, Val, Test int // classes
	Instances        int // images per class
	Size             int // side of the images in pixels, 8 to 256
	// CacheBytes limits the memory for drawn images, one byte per channel of a pixel; negative for none.
	CacheBytes int
}

// or returns the options with d in place of those that are not set.
func (o DrawnOptions) or(d DrawnOptions) DrawnOptions {
	if o.Train == 0 && o.Val == 0 && o.Test == 0 {
		o.Train, o.Val, o.Test = d.Train, d.Val, d.Test
	}
	if o.Instances == 0 {
		o.Instances = d.Instances
	}
	if o.Size == 0 {
		o.Size = d.Size
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = d.CacheBytes
	}
	return o
}

// drawnSet is a [Set] whose images a program draws when they are needed.
type drawnSet struct {
	options  DrawnOptions
	name     string // of the set
	format   string // of a class's name
	channels int
	classes  int
	seed     uint64
	ink      *[256]float32
	drawnCache

	// draw calls done with the pixels of an image of a class, whose random numbers are r.
	draw func(class int, r *rand.Rand, done func(pixels []byte))
}

// newDrawnSet checks options that have their defaults; the caller sets draw.
func newDrawnSet(name, format string, channels int, seed uint64, o DrawnOptions) (*drawnSet, error) {
	const most = 1 << 24 // images; limits the cache's table to 128 MiB
	for _, n := range []int{o.Train, o.Val, o.Test, o.Instances} {
		if n < 0 || n > most {
			return nil, fmt.Errorf("dataset: %s with %d, %d and %d classes of %d images: numbers must be from 0 to %d", name, o.Train, o.Val, o.Test, o.Instances, most)
		}
	}
	classes := o.Train + o.Val + o.Test
	if classes > most/o.Instances {
		return nil, fmt.Errorf("dataset: %s with %d classes of %d images: at most %d images in all", name, classes, o.Instances, most)
	}
	if o.Size < 8 || o.Size > 256 {
		return nil, fmt.Errorf("dataset: %s at %d pixels: choose a size from 8 to 256", name, o.Size)
	}
	s := &drawnSet{options: o, name: name, format: format, channels: channels, classes: classes, seed: seed, ink: inkTable()}
	s.init(classes*o.Instances, channels*o.Size*o.Size, o.CacheBytes)
	return s, nil
}

// Classes implements Set.
func (s *drawnSet) Classes() int { return s.classes }

// Class implements Set.
func (s *drawnSet) Class(i int) string {
	if i < 0 || i >= s.classes {
		panic(fmt.Sprintf("dataset: class %d of %d", i, s.classes)) // like a slice index
	}
	return fmt.Sprintf(s.format, i)
}

// Instances implements Set.
func (s *drawnSet) Instances(int) int { return s.options.Instances }

// Shape implements Set.
func (s *drawnSet) Shape() (channels, height, width int) {
	return s.channels, s.options.Size, s.options.Size
}

// Split returns the split of the classes: the first Train, the next Val, the last Test.
func (s *drawnSet) Split() Split {
	names := make([]string, s.classes)
	for i := range names {
		names[i] = s.Class(i)
	}
	train, val := s.options.Train, s.options.Train+s.options.Val
	return Split{s.name, names[:train:train], names[train:val:val], names[val:]}
}

// Image implements Set.
func (s *drawnSet) Image(dst []float32, class, instance, quarter int) {
	s.pixels(class, instance, func(pixels []byte) {
		expand(dst, pixels, s.ink, s.channels, s.options.Size, s.options.Size, quarter)
	})
}

func (s *drawnSet) bytes(dst []byte, class, instance, quarter int) {
	s.pixels(class, instance, func(pixels []byte) { rotate(dst, pixels, s.channels, s.options.Size, s.options.Size, quarter) })
}

// pixels calls use with the pixels of an image, which use must not keep.
func (s *drawnSet) pixels(class, instance int, use func(pixels []byte)) {
	if instance < 0 || instance >= s.options.Instances {
		panic(fmt.Sprintf("dataset: image %d of %d", instance, s.options.Instances)) // like a slice index
	}
	s.get(class*s.options.Instances+instance, use, func(done func([]byte)) {
		s.draw(class, stream.New(s.seed, s.name+"/instance", uint64(class), uint64(instance)), done)
	})
}

// drawnCache keeps images that a program has drawn, up to a number of bytes. It may be used from several goroutines.
type drawnCache struct {
	cache []atomic.Pointer[[]byte] // by image; nil until drawn
	room  atomic.Int64             // in images
}

// init makes room for images of a size in a number of bytes, none where that is below 1.
func (c *drawnCache) init(images, size, bytes int) {
	if bytes > 0 {
		c.cache = make([]atomic.Pointer[[]byte], images)
		c.room.Store(int64(bytes / size))
	}
}

// get calls use with the pixels of an image, which use must not keep. draw calls its argument with the pixels that it has drawn.
func (c *drawnCache) get(image int, use func(pixels []byte), draw func(done func(pixels []byte))) {
	if c.cache != nil {
		if b := c.cache[image].Load(); b != nil {
			use(*b)
			return
		}
	}
	draw(func(pixels []byte) {
		use(pixels)
		if c.cache != nil && c.room.Add(-1) >= 0 {
			b := append([]byte(nil), pixels...)
			c.cache[image].Store(&b) // another goroutine may have stored the same bytes
		}
	})
}
