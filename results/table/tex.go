package table

import (
	"fmt"
	"strings"
)

// TeX is the table for LaTeX with the packages booktabs and tabularx, below a comment that says how it was generated. It is as wide
// as the line if a column is prose. Links are left out.
func (t *Table) TeX(comment string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%% %s\n", comment)
	environment, width, layout := "tabular", "", ""
	for _, c := range t.Columns {
		switch c.Kind {
		case Number:
			layout += "r"
		case Prose:
			layout += `>{\raggedright\arraybackslash}X`
			environment, width = "tabularx", `{\linewidth}`
		default:
			layout += "l"
		}
	}
	fmt.Fprintf(&b, "\\begin{%s}%s{@{}%s@{}}\n\\toprule\n", environment, width, layout)
	row := func(cells []string) { b.WriteString(strings.Join(cells, " & ") + ` \\` + "\n") }
	var cells []string
	for _, c := range t.Columns {
		cells = append(cells, c.heading())
	}
	row(cells)
	b.WriteString("\\midrule\n")
	for _, r := range t.Rows {
		cells = cells[:0]
		for i, cell := range r {
			text := cell.tex()
			if i == 0 && strings.HasPrefix(text, "[") || strings.HasPrefix(text, "*") { // which LaTeX would read as an argument of the previous row's end
				text = "{}" + text
			}
			cells = append(cells, text)
		}
		row(cells)
	}
	fmt.Fprintf(&b, "\\bottomrule\n\\end{%s}\n", environment)
	for _, note := range t.Notes {
		b.WriteString("\\par\\smallskip{\\footnotesize " + note.tex() + "\\par}\n")
	}
	return []byte(b.String())
}

// heading is the column's heading, in two lines if it has two parts and the column does not break lines itself.
func (c Column) heading() string {
	over, under, two := strings.Cut(c.Name, ": ")
	if !two || c.Kind == Prose {
		return EscapeTeX(c.Name)
	}
	side := "l"
	if c.Kind == Number {
		side = "r"
	}
	return `\begin{tabular}[b]{@{}` + side + `@{}}` + EscapeTeX(over) + `:\\` + EscapeTeX(under) + `\end{tabular}`
}

func (t Text) tex() string {
	var b strings.Builder
	for _, s := range t {
		text := EscapeTeX(s.Text)
		switch s.Style {
		case Bold:
			text = `\textbf{` + text + `}`
		case Code:
			text = `\texttt{` + text + `}`
		case Aside:
			if strings.HasPrefix(s.Text, " ") { // it follows a number
				text = `\,` + EscapeTeX(s.Text[1:])
			}
		}
		b.WriteString(text)
	}
	return b.String()
}

var teX = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `$`, `\$`, `&`, `\&`, `#`, `\#`, `%`, `\%`, `_`, `\_`, `~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`,
	`<`, `\textless{}`, `>`, `\textgreater{}`, `|`, `\textbar{}`, `"`, `\textquotedbl{}`, "`", `\textasciigrave{}`, `--`, `-{}-`,
	"\r\n", " ", "\n", " ", "\t", " ",
	`±`, `$\pm$`, `×`, `$\times$`, `→`, `$\rightarrow$`, `↳`, `$\hookrightarrow$`, `†`, `\dag{}`, `·`, `$\cdot$`, `√`, `$\surd$`, `–`, `--`, `—`, `---`, `’`, `'`,
)

// EscapeTeX escapes text for LaTeX with T1 fonts and the package textcomp.
func EscapeTeX(text string) string { return teX.Replace(text) }
