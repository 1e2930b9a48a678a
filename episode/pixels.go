package episode

import "slices"

// Pixels is the values of images, one after another: as bytes, v for the value v/255, where the set holds bytes
// (dataset.Bytes) and no image is bent; else as values. The other of the two is empty.
type Pixels struct {
	Bytes  []byte
	Values []float32
}

// Len is the number of values.
func (p Pixels) Len() int { return len(p.Bytes) + len(p.Values) }

// Slice is the values from one on and before another, in the same memory.
func (p Pixels) Slice(from, to int) Pixels {
	if len(p.Bytes) > 0 {
		return Pixels{Bytes: p.Bytes[from:to:to]}
	}
	return Pixels{Values: p.Values[from:to:to]}
}

// Floats returns the values in memory of their own.
func (p Pixels) Floats() []float32 {
	out := slices.Clone(p.Values)
	for _, v := range p.Bytes {
		out = append(out, float32(v)/255)
	}
	return out
}

// resize gives p room for n values, without keeping those it has.
func (p *Pixels) resize(n int, bytes bool) {
	ofBytes, ofValues := n, 0
	if !bytes {
		ofBytes, ofValues = 0, n
	}
	p.Bytes, p.Values = resize(p.Bytes, ofBytes), resize(p.Values, ofValues)
}

// resize gives a slice a length, without keeping its values.
func resize[T any](s []T, n int) []T {
	return slices.Grow(s[:0], n)[:n]
}
