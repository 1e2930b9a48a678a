package episode

// Images copies the images of items, one after another, into dst, whose memory is used again where it suffices. Images are as the
// sampler's batches hold them, with their normalisation, but never distorted or augmented. It may be called from several goroutines with different dst.
func (s *Sampler) Images(dst *Pixels, items []Item) {
	size := s.channels * s.height * s.width
	dst.resize(len(items)*size, s.bytes != nil)
	dst.Norm = s.norm
	for i, item := range items {
		to := dst.Slice(i*size, (i+1)*size)
		if s.bytes != nil {
			s.bytes(to.Bytes, item.Class, item.Instance, item.Quarter)
		} else {
			s.set.Image(to.Values, item.Class, item.Instance, item.Quarter)
		}
	}
}
