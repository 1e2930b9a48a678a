package schema

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// maxProblems limits the problems that are collected for one file.
const maxProblems = 100

// A Problem is one mistake in a file or an override.
type Problem struct {
	File     string   // the file's name as given to Decode; empty for values set in code
	Line     int      // counted from 1; 0 if there is no line
	Override string   // "train.way=20" if the mistake is in --set, not in the file
	Path     string   // "train.way", "test.0.shot"; empty for the file as a whole
	Text     string   // the problem and its remedy
	Err      error    // the error of a Validate or UnmarshalText method, if any
	Valid    []string // for an unknown kind: the valid kinds

	shown string // the printed path; omitted if an override's text contains it
	order int
}

// Error returns "FILE:LINE: PATH: text", or "--set OVERRIDE: text".
func (p Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Override != "":
		b.WriteString("--set " + clip(p.Override, 80) + ": ")
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	case p.File != "":
		b.WriteString(p.File + ": ")
	}
	if p.shown != "" {
		b.WriteString(p.shown + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Unwrap returns the error of the Validate or UnmarshalText method, if any.
func (p Problem) Unwrap() error { return p.Err }

// Error holds all problems found: those of each file by line, then those of the overrides in order.
type Error struct {
	Problems []Problem
	Dropped  int // problems beyond the first hundred, not kept
}

// Error returns one problem per line.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	if e.Dropped > 0 {
		lines = append(lines, fmt.Sprintf("and %d more problems", e.Dropped))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems, for errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// ErrUnread is returned for a section that could not be read. The reason was reported when the file was decoded.
var ErrUnread = errors.New("schema: the section could not be read")

// Join merges errors from Decode and from sections into one, sorted like the problems of one file. Other errors keep
// their text; [ErrUnread] is omitted. It returns nil if all are nil.
func Join(errs ...error) error {
	var r report
	for _, err := range errs {
		if err == nil || err == ErrUnread {
			continue
		}
		var e *Error
		if errors.As(err, &e) {
			for _, p := range e.Problems {
				r.add(p)
			}
			r.dropped += e.Dropped
			continue
		}
		r.add(Problem{Text: err.Error(), Err: err})
	}
	return r.err()
}

// At assigns an error from a Validate method to one of the value's fields ("way", or "stages.0.width"), so that it is
// reported at that field's line. Several may be combined with errors.Join.
func At(field string, err error) error {
	if err == nil {
		return nil
	}
	return &fieldError{field: field, err: err}
}

type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// report collects problems.
type report struct {
	problems []Problem
	dropped  int
}

func (r *report) add(p Problem) {
	if r.full() {
		r.dropped++
		return
	}
	p.order = len(r.problems)
	r.problems = append(r.problems, p)
}

func (r *report) clone() report { return report{slices.Clone(r.problems), r.dropped} }

// full reports whether further problems are only counted.
func (r *report) full() bool { return len(r.problems) >= maxProblems }

func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	sorted := append([]Problem(nil), r.problems...)
	files := map[string]int{} // in order of first occurrence
	for _, p := range sorted {
		if _, met := files[p.File]; !met {
			files[p.File] = len(files)
		}
	}
	files[""] = -1
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if (a.Override != "") != (b.Override != "") {
			return b.Override != ""
		}
		if a.Override == "" && a.File != b.File {
			return files[a.File] < files[b.File]
		}
		if a.Override == "" && a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.order < b.order
	})
	return &Error{Problems: sorted, Dropped: r.dropped}
}

// fail adds a problem at a place.
func (r *report) fail(at place, path, format string, args ...any) {
	r.add(at.problem(path, fmt.Sprintf(format, args...), nil))
}

// place is the position of a value in a file or an override.
type place struct {
	file string
	line int
	over *Override
}

// problem makes a Problem for a path at a place.
func (at place) problem(path, text string, err error) Problem {
	p := Problem{File: at.file, Line: at.line, Path: path, Text: text, Err: err, shown: path}
	switch o := at.over; {
	case o == nil:
	case o.at.line > 0: // a matrix
		p.File, p.Line = o.at.file, o.at.line
	default:
		p.File, p.Line, p.Override = "", 0, o.text
		// The override's text already contains its path and the path's parents.
		if own := o.Path(); own == path || path == "" || strings.HasPrefix(own, path+".") {
			p.shown = ""
		}
	}
	return p
}

// errorf returns an error with one problem.
func (at place) errorf(path, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Problems: []Problem{at.problem(path, err.Error(), err)}}
}
