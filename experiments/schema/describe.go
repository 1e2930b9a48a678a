package schema

import (
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Field is one key in the documentation.
type Field struct {
	Path     string // "train.way"; an element of a list or map is "*": "test.*.way"
	Type     string // "integer", "number", "text", "boolean", "mapping", "section", "list of integer", "map of text"
	Default  string // as YAML; empty for mappings and without a default
	Doc      string
	Required bool
	Nullable bool // null is allowed and means none

	Min, Max, Above, Below string // bounds; for a list or map, of the elements
	MinLen, MaxLen         string
	Enum                   []string
	Family                 string // of the kinds that a section, or a text, may name
	NonFinite              bool   // .inf and .nan are allowed
}

// Describe lists the keys that [Decode] accepts for the struct (or pointer to one), in the struct's order, with its
// values as defaults. A section with default values is followed by its keys.
func Describe(v any) []Field {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct || checkType(rv.Type(), "", map[reflect.Type]bool{}) != nil {
		return nil
	}
	var d describer
	d.fields(rv, "", map[reflect.Type]bool{})
	return d.out
}

func describeType(t reflect.Type) []Field {
	var d describer
	d.fields(reflect.New(t).Elem(), "", map[reflect.Type]bool{})
	return d.out
}

type describer struct{ out []Field }

func (d *describer) fields(v reflect.Value, prefix string, above map[reflect.Type]bool) {
	if above[v.Type()] {
		return // a recursive type
	}
	above[v.Type()] = true
	defer delete(above, v.Type())
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		out := Field{
			Path: join(prefix, f.name), Type: typeName(f.typ), Doc: f.doc, Required: f.rule.required,
			Min: f.rule.min, Max: f.rule.max, Above: f.rule.above, Below: f.rule.below,
			MinLen: f.rule.minLen, MaxLen: f.rule.maxLen, Enum: f.rule.enum, NonFinite: f.rule.anyFloat, Family: f.rule.family,
			Nullable: f.typ.Kind() == reflect.Pointer || f.typ == sectionType(),
		}
		if !f.rule.required && out.Type != "mapping" {
			out.Default = defaultText(fv)
		}
		d.out = append(d.out, out)
		d.inner(fv, out.Path, above)
	}
}

// inner describes the keys in a value.
func (d *describer) inner(v reflect.Value, path string, above map[reflect.Type]bool) {
	t := v.Type()
	switch {
	case t == sectionType():
		s, _ := v.Interface().(Section)
		if sv, ok := s.structValue(); ok && checkType(sv.Type(), "", map[reflect.Type]bool{}) == nil {
			d.fields(sv, path, above)
		}
	case readsText(t):
	case t.Kind() == reflect.Struct:
		d.fields(v, path, above)
	case t.Kind() == reflect.Pointer:
		if e := fresh(t.Elem()); v.IsNil() {
			d.inner(e, path, above)
		} else {
			d.inner(v.Elem(), path, above)
		}
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
		d.inner(fresh(t.Elem()), path+".*", above)
	}
}

func typeName(t reflect.Type) string {
	switch {
	case t == sectionType():
		return "section"
	case readsText(t):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "map of " + typeName(t.Elem())
	}
	return map[string]string{
		"text": "text", "true or false": "boolean", "a number": "number", "an integer": "integer", "a mapping": "mapping",
	}[wanted(t)]
}

func defaultText(v reflect.Value) string {
	if v.Type() == sectionType() {
		s, _ := v.Interface().(Section)
		return s.kind
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return "null"
	}
	n, err := encodeValue(v, "", 1)
	if err != nil {
		return ""
	}
	return flow(n)
}

// flow returns a node on one line.
func flow(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, c := range n.Content {
			parts = append(parts, flow(c))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, flow(n.Content[i])+": "+flow(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	if n.Style&yaml.DoubleQuotedStyle != 0 {
		return strconv.Quote(n.Value)
	}
	return n.Value
}
