package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Distortion limits the random affine maps that distort an image: Koch et al. 2015, section 3.2. The zero value does
// not distort.
type Distortion struct {
	Rotate float64 // degrees, in either direction
	Shear  float64 // of either axis, in either direction
	Scale  float64 // of either axis: the factor lies in [1-Scale, 1+Scale]
	Shift  float64 // pixels along either axis, in either direction
	Chance float64 // probability of each of the seven: one rotation, and a shear, a scale and a shift of either axis
}

// On reports whether the distortion changes images.
func (d Distortion) On() bool {
	return d.Chance > 0 && (d.Rotate > 0 || d.Shear > 0 || d.Scale > 0 || d.Shift > 0)
}

// Check returns an error for a distortion that could invert or collapse an image.
func (d Distortion) Check() error {
	for name, v := range map[string]float64{"rotate": d.Rotate, "shear": d.Shear, "scale": d.Scale, "shift": d.Shift, "chance": d.Chance} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("dataset: distortion: %s is %g, want a finite number of at least 0", name, v)
		}
	}
	switch {
	case d.Shear >= 1:
		return fmt.Errorf("dataset: distortion: a shear of %g can collapse the image to a line: choose less than 1", d.Shear)
	case d.Scale >= 1:
		return fmt.Errorf("dataset: distortion: a scale of 1±%g can collapse the image to a point: choose less than 1", d.Scale)
	case d.Chance > 1:
		return fmt.Errorf("dataset: distortion: a chance of %g: it must be at most 1", d.Chance)
	}
	return nil
}

// Draw draws a map. The number of draws from r is always the same.
func (d Distortion) Draw(r *rand.Rand) Affine {
	component := func(bound float64) float64 {
		drawn, value := r.Float64() < d.Chance, (2*r.Float64()-1)*bound
		if !drawn {
			return 0
		}
		return value
	}
	sin, cos := math.Sincos(component(d.Rotate) * math.Pi / 180)
	shearX, shearY := component(d.Shear), component(d.Shear)
	scaleX, scaleY := 1+component(d.Scale), 1+component(d.Scale)
	shiftX, shiftY := component(d.Shift), component(d.Shift)
	// Rotation · shear · scale, then the shift.
	return Affine{
		(cos - sin*shearY) * scaleX, (cos*shearX - sin) * scaleY, shiftX,
		(sin + cos*shearY) * scaleX, (sin*shearX + cos) * scaleY, shiftY,
	}
}

// Affine is the map (x, y) → (a[0]·x + a[1]·y + a[2], a[3]·x + a[4]·y + a[5]) of points, in pixels from the centre of
// an image to the right and down.
type Affine [6]float64

// Inverse returns the inverse map. For a singular map, the result's numbers are not finite.
func (a Affine) Inverse() Affine {
	det := a[0]*a[4] - a[1]*a[3]
	xx, xy, yx, yy := a[4]/det, -a[1]/det, -a[3]/det, a[0]/det
	return Affine{xx, xy, -(xx*a[2] + xy*a[5]), yx, yy, -(yx*a[2] + yy*a[5])}
}

// Apply transforms an image [channels, height, width] by the map into dst, which must not overlap it: the value at
// (x, y) moves to the map's (x, y). Values between pixels are interpolated bilinearly; outside the image is paper, 0.
func (a Affine) Apply(dst, src []float32, channels, height, width int) {
	size := height * width
	dst, src = dst[:channels*size], src[:channels*size]
	back := a.Inverse()
	middleX, middleY := float64(width-1)/2, float64(height-1)/2
	for y := range height {
		// Source of the row's first pixel; the others lie along a straight line.
		offsetY := float64(y) - middleY
		startX := middleX + back[2] + back[1]*offsetY - back[0]*middleX
		startY := middleY + back[5] + back[4]*offsetY - back[3]*middleX
		for c := range channels {
			plane, row := src[c*size:(c+1)*size], dst[c*size+y*width:][:width]
			for x := range row {
				row[x] = at(plane, height, width, startX+back[0]*float64(x), startY+back[3]*float64(x))
			}
		}
	}
}
