package episode

import (
	"slices"

	"github.com/engram-go/engram/dataset"
)

// Normalization is that of package dataset.
type Normalization = dataset.Normalization

// Pixels is the values of images, one after another: as bytes, v for the value v/255, if the set holds bytes
// (dataset.Bytes) and images are not distorted; else as values. The other of the two is empty.
type Pixels struct {
	Bytes  []byte
	Values []float32
	// Norm is the normalisation of a network's input, which is applied on the device; nil for none.
	Norm *Normalization
}

// Len returns the number of values.
func (p Pixels) Len() int { return len(p.Bytes) + len(p.Values) }

// Slice returns a range of values in the same memory.
func (p Pixels) Slice(from, to int) Pixels {
	if len(p.Bytes) > 0 {
		return Pixels{Bytes: p.Bytes[from:to:to], Norm: p.Norm}
	}
	return Pixels{Values: p.Values[from:to:to], Norm: p.Norm}
}

// Floats returns a copy of the values, without normalisation.
func (p Pixels) Floats() []float32 {
	out := slices.Clone(p.Values)
	for _, v := range p.Bytes {
		out = append(out, float32(v)/255)
	}
	return out
}

// resize gives p room for n values without preserving its content.
func (p *Pixels) resize(n int, bytes bool) {
	ofBytes, ofValues := n, 0
	if !bytes {
		ofBytes, ofValues = 0, n
	}
	p.Bytes, p.Values = resize(p.Bytes, ofBytes), resize(p.Values, ofValues)
}

// resize returns a slice of length n without preserving its content.
func resize[T any](s []T, n int) []T {
	return slices.Grow(s[:0], n)[:n]
}
