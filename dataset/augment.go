package dataset

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Augmentation says how training images are changed at random, as photographs usually are. The zero value leaves them alone. The
// changes come in this order: a crop, colour jitter, a flip, erasing.
//
// An image of a set that cuts the middle out of its images (see [Prepare]) is cropped from the whole image to the size of the
// middle. Without Pad and Area the crop is anywhere in the whole image.
type Augmentation struct {
	// Pad is the width in pixels of a black border that is put around the image before the crop, whose place is drawn evenly.
	Pad int
	// Area is the smallest share of the image that is cropped; 0 for crops of full size. The share is drawn evenly from Area to 1
	// and the logarithm of the ratio of width and height from that of 3/4 to that of 4/3, and the crop is scaled to the full
	// size: Szegedy et al. 2015, as torchvision's RandomResizedCrop.
	Area float64
	// Flip is the probability that left and right are exchanged.
	Flip float64
	// Brightness, Contrast and Saturation bound a factor each, drawn evenly from 1 minus to 1 plus the bound; they are applied in an
	// order that is drawn, too, as torchvision's ColorJitter does. Hue bounds by how much of the colour circle, at most half of it,
	// colours are turned in either direction. Saturation and Hue need three channels.
	Brightness, Contrast, Saturation, Hue float64
	// Erase is the probability that a rectangle of 2 to 33 % of the image is filled with Fill: Zhong et al. 2020.
	Erase float64
	// Fill is the value of each channel in an erased rectangle; nil for black.
	Fill []byte
}

// On reports whether the augmentation changes images.
func (a Augmentation) On() bool {
	return a.Pad > 0 || a.Area > 0 || a.Flip > 0 || a.jitters() || a.Erase > 0
}

func (a Augmentation) jitters() bool {
	return a.Brightness > 0 || a.Contrast > 0 || a.Saturation > 0 || a.Hue > 0
}

// Check refuses settings without meaning.
func (a Augmentation) Check() error {
	for name, v := range map[string]float64{"area": a.Area, "flip": a.Flip, "brightness": a.Brightness, "contrast": a.Contrast, "saturation": a.Saturation, "erase": a.Erase} {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("dataset: augmentation: %s is %g, and must be between 0 and 1", name, v)
		}
	}
	if !(a.Hue >= 0 && a.Hue <= .5) {
		return fmt.Errorf("dataset: augmentation: hue is %g, and must be between 0 and 0.5", a.Hue)
	}
	if a.Pad < 0 || a.Pad > maxPictureSide {
		return fmt.Errorf("dataset: augmentation: a border of %d pixels: choose one from 0 to %d", a.Pad, maxPictureSide)
	}
	if a.Pad > 0 && a.Area > 0 {
		return errors.New("dataset: augmentation: a crop with a border and a resized crop exclude each other: choose pad or area")
	}
	return nil
}

// Augmenter augments the images of a set. It has memory of its own and belongs to one goroutine.
type Augmenter struct {
	a                            Augmentation
	channels                     int
	fromHeight, fromWidth        int // of the whole image
	height, width                int // of the result
	source                       func(dst []byte, class, instance, quarter int)
	image                        []byte   // the whole image
	rows                         []uint16 // of a crop that is scaled, [rows of the crop, width], in units of 1/64
	across, down                 taps
	lookup                       [256]byte
	lumaRed, lumaGreen, lumaBlue [256]uint32 // shares of red, green and blue in the luma, in units of 1/65536
}

// NewAugmenter makes an Augmenter for a set that holds bytes. It refuses settings that do not go with the set.
func NewAugmenter(a Augmentation, set Set) (*Augmenter, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	whole := Uncut(set)
	g := &Augmenter{a: a, source: Bytes(whole)}
	if g.source == nil {
		return nil, errors.New("dataset: augmentation works on sets of bytes, and this one has none: leave it out")
	}
	g.channels, g.height, g.width = set.Shape()
	_, g.fromHeight, g.fromWidth = whole.Shape()
	if (a.Saturation > 0 || a.Hue > 0) && g.channels != 3 {
		return nil, fmt.Errorf("dataset: augmentation: saturation and hue are of colours, and the images have %d channels: leave them out", g.channels)
	}
	if a.Fill != nil && len(a.Fill) != g.channels {
		return nil, fmt.Errorf("dataset: augmentation: %d values to fill %d channels with", len(a.Fill), g.channels)
	}
	g.image = make([]byte, g.channels*g.fromHeight*g.fromWidth)
	if a.Area > 0 {
		g.rows = make([]uint16, g.fromHeight*g.width)
	}
	for v := range 256 { // ITU-R 601-2, as Pillow has it
		g.lumaRed[v], g.lumaGreen[v], g.lumaBlue[v] = uint32(v)*19595, uint32(v)*38470, uint32(v)*7471+1<<15
	}
	return g, nil
}

// Image writes an image of the set to dst, [channels, height, width], changed at random.
func (g *Augmenter) Image(dst []byte, class, instance, quarter int, r *rand.Rand) {
	g.source(g.image, class, instance, quarter)
	if g.a.Area > 0 {
		top, left, height, width := g.a.box(r, g.fromHeight, g.fromWidth)
		g.scale(dst, top, left, height, width)
	} else {
		down, right := g.fromHeight-g.height+2*g.a.Pad, g.fromWidth-g.width+2*g.a.Pad
		g.cut(dst, r.IntN(down+1)-g.a.Pad, r.IntN(right+1)-g.a.Pad)
	}
	if g.a.jitters() {
		g.jitter(dst, r)
	}
	if g.a.Flip > 0 && r.Float64() < g.a.Flip {
		for at := 0; at < len(dst); at += g.width {
			row := dst[at : at+g.width]
			for i, j := 0, len(row)-1; i < j; i, j = i+1, j-1 {
				row[i], row[j] = row[j], row[i]
			}
		}
	}
	if g.a.Erase > 0 && r.Float64() < g.a.Erase {
		g.erase(dst, r)
	}
}

// cut copies a part of the image, beyond which there is black.
func (g *Augmenter) cut(dst []byte, top, left int) {
	from, to := max(0, -left), min(g.width, g.fromWidth-left) // the columns that lie in the image
	for c := range g.channels {
		for y := range g.height {
			row := dst[(c*g.height+y)*g.width:][:g.width]
			if at := y + top; at < 0 || at >= g.fromHeight || from >= to {
				clear(row)
			} else {
				clear(row[:from])
				copy(row[from:to], g.image[(c*g.fromHeight+at)*g.fromWidth+left+from:])
				clear(row[to:])
			}
		}
	}
}

// box draws a crop; after ten that do not fit it takes the largest one in the middle.
func (a Augmentation) box(r *rand.Rand, height, width int) (top, left, h, w int) {
	const narrow, wide = 3. / 4, 4. / 3
	for range 10 {
		area := float64(height*width) * (a.Area + (1-a.Area)*r.Float64())
		ratio := math.Exp(math.Log(narrow) + math.Log(wide/narrow)*r.Float64())
		w, h = int(math.Round(math.Sqrt(area*ratio))), int(math.Round(math.Sqrt(area/ratio)))
		if w >= 1 && h >= 1 && w <= width && h <= height {
			return r.IntN(height - h + 1), r.IntN(width - w + 1), h, w
		}
	}
	h, w = height, width
	if ratio := float64(width) / float64(height); ratio < narrow {
		h = int(math.Round(float64(w) / narrow))
	} else if ratio > wide {
		w = int(math.Round(float64(h) * wide))
	}
	return (height - h) / 2, (width - w) / 2, h, w
}

// taps are the weights of a triangle filter that is as wide as the reduction, as Pillow's bilinear filter.
type taps struct {
	count   int      // per result
	first   []int    // the first source value of each result
	weights []uint32 // [results, count], in units of 1/1024; those of a result add up to 1024
	exact   []float64
}

// of sets the taps for scaling a number of values to another.
func (t *taps) of(from, to int) {
	scale := float64(from) / float64(to)
	wide := max(scale, 1)
	t.count = min(from, int(math.Ceil(wide))*2+1)
	if scale <= 1 {
		t.count = min(from, 2)
	}
	t.first, t.weights = resized(t.first, to), resized(t.weights, to*t.count)
	t.exact = resized(t.exact, t.count)
	for i := range to {
		center := (float64(i)+.5)*scale - .5
		first := int(math.Floor(center-wide)) + 1
		first = max(0, min(first, from-t.count))
		t.first[i] = first
		sum := 0.
		for k := range t.exact {
			t.exact[k] = max(0, 1-math.Abs(float64(first+k)-center)/wide)
			sum += t.exact[k]
		}
		weights := t.weights[i*t.count:][:t.count]
		left, largest := 1024, 0
		for k, v := range t.exact {
			n := int(math.Round(v / sum * 1024))
			weights[k] = uint32(n)
			if left -= n; v > t.exact[largest] {
				largest = k
			}
		}
		weights[largest] = uint32(int(weights[largest]) + left)
	}
}

// resized gives a slice a length, without keeping its values.
func resized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// scale scales a part of the image to the size of the result: along rows to 14 bits, then along columns.
func (g *Augmenter) scale(dst []byte, top, left, height, width int) {
	g.across.of(width, g.width)
	g.down.of(height, g.height)
	for c := range g.channels {
		for y := range height {
			from := g.image[(c*g.fromHeight+top+y)*g.fromWidth+left:][:width]
			to := g.rows[y*g.width:][:g.width]
			if n := g.across.count; n == 2 {
				weights := g.across.weights
				for x, first := range g.across.first {
					w := (*[2]uint32)(weights[2*x:])
					v := (*[2]byte)(from[first:])
					to[x] = uint16((uint32(v[0])*w[0] + uint32(v[1])*w[1]) >> 4)
				}
			} else {
				for x, first := range g.across.first {
					sum := uint32(0)
					for k, w := range g.across.weights[x*n:][:n] {
						sum += uint32(from[first+k]) * w
					}
					to[x] = uint16(sum >> 4)
				}
			}
		}
		for y, first := range g.down.first {
			to := dst[(c*g.height+y)*g.width:][:g.width]
			weights := g.down.weights[y*g.down.count:][:g.down.count]
			if len(weights) == 2 {
				a, b := g.rows[first*g.width:][:len(to)], g.rows[(first+1)*g.width:][:len(to)]
				u, v := weights[0], weights[1]
				for x := range to {
					to[x] = byte((uint32(a[x])*u + uint32(b[x])*v + 1<<15) >> 16)
				}
				continue
			}
			for x := range to {
				sum := uint32(1 << 15)
				for k, w := range weights {
					sum += uint32(g.rows[(first+k)*g.width+x]) * w
				}
				to[x] = byte(sum >> 16)
			}
		}
	}
}

// jitter changes brightness, contrast, saturation and hue in an order that it draws. Without a change of hue there are three to
// draw an order of, so that the numbers drawn are those of versions that had no hue.
func (g *Augmenter) jitter(dst []byte, r *rand.Rand) {
	n := 3
	if g.a.Hue > 0 {
		n = 4
	}
	order := [4]int{0, 1, 2, 3}
	r.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
	bounds := [4]float64{g.a.Brightness, g.a.Contrast, g.a.Saturation, g.a.Hue}
	var factors [4]float64
	for i, bound := range bounds[:n] {
		factors[i] = 1 + bound*(2*r.Float64()-1)
	}
	for _, which := range order[:n] {
		switch {
		case bounds[which] == 0:
		case which == 0:
			g.blend(dst, 0, factors[0])
		case which == 1:
			g.blend(dst, math.Floor(g.meanLuma(dst)+.5), factors[1])
		case which == 2:
			g.saturate(dst, factors[2])
		default:
			g.turn(dst, float32(factors[3]-1))
		}
	}
}

// blend moves all values away from one by a factor.
func (g *Augmenter) blend(dst []byte, from, factor float64) {
	for v := range g.lookup {
		g.lookup[v] = byte(max(0, min(255, math.Round(from+factor*(float64(v)-from)))))
	}
	for i, v := range dst {
		dst[i] = g.lookup[v]
	}
}

func (g *Augmenter) meanLuma(dst []byte) float64 {
	sum, plane := uint64(0), g.height*g.width
	if g.channels != 3 {
		for _, v := range dst {
			sum += uint64(v)
		}
		return float64(sum) / float64(len(dst))
	}
	red, green, blue := dst[:plane], dst[plane:][:plane], dst[2*plane:][:plane]
	for i := range red {
		sum += uint64((g.lumaRed[red[i]] + g.lumaGreen[green[i]] + g.lumaBlue[blue[i]]) >> 16)
	}
	return float64(sum) / float64(plane)
}

// saturate moves each pixel away from its luma by a factor.
func (g *Augmenter) saturate(dst []byte, factor float64) {
	plane := g.height * g.width
	f := int32(math.Round(factor * 1024))
	red, green, blue := dst[:plane], dst[plane:][:plane], dst[2*plane:][:plane]
	for i := range red {
		a, b, c := red[i], green[i], blue[i]
		luma := int32((g.lumaRed[a] + g.lumaGreen[b] + g.lumaBlue[c]) >> 16)
		base := luma*(1024-f) + 512
		red[i] = clip((base + f*int32(a)) >> 10)
		green[i] = clip((base + f*int32(b)) >> 10)
		blue[i] = clip((base + f*int32(c)) >> 10)
	}
}

// turn turns the hue of each pixel by a share of the colour circle, and keeps the largest and the smallest of its values.
func (g *Augmenter) turn(dst []byte, by float32) {
	plane := g.height * g.width
	red, green, blue := dst[:plane], dst[plane:][:plane], dst[2*plane:][:plane]
	for i := range red {
		a, b, c := red[i], green[i], blue[i]
		low, high := min(a, b, c), max(a, b, c)
		if low == high {
			continue
		}
		span := float32(high - low)
		var hue float32 // in sixths of the circle, red at 0, green at 2 and blue at 4
		switch high {
		case a:
			hue = (float32(b) - float32(c)) / span
		case b:
			hue = 2 + (float32(c)-float32(a))/span
		default:
			hue = 4 + (float32(a)-float32(b))/span
		}
		hue += 6 * by
		value := func(from float32) byte { // the share of a colour whose trapezoid begins at a hue
			at := hue + from
			for at < 0 {
				at += 6
			}
			for at >= 6 {
				at -= 6
			}
			return byte(float32(high) - span*max(0, min(at, 4-at, 1)) + .5)
		}
		red[i], green[i], blue[i] = value(5), value(3), value(1)
	}
}

func clip(v int32) byte {
	if uint32(v) <= 255 {
		return byte(v)
	}
	return byte(^v >> 31) // 0 below, 255 above
}

// erase fills a rectangle whose ratio of height and width lies between 0.3 and 3.3.
func (g *Augmenter) erase(dst []byte, r *rand.Rand) {
	for range 10 {
		area := float64(g.height*g.width) * (.02 + .31*r.Float64())
		ratio := math.Exp(math.Log(.3) + math.Log(3.3/.3)*r.Float64())
		h, w := int(math.Round(math.Sqrt(area*ratio))), int(math.Round(math.Sqrt(area/ratio)))
		if h < 1 || w < 1 || h >= g.height || w >= g.width {
			continue
		}
		top, left := r.IntN(g.height-h+1), r.IntN(g.width-w+1)
		for c := range g.channels {
			fill := byte(0)
			if g.a.Fill != nil {
				fill = g.a.Fill[c]
			}
			for y := top; y < top+h; y++ {
				row := dst[(c*g.height+y)*g.width+left:][:w]
				for x := range row {
					row[x] = fill
				}
			}
		}
		return
	}
}
