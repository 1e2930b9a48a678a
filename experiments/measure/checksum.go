package measure

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"math"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
)

// A Checksum identifies test episodes: it covers which images they contain, and the pixels of the first image of each. Equal episodes
// of equal images have equal checksums on every machine. A nil Checksum adds nothing.
type Checksum struct {
	set   dataset.Set
	left  int // episodes that are still counted
	hash  hash.Hash64
	image []float32
	bytes []byte
}

// NewChecksum returns the checksum of the first n episodes added.
func NewChecksum(set dataset.Set, n int) *Checksum {
	channels, height, width := set.Shape()
	return &Checksum{set: set, left: n, hash: fnv.New64a(), image: make([]float32, channels*height*width)}
}

// Add adds episodes of the given length each, episode after episode.
func (c *Checksum) Add(items []episode.Item, length int) {
	if c == nil {
		return
	}
	for ; len(items) > 0 && c.left > 0; c.left-- {
		c.episode(items[:length])
		items = items[length:]
	}
}

func (c *Checksum) episode(items []episode.Item) {
	b := c.bytes[:0]
	for _, item := range items {
		for _, v := range []int{item.Class, item.Instance, item.Quarter, item.Label} {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	first := items[0]
	c.set.Image(c.image, first.Class, first.Instance, first.Quarter)
	for _, v := range c.image {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	c.hash.Write(b)
	c.bytes = b
}

// String is the checksum in hexadecimal.
func (c *Checksum) String() string { return fmt.Sprintf("%016x", c.hash.Sum64()) }
