package transformer

import (
	"fmt"
	"math"

	"github.com/engram-go/engram/tensor"
)

// Interpolation is how the vectors of positions on one grid become those of another. All are bicubic; the publications differ in
// the details, and a network must be given its own.
type Interpolation string

// The interpolations.
const (
	// Bicubic takes the sizes of the two grids: Hugging Face's library.
	Bicubic Interpolation = "bicubic"
	// BicubicOffset adds 0.1 to the size of the new grid to compute the scale: the code of DINO, and of DINOv2 without registers.
	BicubicOffset Interpolation = "bicubic-offset"
	// BicubicSmooth filters before it samples fewer points than there are (antialias): timm, and DINOv2 with registers.
	BicubicSmooth Interpolation = "bicubic-smooth"
)

// Interpolations lists them.
func Interpolations() []Interpolation { return []Interpolation{Bicubic, BicubicOffset, BicubicSmooth} }

// cubic is the kernel of bicubic interpolation: Keys 1981, eq. 4.
func cubic(x, a float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}

// matrix returns the interpolation of to points between from points, [to, from].
func (m Interpolation) matrix(from, to int64) *tensor.Tensor {
	w := make([]float64, to*from)
	for i := range to {
		row := w[i*from:][:from]
		if m == BicubicSmooth {
			smooth(row, i, float64(from)/float64(to))
			continue
		}
		scale := float64(from) / float64(to)
		if m == BicubicOffset {
			scale = float64(from) / (float64(to) + .1)
		}
		at := (float64(i)+.5)*scale - .5
		first := math.Floor(at)
		for k := -1; k <= 2; k++ { // points beyond the edges are those of the edges
			tap := min(max(int64(first)+int64(k), 0), from-1)
			row[tap] += cubic(at-first-float64(k), -.75)
		}
	}
	return tensor.New(w, to, from)
}

// smooth fills in the weights of the i-th of the new points, which are scale old points apart: the filter of Pillow.
func smooth(row []float64, i int64, scale float64) {
	wide := max(scale, 1) // of the kernel
	centre := scale * (float64(i) + .5)
	first := max(int(centre-2*wide+.5), 0)
	last := min(int(centre+2*wide+.5), len(row))
	sum := 0.
	for k := first; k < last; k++ {
		row[k] = cubic((float64(k)-centre+.5)/wide, -.5)
		sum += row[k]
	}
	for k := first; k < last; k++ {
		row[k] /= sum
	}
}

// resize interpolates vectors of a square grid [grid·grid, width] to [height·width', width].
func (m Interpolation) resize(positions *tensor.Tensor, height, width int64) *tensor.Tensor {
	size := positions.Dim(1)
	grid := int64(math.Round(math.Sqrt(float64(positions.Dim(0)))))
	if grid == height && grid == width {
		return positions
	}
	like := func(t *tensor.Tensor) *tensor.Tensor { return t.To(positions.DType()).On(positions.Device()) }
	rows := like(m.matrix(grid, height)).MatMul(positions.Reshape(grid, grid*size)).Reshape(height, grid, size)
	return like(m.matrix(grid, width)).MatMul(rows).Reshape(height*width, size)
}

func (m Interpolation) check() error {
	for _, known := range Interpolations() {
		if m == known {
			return nil
		}
	}
	return fmt.Errorf("transformer: no interpolation %q of positions; there are %q", m, Interpolations())
}
