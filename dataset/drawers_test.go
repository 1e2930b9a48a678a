package dataset

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDrawers(t *testing.T) {
	set := numbered(t, 3, 6, 1, 2)
	some, err := Drawers(set, 2, 3)
	require.NoError(t, err)
	assert.Equal(t, []int{3, 3, 3}, []int{some.Classes(), some.Instances(0), some.Instances(2)})
	assert.Equal(t, "b", some.Class(1))
	for i := range 3 {
		assert.Equal(t, imageOf(set, 1, 2+i, 3), imageOf(some, 1, i, 3))
	}
	assert.Panics(t, func() { imageOf(some, 0, 3, 0) }, "a drawer of another part")
	assert.Panics(t, func() { imageOf(some, 0, -1, 0) })

	turned, err := WithRotations(some)
	require.NoError(t, err)
	assert.Equal(t, 12, turned.Classes())
	again, err := Drawers(turned, 1, 1)
	require.NoError(t, err)
	assert.True(t, Rotated(again))

	for want, c := range map[string][2]int{
		"4 drawers from drawer 3 on, but class a has 6": {3, 4},
		"from drawer 7 on":         {7, 1},
		"choose at least one":      {0, 0},
		"2 drawers from drawer -1": {-1, 2},
	} {
		_, err := Drawers(set, c[0], c[1])
		assert.ErrorContains(t, err, want)
	}
}

func TestPartsByDrawers(t *testing.T) {
	set := numbered(t, 4, 20, 1, 2)
	whole, err := Split{"mine", []string{"a", "b"}, []string{"c"}, []string{"d"}}.Parts(set, RotateNone)
	require.NoError(t, err)
	p, err := whole.ByDrawers()
	require.NoError(t, err)
	assert.Equal(t, []int{12, 4, 4}, []int{p.Train.Instances(0), p.Val.Instances(0), p.Test.Instances(0)})
	assert.Equal(t, imageOf(set, 1, 11, 0), imageOf(p.Train, 1, 11, 0))
	assert.Equal(t, imageOf(set, 2, 12, 0), imageOf(p.Val, 0, 0, 0))
	assert.Equal(t, imageOf(set, 3, 19, 0), imageOf(p.Test, 0, 3, 0))

	whole, err = Split{"mine", []string{"a"}, nil, nil}.Parts(numbered(t, 1, 11, 1, 2), RotateNone)
	require.NoError(t, err)
	_, err = whole.ByDrawers()
	assert.ErrorContains(t, err, "class a has 11 images")
}
