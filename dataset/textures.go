package dataset

import (
	"math"
	"math/rand/v2"
	"sync"

	"github.com/engram-go/engram/stream"
)

// Textures is a built-in Set of images like small photographs, in colour, for which no file is needed. A class is a random program:
// one or two shapes with a texture and colours each, before a textured background. An instance is that program under another
// light, from another place and side, with another thing in the way and the noise of a camera.
//
// An image depends on the seed, the class, the instance and the size only. It is the same on all machines of one processor
// architecture.
type Textures struct{ *drawnSet }

// NewTextures invents the classes of a seed: by default as many as CIFAR-FS has, 64, 16 and 20, of 100 images of its 32 pixels, of which
// 128 MiB are kept. Classes are named textures/NNNN, counted from 0.
func NewTextures(seed uint64, o DrawnOptions) (*Textures, error) {
	set, err := newDrawnSet(NameTextures, "textures/%04d", 3, seed, o.or(DrawnOptions{64, 16, 20, 100, 32, 128 << 20}))
	if err != nil {
		return nil, err
	}
	scenes := make([]scene, set.Classes())
	for i := range scenes {
		scenes[i] = newScene(stream.New(seed, "textures/class", uint64(i)))
	}
	size, waves := set.options.Size, newWaves()
	cameras := sync.Pool{New: func() any { return &camera{size: size, pixels: make([]byte, 3*size*size), waves: waves} }}
	set.draw = func(class int, r *rand.Rand, done func([]byte)) {
		c := cameras.Get().(*camera)
		defer cameras.Put(c)
		c.take(&scenes[class], r)
		done(c.pixels)
	}
	return &Textures{set}, nil
}

// rgb is a colour with channels from 0 to 1.
type rgb [3]float32

// hsv makes a colour of a hue in turns, a saturation and a value.
func hsv(h, s, v float64) rgb {
	var c rgb
	for i := range c {
		k := math.Mod(5-2*float64(i)+6*h+6, 6)
		c[i] = float32(v - v*s*max(0, min(k, 4-k, 1)))
	}
	return c
}

// The kinds of texture.
const (
	plain = iota
	grating
	checks
	rings
	spots
	clouds
	textureKinds
)

// surface is a texture and its two colours.
type surface struct {
	kind       int
	frequency  float64 // waves per half page
	angle      float64
	hue, other float64 // of the two colours, in turns
	saturation [2]float64
	value      [2]float64
}

func newSurface(r *rand.Rand) surface {
	s := surface{kind: r.IntN(textureKinds), frequency: 2 + 4*r.Float64(), angle: math.Pi * r.Float64(), hue: r.Float64()}
	s.other = s.hue + .1 + .8*r.Float64()
	for i := range 2 {
		s.saturation[i], s.value[i] = .25+.7*r.Float64(), .3+.65*r.Float64()
	}
	return s
}

// The kinds of shape.
const (
	ellipse = iota
	ring
	polygon
	cross
	shapeKinds
)

// shape is a figure with a surface. Places are in half pages from the middle.
type shape struct {
	kind    int
	sides   int // of a polygon
	place   point
	size    float64
	stretch float64
	angle   float64
	surface surface
}

func newShape(r *rand.Rand) shape {
	return shape{
		kind: r.IntN(shapeKinds), sides: 3 + r.IntN(4), size: .35 + .35*r.Float64(), stretch: .6 + .4*r.Float64(),
		angle: 2 * math.Pi * r.Float64(), surface: newSurface(r),
	}
}

// scene is a class.
type scene struct {
	background surface
	shapes     []shape
}

func newScene(r *rand.Rand) scene {
	s := scene{background: newSurface(r), shapes: []shape{newShape(r)}}
	if r.Float64() < .6 {
		second := newShape(r)
		away := 2 * math.Pi * r.Float64()
		second.place, second.size = point{.5 * math.Cos(away), .5 * math.Sin(away)}, second.size*.6
		s.shapes = append(s.shapes, second)
	}
	return s
}

// waves is a table of one wave, from 0 to 1 and back.
type waves [1024]float32

func newWaves() *waves {
	var w waves
	for i := range w {
		w[i] = float32(.5 - .5*math.Cos(2*math.Pi*float64(i)/float64(len(w))))
	}
	return &w
}

// at returns the wave at a phase in turns.
func (w *waves) at(phase float32) float32 { return w[int32(phase*1024)&1023] }

// camera takes images of scenes.
type camera struct {
	size   int
	pixels []byte // [3, size, size]
	waves  *waves
}

// painter is a surface in one image: its value at a place is a mix of two colours.
type painter struct {
	kind         int
	ux, uy       float32 // waves per pixel along the first axis
	vx, vy       float32 // and across it
	u, v         float32 // phases
	first, other rgb
	waves        *waves
}

// painter varies a surface: its hues a little, its phase at will.
func (c *camera) painter(s *surface, turn, zoom float64, r *rand.Rand) painter {
	hue := within(r, .025)
	p := painter{kind: s.kind, u: float32(r.Float64()), v: float32(r.Float64()), waves: c.waves}
	p.first, p.other = hsv(s.hue+hue, s.saturation[0], s.value[0]), hsv(s.other+hue, s.saturation[1], s.value[1])
	sin, cos := math.Sincos(s.angle + turn)
	f := s.frequency / zoom / float64(c.size)
	p.ux, p.uy, p.vx, p.vy = float32(f*cos), float32(f*sin), float32(-f*sin), float32(f*cos)
	return p
}

// at returns the share of the other colour at a pixel.
func (p *painter) at(x, y float32) float32 {
	u, v := p.u+x*p.ux+y*p.uy, p.v+x*p.vx+y*p.vy
	switch p.kind {
	case grating:
		return p.waves.at(u)
	case checks:
		return max(0, min(1, .5+4*(p.waves.at(u)-.5)*(2*p.waves.at(v)-1)))
	case rings:
		return p.waves.at(float32(math.Sqrt(float64(u*u + v*v))))
	case spots:
		return max(0, min(1, 4*(p.waves.at(u)*p.waves.at(v)-.45)))
	case clouds:
		return .4*p.waves.at(.31*u+.2*p.waves.at(.7*v)) + .35*p.waves.at(.83*v+.4*p.waves.at(u)) + .25*p.waves.at(1.7*(u+v))
	}
	return 0
}

// figure is a shape in one image.
type figure struct {
	kind     int
	x, y     float32 // of its middle in pixels
	cos, sin float32 // of its angle, in units of its size per pixel
	stretch  float32
	edges    [6][2]float32 // normals of a polygon
	sides    int
	inner    float32 // of a polygon: the distance of its edges
	soft     float32 // pixels per unit
	painter  painter
}

func (c *camera) figure(s *shape, turn, zoom float64, shift point, r *rand.Rand) figure {
	half := float64(c.size) / 2
	sin, cos := math.Sincos(turn)
	place := point{zoom*(cos*s.place.x-sin*s.place.y) + shift.x, zoom*(sin*s.place.x+cos*s.place.y) + shift.y}
	radius := s.size * zoom * half
	f := figure{kind: s.kind, sides: s.sides, stretch: float32(1 / s.stretch), soft: float32(radius), painter: c.painter(&s.surface, turn, zoom, r)}
	f.x, f.y = float32(half*(1+place.x)), float32(half*(1+place.y))
	sin, cos = math.Sincos(s.angle + turn)
	f.cos, f.sin = float32(cos/radius), float32(sin/radius)
	f.inner = float32(math.Cos(math.Pi / float64(s.sides)))
	for i := range s.sides {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(s.sides))
		f.edges[i] = [2]float32{float32(cos), float32(sin)}
	}
	return f
}

// covers returns how much of a pixel lies in the figure, from 0 to 1.
func (f *figure) covers(x, y float32) float32 {
	dx, dy := x-f.x, y-f.y
	u, v := dx*f.cos+dy*f.sin, (dy*f.cos-dx*f.sin)*f.stretch
	if u*u+v*v > 1.5 {
		return 0
	}
	var d float32 // the distance from the edge, positive outside
	switch f.kind {
	case ellipse:
		d = float32(math.Sqrt(float64(u*u+v*v))) - 1
	case ring:
		d = float32(math.Abs(math.Sqrt(float64(u*u+v*v))-.75)) - .25
	case polygon:
		d = -1
		for _, e := range f.edges[:f.sides] {
			d = max(d, u*e[0]+v*e[1]-f.inner)
		}
	case cross:
		u, v = max(u, -u), max(v, -v)
		d = max(min(u, v)-.3, max(u, v)-1)
	}
	return max(0, min(1, .5-d*f.soft))
}

// take writes an instance of a scene to c.pixels.
func (c *camera) take(s *scene, r *rand.Rand) {
	turn, zoom := within(r, .3), math.Exp(within(r, .18))
	shift := point{within(r, .18), within(r, .18)}
	background := c.painter(&s.background, within(r, .2), math.Exp(within(r, .15)), r)
	var figures [3]figure
	n := len(s.shapes)
	for i := range s.shapes {
		figures[i] = c.figure(&s.shapes[i], turn, zoom, shift, r)
	}
	if r.Float64() < .4 { // something of no class in the way
		stray := newShape(r)
		away := 2 * math.Pi * r.Float64()
		stray.place, stray.size = point{.9 * math.Cos(away), .9 * math.Sin(away)}, .25
		figures[n] = c.figure(&stray, 0, 1, point{}, r)
		n++
	}
	// Light falls from one side and has a colour.
	light, from := .75+.35*r.Float64(), 2*math.Pi*r.Float64()
	slope := .3 * r.Float64() / float64(c.size)
	slopeX, slopeY := float32(slope*math.Cos(from)), float32(slope*math.Sin(from))
	var tint rgb
	for i := range tint {
		tint[i] = float32(255 * light * (1 + within(r, .05)))
	}
	noise := 4 + 6*r.Float32()
	state := r.Uint64() | 1
	middle, plane := float32(c.size)/2, c.size*c.size
	for y := range c.size {
		for x := range c.size {
			px, py := float32(x)+.5, float32(y)+.5
			share := background.at(px-middle, py-middle)
			var colour rgb
			for k := range colour {
				colour[k] = background.first[k] + share*(background.other[k]-background.first[k])
			}
			for i := range figures[:n] {
				f := &figures[i]
				if cover := f.covers(px, py); cover > 0 {
					share := f.painter.at(px-f.x, py-f.y)
					for k := range colour {
						own := f.painter.first[k] + share*(f.painter.other[k]-f.painter.first[k])
						colour[k] += cover * (own - colour[k])
					}
				}
			}
			bright := 1 + (px-middle)*slopeX + (py-middle)*slopeY
			state ^= state << 13 // xorshift: three bytes of noise per pixel
			state ^= state >> 7
			state ^= state << 17
			for k := range colour {
				grain := float32(int32(state>>(8*k)&255)-128) * (noise / 128)
				c.pixels[k*plane+y*c.size+x] = byte(max(0, min(255, colour[k]*bright*tint[k]+grain+.5)))
			}
		}
	}
}
