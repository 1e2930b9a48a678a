package episode

import (
	"errors"
	"fmt"
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
	// Width of texts is that of the batch's longest row, and Channels and Height are 1.
	Support       Pixels  // [episodes, way*shot, channels, height, width]
	SupportLabels []int64 // [episodes, way*shot], in [0, way)
	QueryImages   Pixels  // [episodes, way*query, channels, height, width]
	QueryLabels   []int64 // [episodes, way*query], in [0, way)
	Classes       []int   // [episodes, way], the classes of the set by label
	Items         []Item  // [episodes, way*(shot+query)], support images before queries
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
	b.First, b.Episodes = first, n
	b.Way, b.Shot, b.Query = s.spec.Way, s.spec.Shot, s.spec.Query
	b.SupportLabels = resize(b.SupportLabels, n*support)
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
	}
	b.Channels, b.Height, b.Width = s.size(b.Items)
	image := b.Channels * b.Height * b.Width
	b.Support.resize(n*support*image, s.holds())
	b.QueryImages.resize(n*query*image, s.holds())
	b.Support.Norm, b.QueryImages.Norm = s.norm, s.norm
	for i := range n {
		own := b.Items[i*(support+query) : (i+1)*(support+query)]
		p := s.printer(&w.room)
		if p.random() {
			p.rand = stream.New(s.seed, s.stream+"/distortion", first+uint64(i))
		}
		p.items(b.Support.Slice(i*support*image, (i+1)*support*image), b.SupportLabels[i*support:], own[:support], image)
		p.items(b.QueryImages.Slice(i*query*image, (i+1)*query*image), b.QueryLabels[i*query:], own[support:], image)
	}
}

// looks says how samplers copy the images of a set.
type looks struct {
	set     dataset.Set
	bytes   func(dst []byte, class, instance, quarter int) // nil if images are distorted or augmented, or have no bytes
	rows    func(class, instance int) []int32              // of tokens; nil if the set is of images
	distort dataset.Distortion
	augment dataset.Augmentation
	norm    *dataset.Normalization
}

// newLooks returns an error if a distortion or an augmentation is invalid, or does not go with the set.
func newLooks(set dataset.Set, distort dataset.Distortion, augment dataset.Augmentation) (looks, error) {
	l := looks{set: set, distort: distort, augment: augment, norm: dataset.NormalizationOf(set), rows: dataset.Rows(set)}
	if err := distort.Check(); err != nil {
		return l, fmt.Errorf("episode: %w", err)
	}
	if err := augment.Check(); err != nil {
		return l, fmt.Errorf("episode: %w", err)
	}
	switch {
	case l.rows != nil && (augment.On() || distort.On()):
		return l, errors.New("episode: texts cannot be distorted or augmented as images are: leave that out")
	case augment.On() && distort.On():
		return l, errors.New("episode: images are both distorted, which is for drawings, and augmented, which is for photographs: use one of the two")
	case augment.On():
		if _, err := dataset.NewAugmenter(augment, set); err != nil {
			return l, fmt.Errorf("episode: %w", err)
		}
	case !distort.On():
		l.bytes = dataset.Bytes(set)
	}
	return l, nil
}

// holds is what batches hold.
func (l *looks) holds() holds {
	switch {
	case l.rows != nil:
		return holdsTokens
	case l.bytes != nil || l.augment.On():
		return holdsBytes
	}
	return holdsValues
}

// size returns the size of the images of some items: of texts that of the longest row, at least 1.
func (l *looks) size(items []Item) (channels, height, width int) {
	if l.rows == nil {
		return l.set.Shape()
	}
	width = 1
	for _, i := range items {
		width = max(width, len(l.rows(i.Class, i.Instance)))
	}
	return 1, 1, width
}

// random reports whether images are changed at random.
func (l *looks) random() bool { return l.augment.On() || l.distort.On() }

// printerRoom is the scratch memory of a printer. It is used for one sampler only.
type printerRoom struct {
	image     []float32          // before its distortion
	augmenter *dataset.Augmenter // nil until it is needed
}

func (l *looks) printer(room *printerRoom) printer {
	if l.augment.On() && room.augmenter == nil {
		room.augmenter, _ = dataset.NewAugmenter(l.augment, l.set) // newLooks has made one
	}
	return printer{looks: l, room: room}
}

// printer copies images of a set, each with its own random changes.
type printer struct {
	*looks
	rand *rand.Rand // must be set if random
	room *printerRoom
}

// image writes an image to dst, which holds what holds says.
func (p *printer) image(dst Pixels, class, instance, quarter int) {
	switch {
	case p.rows != nil:
		clear(dst.Tokens)
		for i, id := range p.rows(class, instance) {
			dst.Tokens[i] = int64(id)
		}
	case p.bytes != nil:
		p.bytes(dst.Bytes, class, instance, quarter)
	case p.augment.On():
		p.room.augmenter.Image(dst.Bytes, class, instance, quarter, p.rand)
	case p.random():
		channels, height, width := p.set.Shape()
		p.room.image = resize(p.room.image, channels*height*width)
		p.set.Image(p.room.image, class, instance, quarter)
		p.distort.Draw(p.rand).Apply(dst.Values, p.room.image, channels, height, width)
	default:
		p.set.Image(dst.Values, class, instance, quarter)
	}
}

// fill copies the images of items, which are not changed at random and have a size, into dst.
func (l *looks) fill(dst *Pixels, items []Item, size int) {
	dst.resize(len(items)*size, l.holds())
	dst.Norm = l.norm
	p := printer{looks: l}
	for i, item := range items {
		p.image(dst.Slice(i*size, (i+1)*size), item.Class, item.Instance, item.Quarter)
	}
}

// items writes images of a size, and their labels.
func (p *printer) items(dst Pixels, labels []int64, items []Item, size int) {
	for i, item := range items {
		p.image(dst.Slice(i*size, (i+1)*size), item.Class, item.Instance, item.Quarter)
		labels[i] = int64(item.Label)
	}
}
