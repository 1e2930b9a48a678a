package dataset

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
	"strings"

	"golang.org/x/image/draw"
)

// Filter selects how an image is brought to another size. The empty filter is FilterBilinear.
type Filter string

// Filters.
const (
	// FilterBilinear is a triangle as wide as the reduction: what Pillow and torchvision call bilinear with antialiasing.
	FilterBilinear Filter = "bilinear"
	// FilterArea is the mean of the area that a pixel covers, with the covered share of each pixel: OpenCV's INTER_AREA.
	FilterArea Filter = "area"
	// FilterNearest takes the one pixel in the middle. It is what Pillow does with images of 1 bit, as Omniglot's are, whichever
	// filter it is asked for; so does the published code of Prototypical networks, MAML, Reptile and Relation networks.
	FilterNearest Filter = "nearest"
	// FilterLanczos is Pillow's LANCZOS of grey images: a windowed sinc of three lobes, each pass rounded to bytes.
	FilterLanczos Filter = "lanczos"
)

// Filters lists the filters, the default first.
func Filters() []Filter { return []Filter{FilterBilinear, FilterArea, FilterNearest, FilterLanczos} }

// check returns the filter, the default for an empty one.
func (f Filter) check() (Filter, error) {
	if f == "" {
		return FilterBilinear, nil
	}
	if !slices.Contains(Filters(), f) {
		names := make([]string, 0, 4)
		for _, known := range Filters() {
			names = append(names, string(known))
		}
		return f, fmt.Errorf("dataset: unknown way of resizing %q: use one of %s", f, strings.Join(names, ", "))
	}
	return f, nil
}

// scaler returns what scales images. It may be called by one goroutine at a time.
func (f Filter) scaler() draw.Scaler {
	switch f {
	case FilterArea:
		return planewise(areaMean)
	case FilterNearest:
		return draw.NearestNeighbor
	case FilterLanczos:
		return planewise(lanczos)
	}
	return draw.BiLinear
}

// plane is one channel of an image; its rows are stride apart and its pixels step.
type plane struct {
	pix           []byte
	stride, step  int
	width, height int
}

// planewise scales an opaque *image.Gray or *image.RGBA to an *image.RGBA, each channel alone.
type planewise func(dst, src plane)

// Scale implements [draw.Scaler]. Operator and options are not used.
func (f planewise) Scale(dst draw.Image, dr image.Rectangle, src image.Image, sr image.Rectangle, _ draw.Op, _ *draw.Options) {
	to := dst.(*image.RGBA)
	into := func(c int) plane {
		return plane{to.Pix[to.PixOffset(dr.Min.X, dr.Min.Y)+c:], to.Stride, 4, dr.Dx(), dr.Dy()}
	}
	switch from := src.(type) {
	case *image.Gray:
		f(into(0), plane{from.Pix[from.PixOffset(sr.Min.X, sr.Min.Y):], from.Stride, 1, sr.Dx(), sr.Dy()})
		for y := dr.Min.Y; y < dr.Max.Y; y++ {
			for x := dr.Min.X; x < dr.Max.X; x++ {
				v := to.Pix[to.PixOffset(x, y)]
				to.SetRGBA(x, y, color.RGBA{v, v, v, 255})
			}
		}
	case *image.RGBA:
		for c := range 4 {
			f(into(c), plane{from.Pix[from.PixOffset(sr.Min.X, sr.Min.Y)+c:], from.Stride, 4, sr.Dx(), sr.Dy()})
		}
	default:
		panic(fmt.Sprintf("dataset: images of type %T are not scaled by channel", src))
	}
}

// areaMean gives each pixel the mean of what it covers, rounded. The overlap of two pixels along an axis is counted in units of
// which a pixel of dst has as many as src has pixels, and the reverse.
func areaMean(dst, src plane) {
	columns, rows := overlaps(dst.width, src.width), overlaps(dst.height, src.height)
	whole := src.width * src.height
	for y, row := range rows {
		for x, column := range columns {
			sum := 0
			for j, down := range row.weights {
				line := src.pix[(row.first+j)*src.stride:]
				for i, right := range column.weights {
					sum += down * right * int(line[(column.first+i)*src.step])
				}
			}
			dst.pix[y*dst.stride+x*dst.step] = byte((sum + whole/2) / whole)
		}
	}
}

// span is the weights of neighbouring pixels for one pixel of the result.
type span struct {
	first   int
	weights []int
}

func overlaps(to, from int) []span {
	out := make([]span, to)
	for k := range out {
		begin, end := k*from, (k+1)*from
		out[k].first = begin / to
		for i := out[k].first; i*to < end; i++ {
			out[k].weights = append(out[k].weights, min(end, (i+1)*to)-max(begin, i*to))
		}
	}
	return out
}

// lanczos computes as Pillow does for 8 bits: weights in fixed point, rows first, each pass rounded and clipped to bytes.
func lanczos(dst, src plane) {
	columns, rows := lanczosSpans(dst.width, src.width), lanczosSpans(dst.height, src.height)
	narrow := make([]byte, src.height*dst.width)
	for y := range src.height {
		for x, t := range columns {
			sum := half
			for i, w := range t.weights {
				sum += w * int(src.pix[y*src.stride+(t.first+i)*src.step])
			}
			narrow[y*dst.width+x] = clipped(sum)
		}
	}
	for y, t := range rows {
		for x := range dst.width {
			sum := half
			for i, w := range t.weights {
				sum += w * int(narrow[(t.first+i)*dst.width+x])
			}
			dst.pix[y*dst.stride+x*dst.step] = clipped(sum)
		}
	}
}

// Fixed point of Pillow's weights.
const (
	fixedBits = 22
	half      = 1 << (fixedBits - 1)
)

func clipped(sum int) byte { return byte(max(0, min(255, sum>>fixedBits))) }

func lanczosSpans(to, from int) []span {
	const lobes = 3
	scale := float64(from) / float64(to)
	wide := max(scale, 1)
	out := make([]span, to)
	for k := range out {
		middle := (float64(k) + .5) * scale
		first := max(0, int(middle-lobes*wide+.5))
		end := min(from, int(middle+lobes*wide+.5))
		weights, sum := make([]float64, end-first), 0.
		for i := range weights {
			x := (float64(i+first) - middle + .5) / wide
			if -lobes <= x && x < lobes {
				weights[i] = sinc(x) * sinc(x/lobes)
			}
			sum += weights[i]
		}
		out[k].first = first
		for _, w := range weights {
			out[k].weights = append(out[k].weights, int(math.Round(w/sum*(1<<fixedBits))))
		}
	}
	return out
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	x *= math.Pi
	return math.Sin(x) / x
}
