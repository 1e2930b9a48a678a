// Package plot draws the figures of runs and of results: curves over a common axis, points in the plane, heat maps over a common
// time, and rows of pictures. It takes plain slices and does not know how the numbers were computed. The same numbers give the same
// SVG, byte for byte.
package plot

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A Figure is what [SVG] and [PNG] draw: [Curves], [Points], [Panels] or [Pictures].
type Figure interface {
	// size is the size of its canvas.
	size() (width, height vg.Length)
	draw(draw.Canvas) error
}

// errEmpty is the error of a figure without numbers.
var errEmpty = errors.New("there is nothing to draw")

// dpi is the resolution of PNGs: two pixels a point, so that the edges of cells fall on pixels.
const dpi = 144

// SVG draws a figure as vectors. Text stays text, in Liberation Sans or, if the viewer does not have it, in a font with the same
// metrics.
func SVG(f Figure) ([]byte, error) {
	c := vgsvg.New(f.size())
	if err := drawOn(draw.New(c), f); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("plot: %w", err)
	}
	family := []byte("font-family:Liberation Sans")
	return bytes.ReplaceAll(b.Bytes(), family, append(family, ",Arial,Helvetica,sans-serif"...)), nil
}

// PNG draws a figure as pixels, two per point.
func PNG(f Figure) ([]byte, error) {
	width, height := f.size()
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))}
	if err := drawOn(draw.New(c), f); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("plot: %w", err)
	}
	return b.Bytes(), nil
}

// drawOn draws a figure. The library panics on what it cannot draw; drawOn returns that as an error.
func drawOn(c draw.Canvas, f Figure) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("plot: %v", r)
		}
	}()
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	if err := f.draw(c); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}

// style is the style of text of a size.
func style(size vg.Length) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	return text.Style{Color: color.Black, Font: f, Handler: text.Plain{Fonts: font.DefaultCache}}
}

// bold is style in bold.
func bold(size vg.Length) text.Style {
	s := style(size)
	s.Font.Weight = xfont.WeightBold
	return s
}

// colours are distinguishable with colour vision deficiency: Okabe and Ito 2008, Color Universal Design.
var colours = [...]color.RGBA{
	{0x00, 0x72, 0xB2, 0xFF}, {0xD5, 0x5E, 0x00, 0xFF}, {0x00, 0x9E, 0x73, 0xFF}, {0xCC, 0x79, 0xA7, 0xFF},
	{0xE6, 0x9F, 0x00, 0xFF}, {0x56, 0xB4, 0xE9, 0xFF}, {0x00, 0x00, 0x00, 0xFF},
}

// look is how the lines and points of a name are drawn.
type look struct {
	colour color.RGBA
	dashes []vg.Length // nil for a solid line
	shape  draw.GlyphDrawer
}

// lookOf returns the look of the name with index i. Names of the same colour differ in dashes and shapes, up to 28 names.
func lookOf(i int) look {
	turn := i / len(colours)
	dashes := [][]vg.Length{nil, {4, 2}, {1, 2}, {6, 2, 1, 2}}
	shapes := []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, draw.CrossGlyph{}}
	return look{colours[i%len(colours)], dashes[turn%len(dashes)], shapes[turn%len(shapes)]}
}

// pale mixes a colour with white.
func pale(c color.RGBA) color.RGBA {
	mix := func(v uint8) uint8 { return uint8((int(v) + 2*255) / 3) }
	return color.RGBA{mix(c.R), mix(c.G), mix(c.B), c.A}
}

// sheer is a transparent form of a colour.
func sheer(c color.RGBA) color.Color { return color.NRGBA{c.R, c.G, c.B, 0x33} }
