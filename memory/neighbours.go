package memory

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// neighbours finds the rows of a matrix that are nearest to a query by cosine. Rows of zeros have the cosine 0 with everything.
// Exact search compares the query with every other row, while with tables, of locality-sensitive hashing by random hyperplanes
// (Charikar 2002), it compares it with those of a few buckets, so that a search hardly depends on the number of rows.
type neighbours struct {
	width  int
	rows   []float32 // [slots·width]
	norms  []float32 // [slots]
	filled []uint64  // a bit for each slot that is not zero
	tables []*hashTable
	marked []uint32 // the search in which a slot was last a candidate
	search uint32
	found  []candidate
}

type candidate struct {
	slot  int32
	score float32 // the cosine in units of sameCosine
}

// hashTable is one table of hashed rows: a bucket is a list of slots, the last hashed first.
type hashTable struct {
	planes     []float32 // [bits·width]
	first      []int32   // of each bucket, -1 for none
	next, prev []int32   // of each slot; prev -1 at the first
	bucket     []int32   // of each slot, -1 for none
}

// Sizes of the hash tables.
const (
	hashTables   = 6
	bucketRows   = 8  // rows of a bucket on average, where all rows are filled
	bucketProbes = 4  // further buckets of a table: those across the nearest hyperplanes
	bucketMost   = 64 // rows of a bucket that are compared
)

// newNeighbours makes an index of rows of zeros. The hyperplanes are the same for every index of a size.
func newNeighbours(slots, width int, hashed bool) *neighbours {
	n := &neighbours{
		width: width, rows: make([]float32, slots*width), norms: make([]float32, slots),
		filled: make([]uint64, (slots+63)/64), marked: make([]uint32, slots),
	}
	if !hashed {
		return n
	}
	of := max(bits.Len(uint(slots/bucketRows)), 1)
	r := rand.New(rand.NewPCG(uint64(slots), uint64(width)))
	for range hashTables {
		t := &hashTable{planes: make([]float32, of*width), first: make([]int32, 1<<of)}
		for i := range t.planes {
			t.planes[i] = float32(r.NormFloat64())
		}
		for i := range t.first {
			t.first[i] = -1
		}
		t.next, t.prev, t.bucket = make([]int32, slots), make([]int32, slots), slices.Repeat([]int32{-1}, slots)
		n.tables = append(n.tables, t)
	}
	return n
}

func dot(a, b []float32) (sum float32) {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0, s1, s2, s3 = s0+a[i]*b[i], s1+a[i+1]*b[i+1], s2+a[i+2]*b[i+2], s3+a[i+3]*b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

func (n *neighbours) row(slot int32) []float32 { return n.rows[int(slot)*n.width:][:n.width] }

// set replaces a row.
func (n *neighbours) set(slot int32, row []float32) {
	copy(n.row(slot), row)
	norm := float32(math.Sqrt(float64(dot(row, row))))
	n.norms[slot] = norm
	if norm > 0 {
		n.filled[slot/64] |= 1 << (slot % 64)
	} else {
		n.filled[slot/64] &^= 1 << (slot % 64)
	}
	for _, t := range n.tables {
		t.remove(slot)
		if norm > 0 {
			bucket, _ := t.hash(row, nil)
			t.add(slot, bucket)
		}
	}
}

// hash returns the bucket of a row, and appends its products with the normals of the hyperplanes to margins.
func (t *hashTable) hash(row, margins []float32) (int32, []float32) {
	var bucket int32
	for b := 0; b*len(row) < len(t.planes); b++ {
		side := dot(row, t.planes[b*len(row):])
		if side > 0 {
			bucket |= 1 << b
		}
		margins = append(margins, side)
	}
	return bucket, margins
}

func (t *hashTable) remove(slot int32) {
	bucket := t.bucket[slot]
	if bucket < 0 {
		return
	}
	before, after := t.prev[slot], t.next[slot]
	if before >= 0 {
		t.next[before] = after
	} else {
		t.first[bucket] = after
	}
	if after >= 0 {
		t.prev[after] = before
	}
	t.bucket[slot] = -1
}

func (t *hashTable) add(slot, bucket int32) {
	first := t.first[bucket]
	t.next[slot], t.prev[slot], t.bucket[slot], t.first[bucket] = first, -1, bucket, slot
	if first >= 0 {
		t.prev[first] = slot
	}
}

// nearest returns the k slots whose rows have the largest cosines with a query, in descending order, lower slots first among
// equals; see [sameCosine]. With hash tables it is exact among the rows that it compares. A query of zeros has the cosine 0 with all.
func (n *neighbours) nearest(query []float32, k int, out []int32) []int32 {
	n.found = n.found[:0]
	n.search++
	scale := float32(0)
	if length := dot(query, query); length > 0 {
		scale = 1 / float32(math.Sqrt(float64(length)))
	}
	if n.tables == nil {
		n.all(query, scale)
	} else {
		n.hashed(query, scale)
	}
	// Rows of zeros, the lowest slots first.
	zeros := 0
	for word := 0; word < len(n.filled) && zeros < k; word++ {
		for free := ^n.filled[word]; free != 0 && zeros < k; free &= free - 1 {
			if slot := word*64 + bits.TrailingZeros64(free); slot < len(n.norms) {
				n.found = append(n.found, candidate{int32(slot), 0})
				zeros++
			}
		}
	}
	if len(n.found) < k { // the buckets held too few
		n.found = n.found[:0]
		n.all(query, scale)
	}
	slices.SortFunc(n.found, func(a, b candidate) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return int(a.slot - b.slot)
	})
	for _, c := range n.found[:k] {
		out = append(out, c.slot)
	}
	return out
}

// all compares the query with every filled row.
func (n *neighbours) all(query []float32, scale float32) {
	for word, filled := range n.filled {
		for ; filled != 0; filled &= filled - 1 {
			n.compare(int32(word*64+bits.TrailingZeros64(filled)), query, scale)
		}
	}
}

// sameCosine is the resolution of cosines: those that round to the same multiple of it count as equal. The slots that a head
// writes in a step are often parallel, and rounding must not choose among them.
const sameCosine = 1e-5

func (n *neighbours) compare(slot int32, query []float32, scale float32) {
	cosine := float64(dot(query, n.row(slot)) * scale / n.norms[slot])
	n.found = append(n.found, candidate{slot, float32(math.Round(cosine / sameCosine))})
}

// hashed compares the query with the rows of its bucket in each table, and of the buckets across the nearest hyperplanes.
func (n *neighbours) hashed(query []float32, scale float32) {
	var room [32]float32
	for _, t := range n.tables {
		bucket, margins := t.hash(query, room[:0])
		for probe := range bucketProbes + 1 {
			at := bucket
			if probe > 0 {
				nearest := -1
				for b, m := range margins {
					if m = float32(math.Abs(float64(m))); m >= 0 && (nearest < 0 || m < float32(math.Abs(float64(margins[nearest])))) {
						nearest = b
					}
				}
				if nearest < 0 {
					break
				}
				margins[nearest] = float32(math.NaN())
				at ^= 1 << nearest
			}
			compared := 0
			for slot := t.first[at]; slot >= 0 && compared < bucketMost; slot = t.next[slot] {
				if n.marked[slot] != n.search {
					n.marked[slot] = n.search
					n.compare(slot, query, scale)
				}
				compared++
			}
		}
	}
}
