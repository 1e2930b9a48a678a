package dataset

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

func noise(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 0))
	out := make([]float32, n)
	for i := range out {
		out[i] = r.Float32()
	}
	return out
}

func warp(src []float32, channels, height, width int, angle, right, down float64) []float32 {
	dst := make([]float32, len(src))
	Warp(dst, src, channels, height, width, angle, right, down)
	return dst
}

func TestWarpByWholePixelsIsAShift(t *testing.T) {
	const channels, height, width = 2, 5, 7
	src := noise(channels * height * width)
	for _, by := range [][2]int{{0, 0}, {2, -1}, {-3, 2}, {0, 4}, {7, 0}, {-100, 100}} {
		want := make([]float32, len(src))
		for c := range channels {
			for y := range height {
				for x := range width {
					if fx, fy := x-by[0], y-by[1]; fx >= 0 && fy >= 0 && fx < width && fy < height {
						want[(c*height+y)*width+x] = src[(c*height+fy)*width+fx]
					}
				}
			}
		}
		assert.Equal(t, want, warp(src, channels, height, width, 0, float64(by[0]), float64(by[1])), by)
	}
}

// A quarter turn equals that of Image, in both directions.
func TestWarpRotatesAsImageDoes(t *testing.T) {
	const side = 6
	pixels := make([]byte, side*side)
	for i := range pixels {
		pixels[i] = byte(i * 7)
	}
	set, err := NewImages([]string{"a"}, []int{1}, 1, side, side, pixels)
	assert.NoError(t, err)
	src, want := make([]float32, side*side), make([]float32, side*side)
	set.Image(src, 0, 0, 0)
	for quarter := range 4 {
		set.Image(want, 0, 0, quarter)
		for _, turn := range []int{quarter, quarter - 4} {
			assert.InDeltaSlice(t, want, warp(src, 1, side, side, float64(turn)*math.Pi/2, 0, 0), 1e-6, turn)
		}
	}
}

// Against a plain loop: rotate first, then move; interpolate between four pixels.
func TestWarpIsThePlainLoop(t *testing.T) {
	const height, width = 9, 12
	src := noise(height * width)
	pixel := func(x, y int) float64 {
		if x < 0 || y < 0 || x >= width || y >= height {
			return 0
		}
		return float64(src[y*width+x])
	}
	for _, c := range [][3]float64{{.3, 0, 0}, {-.2, 1.25, -2.5}, {2.5, -.75, .5}, {0, .5, .25}} {
		angle, right, down := c[0], c[1], c[2]
		got := warp(src, 1, height, width, angle, right, down)
		for y := range height {
			for x := range width {
				u, v := float64(x)-right-(width-1)/2., float64(y)-down-(height-1)/2. // before the move, about the centre
				fx, fy := u*math.Cos(angle)-v*math.Sin(angle)+(width-1)/2., u*math.Sin(angle)+v*math.Cos(angle)+(height-1)/2.
				left, top := int(math.Floor(fx)), int(math.Floor(fy))
				want := 0.
				for dy := range 2 {
					for dx := range 2 {
						want += pixel(left+dx, top+dy) * (1 - math.Abs(fx-float64(left+dx))) * (1 - math.Abs(fy-float64(top+dy)))
					}
				}
				assert.InDelta(t, want, got[y*width+x], 1e-5, "%v at %d, %d", c, x, y)
			}
		}
	}
}

func BenchmarkWarp(b *testing.B) {
	src, dst := noise(20*20), make([]float32, 20*20)
	for b.Loop() {
		Warp(dst, src, 1, 20, 20, .15, 1.3, -.6)
	}
}
