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
// sampler's batches hold them, with their normalisation, but never distorted or augmented. It may be called from several
// goroutines with different dst.
func (l *looks) Images(dst *Pixels, items []Item) {
	channels, height, width := l.set.Shape()
	size := channels * height * width
	dst.resize(len(items)*size, l.bytes != nil)
	dst.Norm = l.norm
	for i, item := range items {
		to := dst.Slice(i*size, (i+1)*size)
		if l.bytes != nil {
			l.bytes(to.Bytes, item.Class, item.Instance, item.Quarter)
		} else {
			l.set.Image(to.Values, item.Class, item.Instance, item.Quarter)
		}
	}
}
