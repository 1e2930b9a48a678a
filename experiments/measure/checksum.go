package measure

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/episode"
)

// Episodes is a checksum of the first n episodes of a sampler.
func Episodes(s *episode.Sampler, n int) string {
	return checksum(s.Set(), n, func(step uint64) []episode.Item {
		e := s.Episode(step)
		return append(e.Support, e.Query...)
	})
}

// Sequences is a checksum of the first n sequences of a sampler.
func Sequences(s *episode.SequenceSampler, n int) string {
	return checksum(s.Set(), n, func(step uint64) []episode.Item { return s.Sequence(step).Items })
}

// checksum is one of which images n episodes show, and of the first image of each.
func checksum(set dataset.Set, n int, items func(step uint64) []episode.Item) string {
	h := fnv.New64a()
	channels, height, width := set.Shape()
	image := make([]float32, channels*height*width)
	var b []byte
	for step := range n {
		shown := items(uint64(step))
		for _, item := range shown {
			for _, v := range []int{item.Class, item.Instance, item.Quarter, item.Label} {
				b = binary.AppendUvarint(b, uint64(v))
			}
		}
		first := shown[0]
		set.Image(image, first.Class, first.Instance, first.Quarter)
		for _, v := range image {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		h.Write(b)
		b = b[:0]
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
