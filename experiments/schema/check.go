package schema

import (
	"errors"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// absent checks a field that the file does not contain.
func (d *decoder) absent(c cursor, f *field, v reflect.Value) {
	if f.rule.required {
		text := "missing key " + strconv.Quote(f.name)
		if f.rule.enum != nil {
			text += "; " + validList("values", f.rule.enum)
		}
		if f.doc != "" {
			text += " (" + f.doc + ")"
		}
		d.fail(c, "%s", text)
		return
	}
	in := cursor{node: &yaml.Node{Kind: yaml.MappingNode}, path: join(c.path, f.name), at: c.at}
	if plainStruct(f.typ) { // its required keys and rules still apply
		d.decode(in, v, f.rule)
		return
	}
	if s, ok := v.Addr().Interface().(*Section); ok {
		s.doc, s.path, s.at, s.kindP = d.doc, in.path, c.at, c.at
		d.lookUp(s, f.rule.family)
		return
	}
	d.checkDefault(in, v, f.rule, 0)
}

// checkDefault checks a default against its rules, so that every accepted value could also be written in the file.
func (d *decoder) checkDefault(c cursor, v reflect.Value, r rule, depth int) {
	if depth > maxDepth || v.Type() == sectionType() {
		return
	}
	before := d.faults
	part := func(p string, v reflect.Value, r rule) {
		d.checkDefault(cursor{node: c.node, path: join(c.path, p), at: c.at}, v, r, depth+1)
	}
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			d.checkDefault(c, v.Elem(), r, depth+1)
		}
		return
	case plainStruct(v.Type()):
		for _, f := range fieldsOf(v.Type()) {
			part(f.name, v.FieldByIndex(f.index), f.rule)
		}
	case readsText(v.Type()):
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			part(strconv.Itoa(i), v.Index(i), r.element())
		}
	case v.Kind() == reflect.Map:
		for _, k := range sortedKeys(v) {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			part(k.String(), e, r.element())
		}
	}
	if d.faults > before {
		return
	}
	if want, got, known := r.breach(v); want != "" && known {
		d.fail(c, "missing, and %s (its default is %s)", want, got)
		return
	} else if want != "" {
		d.fail(c, "missing; %s", validList("values", r.enum))
		return
	}
	d.validate(c, v)
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	return keys
}

// validate calls the value's Validate method and assigns the errors to places.
func (d *decoder) validate(c cursor, v reflect.Value) {
	val, ok := v.Addr().Interface().(Validator)
	if !ok {
		return
	}
	d.invalid(c, val.Validate())
}

func (d *decoder) invalid(c cursor, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d.invalid(c, e)
		}
		return
	}
	var at *fieldError
	if !errors.As(err, &at) {
		d.failErr(c, err, "%s", err)
		return
	}
	for _, part := range strings.Split(at.field, ".") {
		found := cursor{path: join(c.path, part), at: c.at}
		if c.node != nil && c.node.Kind == yaml.MappingNode {
			if i := find(c.node, part); i >= 0 {
				found.node, found.at = c.node.Content[i+1], d.doc.place(c.node.Content[i], c.node.Content[i+1])
			}
		} else if c.node != nil && c.node.Kind == yaml.SequenceNode {
			if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(c.node.Content) {
				found.node, found.at = c.node.Content[i], d.doc.place(nil, c.node.Content[i])
			}
		}
		c = found
	}
	d.invalid(c, at.err)
}
