package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/engram-go/engram/results/table"
)

// isTerminal tells whether what is written to w is seen by somebody at once.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth is the number of characters in a line of the terminal that w is, 0 where it is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// newColumns aligns columns within the width of the terminal, where w is one.
func newColumns(w io.Writer) *table.Columns { return table.NewColumns(w, terminalWidth(w)) }

// countOf writes a number of things, of which one is named.
func countOf[N int | int64](n N, thing string) string {
	return fmt.Sprintf("%d %s", n, pluralOf(n, thing))
}

// pluralOf is the plural of a thing, or its name for one.
func pluralOf[N int | int64](n N, thing string) string {
	switch {
	case n == 1:
		return thing
	case strings.HasSuffix(thing, "y"):
		return strings.TrimSuffix(thing, "y") + "ies"
	case strings.HasSuffix(thing, "s"):
		return thing + "es"
	}
	return thing + "s"
}

// style colours what is written to a terminal.
type style struct{ colour bool }

// newStyle gives no colours where there is no terminal, where NO_COLOR is set (https://no-color.org), or where the terminal
// knows none.
func newStyle(terminal bool, getenv func(string) string) style {
	return style{terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

func (s style) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// bad is for what went wrong, good for what came to its end.
func (s style) bad(text string) string  { return s.paint("31", text) }
func (s style) good(text string) string { return s.paint("32", text) }
