package experiments

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/engram-go/engram/episode"
	"github.com/engram-go/engram/results"
)

// percentScores keeps shares of right answers, each of so many, for figures in percent.
func percentScores(shares []float64, of int, on string) *results.Scores {
	percent := make([]float64, len(shares))
	for i, share := range shares {
		percent[i] = 100 * share
	}
	return results.NewScores(percent, float64(of)/100, on)
}

// drawn is a checksum of the first n episodes of a sampler: of which images they show, and of the first one of each.
func drawn(s *episode.Sampler, n int) string {
	h := fnv.New64a()
	channels, height, width := s.Set().Shape()
	image := make([]float32, channels*height*width)
	var b []byte
	for step := range n {
		e := s.Episode(uint64(step))
		for _, items := range [][]episode.Item{e.Support, e.Query} {
			for _, item := range items {
				for _, v := range []int{item.Class, item.Instance, item.Quarter, item.Label} {
					b = binary.AppendUvarint(b, uint64(v))
				}
			}
		}
		first := e.Support[0]
		s.Set().Image(image, first.Class, first.Instance, first.Quarter)
		for _, v := range image {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		h.Write(b)
		b = b[:0]
	}
	return fmt.Sprintf("%016x", h.Sum64())
}
