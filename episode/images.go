package episode

import "github.com/engram-go/engram/dataset"

// A Reader copies the images of a set as samplers do.
type Reader struct{ looks }

// NewReader returns a reader of a set.
func NewReader(set dataset.Set) *Reader {
	looks, _ := newLooks(set, dataset.Distortion{}, dataset.Augmentation{}) // no error: nothing changes the images
	return &Reader{looks}
}

// Images copies the images of items, one after another, into dst, whose memory is used again where it suffices. Images are as a
// sampler's batches hold them, with their normalisation, but never distorted or augmented. It returns their size; the width of texts
// is that of the longest row. It may be called from several goroutines with different dst.
func (l *looks) Images(dst *Pixels, items []Item) (channels, height, width int) {
	channels, height, width = l.size(items)
	plain := looks{set: l.set, bytes: l.bytes, rows: l.rows, norm: l.norm}
	plain.fill(dst, items, channels*height*width)
	return channels, height, width
}
