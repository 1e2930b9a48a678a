package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// An Override sets one value over the file's, like --set train.way=20 on the command line. Its path may lead into
// lists (test.0.way) and sections (memory.slots).
type Override struct {
	text  string
	path  []string
	value *yaml.Node
	at    place // in a file, if it is a value of a matrix
}

// String returns the override as it was written.
func (o Override) String() string { return o.text }

// Path returns the key that is set, such as "train.way".
func (o Override) Path() string { return strings.Join(o.path, ".") }

// Errorf returns an error about the override, placed where it was written.
func (o Override) Errorf(format string, args ...any) error {
	return place{over: &o}.errorf(o.Path(), format, args...)
}

// ParseOverride parses PATH=VALUE. The value is YAML: 20, [1, 2], {way: 5}. A number is accepted as text where text
// is wanted, so that no quotes need to pass the shell.
func ParseOverride(text string) (Override, error) {
	o := Override{text: text}
	fail := func(format string, args ...any) (Override, error) {
		shown := strings.ToValidUTF8(text, "\uFFFD")
		return Override{}, &Error{Problems: []Problem{{Override: shown, Text: fmt.Sprintf(format, args...)}}}
	}
	if !utf8.ValidString(text) {
		return fail("not valid UTF-8")
	}
	path, value, ok := strings.Cut(text, "=")
	if !ok {
		return fail("want PATH=VALUE, as in train.way=20")
	}
	if o.path, ok = splitPath(strings.TrimSpace(path)); !ok {
		return fail("%s is not a path (want key.key, as in train.way=20)", quote(path))
	}
	if len(o.path) > maxDepth {
		return fail("the path has more than %d parts", maxDepth)
	}
	if o.value = new(yaml.Node); strings.TrimSpace(value) == "" {
		o.value.Kind = yaml.ScalarNode
		return o, nil
	}
	var r report
	root := r.parse("", []byte(value), len(o.path)+1)
	if len(r.problems) > 0 {
		return fail("%s", strings.Replace(r.problems[0].Text, "the file", "the value", 1))
	}
	switch {
	case root == nil:
		return fail("the value cannot be read")
	case formOf(root) == formEmpty || commented(root):
		return fail("a # starts a comment (put the value in quotes)")
	}
	o.value = root
	return o, nil
}

// splitPath splits a dotted path; ok is false if it is invalid.
func splitPath(path string) (parts []string, ok bool) {
	parts = strings.Split(path, ".")
	for _, part := range parts {
		if part == "" || strings.ContainsAny(part, " \t\n") {
			return nil, false
		}
	}
	return parts, true
}

func commented(n *yaml.Node) bool {
	if n.HeadComment != "" || n.LineComment != "" || n.FootComment != "" {
		return true
	}
	for _, c := range n.Content {
		if commented(c) {
			return true
		}
	}
	return false
}

// apply applies the override to the tree. It knows no types: mismatches are found when the tree is decoded, and
// reported for the override.
func (d *Document) apply(o *Override) {
	if o.value == nil {
		return
	}
	if key := o.path[0]; key == keyBase || key == keyMatrix {
		d.report.fail(place{over: o}, key, "%s belongs to the file and cannot be set", key)
		return
	}
	value := d.own(o.value, o)
	n := d.root
	for i, part := range o.path {
		var slot **yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			k := find(n, part)
			if k < 0 {
				key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: part}
				d.notes[key] = note{over: o}
				n.Content = append(n.Content, key, &yaml.Node{Kind: yaml.ScalarNode})
				k = len(n.Content) - 2
			}
			d.keep(n.Content[k])
			slot = &n.Content[k+1]
		case yaml.SequenceNode:
			k, ok := listIndex(part, len(n.Content))
			if !ok {
				path := strings.Join(o.path[:i], ".")
				d.report.fail(place{over: o}, path, "%s", noElement(path, part, len(n.Content)))
				return
			}
			slot = &n.Content[k]
		default:
			return
		}
		if i == len(o.path)-1 {
			*slot = value
			return
		}
		*slot = d.container(*slot, o)
		n = *slot
	}
}

// container makes sure that a path can lead through the node: anything but a list or mapping becomes a mapping, in
// which a text becomes the kind, because memory: keyvalue is short for memory: {kind: keyvalue}.
func (d *Document) container(n *yaml.Node, o *Override) *yaml.Node {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		return n
	}
	m := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	if formOf(n) == formText {
		m.Content = d.asKind(n)
	}
	d.notes[m] = note{over: o, made: true}
	return m
}

// own copies the override's value, so that the Override can be reused, and marks the copy.
func (d *Document) own(n *yaml.Node, o *Override) *yaml.Node {
	c := *n
	d.notes[&c] = note{over: o}
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = d.own(child, o)
	}
	return &c
}
