package plot

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Curves are curves over a common horizontal axis that starts at zero. The vertical axis is logarithmic if all values are above
// zero and the largest is more than a hundred times the smallest.
type Curves struct {
	Title string
	X, Y  string // what the axes show, with its unit
	Note  string // in small letters at the foot
	Lines []Line // those drawn later lie over those drawn earlier
}

// Line is one of [Curves].
type Line struct {
	// Name is the name in the legend. Lines of one name share an entry and a colour.
	Name string
	// X and Y have the same length. Points that are not finite are left out.
	X, Y []float64
	// Low and High, if not nil, are the edges of a transparent band around the line, of the same length.
	Low, High []float64
	Pale      bool // thin and pale: raw values behind smoothed ones
	Dots      bool // a dot at each point
}

const curvesWidth, curvesHeight = 504, 324

func (Curves) size() (width, height vg.Length) { return curvesWidth, curvesHeight }

func (f Curves) draw(c draw.Canvas) error {
	p := newAxes(f.X)
	var names []string
	looks := map[string]look{}
	positive := true
	for _, l := range f.Lines {
		if len(l.points()) == 0 {
			continue
		}
		if _, known := looks[l.Name]; !known {
			looks[l.Name] = lookOf(len(names))
			names = append(names, l.Name)
		}
		// Bands lie under all lines.
		band := l.band()
		if len(band) == 0 {
			continue
		}
		for _, point := range band {
			positive = positive && point.Y > 0
		}
		area, err := plotter.NewPolygon(band)
		if err != nil {
			return err
		}
		area.Color, area.LineStyle.Width = sheer(looks[l.Name].colour), 0
		p.Add(area)
	}
	for _, l := range f.Lines {
		points := l.points()
		if len(points) == 0 {
			continue
		}
		for _, point := range points {
			positive = positive && point.Y > 0
		}
		if err := l.add(p, points, looks[l.Name]); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return errEmpty
	}
	p.X.Min = min(p.X.Min, 0)
	logarithmic := positive && p.Y.Max > 100*p.Y.Min // before the range is widened, to zero or below
	spread(&p.X)
	spread(&p.Y)
	p.X.Tick.Marker, p.Y.Tick.Marker = gonum.TickerFunc(ticks), gonum.TickerFunc(ticks)
	if logarithmic {
		p.Y.Scale, p.Y.Tick.Marker = gonum.LogScale{}, gonum.TickerFunc(logTicks)
	}

	if f.Note != "" {
		footnote(c, f.Note)
		c.Min.Y += 12
	}
	frame(c, p, f.Title, f.Y, names, looks)
	return nil
}

// footnote writes a note at the foot of a canvas.
func footnote(c draw.Canvas, note string) {
	s := style(8)
	s.Color = color.Gray{0x50}
	c.FillText(s, vg.Point{X: margin, Y: c.Min.Y + 6}, note)
}

// newAxes is a plot with a grid. The label of the vertical axis is drawn by frame.
func newAxes(x string) *gonum.Plot {
	p := gonum.New()
	p.X.Label.Text = x
	for _, axis := range []*gonum.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = style(10).Font, style(9).Font
		axis.Padding = 0
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xE4}, color.Gray{0xE4}
	p.Add(grid)
	return p
}

// frame draws a plot under a title and a legend.
func frame(c draw.Canvas, p *gonum.Plot, name, y string, names []string, looks map[string]look) {
	c = draw.Crop(c, 10, -14, 8, -10)
	title := bold(11)
	title.YAlign = draw.YTop
	c.FillText(title, vg.Point{X: c.Min.X, Y: c.Max.Y}, name)
	c.Max.Y -= 18
	c.Max.Y -= legend(c, names, looks)

	// The library lays out this label as if a logarithmic axis were linear.
	label := style(10)
	label.Rotation, label.XAlign, label.YAlign = math.Pi/2, draw.XCenter, draw.YTop
	c.FillText(label, vg.Point{X: c.Min.X, Y: c.Center().Y}, y)
	c.Min.X += 16
	p.Draw(c)
}

// points are those that are finite.
func (l Line) points() plotter.XYs {
	var points plotter.XYs
	for i, x := range l.X {
		if y := l.Y[i]; !math.IsNaN(x+y) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
			points = append(points, plotter.XY{X: x, Y: y})
		}
	}
	return points
}

// band is the outline of the band: its lower edge to the right and its upper one back.
func (l Line) band() (outline plotter.XYs) {
	if l.Low == nil || l.High == nil {
		return nil
	}
	edge := func(y []float64) plotter.XYs { return Line{X: l.X, Y: y}.points() }
	outline = edge(l.Low)
	for _, point := range slices.Backward(edge(l.High)) {
		outline = append(outline, point)
	}
	return outline
}

func (l Line) add(p *gonum.Plot, points plotter.XYs, of look) error {
	width := vg.Length(1.5)
	if l.Pale {
		of.colour, width = pale(of.colour), .75
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = of.colour, width, of.dashes
	p.Add(line)
	if l.Dots || len(points) == 1 {
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: of.colour, Radius: 2.2, Shape: of.shape}
		p.Add(dots)
	}
	return nil
}

// spread widens the range of an axis on which all values are equal up to rounding, so that it has ticks.
func spread(a *gonum.Axis) {
	if largest := max(math.Abs(a.Min), math.Abs(a.Max)); a.Max-a.Min <= 1e-6*largest {
		by := max(math.Abs(a.Min)/10, 1)
		a.Min, a.Max = a.Min-by, a.Max+by
	}
}

// ticks marks about six round numbers.
func ticks(low, high float64) (marks []gonum.Tick) {
	unit := math.Pow(10, math.Floor(math.Log10((high-low)/6)))
	for _, n := range []float64{1, 2, 5, 10} {
		if step := n * unit; (high-low)/step <= 7 {
			for i := math.Ceil(low / step); i*step <= high; i++ {
				marks = append(marks, gonum.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'g', 6, 64)})
			}
			return marks
		}
	}
	return nil
}

// logTicks marks the powers of ten with labels and their multiples without.
func logTicks(low, high float64) (marks []gonum.Tick) {
	for power := math.Floor(math.Log10(low)); math.Pow(10, power) <= high; power++ {
		for n := 1.; n < 10; n++ {
			mark := gonum.Tick{Value: n * math.Pow(10, power)}
			if n == 1 {
				mark.Label = strconv.FormatFloat(mark.Value, 'g', 6, 64)
			}
			if mark.Value >= low && mark.Value <= high {
				marks = append(marks, mark)
			}
		}
	}
	return marks
}

// legend writes the names from left to right, in as many lines as needed, and returns its height.
func legend(c draw.Canvas, names []string, looks map[string]look) vg.Length {
	const sample, gap, line = 18, 5, 14
	s := style(9)
	s.YAlign = draw.YCenter
	x, y := c.Min.X, c.Max.Y-line/2
	for _, name := range names {
		width := sample + gap + s.Width(name) + 3*gap
		if x > c.Min.X && x+width > c.Max.X {
			x, y = c.Min.X, y-line
		}
		of := looks[name]
		c.StrokeLine2(draw.LineStyle{Color: of.colour, Width: 2, Dashes: of.dashes}, x, y, x+sample, y)
		if of.dashes != nil {
			c.DrawGlyph(draw.GlyphStyle{Color: of.colour, Radius: 3, Shape: of.shape}, vg.Point{X: x + sample/2, Y: y})
		}
		c.FillText(s, vg.Point{X: x + sample + gap, Y: y}, name)
		x += width
	}
	return c.Max.Y - y + line
}
