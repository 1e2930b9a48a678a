package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kochDistortion is that of Koch et al. 2015, section 3.2, for images of 105×105 pixels.
var kochDistortion = Distortion{Rotate: 10, Shear: .3, Scale: .2, Shift: 2, Chance: .5}

// moved is Apply pixel by pixel, by bilinear interpolation.
func moved(a Affine, src []float32, channels, height, width int) []float32 {
	dst := make([]float32, len(src))
	b := a.Inverse()
	for c := range channels {
		for y := range height {
			for x := range width {
				u, v := float64(x)-float64(width-1)/2, float64(y)-float64(height-1)/2
				fromX, fromY := b[0]*u+b[1]*v+b[2]+float64(width-1)/2, b[3]*u+b[4]*v+b[5]+float64(height-1)/2
				var sum float64
				for i := range height {
					for j := range width {
						near := max(0, 1-math.Abs(fromX-float64(j))) * max(0, 1-math.Abs(fromY-float64(i)))
						sum += near * float64(src[(c*height+i)*width+j])
					}
				}
				dst[(c*height+y)*width+x] = float32(sum)
			}
		}
	}
	return dst
}

func TestApplyIsThePlainLoop(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	wild := Distortion{Rotate: 180, Shear: .9, Scale: .9, Shift: 20, Chance: .7}
	for _, size := range [][3]int{{1, 12, 12}, {3, 7, 15}, {1, 1, 9}, {2, 5, 1}, {1, 28, 28}} {
		for _, d := range []Distortion{{}, kochDistortion, wild} {
			for range 10 {
				a, src := d.Draw(r), noise(size[0]*size[1]*size[2])
				dst := noise(len(src)) // every pixel is written
				a.Apply(dst, src, size[0], size[1], size[2])
				for i, want := range moved(a, src, size[0], size[1], size[2]) {
					require.InDelta(t, want, dst[i], 2e-6, "%v, %v, pixel %d", size, a, i)
				}
			}
		}
	}
}

func TestKnownMaps(t *testing.T) {
	const side = 5
	src := make([]float32, side*side)
	src[1*side+3] = 1 // one to the right of the centre, one up
	for name, c := range map[string]struct {
		a    Affine
		x, y int
	}{
		"nothing":                  {Affine{1, 0, 0, 0, 1, 0}, 3, 1},
		"a shift right and down":   {Affine{1, 0, 1, 0, 1, 2}, 4, 3},
		"a quarter turn clockwise": {Affine{0, -1, 0, 1, 0, 0}, 3, 3},
		"mirrored":                 {Affine{-1, 0, 0, 0, 1, 0}, 1, 1},
		"a shear":                  {Affine{1, 1, 0, 0, 1, 0}, 2, 1},
		"scaled by two":            {Affine{2, 0, 0, 0, 2, 0}, 4, 0},
	} {
		dst := make([]float32, side*side)
		c.a.Apply(dst, src, 1, side, side)
		assert.Equal(t, float32(1), dst[c.y*side+c.x], name)
	}
}

// The order of composition, and the values of each part alone.
func TestDraw(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 0))
	assert.Equal(t, Affine{1, 0, 0, 0, 1, 0}, Distortion{Chance: 1}.Draw(r))
	assert.Equal(t, Affine{1, 0, 0, 0, 1, 0}, Distortion{Rotate: 9, Shear: .5, Scale: .5, Shift: 3}.Draw(r), "no chance")

	const n = 4000
	var turned, sheared, scaled, shifted int
	for range n {
		a := Distortion{Rotate: 10, Chance: .5}.Draw(r)
		assert.InDelta(t, 1, a[0]*a[0]+a[3]*a[3], 1e-12)
		assert.LessOrEqual(t, math.Abs(math.Atan2(a[3], a[0])), 10*math.Pi/180)
		turned += one(a[3] != 0)
		a = Distortion{Shear: .3, Chance: .5}.Draw(r)
		assert.True(t, math.Abs(a[1]) <= .3 && math.Abs(a[3]) <= .3 && a[0] == 1 && a[4] == 1)
		sheared += one(a[1] != 0)
		a = Distortion{Scale: .2, Chance: .5}.Draw(r)
		assert.True(t, a[0] >= .8 && a[0] <= 1.2 && a[4] >= .8 && a[4] <= 1.2 && a[1] == 0 && a[3] == 0)
		scaled += one(a[4] != 1)
		a = Distortion{Shift: 2, Chance: .5}.Draw(r)
		assert.True(t, math.Abs(a[2]) <= 2 && math.Abs(a[5]) <= 2)
		shifted += one(a[2] != 0)
	}
	for _, times := range []int{turned, sheared, scaled, shifted} {
		assert.InDelta(t, n/2, times, 160, "half of the draws, within five standard deviations")
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestInverse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 0))
	for range 100 {
		a := kochDistortion.Draw(r)
		b := a.Inverse()
		x, y := r.NormFloat64(), r.NormFloat64()
		u, v := a[0]*x+a[1]*y+a[2], a[3]*x+a[4]*y+a[5]
		assert.InDelta(t, x, b[0]*u+b[1]*v+b[2], 1e-12)
		assert.InDelta(t, y, b[3]*u+b[4]*v+b[5], 1e-12)
	}
	// A singular map leaves paper.
	dst := []float32{1, 1, 1, 1}
	Affine{}.Apply(dst, []float32{1, 1, 1, 1}, 1, 2, 2)
	assert.Equal(t, make([]float32, 4), dst)
}

func TestDistortionErrors(t *testing.T) {
	assert.NoError(t, kochDistortion.Check())
	assert.NoError(t, Distortion{}.Check())
	for want, d := range map[string]Distortion{
		"rotate is -1":     {Rotate: -1},
		"shift is NaN":     {Shift: math.NaN()},
		"a shear of 1":     {Shear: 1},
		"a scale of 1±1.5": {Scale: 1.5},
		"a chance of 2":    {Chance: 2},
	} {
		assert.ErrorContains(t, d.Check(), want)
	}
}

func BenchmarkApply(b *testing.B) {
	r := rand.New(rand.NewPCG(4, 0))
	for _, side := range []int{28, 105} {
		b.Run(fmt.Sprint(side), func(b *testing.B) {
			src, dst := noise(side*side), make([]float32, side*side)
			a := kochDistortion.Draw(r)
			for b.Loop() {
				a.Apply(dst, src, 1, side, side)
			}
		})
	}
}
