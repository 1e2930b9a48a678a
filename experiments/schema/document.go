package schema

import (
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// The keys that a file has for itself, whatever it is decoded into.
const (
	keyBase   = "base"
	keyMatrix = "matrix"
)

// maxBases is how many files may build on one another.
const maxBases = 10

// A Document is a file that has been read and not yet decoded: its own keys,
// laid over those of the file that it builds on.
type Document struct {
	file   string
	root   *yaml.Node // nil where there is nothing to decode, and the report says why
	axes   []Axis
	report report
	notes  map[*yaml.Node]note
	// catalog tells the kinds of sections whose fields name a family; nil leaves such sections to [Section.Decode].
	catalog Catalog
}

// With returns the document with the catalog that the families of its sections are looked up in. The document itself
// stays as it is.
func (d *Document) With(c Catalog) *Document {
	with := *d
	with.catalog = c
	return &with
}

// note is what a node does not tell of itself.
type note struct {
	file  string     // that it was read from, where that is another than the document's
	over  *Override  // that it came from
	made  bool       // a mapping that exists only because an override's path led through it
	short *yaml.Node // of a section merged with its base: the text that was written, should it be none
	// weak marks a key of a base that gives no kind, under a section whose kind is given on top of it: it goes with the
	// default kind only.
	weak bool
}

// Parse reads a file. Where its key base names another one, by a path from
// where the file lies, its own keys are laid over that one's, which may build on
// a third:
//
//   - mappings are merged key by key, and a key with nothing after it changes
//     nothing of a mapping;
//   - a section with another kind than in the base replaces it, one with the same
//     kind or without one is merged with it;
//   - lists and single values replace what was there.
//
// read gives the text of a file; where it is nil the text stands alone and base
// is refused. Mistakes are kept and reported by [Document.Decode], each with the
// file that it is in.
func Parse(file string, text []byte, read func(file string) ([]byte, error)) *Document {
	d := &Document{file: file, notes: map[*yaml.Node]note{}}
	d.root = d.load(file, text, read, nil)
	if d.root != nil && formOf(d.root) == formMapping {
		d.readMatrix()
	}
	return d
}

// load reads a file and what it builds on; chain are the files that build on it. It returns nil where a part is missing.
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
		return fail("this text stands alone and cannot build on %s (write the keys out)", quote(value.Value))
	}
	name := value.Value
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(file), name)
	}
	chain = append(chain, filepath.Clean(file))
	shown := strings.Join(append(chain, name), " → ")
	if slices.Contains(chain, filepath.Clean(name)) {
		return fail("the files build on one another in a circle: %s", shown)
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
		return fail("%s holds no keys to build on", name)
	}
	return d.mergeKeys(base, root)
}

// from notes the file of a node and of all below it.
func (d *Document) from(file string, n *yaml.Node) {
	d.notes[n] = note{file: file}
	for _, c := range n.Content {
		d.from(file, c)
	}
}

// take removes a key from a mapping, and all that repeat it.
func take(m *yaml.Node, key string) (k, v *yaml.Node) {
	for i := find(m, key); i >= 0; i = find(m, key) {
		if k == nil {
			k, v = m.Content[i], m.Content[i+1]
		}
		m.Content = slices.Delete(m.Content, i, i+2)
	}
	return k, v
}

// place tells where a value was written; key may be nil.
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

// Set returns the document with overrides laid over it in their order. The document itself stays as it is.
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

// Kind returns the kind of the section under a top-level key, or "" where none is given: for choosing the struct that the
// document is then decoded into.
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

// kindOf is the kind that a node gives, if it is a section.
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

// asKind is the short form of a section written out: the key kind and the text.
func (d *Document) asKind(n *yaml.Node) []*yaml.Node {
	key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "kind", Line: n.Line}
	if note, ok := d.notes[n]; ok {
		d.notes[key] = note
	}
	return []*yaml.Node{key, n}
}
