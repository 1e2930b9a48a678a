package table

import (
	"fmt"
	"strings"
)

// Markdown is the page as Markdown, below a comment that says how it was generated.
func (p *Page) Markdown(comment string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- %s -->\n\n# %s\n", comment, p.Title)
	for _, part := range p.Parts {
		b.WriteString("\n" + part.markdown())
	}
	return []byte(b.String())
}

// Text is the page as self-contained Markdown: without a comment, and without images, which are in other files.
func (p *Page) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", p.Title)
	for _, part := range p.Parts {
		if _, image := part.(Image); !image {
			b.WriteString("\n" + part.markdown())
		}
	}
	return b.String()
}

// Markdown is the table alone as Markdown, with its notes.
func (t *Table) Markdown() string { return t.markdown() }

// Plain is the table in aligned columns for a terminal of a width, 0 for any, with its notes.
func (t *Table) Plain(width int) string {
	var b strings.Builder
	w := NewColumns(&b, width)
	line := func(cells []string) {
		fmt.Fprintln(w, strings.Join(cells, "\t")) // a builder takes everything
	}
	var heads []string
	for _, c := range t.Columns {
		heads = append(heads, inLine.Replace(c.Name))
	}
	line(heads)
	for _, row := range t.Rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, inLine.Replace(cell.String()))
		}
		line(cells)
	}
	_ = w.Flush()
	for _, note := range t.Notes {
		text := note.String()
		if width > 0 {
			text = strings.Join(wrap(text, width), "\n")
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// inLine keeps text from ending its cell or its line on a terminal.
var inLine = strings.NewReplacer("\t", " ", "\r\n", " ", "\n", " ")

func (h Heading) markdown() string { return "## " + string(h) + "\n" }

func (i Image) markdown() string { return fmt.Sprintf("![%s](%s)\n", i.Alt, i.Path) }

func (t Text) markdown() string { return t.inline() + "\n" }

func (t Text) inline() string {
	var b strings.Builder
	for _, s := range t {
		text := s.Text
		switch s.Style {
		case Bold:
			text = "**" + text + "**"
		case Code:
			text = "`" + text + "`"
		}
		if s.Link != "" {
			text = "[" + text + "](" + s.Link + ")"
		}
		b.WriteString(text)
	}
	return b.String()
}

// inCell keeps text from ending its cell or its row.
var inCell = strings.NewReplacer("|", `\|`, "\r\n", " ", "\n", " ")

func (t *Table) markdown() string {
	var b strings.Builder
	// A missing cell is narrower than an empty one.
	row := func(n int, cell func(i int) (text string, there bool)) {
		b.WriteString("|")
		for i := range n {
			if text, there := cell(i); there {
				b.WriteString(" " + inCell.Replace(text))
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	row(len(t.Columns), func(i int) (string, bool) { return t.Columns[i].Name, t.Columns[i].Name != "" })
	b.WriteString("|" + strings.Repeat("---|", len(t.Columns)) + "\n")
	for _, cells := range t.Rows {
		row(len(cells), func(i int) (string, bool) { return cells[i].inline(), cells[i] != nil })
	}
	for _, note := range t.Notes {
		b.WriteString("\n" + note.markdown())
	}
	return b.String()
}
