package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg"
)

func curves() Curves {
	x := []float64{0, 1, 2, 3, 4}
	return Curves{
		Title: "copy & more", X: "sequences seen (thousands)", Y: "cost per sequence (bits)",
		Lines: []Line{
			{Name: "training", X: x, Y: []float64{100, 80, 3, .5, .01}, Pale: true},
			{Name: "training", X: x, Y: []float64{90, 60, 20, .5, .02}},
			{Name: "validation", X: x, Y: []float64{95, 70, 30, math.NaN(), .03}, Dots: true},
		},
	}
}

func panels() Panels {
	return Panels{
		Title: "length 3", X: "step", Note: "white is 0, black 1",
		Panels: []Panel{
			{Name: "input", Rows: []string{"bit 1", "bit 2"}, Cells: [][]float64{{0, 1, .5}, {-1, math.NaN(), 7}}},
			{Name: "output", Rows: []string{"bit 1"}, Cells: [][]float64{{1, 1, 0}}},
		},
	}
}

// words are the texts of an SVG, which must be well-formed.
func words(t *testing.T, f Figure) (out []string) {
	t.Helper()
	text, err := SVG(f)
	require.NoError(t, err)
	again, err := SVG(f)
	require.NoError(t, err)
	assert.Equal(t, text, again, "the same figure gives the same bytes")
	assert.NotContains(t, string(text), "NaN")
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		if s, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(s)) > 0 {
			out = append(out, string(s))
		}
	}
}

func pixels(t *testing.T, f Figure) image.Image {
	t.Helper()
	text, err := PNG(f)
	require.NoError(t, err)
	img, err := png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
	width, height := f.size()
	assert.InDelta(t, 2*float64(width), img.Bounds().Dx(), 1)
	assert.InDelta(t, 2*float64(height), img.Bounds().Dy(), 1)
	return img
}

func TestCurves(t *testing.T) {
	text := words(t, curves())
	for _, want := range []string{"copy & more", "sequences seen (thousands)", "cost per sequence (bits)", "training", "validation", "0.1", "1", "10", "100"} {
		assert.Contains(t, text, want)
	}
	named := 0
	for _, s := range text {
		if s == "training" {
			named++
		}
	}
	assert.Equal(t, 1, named, "the legend has each name once")
	pixels(t, curves())
}

// There are more names than colours: those of one colour have their own dashes and shapes, in the legend too.
func TestNamesOfOneColourLookDifferent(t *testing.T) {
	f := Curves{Title: "many", X: "x", Y: "y"}
	for i := range 3 * len(colours) {
		f.Lines = append(f.Lines, Line{Name: strconv.Itoa(i), X: []float64{0, 1}, Y: []float64{1, float64(i)}, Dots: true})
	}
	svg, err := SVG(f)
	require.NoError(t, err)
	// By colour: one line solid and two dashed, each in the plot and in the legend.
	dashed := regexp.MustCompile(`stroke:#0072B2;[^"]*stroke-dasharray:([0-9.,]+)`).FindAllStringSubmatch(string(svg), -1)
	require.Len(t, dashed, 4)
	kinds := map[string]int{}
	for _, d := range dashed {
		kinds[d[1]]++
	}
	assert.Len(t, kinds, 2)
	shapes := map[string]bool{}
	for turn := range 3 {
		shapes[fmt.Sprintf("%T", lookOf(turn*len(colours)).shape)] = true
	}
	assert.Len(t, shapes, 3)
}

func TestAxisIsLogarithmicOnlyWhereItHelps(t *testing.T) {
	of := func(y ...float64) []string {
		return words(t, Curves{Lines: []Line{{X: []float64{0, 1}, Y: y}}})
	}
	assert.Contains(t, of(.02, 3), "0.1")
	assert.NotContains(t, of(.2, 3), "0.1")
	assert.Contains(t, of(0, 50), "20", "a zero has no logarithm")
	assert.Contains(t, of(50, 100), "80")
}

// A band is drawn below all lines, from the lower edge to the upper, without values that are NaN.
func TestBand(t *testing.T) {
	x := []float64{0, 1, 2}
	svg, err := SVG(Curves{Lines: []Line{
		{Name: "one", X: x, Y: []float64{5, 5, 5}},
		{Name: "two", X: x, Y: []float64{2, 3, 4}, Low: []float64{1, math.NaN(), 3}, High: []float64{9, 9, 9}},
	}})
	require.NoError(t, err)
	band := strings.Index(string(svg), "fill-opacity:0.2")
	line := strings.Index(string(svg), "stroke:#0072B2;stroke-width:1.5")
	require.Positive(t, band)
	assert.Greater(t, line, band, "the other line is drawn over it too")
	assert.Len(t, Line{X: x, Y: x, Low: []float64{1, math.NaN(), 3}, High: []float64{9, 9, 9}}.band(), 5)
	assert.Nil(t, Line{X: x, Y: x}.band())
}

func TestOddCurves(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, l := range []Line{
		{X: []float64{1}, Y: []float64{2}},
		{X: []float64{0}, Y: []float64{0}},
		{X: []float64{1, 2, 3}, Y: []float64{5, 5, 5}},
		{X: []float64{1, 2}, Y: []float64{1, 1}}, // whose range, once widened, begins at zero
		{X: []float64{1, 2}, Y: []float64{.05, .05}},
		{X: []float64{1, 2, 3}, Y: []float64{20, math.Nextafter(20, 21), 20}}, // equal up to rounding: no room for ticks
		{X: []float64{1, 2, 3}, Y: []float64{5, nan, inf}},
		{X: []float64{1, 2}, Y: []float64{1e-300, 1e300}},
		{X: []float64{1, 2}, Y: []float64{-1e18, 1e18}},
	} {
		words(t, Curves{Lines: []Line{l, {}}})
	}
	for _, l := range []Line{{}, {X: []float64{1}, Y: []float64{nan}}} {
		_, err := SVG(Curves{Lines: []Line{l}})
		assert.ErrorIs(t, err, errEmpty)
		_, err = PNG(Curves{Lines: []Line{l}})
		assert.ErrorIs(t, err, errEmpty)
	}
	_, err := SVG(Curves{Lines: []Line{{X: []float64{1, 2}, Y: []float64{1}}}})
	assert.ErrorContains(t, err, "plot: ", "a panic is an error")
}

func TestTicks(t *testing.T) {
	labels := func(low, high float64) (out []string) {
		for _, mark := range ticks(low, high) {
			out = append(out, mark.Label)
		}
		return out
	}
	assert.Equal(t, []string{"0", "20", "40", "60", "80", "100"}, labels(0, 100))
	assert.Equal(t, []string{"0", "0.5", "1", "1.5"}, labels(0, 1.7))
	assert.Equal(t, []string{"130", "140", "150", "160", "170", "180", "190"}, labels(129, 199))
	for _, mark := range logTicks(.02, 300) {
		assert.GreaterOrEqual(t, mark.Value, .02)
		assert.LessOrEqual(t, mark.Value, 300.)
	}
}

func TestPanels(t *testing.T) {
	assert.Equal(t, []string{"length 3", "input", "bit 1", "bit 2", "output", "bit 1", "0", "step", "white is 0, black 1", "-1", "1", "no value"}, words(t, panels()))

	// Without negative and missing values the scale is from 0 to 1.
	positive := Panels{Panels: []Panel{{Cells: [][]float64{{0, 1, .5}}}}}
	assert.Equal(t, []string{"0", "0", "1"}, words(t, positive), "the number of the column, and the ends of the scale")

	f, img := panels(), pixels(t, panels())
	// at is the colour in the middle of a cell of the first panel.
	at := func(row, column int) color.RGBA {
		x := f.left() + 12*(vg.Length(column)+.5)
		y := margin + titleRoom + nameRoom + 12*(vg.Length(row)+.5)
		return color.RGBAModel.Convert(img.At(int(2*x), int(2*y))).(color.RGBA)
	}
	white, black := color.RGBA{255, 255, 255, 255}, color.RGBA{0, 0, 0, 255}
	assert.Equal(t, white, at(0, 0))
	assert.Equal(t, black, at(0, 1))
	assert.Equal(t, color.RGBA{128, 128, 128, 255}, at(0, 2))
	assert.Equal(t, shadeColour(-shades), at(1, 0))
	assert.Equal(t, shadeColour(noShade), at(1, 1))
	assert.Equal(t, black, at(1, 2), "above 1")
}

func TestManyCellsAreSmallAndFewAreNamed(t *testing.T) {
	var rows []string
	cells := make([][]float64, 128)
	for i := range cells {
		rows, cells[i] = append(rows, "row"), make([]float64, 300)
	}
	p := Panel{Name: "write weighting", Rows: rows, Cells: cells}
	f := Panels{Panels: []Panel{p}}
	n := 0
	for i := range p.named(f.height(p)) {
		assert.Zero(t, i%5)
		n++
	}
	assert.Equal(t, 26, n)
	width, height := f.size()
	assert.Less(t, float64(width), 800.)
	assert.Less(t, float64(height), 500.)
	words(t, f)

	p.Rows, p.Cells = p.Rows[:32], p.Cells[:32]
	f.Panels = slices.Repeat([]Panel{p}, 8)
	_, height = f.size()
	assert.Less(t, float64(height), 4*480., "many panels share the room of four")
}

// Columns that have names all show them where there is room, and a panel's name is not cut off.
func TestNamedColumnsAndLongNames(t *testing.T) {
	f := panels()
	f.Columns = []string{"1", "2", "3"}
	f.Panels[0].Name = strings.Repeat("where is the apple? ", 5)
	texts := words(t, f)
	assert.Subset(t, texts, f.Columns)
	width, _ := f.size()
	assert.Greater(t, float64(width), float64(f.left()+style(9).Width(f.Panels[0].Name)))
}

// Words that are wider than the cells begin within the picture.
func TestNothingOfPanelsIsCutOff(t *testing.T) {
	svg, err := SVG(Panels{Title: "T", X: strings.Repeat("from left to right ", 5), Panels: []Panel{{Rows: []string{"a"}, Cells: [][]float64{{0, 1}}}}})
	require.NoError(t, err)
	assert.NotContains(t, string(svg), `<text x="-`)
}

func TestPanelsWithoutCells(t *testing.T) {
	_, err := SVG(Panels{Title: "nothing", Panels: []Panel{{Name: "input"}}})
	assert.ErrorIs(t, err, errEmpty)
}

func TestPoints(t *testing.T) {
	f := Points{Title: "a & b", X: "first", Y: "second", Note: "rings: support", Groups: []Group{
		{Name: "one", X: []float64{0}, Y: []float64{0}, Ring: true},
		{Name: "one", X: []float64{1, math.NaN()}, Y: []float64{1, 1}},
		{Name: "two", X: []float64{10, 11}, Y: []float64{2, 3}},
	}}
	svg, err := SVG(f)
	require.NoError(t, err)
	for _, want := range []string{"a &amp; b", ">second</text>", ">two</text>", "rings: support"} {
		assert.Contains(t, string(svg), want)
	}
	assert.Equal(t, 1, strings.Count(string(svg), ">one</text>"), "once in the legend")
	assert.Less(t, strings.LastIndex(string(svg), "fill:#0072B2"), strings.Index(string(svg), "stroke:#FFFFFF"), "rings lie over dots")
	_, err = PNG(f)
	require.NoError(t, err)
	_, err = SVG(Points{Groups: []Group{{Name: "none"}}})
	assert.ErrorIs(t, err, errEmpty)
}

func TestPictures(t *testing.T) {
	black := image.NewGray(image.Rect(0, 0, 4, 4))
	f := Pictures{Title: "title", Left: "support", Right: "queries", Note: "note", Rows: []PictureRow{
		{Name: "1: a rather long name", Left: []Picture{{Image: black}}, Right: []Picture{{Image: black, Caption: "1, 98 %"}, {Image: black, Caption: "2, 60 %", Wrong: true}}},
		{Name: "2: b", Left: []Picture{{Image: black}}},
	}}
	svg, err := SVG(f)
	require.NoError(t, err)
	assert.Equal(t, 4, strings.Count(string(svg), "<image "))
	assert.Equal(t, 1, strings.Count(string(svg), "stroke:#D55E00"), "the one that is wrong")
	assert.Contains(t, string(svg), ">1: a rather long name</text>")
	text, err := PNG(f)
	require.NoError(t, err)
	drawn, err := png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
	left, _ := f.at()
	at := func(x, y vg.Length) color.Color {
		return color.GrayModel.Convert(drawn.At(int(x*dpi/72), int(y*dpi/72)))
	}
	assert.Equal(t, color.Gray{0}, at(left+pictureSide/2, margin+titleRoom+nameRoom+pictureSide/2), "a picture is where it belongs")
	assert.Equal(t, color.Gray{255}, at(left+pictureSide+pictureGap/2, margin+titleRoom+nameRoom+pictureSide/2))
	_, err = SVG(Pictures{Rows: []PictureRow{{Name: "x"}}})
	assert.ErrorIs(t, err, errEmpty)
}
