package memory

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// naive lists the k slots with the largest cosines by a plain loop.
func naive(rows [][]float32, query []float32, k int) []int32 {
	score := make([]float64, len(rows))
	order := make([]int32, len(rows))
	for i, row := range rows {
		order[i] = int32(i)
		var qr, qq, rr float64
		for j := range row {
			qr, qq, rr = qr+float64(query[j]*row[j]), qq+float64(query[j]*query[j]), rr+float64(row[j]*row[j])
		}
		if rr > 0 && qq > 0 {
			score[i] = qr * qr / (qq * rr)
			score[i] = math.Round(math.Copysign(math.Sqrt(score[i]), qr) / sameCosine)
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		switch {
		case score[a] > score[b]:
			return -1
		case score[a] < score[b]:
			return 1
		}
		return 0
	})
	return order[:k]
}

// The exact search is the plain loop, also after rows have changed and become zero.
func TestNearestIsThePlainLoop(t *testing.T) {
	const slots, width = 130, 5
	r := rand.New(rand.NewPCG(1, 1))
	n := newNeighbours(slots, width, false)
	rows := make([][]float32, slots)
	for i := range rows {
		rows[i] = make([]float32, width)
	}
	query := make([]float32, width)
	for step := range 400 {
		slot := r.IntN(slots)
		for j := range width {
			if rows[slot][j] = float32(r.NormFloat64()); step%7 == 0 {
				rows[slot][j] = 0
			}
			query[j] = float32(r.NormFloat64())
		}
		n.set(int32(slot), rows[slot])
		assert.Equal(t, naive(rows, query, 6), n.nearest(query, 6, nil))
	}
	clear(query)
	assert.Equal(t, []int32{0, 1, 2}, n.nearest(query, 3, nil), "a query of zeros")
}

// Hashing finds a stored row by a noisy copy of it, and compares only a small part of a large memory. Where it holds few rows it
// finds as many as are asked for.
func TestHashedNearest(t *testing.T) {
	const slots, width = 4096, 32
	r := rand.New(rand.NewPCG(2, 1))
	n := newNeighbours(slots, width, true)
	rows := make([][]float32, slots)
	for i := range rows {
		rows[i] = make([]float32, width)
		for range 2 { // and replaces it
			for j := range width {
				rows[i][j] = float32(r.NormFloat64())
			}
			n.set(int32(i), rows[i])
		}
	}
	found, compared := 0, 0
	query := make([]float32, width)
	for range 200 {
		slot := r.IntN(slots)
		for j, v := range rows[slot] {
			query[j] = v + float32(.3*r.NormFloat64())
		}
		if n.nearest(query, 4, nil)[0] == int32(slot) {
			found++
		}
		compared += len(n.found)
	}
	assert.GreaterOrEqual(t, found, 190)
	assert.Less(t, compared/200, 1000)
	few := newNeighbours(slots, width, true)
	few.set(7, rows[7])
	assert.Equal(t, int32(7), few.nearest(rows[7], 4, nil)[0])
	assert.Len(t, few.nearest(query, 4, nil), 4)
	full := newNeighbours(8, width, true)
	for i := range int32(8) {
		full.set(i, rows[i])
	}
	assert.ElementsMatch(t, []int32{0, 1, 2, 3, 4, 5, 6, 7}, full.nearest(query, 8, nil))
}
