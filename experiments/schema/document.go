package schema

import (
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Keys of the file itself, for any struct.
const (
	keyBase   = "base"
	keyMatrix = "matrix"
)

// maxBases limits the depth of base files.
const maxBases = 10

// A Document is a file that has been read but not decoded: its keys merged with those of its base.
type Document struct {
	file   string
	root   *yaml.Node // nil if there is nothing to decode; the report says why
	axes   []Axis
	report report
	notes  map[*yaml.Node]note
	// catalog lists the kinds of sections whose fields name a family; nil leaves such sections to [Section.Decode].
	catalog Catalog
}

// With returns the document with a catalog for the families of its sections. It does not change the receiver.
func (d *Document) With(c Catalog) *Document {
	with := *d
	with.catalog = c
	return &with
}

// note is additional information on a node.
type note struct {
	file  string     // its source, if it is not the document's
	over  *Override  // its source, if it is an override
	made  bool       // a mapping that exists only for an override's path
	short *yaml.Node // of a section merged with its base: the original text, in case it is not a section
	// weak marks a key of a base without a kind, in a section whose kind is given by the file: it belongs to the
	// default kind only.
	weak bool
}

// Parse reads a file. If its key base names another file, by a path relative to the file's folder, its keys are
// merged over that file's, which may have a base too:
//
//   - mappings are merged key by key, and a key without a value does not change a mapping;
//   - a section with another kind than in the base replaces it; one with the same kind or without one is merged;
//   - lists and single values replace the base's.
//
// read returns the text of a file. If it is nil, base is an error. Errors are kept and reported by [Document.Decode],
// each with its file.
func Parse(file string, text []byte, read func(file string) ([]byte, error)) *Document {
	d := &Document{file: file, notes: map[*yaml.Node]note{}}
	d.root = d.load(file, text, read, nil)
	if d.root != nil && formOf(d.root) == formMapping {
		d.readMatrix()
	}
	return d
}

// load reads a file and its base; chain are the files based on it. It returns nil if a part is missing.
func (d *Document) load(file string, text []byte, read func(string) ([]byte, error), chain []string) *yaml.Node {
	root := d.report.parse(file, text, 1)
	if root == nil || formOf(root) != formMapping {
		return root
	}
	if len(chain) > 0 {
		d.from(file, root)
	}
	key, value := take(root, keyBase)
	if key == nil {
		return root
	}
	at := d.place(key, value)
	fail := func(format string, args ...any) *yaml.Node {
		d.report.fail(at, keyBase, format, args...)
		return nil
	}
	if formOf(value) != formText || value.Value == "" {
		return fail("want the name of a file, got %s", describe(value))
	}
	if read == nil {
		return fail("this text cannot build on %s (write the keys out)", quote(value.Value))
	}
	name := value.Value
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(file), name)
	}
	chain = append(chain, filepath.Clean(file))
	shown := strings.Join(append(chain, name), " → ")
	if slices.Contains(chain, filepath.Clean(name)) {
		return fail("the files build on one another in a cycle: %s", shown)
	}
	if len(chain) >= maxBases {
		return fail("at most %d files build on one another: %s", maxBases, shown)
	}
	text, err := read(name)
	if err != nil {
		d.report.add(at.problem(keyBase, err.Error(), err))
		return nil
	}
	base := d.load(name, text, read, chain)
	if base == nil {
		return nil
	}
	if form := formOf(base); form != formMapping {
		return fail("%s has no keys", name)
	}
	return d.mergeKeys(base, root)
}

// from records the file of a node and of all nodes below it.
func (d *Document) from(file string, n *yaml.Node) {
	d.notes[n] = note{file: file}
	for _, c := range n.Content {
		d.from(file, c)
	}
}

// take removes a key from a mapping, including duplicates.
func take(m *yaml.Node, key string) (k, v *yaml.Node) {
	for i := find(m, key); i >= 0; i = find(m, key) {
		if k == nil {
			k, v = m.Content[i], m.Content[i+1]
		}
		m.Content = slices.Delete(m.Content, i, i+2)
	}
	return k, v
}

// place returns where a value was written; key may be nil.
func (d *Document) place(key, value *yaml.Node) place {
	if o := d.notes[value].over; o != nil {
		return place{over: o}
	}
	at := value
	if key != nil {
		at = key
	}
	n := d.notes[at]
	if n.over != nil {
		return place{over: n.over}
	}
	if n.file == "" {
		n.file = d.file
	}
	return place{file: n.file, line: at.Line}
}

// Set returns the document with overrides applied in order. It does not change the receiver.
func (d *Document) Set(overrides ...Override) *Document {
	c := &Document{file: d.file, axes: d.axes, report: d.report.clone(), notes: make(map[*yaml.Node]note, len(d.notes)), catalog: d.catalog}
	if d.root == nil {
		return c
	}
	var copied func(n *yaml.Node) *yaml.Node
	copied = func(n *yaml.Node) *yaml.Node {
		m := *n
		m.Content = make([]*yaml.Node, len(n.Content))
		for i, child := range n.Content {
			m.Content[i] = copied(child)
		}
		if note, ok := d.notes[n]; ok {
			c.notes[&m] = note
		}
		return &m
	}
	c.root = copied(d.root)
	if formOf(c.root) == formMapping {
		for i := range overrides {
			c.apply(&overrides[i])
		}
	}
	return c
}

// Kind returns the kind of the section under a top-level key, or "". It is for choosing the struct to decode into.
func (d *Document) Kind(key string) string {
	if d.root == nil || formOf(d.root) != formMapping {
		return ""
	}
	i := find(d.root, key)
	if i < 0 {
		return ""
	}
	return kindOf(d.root.Content[i+1])
}

// kindOf returns the kind of a section's node, or "".
func kindOf(n *yaml.Node) string {
	if formOf(n) == formMapping {
		i := find(n, "kind")
		if i < 0 {
			return ""
		}
		n = n.Content[i+1]
	}
	if formOf(n) != formText {
		return ""
	}
	return n.Value
}

// asKind expands the short form of a section to the key kind and the text.
func (d *Document) asKind(n *yaml.Node) []*yaml.Node {
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "kind", Line: n.Line}
	if note, ok := d.notes[n]; ok {
		d.notes[key] = note
	}
	return []*yaml.Node{key, n}
}
