package episode

import (
	"slices"

	"github.com/engram-go/engram/dataset"
)

// Normalization is that of package dataset.
type Normalization = dataset.Normalization

// Pixels is the values of images, one after another: as bytes, v for the value v/255, if the set holds bytes
// (dataset.Bytes) and images are not distorted; else as values. Texts are rows of tokens, all of one length: shorter ones have
// zeros at their ends. All but one of the three are empty.
type Pixels struct {
	Bytes  []byte
	Values []float32
	Tokens []int64
	// Norm is the normalisation of a network's input, which is applied on the device; nil for none.
	Norm *Normalization
}

// Len returns the number of values.
func (p Pixels) Len() int { return len(p.Bytes) + len(p.Values) + len(p.Tokens) }

// Slice returns a range of values in the same memory.
func (p Pixels) Slice(from, to int) Pixels {
	switch {
	case len(p.Bytes) > 0:
		return Pixels{Bytes: p.Bytes[from:to:to], Norm: p.Norm}
	case len(p.Tokens) > 0:
		return Pixels{Tokens: p.Tokens[from:to:to]}
	}
	return Pixels{Values: p.Values[from:to:to], Norm: p.Norm}
}

// Floats returns a copy of the values, without normalisation; tokens as numbers.
func (p Pixels) Floats() []float32 {
	out := slices.Clone(p.Values)
	for _, v := range p.Bytes {
		out = append(out, float32(v)/255)
	}
	for _, v := range p.Tokens {
		out = append(out, float32(v))
	}
	return out
}

// holds is what the values of a set's images are.
type holds int

const (
	holdsValues holds = iota
	holdsBytes
	holdsTokens
)

// resize gives p room for n values without preserving its content.
func (p *Pixels) resize(n int, of holds) {
	var sizes [3]int
	sizes[of] = n
	p.Values, p.Bytes, p.Tokens = resize(p.Values, sizes[holdsValues]), resize(p.Bytes, sizes[holdsBytes]), resize(p.Tokens, sizes[holdsTokens])
}

// resize returns a slice of length n without preserving its content.
func resize[T any](s []T, n int) []T {
	return slices.Grow(s[:0], n)[:n]
}
