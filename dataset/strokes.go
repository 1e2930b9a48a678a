package dataset

import (
	"math"
	"math/rand/v2"
	"sync"

	"github.com/engram-go/engram/stream"
)

// Strokes is a built-in Set of invented characters, which needs no file. A class is a random program of one to four
// smooth strokes, in the spirit of Lake et al. (2015). An instance is this program with noise on the points of the
// strokes, a small rotation, shear, scale and shift, and its own pen width.
//
// An image depends only on the seed, the class, the instance and the size, not on the order of calls or the number of
// classes. It is the same on all machines of one processor architecture; another may round differently in the last
// place.
type Strokes struct{ *drawnSet }

// NewStrokes generates the characters of a seed: by default as many classes as the split vinyals of Omniglot has, 1028, 172 and 423,
// of 20 images of 28 pixels, of which 64 MiB are kept. Classes are named strokes/NNNNN, counted from 0.
func NewStrokes(seed uint64, o DrawnOptions) (*Strokes, error) {
	set, err := newDrawnSet(NameStrokes, "strokes/%05d", 1, seed, o.or(DrawnOptions{1028, 172, 423, 20, 28, 64 << 20}))
	if err != nil {
		return nil, err
	}
	glyphs := make([]glyph, set.Classes())
	for i := range glyphs {
		glyphs[i] = newGlyph(stream.New(seed, "strokes/class", uint64(i)))
	}
	pens := sync.Pool{New: func() any { return newPen(set.options.Size) }}
	set.draw = func(class int, r *rand.Rand, done func([]byte)) {
		p := pens.Get().(*pen)
		defer pens.Put(p)
		p.write(&glyphs[class], r)
		done(p.pixels)
	}
	return &Strokes{set}, nil
}

// point is a position on the page, with centre 0 and edges at -1 and 1; y points downwards.
type point struct{ x, y float64 }

func (p point) plus(q point, by float64) point { return point{p.x + by*q.x, p.y + by*q.y} }

// Limits of a character's program.
const (
	maxStrokes = 4
	maxPoints  = 6 // per stroke
)

// glyph is a class: the points of its strokes.
type glyph struct {
	strokes [maxStrokes][maxPoints]point
	points  [maxStrokes]int // used, by stroke; 0 for no stroke
}

// Kinds of strokes.
const (
	straight = iota // nearly straight
	arc             // bends one way
	zigzag          // alternating sharp turns
)

// newGlyph generates a character.
func newGlyph(r *rand.Rand) glyph {
	var g glyph
	number := 1 + pick(r, 0.15, 0.40, 0.30, 0.15)
	for k := range number {
		from := point{r.Float64()*1.6 - 0.8, r.Float64()*1.6 - 0.8}
		if k > 0 && r.Float64() < 0.6 { // most strokes begin on an earlier one
			j := r.IntN(k)
			from = g.strokes[j][r.IntN(g.points[j])]
		}
		n, heading := 0, r.Float64()*2*math.Pi
		bend, sharp := 0.0, 0.0
		kind := pick(r, 0.25, 0.45, 0.30)
		if number == 1 {
			kind = max(kind, arc) // single lines would differ only in their angle
		}
		switch kind {
		case straight:
			n, sharp = 2+r.IntN(2), 0.25
		case arc:
			n, sharp = 3+r.IntN(3), 0.3
			bend = (0.5 + 1.0*r.Float64()) * float64(1-2*r.IntN(2))
		case zigzag:
			n, sharp, bend = 3+r.IntN(3), 0.5, 2.1
		}
		if number > 2 {
			n = min(n, 4) // many long strokes would overlap too much
		}
		g.points[k] = n
		g.strokes[k][0] = from
		for i := 1; i < n; i++ {
			length := 0.45 + 0.55*r.Float64()
			// A stroke turns around at the edge of the page.
			next := from.plus(point{math.Cos(heading), math.Sin(heading)}, length)
			for math.Abs(next.x) > 1 || math.Abs(next.y) > 1 {
				heading = r.Float64() * 2 * math.Pi
				next = from.plus(point{math.Cos(heading), math.Sin(heading)}, length)
			}
			g.strokes[k][i], from = next, next
			if kind == zigzag {
				bend = -bend
			}
			heading += bend + sharp*r.NormFloat64()
		}
	}
	g.center()
	return g
}

// center centres the character and scales it to the page, within limits.
func (g *glyph) center() {
	lo, hi := point{1, 1}, point{-1, -1}
	for k, n := range g.points {
		for _, p := range g.strokes[k][:n] {
			lo = point{min(lo.x, p.x), min(lo.y, p.y)}
			hi = point{max(hi.x, p.x), max(hi.y, p.y)}
		}
	}
	scale := min(1.5, 1.28/max(hi.x-lo.x, hi.y-lo.y))
	for k, n := range g.points {
		for i, p := range g.strokes[k][:n] {
			g.strokes[k][i] = point{(p.x - (lo.x+hi.x)/2) * scale, (p.y - (lo.y+hi.y)/2) * scale}
		}
	}
}

// pick draws an index with the given probabilities, which sum to one.
func pick(r *rand.Rand, chances ...float64) int {
	u := r.Float64()
	for i, c := range chances {
		if u -= c; u < 0 {
			return i
		}
	}
	return len(chances) - 1
}

// pen draws characters on its own page.
type pen struct {
	size   int
	page   []float32 // coverage in [0,1]
	pixels []byte
}

func newPen(size int) *pen {
	return &pen{size, make([]float32, size*size), make([]byte, size*size)}
}

// Noise of the drawing, in half pages, radians and fractions.
const (
	pointNoise = 0.07
	turnNoise  = 0.17
	shearNoise = 0.15
	scaleNoise = 0.12
	shiftNoise = 0.12
)

// write draws an instance of a character into p.pixels.
func (p *pen) write(g *glyph, r *rand.Rand) {
	clear(p.page)
	angle, shear := within(r, turnNoise), within(r, shearNoise)
	wide, high := 1+within(r, scaleNoise), 1+within(r, scaleNoise)
	shift := point{within(r, shiftNoise), within(r, shiftNoise)}
	half := float64(p.size) / 2
	radius := max(0.5, half*(0.050+0.022*r.Float64())) // in pixels; a thinner line would fade
	sin, cos := math.Sin(angle), math.Cos(angle)
	for k, n := range g.points {
		var path [maxPoints]point
		for i, q := range g.strokes[k][:n] {
			q = point{(q.x+within(r, pointNoise))*wide + shear*q.y, (q.y + within(r, pointNoise)) * high}
			path[i] = point{half * (1 + cos*q.x - sin*q.y + shift.x), half * (1 + sin*q.x + cos*q.y + shift.y)}
		}
		p.stroke(path[:n], radius)
	}
	for i, v := range p.page {
		p.pixels[i] = byte(v*255 + 0.5)
	}
}

// within draws normal noise with a standard deviation, clipped at twice that, so that characters stay recognisable.
func within(r *rand.Rand, deviation float64) float64 {
	return deviation * max(-2, min(2, r.NormFloat64()))
}

// stroke draws a Catmull-Rom spline through points in pixels.
func (p *pen) stroke(path []point, radius float64) {
	if len(path) == 0 {
		return
	}
	at := path[0]
	for i := range len(path) - 1 {
		// The ends continue straight.
		b, c := path[i], path[i+1]
		a, d := b.plus(point{c.x - b.x, c.y - b.y}, -1), c.plus(point{c.x - b.x, c.y - b.y}, 1)
		if i > 0 {
			a = path[i-1]
		}
		if i+2 < len(path) {
			d = path[i+2]
		}
		// One piece per 2.5 pixels looks smooth.
		pieces := int(math.Ceil(math.Hypot(c.x-b.x, c.y-b.y)/2.5)) + 1
		for j := 1; j <= pieces; j++ {
			t := float64(j) / float64(pieces)
			next := point{catmullRom(a.x, b.x, c.x, d.x, t), catmullRom(a.y, b.y, c.y, d.y, t)}
			p.line(at, next, radius)
			at = next
		}
	}
}

// catmullRom interpolates from b at t=0 to c at t=1, with the slopes of (a,c) and (b,d).
func catmullRom(a, b, c, d, t float64) float64 {
	return b + t*0.5*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
}

// line draws a piece with round ends. The coverage of a pixel is how far the pen's edge passes its centre, which is
// exact to a few percent for lines of this width.
func (p *pen) line(a, b point, radius float64) {
	reach := radius + 0.5
	left, right := p.cells(min(a.x, b.x)-reach, max(a.x, b.x)+reach)
	top, bottom := p.cells(min(a.y, b.y)-reach, max(a.y, b.y)+reach)
	dx, dy := float32(b.x-a.x), float32(b.y-a.y)
	inverse := float32(0)
	if l := dx*dx + dy*dy; l > 0 {
		inverse = 1 / l
	}
	r, far := float32(reach), float32(reach*reach)
	for y := top; y < bottom; y++ {
		row := p.page[y*p.size+left : y*p.size+right]
		py, px := float32(y)+0.5-float32(a.y), float32(left)+0.5-float32(a.x)
		for x := range row {
			t := max(0, min(1, (px*dx+py*dy)*inverse))
			ex, ey := px-t*dx, py-t*dy
			if q := ex*ex + ey*ey; q < far {
				row[x] = max(row[x], min(1, r-float32(math.Sqrt(float64(q)))))
			}
			px++
		}
	}
}

// cells returns the range of pixels that an interval touches.
func (p *pen) cells(from, to float64) (int, int) {
	return max(0, min(p.size, int(math.Floor(from)))), max(0, min(p.size, int(math.Ceil(to))))
}
