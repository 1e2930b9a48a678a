package schema

import (
	"reflect"
	"strconv"

	"gopkg.in/yaml.v3"
)

// A Section is a part of the file whose keys depend on its kind, such as
//
//	memory:
//	  kind: keyvalue
//	  slots: 128
//
// or, with nothing but the kind, memory: keyvalue. [Decode] reads the kind and
// keeps the rest; whoever knows the kinds calls [Section.Decode] with the right
// struct. The zero Section is one that is not given.
type Section struct {
	kind  string
	value any // a struct, or a pointer to one: the defaults, later what was decoded
	done  bool
	node  *yaml.Node // the mapping in the file, if any
	doc   *Document
	path  string
	at    place // the section
	kindP place // its kind
}

// NewSection returns a default: a kind, and the values (a struct, or a pointer
// to one, or nil) that hold for its keys as long as the file does not choose
// another kind.
func NewSection(kind string, defaults any) Section {
	return Section{kind: kind, value: defaults}
}

// Kind returns the section's kind, or "" where it is neither given nor has a
// default.
func (s *Section) Kind() string { return s.kind }

// Path returns where the section stands in the file, such as "network.memory".
func (s *Section) Path() string { return s.path }

// Decode reads the section's keys into a struct that holds the kind's defaults,
// as strictly as [Decode] does. Where the section has default values of the
// same type, those replace what the struct holds. The struct is remembered, as
// by [Section.Resolve].
func (s *Section) Decode(into any) error {
	target, err := structPointer(into)
	if err != nil {
		return err
	}
	d := decoder{doc: s.document(), root: target.Type(), prefix: s.path, kind: s.kind}
	c := cursor{node: s.node, path: s.path, at: s.at}
	if s.kind == "" {
		d.fail(c, `no kind is given`)
		return d.report.err()
	}
	if v, ok := s.structValue(); ok && v.Type() == target.Type() {
		target.Set(v)
	}
	if c.node == nil {
		c.node = &yaml.Node{Kind: yaml.MappingNode}
	}
	survey := s.document().survey
	survey.decoding(s, target)
	d.decode(c, target, rule{})
	if err := d.report.err(); err != nil && survey == nil {
		return err
	}
	s.Resolve(into)
	return nil
}

// Resolve remembers the values that the section came to, a struct or a pointer
// to one, for [Encode]. Through a pointer later changes are seen.
func (s *Section) Resolve(decoded any) {
	s.value, s.done = decoded, true
}

// Resolved returns what Decode or Resolve has remembered, or nil.
func (s *Section) Resolved() any {
	if !s.done {
		return nil
	}
	return s.value
}

// UnknownKind returns the error for a kind that is not among the valid ones,
// at its line in the file and with the nearest valid kind.
func (s *Section) UnknownKind(valid []string) error {
	s.document().survey.kinds(s, valid)
	text := unknown("kind", s.kind, valid)
	if s.kind == "" {
		text = "no kind is given; " + validList("kinds", valid)
	}
	p := s.kindP.problem(s.path, text, nil)
	p.Valid = valid
	return &Error{Problems: []Problem{p}}
}

// Errorf returns an error at the section's line: for what only its user can
// know, such as a kind that does not fit another section's.
func (s *Section) Errorf(format string, args ...any) error {
	return s.at.errorf(s.path, format, args...)
}

func (s *Section) document() *Document {
	if s.doc == nil {
		return &Document{}
	}
	return s.doc
}

// structValue gives the struct that value is or points to.
func (s *Section) structValue() (reflect.Value, bool) {
	v := reflect.ValueOf(s.value)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v, v.Kind() == reflect.Struct
}

// section reads a Section: its kind, and the rest as it stands.
func (d *decoder) section(c cursor, v reflect.Value) {
	old, ok := v.Interface().(Section)
	if !ok {
		return
	}
	s := Section{doc: d.doc, path: c.path, at: c.at, kindP: c.at}
	keep := func() { s.kind, s.value, s.done = old.kind, old.value, old.done }
	const want = `a kind, or a mapping with the key "kind"`
	switch formOf(c.node) {
	case formNull:
	case formEmpty:
		if old.kind == "" {
			d.mismatch(c, want, "write null for none")
			return
		}
		keep()
	case formText:
		if s.kind = c.node.Value; s.kind == "" {
			d.mismatch(c, want, "")
			return
		}
		if s.kind == old.kind {
			keep()
		}
	case formMapping:
		s.node = c.node
		i := find(c.node, "kind")
		if i < 0 {
			if old.kind == "" {
				d.fail(c, `missing key "kind"`)
				return
			}
			keep()
			break
		}
		kind := c.node.Content[i+1]
		if formOf(kind) != formText || kind.Value == "" {
			in := d.under(c, c.node.Content[i], kind, "kind")
			if kind.Kind == yaml.AliasNode {
				d.faults++
			} else if formOf(kind) == formNumber || formOf(kind) == formBool {
				d.mismatch(in, "the name of a kind", "put it in quotes: "+strconv.Quote(clip(kind.Value, 40)))
			} else {
				d.mismatch(in, "the name of a kind", "")
			}
			return
		}
		s.kind, s.kindP = kind.Value, d.doc.place(c.node.Content[i], kind)
		if s.kind == old.kind {
			keep()
		} else if old.kind != "" {
			s.node = d.doc.withoutWeak(c.node)
		}
	default:
		d.mismatch(c, want, "")
		return
	}
	v.Set(reflect.ValueOf(s))
}
