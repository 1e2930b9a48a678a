package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/engram-go/engram/dataset/cachefile"
)

// CacheDir returns the folder for data that Engram can recreate: $ENGRAM_CACHE, or engram in the user's cache folder.
func CacheDir() (string, error) {
	dir, err := cachefile.Dir()
	if err != nil {
		return "", fmt.Errorf("dataset: %w", err)
	}
	return dir, nil
}

// encoded describes images that lie elsewhere, and how they are decoded.
type encoded struct {
	// file is the base name of the cache file. It depends on where the images lie and on what they are brought to, but not on
	// their contents: images that have changed replace the former ones.
	file string
	// key identifies the images: it changes when their names, sizes or times do.
	key                     string
	channels, height, width int
	// list finds out what is to be decoded: it sets the fields below, and returns what is to be closed once all is decoded, or nil.
	// It is not called where the cache has the images. Then the fields but decoder are set from there.
	list       func(ctx context.Context, e *encoded) (closer, error)
	names      []string
	counts     []int
	background []bool // by class; nil for other sets than Omniglot
	// decoder returns a function that decodes an image, counted through all classes, to dst, [channels, height, width]. Each
	// function is called by one goroutine, and there are several.
	decoder func() func(image int, dst []byte) error
}

func (e *encoded) images() int {
	n := 0
	for _, c := range e.counts {
		n += c
	}
	return n
}

func (e *encoded) imageBytes() int { return e.channels * e.height * e.width }

func (e *encoded) bytes() int64 { return int64(e.images()) * int64(e.imageBytes()) }

// prepare calls list.
func (e *encoded) prepare(ctx context.Context) (closer, error) {
	if e.list == nil {
		return io.NopCloser(nil), nil
	}
	closer, err := e.list(ctx, e)
	if closer == nil {
		closer = io.NopCloser(nil)
	}
	return closer, err
}

// Storage says where the pixels of a set come from and where they lie.
type Storage struct {
	// Cache is the file that the pixels are mapped from, read-only and shared with other processes; empty where they are held in
	// this process's memory.
	Cache string
	// Decoded is set where the images were decoded by this load.
	Decoded bool
	Took    time.Duration
	Bytes   int64 // of the pixels

	why error // why there is no cache file
}

// String describes the storage in one line: "1270 MB mapped from FILE in 0.2s".
func (s Storage) String() string {
	size := fmt.Sprintf("%.0f MB", float64(s.Bytes)/1e6)
	if s.Bytes < 1e7 {
		size = fmt.Sprintf("%.1f MB", float64(s.Bytes)/1e6)
	}
	took := s.Took.Round(time.Millisecond)
	if took > 10*time.Second {
		took = took.Round(100 * time.Millisecond)
	}
	switch {
	case s.Cache == "" && s.why != nil:
		return fmt.Sprintf("%s decoded to memory in %s; they are not kept: %v", size, took, s.why)
	case s.Cache == "":
		return fmt.Sprintf("%s decoded to memory in %s", size, took)
	case s.Decoded:
		return fmt.Sprintf("%s decoded to %s in %s, and mapped from there", size, s.Cache, took)
	}
	return fmt.Sprintf("%s mapped from %s in %s", size, s.Cache, took)
}

// load decodes the images, or maps them from their cache file in dir. An empty dir does without the cache; so does one that
// cannot be written to. A cache file that is damaged or of other images is made again. Where several processes load the same
// images, one decodes them and the others wait for it.
func (e *encoded) load(ctx context.Context, dir string) (*Images, Storage, error) {
	start := time.Now()
	var s Storage
	if dir != "" {
		c := cacheFile{cachefile.File{Path: filepath.Join(dir, e.file), Magic: imagesMagic}}
		images, decoded, err := c.load(ctx, e)
		if err == nil {
			s.Cache, s.Decoded, s.Took, s.Bytes = c.Path, decoded, time.Since(start), e.bytes()
			return images, s, nil
		}
		if s.why = err; !errors.Is(err, cachefile.ErrUnavailable) {
			return nil, s, err
		}
	}
	closer, err := e.prepare(ctx)
	if err != nil {
		return nil, s, err
	}
	defer closer.Close()
	if s.Bytes = e.bytes(); s.Bytes > maxFolderBytes {
		if s.why == nil {
			return nil, s, fmt.Errorf("dataset: the images take %d bytes, and without a cache at most %d: choose a smaller size, or set ENGRAM_CACHE to a folder", s.Bytes, int64(maxFolderBytes))
		}
		return nil, s, fmt.Errorf("dataset: the images take %d bytes, and without a cache at most %d: choose a smaller size, or set ENGRAM_CACHE to a folder with room: %w", s.Bytes, int64(maxFolderBytes), s.why)
	}
	pixels := make([]byte, s.Bytes)
	size := e.imageBytes()
	err = e.each(ctx, func(decode func(int, []byte) error) func(int) error {
		return func(i int) error { return decode(i, pixels[i*size:(i+1)*size:(i+1)*size]) }
	})
	if err != nil {
		return nil, s, err
	}
	images, err := NewImages(e.names, e.counts, e.channels, e.height, e.width, pixels)
	s.Decoded, s.Took = true, time.Since(start)
	return images, s, err
}

// each decodes all images on several goroutines, each with an action of its own that worker returns. The error is that of the
// first image that has one, or ctx's.
func (e *encoded) each(ctx context.Context, worker func(decode func(int, []byte) error) func(image int) error) error {
	n := e.images()
	var next atomic.Int64
	var mutex sync.Mutex
	first, failure := n, error(nil)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 16, n) {
		workers.Go(func() {
			do := worker(e.decoder())
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				err := do(i)
				if err == nil {
					continue
				}
				next.Store(int64(n)) // images before this one have all been begun
				mutex.Lock()
				defer mutex.Unlock()
				if i < first {
					first, failure = i, err
				}
				return
			}
		})
	}
	workers.Wait()
	if failure == nil && ctx.Err() != nil {
		failure = fmt.Errorf("dataset: decoding images: %w", ctx.Err())
	}
	return failure
}

// imagesMagic begins a file of decoded images and names its version: change it when decoding changes.
const imagesMagic = "engram images 2\n"

type cacheFile struct{ cachefile.File }

type cacheHeader struct {
	Key                     string
	Names                   []string
	Counts                  []int
	Background              []bool `json:",omitempty"`
	Channels, Height, Width int
}

// load maps the images from the file, and decodes them to it first where that is needed.
func (c cacheFile) load(ctx context.Context, e *encoded) (images *Images, decoded bool, err error) {
	decoded, err = c.Load(ctx, func() (err error) {
		images, err = c.open(e)
		return err
	}, func() error { return c.write(ctx, e) }, nil)
	return images, decoded, err
}

// open maps the file.
func (c cacheFile) open(e *encoded) (*Images, error) {
	var h cacheHeader
	pixels, err := c.Open(&h, func() error {
		if h.Key != e.key || h.Channels != e.channels || h.Height != e.height || h.Width != e.width || h.Background != nil && len(h.Background) != len(h.Names) {
			return errors.New("it is of other images")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	images, err := NewImages(h.Names, h.Counts, h.Channels, h.Height, h.Width, pixels)
	if err != nil {
		return nil, err
	}
	e.names, e.counts, e.background = h.Names, h.Counts, h.Background
	return images, nil
}

// write decodes the images to the file.
func (c cacheFile) write(ctx context.Context, e *encoded) error {
	closer, err := e.prepare(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	size := e.imageBytes()
	return c.Write(cacheHeader{e.key, e.names, e.counts, e.background, e.channels, e.height, e.width}, e.bytes(), func(w *cachefile.Writer) error {
		return e.each(ctx, func(decode func(int, []byte) error) func(int) error {
			pixels := make([]byte, size)
			return func(i int) error {
				if err := decode(i, pixels); err != nil {
					return err
				}
				_, err := w.WriteAt(pixels, int64(i)*int64(size))
				return err
			}
		})
	})
}

// ImagesEnding is that of the files of decoded images in the cache folder.
const ImagesEnding = ".images"

// DescribeCached says in a few words what a file of decoded images holds.
func DescribeCached(path string) (string, error) {
	var h cacheHeader
	if err := (cachefile.File{Path: path, Magic: imagesMagic}).Header(&h); err != nil {
		return "", err
	}
	e := encoded{counts: h.Counts}
	return fmt.Sprintf("%d images of %d classes, %d×%d with %d channels", e.images(), len(h.Counts), h.Height, h.Width, h.Channels), nil
}
