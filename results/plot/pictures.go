package plot

import (
	"image"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Pictures are rows of small images: given ones on the left, and those that are asked about on the right.
type Pictures struct {
	Title, Note string
	Left, Right string // what is above either side
	Rows        []PictureRow
}

// PictureRow is a named row.
type PictureRow struct {
	Name        string
	Left, Right []Picture
}

// Picture is an image with a few words below it.
type Picture struct {
	image.Image
	Caption string
	Wrong   bool // framed in another colour
}

// Measures of [Pictures] in points. A picture is a square, with room between it and the next.
const (
	pictureSide, pictureGap = 44, 8
	captionRoom             = 13
	sidesGap                = 18
)

// columns are the numbers of pictures of the longest row on either side.
func (f Pictures) columns() (left, right int) {
	for _, r := range f.Rows {
		left, right = max(left, len(r.Left)), max(right, len(r.Right))
	}
	return left, right
}

// names is the room for the names of rows.
func (f Pictures) names() (room vg.Length) {
	for _, r := range f.Rows {
		room = max(room, style(8).Width(r.Name))
	}
	return vg.Length(math.Ceil(float64(room))) + 6
}

// at are the left edges of the pictures of either side.
func (f Pictures) at() (left, right vg.Length) {
	n, _ := f.columns()
	left = margin + f.names()
	return left, left + vg.Length(n)*(pictureSide+pictureGap) + sidesGap
}

func (f Pictures) size() (width, height vg.Length) {
	_, at := f.at()
	_, n := f.columns()
	width = max(at+vg.Length(n)*(pictureSide+pictureGap), at+style(9).Width(f.Right), margin+bold(11).Width(f.Title), margin+style(8).Width(f.Note))
	height = margin + titleRoom + nameRoom + vg.Length(len(f.Rows))*(pictureSide+captionRoom) + 22
	return vg.Length(math.Ceil(float64(width))) + margin, height
}

func (f Pictures) draw(c draw.Canvas) error {
	if l, r := f.columns(); l+r == 0 {
		return errEmpty
	}
	title := bold(11)
	title.YAlign = draw.YTop
	y := c.Max.Y - margin
	c.FillText(title, vg.Point{X: margin, Y: y}, f.Title)
	left, right := f.at()
	y -= titleRoom + nameRoom
	c.FillText(style(9), vg.Point{X: left, Y: y + 5}, f.Left)
	c.FillText(style(9), vg.Point{X: right, Y: y + 5}, f.Right)
	for _, row := range f.Rows {
		name := style(8)
		name.XAlign, name.YAlign = draw.XRight, draw.YCenter
		c.FillText(name, vg.Point{X: left - 6, Y: y - pictureSide/2}, row.Name)
		for i, p := range row.Left {
			p.draw(c, left+vg.Length(i)*(pictureSide+pictureGap), y)
		}
		for i, p := range row.Right {
			p.draw(c, right+vg.Length(i)*(pictureSide+pictureGap), y)
		}
		y -= pictureSide + captionRoom
	}
	footnote(c, f.Note)
	return nil
}

// draw draws the picture with its upper left corner at a point.
func (p Picture) draw(c draw.Canvas, x, y vg.Length) {
	low := vg.Point{X: x, Y: y - pictureSide}
	c.DrawImage(vg.Rectangle{Min: low, Max: vg.Point{X: x + pictureSide, Y: y}}, p.Image)
	frame := draw.LineStyle{Color: color.Gray{0xB0}, Width: .5}
	caption := style(8)
	caption.XAlign = draw.XCenter
	if p.Wrong {
		frame = draw.LineStyle{Color: colours[1], Width: 1.75}
		caption.Color = colours[1]
	}
	c.StrokeLines(frame, []vg.Point{low, {X: x + pictureSide, Y: low.Y}, {X: x + pictureSide, Y: y}, {X: x, Y: y}, low})
	c.FillText(caption, vg.Point{X: x + pictureSide/2, Y: low.Y - 9}, p.Caption)
}
