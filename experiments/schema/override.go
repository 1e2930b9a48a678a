package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// An Override sets one value over what the file says, as --set train.way=20
// does on the command line. Its path may lead into lists (test.0.way) and into
// sections (memory.slots).
type Override struct {
	text  string
	path  []string
	value *yaml.Node
}

// String returns the override as it was written.
func (o Override) String() string { return o.text }

// ParseOverride reads PATH=VALUE. The value is YAML: 20, [1, 2], {way: 5}. A
// number is taken as text where text is wanted, so that no quotes need to pass
// the shell.
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
	o.path = strings.Split(strings.TrimSpace(path), ".")
	for _, part := range o.path {
		if part == "" || strings.ContainsAny(part, " \t\n") {
			return fail("%s is not a path (want key.key, as in train.way=20)", quote(path))
		}
	}
	if len(o.path) > maxDepth {
		return fail("the path has more than %d parts", maxDepth)
	}
	if o.value = new(yaml.Node); strings.TrimSpace(value) == "" {
		o.value.Kind = yaml.ScalarNode
		return o, nil
	}
	var r report
	d := newDocument("")
	root := d.parse([]byte(value), len(o.path)+1, &r)
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

// apply lays the override over the tree. It knows no types: what does not fit
// is found when the tree is decoded, and by its origin laid to the override.
func (d *document) apply(o *Override, root *yaml.Node, r *report) {
	if o.value == nil {
		return
	}
	value := d.own(o.value, o)
	n := root
	for i, part := range o.path {
		var slot **yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			k := find(n, part)
			if k < 0 {
				key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: part}
				d.origin[key] = o
				n.Content = append(n.Content, key, &yaml.Node{Kind: yaml.ScalarNode})
				k = len(n.Content) - 2
			}
			slot = &n.Content[k+1]
		case yaml.SequenceNode:
			k, ok := listIndex(part, len(n.Content))
			if !ok {
				path := strings.Join(o.path[:i], ".")
				r.add(d.problem(place{over: o}, path, noElement(path, part, len(n.Content)), nil))
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

// container makes sure that a path can lead through the node: what is no list
// and no mapping becomes a mapping, in which a text becomes the kind, since
// memory: keyvalue is short for memory: {kind: keyvalue}.
func (d *document) container(n *yaml.Node, o *Override) *yaml.Node {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		return n
	}
	m := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	d.origin[m], d.made[m] = o, true
	if formOf(n) == formText {
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "kind", Line: n.Line}
		if from := d.origin[n]; from != nil {
			d.origin[key] = from
		}
		m.Content = append(m.Content, key, n)
	}
	return m
}

// own copies the override's value, so that an Override can be used again, and
// marks the copy as its.
func (d *document) own(n *yaml.Node, o *Override) *yaml.Node {
	c := *n
	d.origin[&c] = o
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = d.own(child, o)
	}
	return &c
}
