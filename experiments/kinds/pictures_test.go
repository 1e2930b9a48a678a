package kinds

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Points that differ along two directions of space lie in the plane as they lay there.
func TestPrincipalComponents(t *testing.T) {
	a, b := [3]float64{.6, 0, .8}, [3]float64{0, 1, 0}
	var values []float64
	for _, at := range [][2]float64{{-3, 1}, {-1, -1}, {1, -1}, {3, 1}} {
		for k := range 3 {
			values = append(values, 5+at[0]*a[k]+at[1]*b[k])
		}
	}
	plane, share, err := principal(values, 3)
	require.NoError(t, err)
	for i, want := range [][2]float64{{-3, 1}, {-1, -1}, {1, -1}, {3, 1}} {
		assert.InDeltaSlice(t, want[:], plane[i][:], 1e-12)
	}
	assert.InDelta(t, 5./6, share[0], 1e-12)
	assert.InDelta(t, 1./6, share[1], 1e-12)

	_, share, err = principal(make([]float64, 12), 3)
	require.NoError(t, err)
	assert.False(t, math.IsNaN(share[0]), "points that are all one")
	_, _, err = principal(values[:6], 3)
	assert.ErrorContains(t, err, "2 embeddings of width 3 have no plane")
}
