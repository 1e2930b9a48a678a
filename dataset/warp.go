package dataset

import "math"

// Warp writes src, an image [channels, height, width], into dst, rotated counter-clockwise about its centre by an
// angle in radians and then moved right and down by numbers of pixels. Values between pixels are interpolated
// linearly; outside the image is zero. dst and src must not overlap.
func Warp(dst, src []float32, channels, height, width int, angle, right, down float64) {
	sin, cos := math.Sincos(angle)
	midX, midY := float64(width-1)/2, float64(height-1)/2
	// The source in src of pixel (x, y) of dst is (x0 + x·cos - y·sin, y0 + x·sin + y·cos).
	x0 := midX - (midX+right)*cos + (midY+down)*sin
	y0 := midY - (midX+right)*sin - (midY+down)*cos
	plane := height * width
	for c := range channels {
		from, to := src[c*plane:(c+1)*plane], dst[c*plane:(c+1)*plane]
		for y := range height {
			rowX, rowY := x0-float64(y)*sin, y0+float64(y)*cos
			row := to[y*width : (y+1)*width]
			for x := range row {
				row[x] = at(from, height, width, rowX+float64(x)*cos, rowY+float64(x)*sin)
			}
		}
	}
}

// at interpolates an image [height, width] at (x, y).
func at(image []float32, height, width int, x, y float64) float32 {
	if !(x > -1 && y > -1 && x < float64(width) && y < float64(height)) {
		return 0
	}
	// Neither is below -1, so truncation after adding one is the floor.
	left, top := int(x+1)-1, int(y+1)-1
	u, v := float32(x-float64(left)), float32(y-float64(top))
	i := top*width + left
	if left >= 0 && top >= 0 && left < width-1 && top < height-1 {
		a, b, c, d := image[i], image[i+1], image[i+width], image[i+width+1]
		return (a+(b-a)*u)*(1-v) + (c+(d-c)*u)*v
	}
	pixel := func(x, y, i int) float32 {
		if x < 0 || y < 0 || x >= width || y >= height {
			return 0
		}
		return image[i]
	}
	a, b := pixel(left, top, i), pixel(left+1, top, i+1)
	c, d := pixel(left, top+1, i+width), pixel(left+1, top+1, i+width+1)
	return (a+(b-a)*u)*(1-v) + (c+(d-c)*u)*v
}
