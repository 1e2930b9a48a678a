package plot

import (
	"image/color"
	"math"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Points are points in the plane, both axes on one scale.
type Points struct {
	Title, Note string
	X, Y        string // what the axes show
	Groups      []Group
}

// Group is points of one name, which look alike.
type Group struct {
	Name string
	X, Y []float64 // of the same length; points that are not finite are left out
	Ring bool      // drawn large and hollow: what the other points are compared with
}

// pointsSide is the side of [Points] without the room above the axes.
const pointsSide = 420

func (Points) size() (width, height vg.Length) { return pointsSide, pointsSide + 40 }

func (f Points) draw(c draw.Canvas) error {
	p := newAxes(f.X)
	var names []string
	looks := map[string]look{}
	some := false
	for _, ring := range []bool{false, true} { // rings lie over dots
		for _, g := range f.Groups {
			if _, known := looks[g.Name]; !known {
				looks[g.Name] = lookOf(len(names))
				names = append(names, g.Name)
			}
			points := Line{X: g.X, Y: g.Y}.points()
			if g.Ring != ring || len(points) == 0 {
				continue
			}
			some = true
			scatter, err := plotter.NewScatter(points)
			if err != nil {
				return err
			}
			scatter.GlyphStyle = draw.GlyphStyle{Color: looks[g.Name].colour, Radius: 2.4, Shape: looks[g.Name].shape}
			if ring {
				scatter.Radius, scatter.Shape = 5.5, thickRing{}
			}
			p.Add(scatter)
		}
	}
	if !some {
		return errEmpty
	}
	spread(&p.X)
	spread(&p.Y)
	reach := max(p.X.Max-p.X.Min, p.Y.Max-p.Y.Min) * .53
	for _, a := range []*gonum.Axis{&p.X, &p.Y} {
		middle := (a.Min + a.Max) / 2
		a.Min, a.Max = middle-reach, middle+reach
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = gonum.TickerFunc(ticks), gonum.TickerFunc(ticks)
	footnote(c, f.Note)
	c.Min.Y += 12
	frame(c, p, f.Title, f.Y, names, looks)
	return nil
}

// thickRing is a ring with a white edge, visible on dots of its own colour.
type thickRing struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (thickRing) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	for _, edge := range []draw.LineStyle{{Color: color.White, Width: 3.4}, {Color: s.Color, Width: 1.8}} {
		c.SetLineStyle(edge)
		var circle vg.Path
		circle.Move(vg.Point{X: at.X + s.Radius, Y: at.Y})
		circle.Arc(at, s.Radius, 0, 2*math.Pi)
		circle.Close()
		c.Stroke(circle)
	}
}
