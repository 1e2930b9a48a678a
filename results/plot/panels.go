package plot

import (
	"image/color"
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Panels are grids of cells, one below the other, over a common time that runs to the right, with a scale of their shades.
type Panels struct {
	Title string
	X     string // what a column is: "step"
	// Columns are the names of the columns; nil numbers them from 0.
	Columns []string
	Note    string // in small letters at the foot
	Panels  []Panel
}

// Panel is a grid of cells: white at 0, black at 1 and above, red at -1 and below, and pale blue for NaN.
type Panel struct {
	Name string
	// Rows are the names of the rows, from the top down; where there are many, only some are written.
	Rows []string
	// Cells are the values, [row][column].
	Cells [][]float64
}

// Measures of [Panels] in points. The width and height of a cell follow from the room for all columns and for all rows of its
// panel. More than four panels share the room of four.
const (
	columnsRoom, rowsRoom   = 720, 380
	smallestCell, largeCell = 2, 12

	margin    = 10
	titleRoom = 20
	nameRoom  = 14 // above a grid
	gapRoom   = 7  // below a grid
	footRoom  = 50

	noteRoom    = 18 // below the scale
	scaleHeight = 8
	scaleStep   = 3 // the width of a shade
	scaleRoom   = scaleStep*(shades+1) + 80
)

// cell is the side of each of n cells in a given room, in multiples of half a point.
func cell(room vg.Length, n int) vg.Length {
	side := vg.Length(math.Floor(2*float64(room)/float64(max(n, 1)))) / 2
	return min(max(side, smallestCell), largeCell)
}

// height is the height of a cell of a panel.
func (f Panels) height(p Panel) vg.Length {
	return cell(rowsRoom*4/vg.Length(max(len(f.Panels), 4)), len(p.Cells))
}

// columns is the length of the common time.
func (f Panels) columns() (n int) {
	for _, p := range f.Panels {
		for _, row := range p.Cells {
			n = max(n, len(row))
		}
	}
	return n
}

// left is the left edge of the grids: a whole number, so that the edges of cells fall on pixels.
func (f Panels) left() (x vg.Length) {
	for _, p := range f.Panels {
		for i := range p.named(f.height(p)) {
			x = max(x, style(8).Width(p.Rows[i]))
		}
	}
	return vg.Length(math.Ceil(float64(x))) + margin + 6
}

func (f Panels) size() (width, height vg.Length) {
	columns := f.columns()
	width = f.left() + vg.Length(columns)*cell(columnsRoom, columns)
	width = max(width, margin+bold(11).Width(f.Title), margin+style(8).Width(f.Note), margin+style(8).Width(f.X), f.left()+scaleRoom)
	for _, p := range f.Panels {
		width = max(width, f.left()+style(9).Width(p.Name))
	}
	width = vg.Length(math.Ceil(float64(width))) + margin
	height = margin + titleRoom + footRoom
	for _, p := range f.Panels {
		height += nameRoom + f.height(p)*vg.Length(len(p.Cells)) + gapRoom
	}
	return width, height
}

// named yields the rows whose names are written, for a height of rows.
func (p Panel) named(height vg.Length) iter.Seq[int] {
	each := every(height, 9)
	return func(yield func(int) bool) {
		for i := 0; i < len(p.Rows); i += each {
			if !yield(i) {
				return
			}
		}
	}
}

// every is the number of cells per label, for a side of cells and a room per label: 1, 2, 5, 10, and so on.
func every(side, room vg.Length) int {
	for unit := 1; ; unit *= 10 {
		for _, n := range []int{unit, 2 * unit, 5 * unit} {
			if vg.Length(n)*side >= room {
				return n
			}
		}
	}
}

func (f Panels) draw(c draw.Canvas) error {
	columns := f.columns()
	if columns == 0 {
		return errEmpty
	}
	at := vg.Point{X: f.left(), Y: c.Max.Y - margin}
	title := bold(11)
	title.YAlign = draw.YTop
	c.FillText(title, vg.Point{X: margin, Y: at.Y}, f.Title)
	at.Y -= titleRoom

	side := cell(columnsRoom, columns)
	for _, p := range f.Panels {
		name := style(9)
		c.FillText(name, vg.Point{X: at.X, Y: at.Y - nameRoom + 4}, p.Name)
		at.Y -= nameRoom
		p.draw(c, at, side, f.height(p), columns)
		at.Y -= f.height(p)*vg.Length(len(p.Cells)) + gapRoom
	}

	label := style(8)
	label.XAlign, label.YAlign = draw.XCenter, draw.YTop
	room, named := vg.Length(26), strconv.Itoa
	if f.Columns != nil {
		room, named = 0, func(i int) string { return f.Columns[i] }
		for _, c := range f.Columns {
			room = max(room, label.Width(c)+4)
		}
	}
	for i := 0; i < columns; i += every(side, room) {
		x := at.X + (vg.Length(i)+.5)*side
		c.StrokeLine2(draw.LineStyle{Color: color.Gray{0x60}, Width: .5}, x, at.Y+gapRoom, x, at.Y+gapRoom-3)
		c.FillText(label, vg.Point{X: x, Y: at.Y + gapRoom - 4}, named(i))
	}
	centre := max(at.X+vg.Length(columns)*side/2, margin+label.Width(f.X)/2) // a long name begins at the margin
	c.FillText(label, vg.Point{X: centre, Y: at.Y - 7}, f.X)
	footnote(c, f.Note)
	f.scale(c, vg.Point{X: at.X, Y: c.Min.Y + noteRoom})
	return nil
}

// scale draws what the shades mean, from the lowest value to 1: from 0 unless there are negative values. A last cell is that of
// missing values, where there are any.
func (f Panels) scale(c draw.Canvas, at vg.Point) {
	negative, missing := false, false
	for _, p := range f.Panels {
		for _, row := range p.Cells {
			for _, v := range row {
				negative, missing = negative || v < 0, missing || math.IsNaN(v)
			}
		}
	}
	low := 0
	if negative {
		low = -shades
	}
	square := func(x vg.Length, width vg.Length, colour color.Color) vg.Length {
		area := vg.Rectangle{Min: vg.Point{X: x, Y: at.Y}, Max: vg.Point{X: x + width, Y: at.Y + scaleHeight}}
		c.SetColor(colour)
		c.Fill(area.Path())
		return x + width
	}
	label := style(8)
	write := func(x vg.Length, text string) vg.Length {
		c.FillText(label, vg.Point{X: x, Y: at.Y + 1}, text)
		return x + label.Width(text)
	}
	frame := func(from, to vg.Length) {
		top := at.Y + scaleHeight
		c.StrokeLines(draw.LineStyle{Color: color.Gray{0x60}, Width: .5},
			[]vg.Point{{X: from, Y: at.Y}, {X: to, Y: at.Y}, {X: to, Y: top}, {X: from, Y: top}, {X: from, Y: at.Y}})
	}
	x := write(at.X, strconv.Itoa(low/shades)) + 4
	start := x
	for s := low; s <= shades; s += 2 {
		x = square(x, scaleStep, shadeColour(s))
	}
	frame(start, x)
	x = write(x+4, "1") + 14
	if missing {
		end := square(x, scaleHeight, shadeColour(noShade))
		frame(x, end)
		write(end+4, "no value")
	}
}

// draw draws the grid of cells of a width and a height with its upper left corner at a point.
func (p Panel) draw(c draw.Canvas, at vg.Point, width, height vg.Length, columns int) {
	paths := map[int]vg.Path{} // one path for all cells of a shade
	for i, row := range p.Cells {
		top := at.Y - vg.Length(i)*height
		for from := 0; from < len(row); {
			s, to := shade(row[from]), from+1
			for to < len(row) && shade(row[to]) == s {
				to++
			}
			if s != 0 {
				left, right := at.X+vg.Length(from)*width, at.X+vg.Length(to)*width
				path := paths[s]
				path.Move(vg.Point{X: left, Y: top})
				path.Line(vg.Point{X: right, Y: top})
				path.Line(vg.Point{X: right, Y: top - height})
				path.Line(vg.Point{X: left, Y: top - height})
				path.Close()
				paths[s] = path
			}
			from = to
		}
	}
	for _, s := range slices.Sorted(maps.Keys(paths)) {
		c.SetColor(shadeColour(s))
		c.Fill(paths[s])
	}
	low, right := at.Y-vg.Length(len(p.Cells))*height, at.X+vg.Length(columns)*width
	c.StrokeLines(draw.LineStyle{Color: color.Gray{0x60}, Width: .5},
		[]vg.Point{at, {X: right, Y: at.Y}, {X: right, Y: low}, {X: at.X, Y: low}, at})

	name := style(8)
	name.XAlign, name.YAlign = draw.XRight, draw.YCenter
	for i := range p.named(height) {
		c.FillText(name, vg.Point{X: at.X - 4, Y: at.Y - (vg.Length(i)+.5)*height}, p.Rows[i])
	}
}

// shades is the number of steps of grey from 0 to 1.
const shades = 32

// noShade is the shade of NaN.
const noShade = -shades - 1

func shade(v float64) int {
	if math.IsNaN(v) {
		return noShade
	}
	return int(math.Round(shades * min(max(v, -1), 1)))
}

func shadeColour(s int) color.Color {
	light := func(s int) uint8 { return uint8(255 - 255*s/shades) }
	switch {
	case s == noShade:
		return color.RGBA{0xDF, 0xE8, 0xF4, 0xFF}
	case s < 0:
		return color.RGBA{0xFF - 0x3F*uint8(-s)/shades, light(-s), light(-s), 0xFF}
	default:
		return color.Gray{light(s)}
	}
}
