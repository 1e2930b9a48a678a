package dataset

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// CacheDir returns the folder for data that Engram can recreate: $ENGRAM_CACHE, or engram in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("ENGRAM_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("dataset: no cache folder: %w; set ENGRAM_CACHE", err)
	}
	return filepath.Join(dir, "engram"), nil
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
		c := cacheFile{filepath.Join(dir, e.file)}
		images, decoded, err := c.load(ctx, e)
		if err == nil {
			s.Cache, s.Decoded, s.Took, s.Bytes = c.path, decoded, time.Since(start), e.bytes()
			return images, s, nil
		}
		if s.why = err; !errors.Is(err, errNotKept) {
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

// cacheMagic opens a cache file and names its version: change it when decoding or the layout does.
const cacheMagic = "engram images 2\n"

// The layout of a cache file: cacheMagic; the length of the header in 4 bytes; the header as JSON; zeros up to a multiple of
// cacheAlign; the pixels; the CRC-32C of all before the pixels in 4 bytes, and that of the pixels in 4 bytes. Numbers are
// little-endian.
const (
	cacheAlign   = 4096
	cacheTrailer = 8
	// maxVerified bounds the pixels whose checksum is compared at every load, which reads them all; of larger
	// sets the header and the length of the file are checked.
	maxVerified = 256 << 20
)

type cacheFile struct{ path string }

type cacheHeader struct {
	Key                     string
	Names                   []string
	Counts                  []int
	Background              []bool `json:",omitempty"`
	Channels, Height, Width int
}

// errNotKept marks errors of the cache: without it the next load is slow, and nothing else.
var errNotKept = errors.New("no cache")

func notKept(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errNotKept, err)
}

// load maps the images from the file, and decodes them to it first where that is needed.
func (c cacheFile) load(ctx context.Context, e *encoded) (images *Images, decoded bool, err error) {
	if images, err = c.open(e); err == nil {
		return images, false, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
		return nil, false, notKept(err)
	}
	unlock, err := lockFile(ctx, c.path+".lock")
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	if images, err = c.open(e); err == nil { // another process has made it meanwhile
		return images, false, nil
	}
	if err := c.write(ctx, e); err != nil {
		return nil, false, err
	}
	images, err = c.open(e)
	return images, true, notKept(err)
}

// open maps the file.
func (c cacheFile) open(e *encoded) (images *Images, err error) {
	f, err := os.Open(c.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	start := make([]byte, len(cacheMagic)+4)
	if _, err := f.ReadAt(start, 0); err != nil || string(start[:len(cacheMagic)]) != cacheMagic {
		return nil, errors.New("not a cache of this version")
	}
	n := int64(binary.LittleEndian.Uint32(start[len(cacheMagic):]))
	head := aligned(int64(len(start)) + n)
	if head+cacheTrailer > info.Size() {
		return nil, errors.New("damaged header")
	}
	all, err := mapFile(f, info.Size())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unmapFile(all)
		}
	}()
	end := int64(len(all)) - cacheTrailer
	headSum, pixelSum := binary.LittleEndian.Uint32(all[end:]), binary.LittleEndian.Uint32(all[end+4:])
	pixels := all[head:end:end]
	if crc32.Checksum(all[:head], castagnoli()) != headSum {
		return nil, errors.New("damaged header")
	}
	var h cacheHeader
	if err := json.Unmarshal(all[len(start):int64(len(start))+n], &h); err != nil {
		return nil, err
	}
	if h.Key != e.key || h.Channels != e.channels || h.Height != e.height || h.Width != e.width || h.Background != nil && len(h.Background) != len(h.Names) {
		return nil, errors.New("of other images")
	}
	if images, err = NewImages(h.Names, h.Counts, h.Channels, h.Height, h.Width, pixels); err != nil {
		return nil, err
	}
	if len(pixels) <= maxVerified && crc32.Checksum(pixels, castagnoli()) != pixelSum {
		return nil, errors.New("damaged")
	}
	e.names, e.counts, e.background = h.Names, h.Counts, h.Background
	return images, nil
}

func aligned(n int64) int64 { return (n + cacheAlign - 1) / cacheAlign * cacheAlign }

// castagnoli is the table of CRC-32C, which processors have an instruction for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// write decodes the images to the file, which is put in place whole or not at all.
func (c cacheFile) write(ctx context.Context, e *encoded) (err error) {
	closer, err := e.prepare(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	header, err := json.Marshal(cacheHeader{e.key, e.names, e.counts, e.background, e.channels, e.height, e.width})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), filepath.Base(c.path)+".*.tmp")
	if err != nil {
		return notKept(err)
	}
	defer func() {
		if closing := f.Close(); closing != nil {
			err = errors.Join(err, notKept(closing))
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	head := binary.LittleEndian.AppendUint32([]byte(cacheMagic), uint32(len(header)))
	head = append(head, header...)
	head = append(head, make([]byte, aligned(int64(len(head)))-int64(len(head)))...)
	if _, err := f.Write(head); err != nil {
		return notKept(err)
	}
	size := e.imageBytes()
	err = e.each(ctx, func(decode func(int, []byte) error) func(int) error {
		pixels := make([]byte, size)
		return func(i int) error {
			if err := decode(i, pixels); err != nil {
				return err
			}
			_, err := f.WriteAt(pixels, int64(len(head))+int64(i)*int64(size))
			return notKept(err)
		}
	})
	if err != nil {
		return err
	}
	end := int64(len(head)) + int64(e.images())*int64(size)
	sum := crc32.New(castagnoli())
	if _, err := io.Copy(sum, io.NewSectionReader(f, int64(len(head)), end-int64(len(head)))); err != nil {
		return notKept(err)
	}
	trailer := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(head, castagnoli()))
	trailer = binary.LittleEndian.AppendUint32(trailer, sum.Sum32())
	if _, err := f.WriteAt(trailer, end); err != nil {
		return notKept(err)
	}
	if err := f.Chmod(0o644); err != nil {
		return notKept(err)
	}
	return notKept(os.Rename(f.Name(), c.path))
}
