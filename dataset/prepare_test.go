package dataset

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPrepareCutsOutTheMiddle(t *testing.T) {
	set := colours(t, 2, 3, 9)
	turned, err := WithRotations(set)
	require.NoError(t, err)
	for _, whole := range []Set{set, turned, struct{ Set }{set}} {
		p, err := Prepare(whole, Preparation{Height: 5, Width: 7})
		require.NoError(t, err)
		c, h, w := p.Shape()
		require.Equal(t, []int{3, 5, 7}, []int{c, h, w})
		assert.Equal(t, whole, Uncut(p))
		assert.Equal(t, Rotated(whole), Rotated(p))
		assert.Equal(t, whole.Classes(), p.Classes())
		big, small := make([]float32, 3*81), make([]float32, 3*35)
		for class := range whole.Classes() {
			whole.Image(big, class, 2, 1)
			p.Image(small, class, 2, 1)
			for i, v := range small {
				k, y, x := i/35, i/7%5, i%7
				require.Equal(t, big[k*81+(y+2)*9+x+1], v)
			}
			if read := Bytes(p); read != nil {
				b := make([]byte, len(small))
				read(b, class, 2, 1)
				for i, v := range b {
					require.Equal(t, float32(v)/255, small[i])
				}
			}
		}
		assert.Equal(t, Bytes(whole) == nil, Bytes(p) == nil)
	}
	same, err := Prepare(set, Preparation{})
	require.NoError(t, err)
	assert.Equal(t, Set(set), same)
	named := &Folder{Images: set, Files: []string{"0", "1", "2", "3", "4", "5"}}
	p, err := Prepare(named, Preparation{Height: 5, Width: 5})
	require.NoError(t, err)
	assert.Equal(t, "4", File(p, 1, 1), "the file of the image that was prepared")
	for _, p := range []Preparation{{Height: 10, Width: 9}, {Height: 9}, {Height: -1, Width: 3}} {
		_, err = Prepare(set, p)
		assert.ErrorContains(t, err, "choose a smaller one")
	}
}

func TestStatistics(t *testing.T) {
	set := colours(t, 3, 4, 6)
	n, err := Statistics(set)
	require.NoError(t, err)
	for c := range 3 {
		var sum, squares, all float64
		for class := range 3 {
			for i := range 4 {
				for _, v := range set.stored(class, i)[c*36 : (c+1)*36] {
					x := float64(v) / 255
					sum, squares, all = sum+x, squares+x*x, all+1
				}
			}
		}
		assert.InDelta(t, sum/all, n.Mean[c], 1e-12)
		assert.InDelta(t, math.Sqrt(squares/all-sum*sum/all/all), n.Std[c], 1e-12)
	}
	p, err := Prepare(set, Preparation{Norm: n})
	require.NoError(t, err)
	assert.Same(t, n, NormalizationOf(p))
	assert.Nil(t, NormalizationOf(set))
	flat, err := NewImages([]string{"a"}, []int{1}, 1, 1, 2, []byte{51, 51})
	require.NoError(t, err)
	n, err = Statistics(flat)
	require.NoError(t, err)
	assert.Equal(t, &Normalization{[]float64{.2}, []float64{1}}, n, "no division by zero")
	_, err = Statistics(struct{ Set }{set})
	assert.Error(t, err)
	for _, bad := range []Normalization{{}, {[]float64{0, 0, 0}, []float64{1, 0, 1}}, {[]float64{0, math.NaN(), 0}, []float64{1, 1, 1}}, {[]float64{0, 0, 0}, []float64{1, math.Inf(1), 1}}} {
		_, err = Prepare(set, Preparation{Norm: &bad})
		assert.Error(t, err)
	}
}
