// Package cachefile holds files of data that Engram can make again: a header that says what the data are, and the data, which are
// mapped to memory. A file is written once and put in place whole, whatever happens to the process; processes that need the same
// file make it once; and a file that is damaged counts as none.
package cachefile

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unsafe"
)

// Dir returns the folder for data that Engram can make again: $ENGRAM_CACHE, or engram in the user's cache folder.
func Dir() (string, error) {
	if dir := os.Getenv("ENGRAM_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; set ENGRAM_CACHE", err)
	}
	return filepath.Join(dir, "engram"), nil
}

// The layout of a file: the magic; the length of the header in 4 bytes; the header as JSON; zeros up to a multiple of align; the
// data; the CRC-32C of all before the data in 4 bytes, and that of the data in 4 bytes. Numbers are little-endian.
const (
	align   = 4096
	trailer = 8
	// maxVerified bounds the data whose checksum is compared whenever a file is opened, which reads them all; of larger ones the
	// header and the length of the file are checked.
	maxVerified = 256 << 20
)

// ErrUnavailable marks errors of the cache itself: without it data are made anew each time, and nothing else.
var ErrUnavailable = errors.New("no cache")

func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// A File is the path of a file, and the text that it begins with, which names what the file holds and the version of its layout.
// It ends with a line feed.
type File struct{ Path, Magic string }

// Open maps the data of the file, after it has decoded the header into header, a pointer, and accept has accepted that. The
// mapping ends with the process, or where [Unmap] is given the data. An error that is no [fs.ErrNotExist] says what is wrong with
// the file.
func (c File) Open(header any, accept func() error) (data []byte, err error) {
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head, err := c.readHeader(f, info.Size())
	if err != nil {
		return nil, err
	}
	start := aligned(int64(len(c.Magic)+4) + int64(len(head)))
	all, err := Map(f, info.Size())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			Unmap(all)
		}
	}()
	end := int64(len(all)) - trailer
	headSum, dataSum := binary.LittleEndian.Uint32(all[end:]), binary.LittleEndian.Uint32(all[end+4:])
	if crc32.Checksum(all[:start], castagnoli()) != headSum {
		return nil, errors.New("it is damaged: the checksum of its header is wrong")
	}
	if err := json.Unmarshal(head, header); err != nil {
		return nil, err
	}
	if err := accept(); err != nil {
		return nil, err
	}
	data = all[start:end:end]
	if len(data) <= maxVerified && crc32.Checksum(data, castagnoli()) != dataSum {
		return nil, errors.New("it is damaged: the checksum of its data is wrong")
	}
	return data, nil
}

// readHeader returns the header of a file of a size as JSON, without checking its checksum.
func (c File) readHeader(f io.ReaderAt, size int64) ([]byte, error) {
	start := make([]byte, len(c.Magic)+4)
	if _, err := f.ReadAt(start, 0); err != nil || string(start[:len(c.Magic)]) != c.Magic {
		return nil, errors.New("it is no file of this version")
	}
	n := int64(binary.LittleEndian.Uint32(start[len(c.Magic):]))
	if aligned(int64(len(start))+n)+trailer > size {
		return nil, errors.New("it is cut off")
	}
	head := make([]byte, n)
	_, err := f.ReadAt(head, int64(len(start)))
	return head, err
}

// Header decodes the header of the file into header, a pointer, without reading the data or checking a checksum: for lists of
// files.
func (c File) Header(header any) error {
	f, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head, err := c.readHeader(f, info.Size())
	if err != nil {
		return err
	}
	return json.Unmarshal(head, header)
}

// Load calls open, and where that fails make and then open once more, both under the file's lock, so that one process makes the
// file and others wait for it. damaged gets the error of a file that was there and could not be used, before it is made; it may be
// nil. An error of the cache itself wraps [ErrUnavailable].
func (c File) Load(ctx context.Context, open, make func() error, damaged func(error)) (made bool, err error) {
	if open() == nil {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o755); err != nil {
		return false, unavailable(err)
	}
	unlock, err := lock(ctx, c.Path+lockEnding)
	if err != nil {
		return false, err
	}
	defer unlock()
	err = open()
	if err == nil { // another process has made it meanwhile
		return false, nil
	}
	if damaged != nil && !errors.Is(err, fs.ErrNotExist) {
		damaged(err)
	}
	if err := make(); err != nil {
		return false, err
	}
	return true, unavailable(open())
}

// The endings of files that are no data: of locks, and of files that are being written.
const (
	lockEnding = ".lock"
	tempEnding = ".tmp"
)

// Unfinished reports whether a name is that of a lock, or of a file that is being written or whose writer was killed.
func Unfinished(name string) bool {
	ending := filepath.Ext(name)
	return ending == lockEnding || ending == tempEnding
}

// A Writer takes the data of a file. Errors of its method are the cache's own.
type Writer struct {
	f    *os.File
	from int64
}

// WriteAt implements [io.WriterAt]. Offsets are those of the data.
func (w *Writer) WriteAt(b []byte, at int64) (int, error) {
	n, err := w.f.WriteAt(b, w.from+at)
	return n, unavailable(err)
}

// Write writes the file: header as JSON, and the given number of bytes, which fill writes. The file is put in place whole or not
// at all. Errors but those of fill wrap [ErrUnavailable].
func (c File) Write(header any, bytes int64, fill func(w *Writer) error) (err error) {
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.Path), filepath.Base(c.Path)+".*"+tempEnding)
	if err != nil {
		return unavailable(err)
	}
	defer func() {
		if closing := f.Close(); closing != nil {
			err = errors.Join(err, unavailable(closing))
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	head := binary.LittleEndian.AppendUint32([]byte(c.Magic), uint32(len(text)))
	head = append(head, text...)
	head = append(head, make([]byte, aligned(int64(len(head)))-int64(len(head)))...)
	if _, err := f.Write(head); err != nil {
		return unavailable(err)
	}
	from := int64(len(head))
	if err := fill(&Writer{f, from}); err != nil {
		return err
	}
	sum := crc32.New(castagnoli())
	if n, err := io.Copy(sum, io.NewSectionReader(f, from, bytes)); err != nil || n != bytes {
		return unavailable(errors.Join(err, fmt.Errorf("%d bytes of %d are written", n, bytes)))
	}
	end := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(head, castagnoli()))
	end = binary.LittleEndian.AppendUint32(end, sum.Sum32())
	if _, err := f.WriteAt(end, from+bytes); err != nil {
		return unavailable(err)
	}
	if err := f.Chmod(0o644); err != nil {
		return unavailable(err)
	}
	return unavailable(os.Rename(f.Name(), c.Path))
}

func aligned(n int64) int64 { return (n + align - 1) / align * align }

// castagnoli is the table of CRC-32C, which processors have an instruction for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Floats returns mapped data as 32-bit floats in this machine's order, without copying them.
func Floats(data []byte) []float32 {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&data[0])), len(data)/4)
}

// FloatBytes returns floats as bytes in this machine's order, without copying them.
func FloatBytes(values []float32) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values))
}
