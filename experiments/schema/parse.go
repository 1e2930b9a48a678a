package schema

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	maxBytes = 1 << 20
	maxDepth = 64 // levels of lists and mappings
)

// parse parses a file's text to a node tree, at a given depth, and reports what is invalid for any struct. It returns
// nil if there is no usable tree; an empty tree is returned.
func (r *report) parse(file string, text []byte, depth int) *yaml.Node {
	fail := func(line int, format string, args ...any) *yaml.Node {
		r.fail(place{file: file, line: line}, "", format, args...)
		return nil
	}
	if len(text) > maxBytes {
		return fail(1, "the file has %d bytes (at most %d are read)", len(text), maxBytes)
	}
	if !utf8.Valid(text) {
		return fail(invalidLine(text), "not valid UTF-8 (save the file as UTF-8)")
	}
	text = acceptVersion(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	docs, err := readYAML(text)
	if err != nil {
		line := syntaxLine(text, err)
		return fail(line, "not valid YAML: %s", mendSyntax(err.Error(), lineText(text, line)))
	}
	if len(docs) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Line: 1}
	}
	if len(docs) > 1 {
		fail(docs[1].Line, `a second document starts here (keep one per file, without "---")`)
	}
	if len(docs[0].Content) == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Line: 1}
	}
	root := docs[0].Content[0]
	if !r.walk(file, root, root, "", depth) {
		return nil
	}
	return root
}

// versionDirective is a directive of a version of YAML that is read like 1.1, the only one that the library lets pass.
var versionDirective = regexp.MustCompile(`^%YAML[ \t]+1\.[0-9]+[ \t\r]*(#.*)?$`)

// acceptVersion makes a directive such as %YAML 1.2 pass. It changes nothing but lines before the document.
func acceptVersion(text []byte) []byte {
	at := 0
	for line := range bytes.Lines(text) {
		switch trimmed := bytes.TrimRight(line, "\n"); {
		case versionDirective.Match(trimmed):
			return slices.Concat(text[:at], []byte("%YAML 1.1"), text[at+len(trimmed):])
		case len(bytes.TrimSpace(trimmed)) > 0 && trimmed[0] != '#' && trimmed[0] != '%':
			return text
		}
		at += len(line)
	}
	return text
}

// walk reports anchors, aliases, tags, merge keys, duplicate keys and keys that are not text. It returns false if the
// tree is too deep.
func (r *report) walk(file string, n, at *yaml.Node, path string, depth int) bool {
	report := func(line int, path, format string, args ...any) {
		r.fail(place{file: file, line: line}, path, format, args...)
	}
	if depth > maxDepth && len(n.Content) > 0 {
		report(n.Line, "", "nested more than %d levels deep", maxDepth)
		return false
	}
	switch {
	case n.Kind == yaml.AliasNode:
		report(at.Line, path, "%s", refuseAlias(n.Value))
		return true
	case n.Anchor != "":
		report(at.Line, path, "%s", "the anchor &"+clip(n.Anchor, 40)+" is not supported (write the value out, or put text that starts with & in quotes)")
	}
	if n.Style&yaml.TaggedStyle != 0 {
		report(at.Line, path, "tags such as %s are not supported (write the plain value)", clip(n.Tag, 40))
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			if !r.walk(file, c, c, join(path, strconv.Itoa(i)), depth+1) {
				return false
			}
		}
	case yaml.MappingNode:
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch {
			case key.Kind == yaml.AliasNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
				if !r.walk(file, key, key, path, depth+1) {
					return false
				}
			case key.Kind != yaml.ScalarNode:
				report(key.Line, path, "a key must be a plain word, got %s", describe(key))
			case key.Tag == "!!merge":
				report(key.Line, path, "merge keys (<<) are not supported (write the keys out)")
			case formOf(key) == formEmpty || formOf(key) == formNull:
				report(key.Line, path, "a key must be a plain word, got %s", describe(key))
			default:
				if line, ok := first[key.Value]; ok {
					report(key.Line, join(path, key.Value), "duplicate key %s, first given on line %d (keep one)", quote(key.Value), line)
				} else {
					first[key.Value] = key.Line
				}
			}
			under := path
			if key.Kind == yaml.ScalarNode {
				under = join(path, key.Value)
			}
			if !r.walk(file, value, key, under, depth+1) {
				return false
			}
		}
	}
	return true
}

func refuseAlias(name string) string {
	return "the alias *" + clip(name, 40) + " is not supported (write the value out, or put text that starts with * in quotes)"
}

// join extends a path. It quotes a part that splitPath would not read back.
func join(path, part string) string {
	if part == "" || len(part) > 60 || strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r == '.' || !strconv.IsPrint(r) }) {
		part = quote(part)
	}
	if path == "" {
		return part
	}
	return path + "." + part
}

// readYAML returns all documents of the text.
func readYAML(text []byte) (docs []*yaml.Node, err error) {
	defer func() { // the library panics on some of its own errors
		if p := recover(); p != nil {
			docs, err = nil, fmt.Errorf("%v", p)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var n yaml.Node
		switch err := decoder.Decode(&n); {
		case errors.Is(err, io.EOF):
			return docs, nil
		case err != nil:
			return nil, errors.New(plainMessage(err.Error()))
		}
		docs = append(docs, &n)
		if len(docs) > 1 { // a second document is already an error
			return docs, nil
		}
	}
}

// plainMessage removes "yaml: line 3: ", because the line is often wrong.
func plainMessage(s string) string {
	s = strings.TrimPrefix(s, "yaml: ")
	if rest, ok := strings.CutPrefix(s, "line "); ok {
		if _, message, ok := strings.Cut(rest, ": "); ok {
			return message
		}
	}
	return s
}

// syntaxLine finds the line of a syntax error: the first line after which the truncated text fails in the same way.
// The library's own line is sometimes off by one or that of the enclosing block.
func syntaxLine(text []byte, failure error) int {
	var ends []int
	for i, c := range text {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(ends) == 0 || ends[len(ends)-1] < len(text) {
		ends = append(ends, len(text))
	}
	lo, hi := 0, len(ends) // the first lo lines do not fail in this way, the first hi do
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if _, err := readYAML(text[:ends[mid-1]]); err != nil && err.Error() == failure.Error() {
			hi = mid
		} else {
			lo = mid
		}
	}
	return hi
}

// mendSyntax rewords the library's most frequent messages for users without knowledge of YAML parsers.
func mendSyntax(message, line string) string {
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indent, "\t") || strings.Contains(message, "tab character"):
		return "a tab in the indentation (use spaces)"
	case message == "found incompatible YAML document":
		return "this version of YAML is not read (leave the line out, or write %YAML 1.2)"
	case strings.HasPrefix(message, "unknown anchor"):
		return refuseAlias(strings.TrimSuffix(strings.TrimPrefix(message, "unknown anchor '"), "' referenced"))
	case message == "did not find expected alphabetic or numeric character":
		return "a text that starts with & or * needs quotes"
	case message == "found character that cannot start any token":
		return "a value cannot start with this character (put it in quotes)"
	case message == "mapping values are not allowed in this context":
		return `":" is not expected here (check the indentation, or put text that contains ": " in quotes)`
	case message == "did not find expected key":
		return "the indentation does not fit the lines above, or there is text after a closing quote or bracket"
	case message == "did not find expected '-' indicator":
		return `a list item is expected here (start it with "- ", indented like the others)`
	case message == "did not find expected ',' or ']'":
		return `a list "[" is not closed, or a comma is missing`
	case message == "did not find expected ',' or '}'":
		return `a mapping "{" is not closed, or a comma is missing`
	case message == "did not find expected node content":
		return `a value is expected here, or a bracket opened here is not closed`
	case message == "could not find expected ':'":
		return `"key: value" is expected here, but there is no ": "`
	case message == "found unexpected end of stream":
		return "a quoted text is not closed"
	}
	return message
}

func lineText(text []byte, line int) string {
	for ; line > 1; line-- {
		_, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return string(first)
}

func invalidLine(text []byte) int {
	line := 1
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size <= 1 {
			break
		}
		if r == '\n' {
			line++
		}
		text = text[size:]
	}
	return line
}
