// Package table is the intermediate form of generated results: pages of text, tables and images. Markdown, TeX, CSV, plain text and
// the HTML report are all rendered from it, so that they agree. It does not know how a number was measured.
package table

import "fmt"

// A Page is a document that is generated.
type Page struct {
	Name  string // of its file, without the extension
	Title string
	Parts []Part
}

// A Part of a page is a [Heading], a paragraph of [Text], an [Image] or a [Table].
type Part interface{ markdown() string }

// Heading begins a section.
type Heading string

// Image is a drawing at a path relative to the page's folder.
type Image struct{ Alt, Path string }

// Text is a paragraph or the content of a cell. Line breaks in it are spaces; they keep the lines of Markdown files short.
type Text []Span

// Span is a piece of text of one style.
type Span struct {
	Text  string
	Style Style
	Link  string // its target, relative to the page; empty for none
}

// Style is how a span is written.
type Style int

// The styles of a span.
const (
	Plain Style = iota
	Bold        // the main figures
	Code        // text to type
	Aside       // uncertainties and marks
)

// Table is a grid of cells under a row of headings.
type Table struct {
	// Name is the name of its file, unlike any other table's; empty for a table without a file of its own.
	Name    string
	Columns []Column
	// Rows have one cell per column. A nil cell means that there is no such value.
	Rows  [][]Text
	Notes []Text // the meaning of its marks
}

// Column is a heading and the kind of its cells.
type Column struct {
	Name string
	Kind Kind
}

// Kind is how the cells of a column are typeset.
type Kind int

// The kinds of columns.
const (
	Label  Kind = iota // short text
	Number             // right-aligned
	Prose              // text that breaks into lines
)

// Say is plain text.
func Say(text string) Text { return Text{{Text: text}} }

// Sayf is plain text, formatted as by fmt.Sprintf.
func Sayf(format string, values ...any) Text { return Say(fmt.Sprintf(format, values...)) }

// With returns the text with spans after it.
func (t Text) With(more ...Span) Text { return append(t[:len(t):len(t)], more...) }

// And returns the text with plain text after it.
func (t Text) And(text string) Text { return t.With(Say(text)...) }

// Andf returns the text with formatted text after it.
func (t Text) Andf(format string, values ...any) Text { return t.With(Sayf(format, values...)...) }

// Linked is a span with a link.
func Linked(text, to string) Span { return Span{Text: text, Link: to} }

// String is the text without styles.
func (t Text) String() string {
	var s string
	for _, span := range t {
		s += span.Text
	}
	return s
}

// Labels are columns of short text.
func Labels(names ...string) []Column { return columns(Label, names) }

// Numbers are columns of numbers.
func Numbers(names ...string) []Column { return columns(Number, names) }

// Proses are columns of text that breaks into lines.
func Proses(names ...string) []Column { return columns(Prose, names) }

func columns(kind Kind, names []string) (out []Column) {
	for _, name := range names {
		out = append(out, Column{name, kind})
	}
	return out
}

// Add adds a row.
func (t *Table) Add(cells ...Text) { t.Rows = append(t.Rows, cells) }

// Add adds parts.
func (p *Page) Add(parts ...Part) { p.Parts = append(p.Parts, parts...) }

// Tables are the page's tables.
func (p *Page) Tables() (out []*Table) {
	for _, part := range p.Parts {
		if t, ok := part.(*Table); ok {
			out = append(out, t)
		}
	}
	return out
}

// LinksTo reports whether the page has a link whose target place accepts.
func (p *Page) LinksTo(place func(string) bool) bool {
	linked := func(t Text) bool {
		for _, s := range t {
			if s.Link != "" && place(s.Link) {
				return true
			}
		}
		return false
	}
	for _, part := range p.Parts {
		switch part := part.(type) {
		case Text:
			if linked(part) {
				return true
			}
		case *Table:
			for _, row := range part.Rows {
				for _, cell := range row {
					if linked(cell) {
						return true
					}
				}
			}
		}
	}
	return false
}
