package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// isTerminal tells whether what is written to w is seen by somebody at once.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
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
