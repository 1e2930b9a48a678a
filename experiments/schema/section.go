package schema

import (
	"errors"
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
// or, with only the kind, memory: keyvalue. [Decode] reads the kind and keeps the rest; the owner of the kinds then
// calls [Section.Decode] with the right struct. The zero Section is absent.
type Section struct {
	kind  string
	value any // a struct, or a pointer to one: the defaults, later the decoded values
	owner any // defaults for any kind
	done  bool
	node  *yaml.Node // the mapping in the file, if any
	doc   *Document
	path  string
	at    place // the section
	kindP place // its kind
}

// NewSection returns a default: a kind, and the values (a struct, or a pointer to one, or nil) of its keys unless the
// file chooses another kind. See [Section.WithDefaults] for values that apply to any kind.
func NewSection(kind string, defaults any) Section {
	return Section{kind: kind, value: defaults}
}

// WithDefaults returns the section with a struct of defaults that replace a kind's own under keys of the same name
// and type, for any kind.
func (s Section) WithDefaults(defaults any) Section {
	s.owner = defaults
	return s
}

// Kind returns the section's kind, or "" if it is neither given nor has a default.
func (s *Section) Kind() string { return s.kind }

// Path returns the section's path in the file, such as "network.memory".
func (s *Section) Path() string { return s.path }

// Decode reads the section's keys into a struct that holds the kind's defaults, as strictly as the function [Decode].
// Defaults of the section's owner ([NewSection]) replace values of the struct under keys of the same name and type.
// The struct is stored, as by [Section.Resolve].
//
// A section whose field names a family is decoded with its file and needs no call.
func (s *Section) Decode(into any) error {
	target, err := structPointer(into)
	if err != nil {
		return err
	}
	d := decoder{doc: s.document()}
	d.sectionKeys(s, target)
	if err := d.report.err(); err != nil {
		return err
	}
	s.Resolve(into)
	return nil
}

// sectionKeys decodes the keys of a section into a struct.
func (d *decoder) sectionKeys(s *Section, target reflect.Value) {
	inner := decoder{doc: d.doc, root: target.Type(), prefix: s.path, kind: s.kind}
	c := cursor{node: s.node, path: s.path, at: s.at}
	if s.kind == "" {
		inner.fail(c, `no kind is given`)
	} else {
		s.applyDefaults(target)
		if c.node == nil {
			c.node = &yaml.Node{Kind: yaml.MappingNode}
		}
		inner.decode(c, target, rule{})
	}
	d.faults += inner.faults
	for _, p := range inner.report.problems {
		d.report.add(p)
	}
	d.report.dropped += inner.report.dropped
}

// applyDefaults sets the fields for which the section's owner has a default of the same name and type.
func (s *Section) applyDefaults(target reflect.Value) {
	given, ok := s.structValue()
	if !ok {
		given, ok = reflect.ValueOf(s.owner), s.owner != nil
	}
	if !ok || given.Kind() != reflect.Struct {
		return
	}
	if given.Type() == target.Type() {
		target.Set(given)
		return
	}
	fields := fieldsOf(target.Type())
	for _, f := range fieldsOf(given.Type()) {
		for _, into := range fields {
			if into.name == f.name && into.typ == f.typ {
				target.FieldByIndex(into.index).Set(given.FieldByIndex(f.index))
			}
		}
	}
}

// lookUp decodes a section that names a family, with the catalog's struct for its kind. It ignores a section without
// a kind.
func (d *decoder) lookUp(s *Section, family string) {
	if d.doc.catalog == nil || s.kind == "" {
		return
	}
	config := d.doc.catalog.Config(family, s.kind)
	if config == nil {
		d.faults++
		p := s.unknownKind(KindNames(d.doc.catalog, family))
		if e, ok := d.doc.catalog.(Explainer); ok {
			if why := e.Explain(family, s.kind); why != "" {
				p.Text = why + "; " + validList("kinds", p.Valid)
			}
		}
		d.report.add(p)
		return
	}
	target, err := structPointer(config)
	if err != nil {
		d.failErr(cursor{path: s.path, at: s.at}, err, "%s", err)
		return
	}
	before := d.faults
	d.sectionKeys(s, target)
	if d.faults == before {
		s.Resolve(config)
	}
}

// Resolve stores the section's final values, a struct or a pointer to one, for [Encode]. Later changes through a
// pointer are visible.
func (s *Section) Resolve(decoded any) {
	s.value, s.done = decoded, true
}

// Resolved returns the struct stored by Decode or Resolve, or nil.
func (s *Section) Resolved() any {
	if !s.done {
		return nil
	}
	return s.value
}

// UnknownKind returns the error for a kind that is not among the valid ones, at its line in the file and with the
// nearest valid kind.
func (s *Section) UnknownKind(valid []string) error {
	return &Error{Problems: []Problem{s.unknownKind(valid)}}
}

func (s *Section) unknownKind(valid []string) Problem {
	text := unknown("kind", s.kind, valid)
	if s.kind == "" {
		text = "no kind is given; " + validList("kinds", valid)
	}
	p := s.kindP.problem(s.path, text, nil)
	p.Valid = valid
	return p
}

// Errorf returns an error at the section's line, for problems that only the caller can detect, such as a kind that
// does not fit another section's.
func (s *Section) Errorf(format string, args ...any) error {
	return s.at.errorf(s.path, format, args...)
}

// Invalid returns an error at the section's line, or at the line of the key that [At] assigns it to, as if the
// section's Validate method had returned it. Errors that already have a place keep it, and nil stays nil.
func (s *Section) Invalid(err error) error {
	var placed *Error
	if err == nil || err == ErrUnread || errors.As(err, &placed) {
		return err
	}
	d := decoder{doc: s.document()}
	d.invalid(cursor{node: s.node, path: s.path, at: s.at}, err)
	return d.report.err()
}

func (s *Section) document() *Document {
	if s.doc == nil {
		return &Document{}
	}
	return s.doc
}

// structValue returns the struct that value is or points to.
func (s *Section) structValue() (reflect.Value, bool) {
	v := reflect.ValueOf(s.value)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v, v.Kind() == reflect.Struct
}

// section decodes a Section: its kind, and the rest as nodes.
func (d *decoder) section(c cursor, v reflect.Value, family string) {
	old, ok := v.Interface().(Section)
	if !ok {
		return
	}
	s := Section{doc: d.doc, path: c.path, at: c.at, kindP: c.at, owner: old.owner}
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
	d.lookUp(&s, family)
	v.Set(reflect.ValueOf(s))
}
