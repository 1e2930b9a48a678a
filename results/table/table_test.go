package table_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results/table"
)

// sample is a table with what each way of writing must escape.
func sample() *table.Table {
	t := &table.Table{Name: "x", Columns: append(table.Proses("method", ""), table.Numbers("a_b, %")...)}
	t.Add(table.Say(`a|b & "c"`), table.Say(""), table.Text{{Text: "98.50", Style: table.Bold}, {Text: " ± 0.17", Style: table.Aside}})
	t.Add(table.Text{table.Linked("[run]", "runs/x")}.And(", seed 1"), nil, table.Say("two\nlines"))
	t.Notes = []table.Text{table.Say("† elsewhere")}
	return t
}

func TestMarkdown(t *testing.T) {
	p := &table.Page{Title: "Title"}
	p.Add(table.Say("A paragraph. ").With(table.Span{Text: "go", Style: table.Code}), table.Heading("Section"), sample(), table.Image{Alt: "alt", Path: "a.svg"})
	assert.Equal(t, `<!-- from here -->

# Title

A paragraph. `+"`go`"+`

## Section

| method | | a_b, % |
|---|---|---|
| a\|b & "c" |  | **98.50** ± 0.17 |
| [[run]](runs/x), seed 1 | | two lines |

† elsewhere

![alt](a.svg)
`, string(p.Markdown("from here")))
	assert.Len(t, p.Tables(), 1)
	assert.True(t, p.LinksTo(func(to string) bool { return to == "runs/x" }))
	assert.False(t, p.LinksTo(func(to string) bool { return to == "runs" }))
}

func TestPlain(t *testing.T) {
	assert.Equal(t, "method           a_b, %\na|b & \"c\"        98.50 ± 0.17\n[run], seed 1    two lines\n† elsewhere\n", sample().Plain(0))
}

func TestTextStandsOnItsOwn(t *testing.T) {
	p := &table.Page{Title: "Title"}
	p.Add(table.Say("A paragraph."), table.Image{Alt: "alt", Path: "a.svg"}, table.Heading("Section"))
	assert.Equal(t, "# Title\n\nA paragraph.\n\n## Section\n", p.Text())
}

func TestTeX(t *testing.T) {
	assert.Equal(t, `% from here
\begin{tabularx}{\linewidth}{@{}>{\raggedright\arraybackslash}X>{\raggedright\arraybackslash}Xr@{}}
\toprule
method &  & a\_b, \% \\
\midrule
a\textbar{}b \& \textquotedbl{}c\textquotedbl{} &  & \textbf{98.50}\,$\pm$ 0.17 \\
{}[run], seed 1 &  & two lines \\
\bottomrule
\end{tabularx}
\par\smallskip{\footnotesize \dag{} elsewhere\par}
`, string(sample().TeX("from here")))
	narrow := &table.Table{Columns: append(table.Labels("a"), table.Numbers("5-way: b")...)}
	assert.Contains(t, string(narrow.TeX("")), `\begin{tabular}{@{}lr@{}}
\toprule
a & \begin{tabular}[b]{@{}r@{}}5-way:\\b\end{tabular} \\
`)
}

func TestEscapeTeX(t *testing.T) {
	assert.Equal(t, `\textbackslash{}input\{x\} \$5 \#1 \textasciitilde{}a\textasciicircum{}2 -{}-seed \textless{}b\textgreater{}`,
		table.EscapeTeX(`\input{x} $5 #1 ~a^2 --seed <b>`))
}

func TestCSV(t *testing.T) {
	text, err := sample().CSV()
	require.NoError(t, err)
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, [][]string{{"method", "", "a_b, %"}, {`a|b & "c"`, "", "98.50 ± 0.17"}, {"[run], seed 1", "", "two\nlines"}}, rows)
}
