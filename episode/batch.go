package episode

import (
	"math/rand/v2"

	"github.com/engram-go/engram/dataset"
	"github.com/engram-go/engram/stream"
)

// Batch is episodes as flat arrays, one after another, each in the order of Episode.
type Batch struct {
	First                   uint64 // the step of the first episode
	Episodes                int
	Way, Shot, Query        int // Query is per class
	Channels, Height, Width int
	Support                 Pixels  // [episodes, way*shot, channels, height, width]
	SupportLabels           []int64 // [episodes, way*shot], in [0, way)
	QueryImages             Pixels  // [episodes, way*query, channels, height, width]
	QueryLabels             []int64 // [episodes, way*query], in [0, way)
	Classes                 []int   // [episodes, way], the classes of the set by label
	Items                   []Item  // [episodes, way*(shot+query)], support images before queries
}

// Batch makes a batch of the episodes of the n steps from first on; none if n is below 1.
func (s *Sampler) Batch(first uint64, n int) *Batch {
	b := new(Batch)
	s.Fill(b, first, n)
	return b
}

// Fill makes b a batch of the episodes of the n steps from first on; none if n is below 1. It reuses b's memory.
// Different batches may be filled concurrently.
func (s *Sampler) Fill(b *Batch, first uint64, n int) {
	n = max(n, 0)
	support, query := s.spec.Way*s.spec.Shot, s.spec.Way*s.spec.Query
	image := s.channels * s.height * s.width
	b.First, b.Episodes = first, n
	b.Way, b.Shot, b.Query = s.spec.Way, s.spec.Shot, s.spec.Query
	b.Channels, b.Height, b.Width = s.channels, s.height, s.width
	b.Support.resize(n*support*image, s.bytes != nil)
	b.SupportLabels = resize(b.SupportLabels, n*support)
	b.QueryImages.resize(n*query*image, s.bytes != nil)
	b.QueryLabels = resize(b.QueryLabels, n*query)
	b.Classes = resize(b.Classes, n*s.spec.Way)
	b.Items = b.Items[:0]

	w := s.scratch.Get().(*scratch)
	defer s.scratch.Put(w)
	e := &w.episode
	for i := range n {
		s.draw(e, &w.pick, first+uint64(i))
		copy(b.Classes[i*s.spec.Way:], e.Classes)
		b.Items = append(append(b.Items, e.Support...), e.Query...)
		p := printer{set: s.set, bytes: s.bytes, distort: s.spec.Distort, room: &w.image}
		if p.distort != (dataset.Distortion{}) {
			p.rand = stream.New(s.seed, s.stream+"/distortion", first+uint64(i))
		}
		p.items(b.Support.Slice(i*support*image, (i+1)*support*image), b.SupportLabels[i*support:], e.Support)
		p.items(b.QueryImages.Slice(i*query*image, (i+1)*query*image), b.QueryLabels[i*query:], e.Query)
	}
}

// printer copies images of a set, each with its own distortion.
type printer struct {
	set     dataset.Set
	bytes   func(dst []byte, class, instance, quarter int) // nil if images are written as values
	distort dataset.Distortion
	rand    *rand.Rand // nil without distortion
	room    *[]float32 // for an image before its distortion
}

func (p *printer) image(dst []float32, class, instance, quarter int) {
	if p.rand == nil {
		p.set.Image(dst, class, instance, quarter)
		return
	}
	channels, height, width := p.set.Shape()
	*p.room = resize(*p.room, channels*height*width)
	p.set.Image(*p.room, class, instance, quarter)
	p.distort.Draw(p.rand).Apply(dst, *p.room, channels, height, width)
}

func (p *printer) items(dst Pixels, labels []int64, items []Item) {
	channels, height, width := p.set.Shape()
	size := channels * height * width
	for i, item := range items {
		to := dst.Slice(i*size, (i+1)*size)
		if p.bytes != nil {
			p.bytes(to.Bytes, item.Class, item.Instance, item.Quarter)
		} else {
			p.image(to.Values, item.Class, item.Instance, item.Quarter)
		}
		labels[i] = int64(item.Label)
	}
}
