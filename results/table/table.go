// Package table is the form that generated results have before they are written: pages of text, tables and images. Markdown,
// TeX, CSV and the HTML report all render this form, so that none says what another does not. It knows nothing of how a
// number came about.
package table

import "fmt"

// A Page is a document that is generated.
type Page struct {
	Name  string // of its file, without the ending
	Title string
	Parts []Part
}

// A Part of a page is a [Heading], a paragraph of [Text], an [Image] or a [Table].
type Part interface{ markdown() string }

// Heading begins a section.
type Heading string

// Image is a drawing that lies at a path below the page's folder.
type Image struct{ Alt, Path string }

// Text is a paragraph, or what stands in a cell of a table. Line breaks in it are spaces; where Markdown is read as it is
// written, they keep lines short.
type Text []Span

// Span is a piece of text of one style.
type Span struct {
	Text  string
	Style Style
	Link  string // where it leads to, as seen from the page; empty for nowhere
}

// Style is how a span is written.
type Style int

// The styles of a span.
const (
	Plain Style = iota
	Bold        // what the reader came for
	Code        // to be typed
	Aside       // what says how sure a number is, and marks
)

// Table is a grid of cells under a row of headings.
type Table struct {
	// Name is that of its file where it stands on its own, unlike any other table's; empty where it never does.
	Name    string
	Columns []Column
	// Rows have a cell a column. A nil cell says that there is nothing of the kind.
	Rows  [][]Text
	Notes []Text // what its marks mean
}

// Column is a heading and how what is below it is set.
type Column struct {
	Name string
	Kind Kind
}

// Kind is how a column is set in print.
type Kind int

// The kinds of columns.
const (
	Label  Kind = iota // short text
	Number             // at the right
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

// Linked is a span that leads somewhere.
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

// LinksTo reports whether a page leads to one of the places.
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
