package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// cacheMagic begins a cache file and contains its version: change it when decoding or the layout changes.
const cacheMagic = "engram images 1\n"

// cacheFile is decoded images on disk: cacheMagic, the length of the header in 4 bytes little-endian, the header as
// JSON, the pixels, and the SHA-256 of everything before it.
type cacheFile struct {
	path string
	key  string // identifies the sources
}

type cacheHeader struct {
	Key                     string
	Names                   []string
	Counts                  []int
	Background              []bool
	Channels, Height, Width int
}

func (c *cacheFile) read() (*Images, []bool, error) {
	b, err := os.ReadFile(c.path)
	if err != nil {
		return nil, nil, err
	}
	head := len(cacheMagic) + 4
	if len(b) < head+sha256.Size || string(b[:len(cacheMagic)]) != cacheMagic {
		return nil, nil, errors.New("not a cache of this version")
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, nil, errors.New("damaged")
	}
	n := binary.LittleEndian.Uint32(body[len(cacheMagic):])
	if uint64(n) > uint64(len(body)-head) {
		return nil, nil, errors.New("damaged header")
	}
	var h cacheHeader
	if err := json.Unmarshal(body[head:head+int(n)], &h); err != nil {
		return nil, nil, err
	}
	if h.Key != c.key || len(h.Background) != len(h.Names) {
		return nil, nil, errors.New("of other sources")
	}
	images, err := NewImages(h.Names, h.Counts, h.Channels, h.Height, h.Width, body[head+int(n):])
	return images, h.Background, err
}

// write writes the file atomically.
func (c *cacheFile) write(s *Images, background []bool) (err error) {
	counts := make([]int, s.Classes())
	for i := range counts {
		counts[i] = s.Instances(i)
	}
	header, err := json.Marshal(cacheHeader{c.key, s.names, counts, background, s.channels, s.height, s.width})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), filepath.Base(c.path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	for _, b := range [][]byte{binary.LittleEndian.AppendUint32([]byte(cacheMagic), uint32(len(header))), header, s.pixels} {
		sum.Write(b)
		if _, err := f.Write(b); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if _, err := f.Write(sum.Sum(nil)); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), c.path)
}
