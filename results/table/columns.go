package table

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// gap is the space between two columns of a terminal.
const gap = 2

// Columns aligns lines of cells that are separated by tabs, as text/tabwriter does, within a width: where the columns do not fit,
// the widest ones are wrapped between words. What is written is kept until Flush.
type Columns struct {
	to    io.Writer
	width int
	text  bytes.Buffer
}

// NewColumns returns columns that are at most width characters wide, of any width where that is 0.
func NewColumns(to io.Writer, width int) *Columns { return &Columns{to: to, width: width} }

// Write implements io.Writer. It does not fail.
func (c *Columns) Write(p []byte) (int, error) { return c.text.Write(p) }

// Flush writes the lines, aligned.
func (c *Columns) Flush() error {
	var rows [][]string
	for line := range strings.Lines(c.text.String()) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	c.text.Reset()
	widths := fit(rows, c.width)
	var b strings.Builder
	for _, row := range rows {
		cells := make([][]string, len(row))
		height := 1
		for i, cell := range row {
			cells[i] = wrap(cell, widths[i])
			height = max(height, len(cells[i]))
		}
		for k := range height {
			var line strings.Builder
			for i, cell := range cells {
				text := ""
				if k < len(cell) {
					text = cell[k]
				}
				line.WriteString(text)
				if i+1 < len(cells) {
					line.WriteString(strings.Repeat(" ", widths[i]+gap-utf8.RuneCountInString(text)))
				}
			}
			text := line.String()
			if k > 0 || height > 1 {
				text = strings.TrimRight(text, " ")
			}
			b.WriteString(text + "\n")
		}
	}
	_, err := io.WriteString(c.to, b.String())
	return err
}

// fit returns the width of each column: as wide as its widest cell, or less where all of them would exceed width. A column is
// then at least as wide as its longest word, unless that is too wide as well.
func fit(rows [][]string, width int) []int {
	var widths, words []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths, words = append(widths, 0), append(words, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			for word := range strings.FieldsSeq(cell) {
				words[i] = max(words[i], utf8.RuneCountInString(word))
			}
		}
	}
	if width <= 0 {
		return widths
	}
	for _, breaks := range []bool{false, true} { // words
		for {
			all, widest := gap*(len(widths)-1), -1
			for i, w := range widths {
				all += w
				least := narrowest
				if !breaks {
					least = max(words[i], narrowest)
				}
				if w > least && (widest < 0 || w > widths[widest]) {
					widest = i
				}
			}
			if all <= width {
				return widths
			}
			if widest < 0 {
				break
			}
			widths[widest]--
		}
	}
	return widths
}

// narrowest is the least width that a column is shrunk to.
const narrowest = 8

// wrap breaks text into lines of at most width characters, between words where there are any.
func wrap(text string, width int) (lines []string) {
	for utf8.RuneCountInString(text) > width {
		runes := []rune(text)
		at := width
		for i := width; i > 0; i-- {
			if runes[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, string(runes[:at]))
		text = strings.TrimLeft(string(runes[at:]), " ")
	}
	return append(lines, text)
}
