package schema

import (
	"reflect"
	"strconv"
)

// A Catalog lists the kinds of families. A struct's field names in its tag the family that a [Section], or a text
// with the name of a kind, belongs to:
//
//	Memory   schema.Section `yaml:"memory" family:"memory"`
//	Memories []string       `yaml:"memories" family:"memory"`
//
// A document with a catalog ([Document.With]) decodes such sections together with the file, and checks such names.
type Catalog interface {
	// Kinds lists the kinds of a family in display order.
	Kinds(family string) []Kind
	// Config returns a pointer to a new struct for the keys of a kind, with the kind's defaults, or nil if the family
	// has no such kind.
	Config(family, kind string) any
}

// An Explainer is a [Catalog] that can explain in one sentence why a kind does not belong to a family, or return "".
type Explainer interface {
	Explain(family, kind string) string
}

// A Kind is a kind of a family.
type Kind struct {
	Name string
	Doc  string // a sentence
}

// KindNames lists the names of a family's kinds.
func KindNames(c Catalog, family string) []string {
	var names []string
	for _, k := range c.Kinds(family) {
		names = append(names, k.Name)
	}
	return names
}

// complete adds a family's kinds to a rule for names of the family.
func (d *decoder) complete(r rule) rule {
	if r.family != "" && d.doc.catalog != nil {
		r.enum = KindNames(d.doc.catalog, r.family)
	}
	return r
}

// Fields calls f with the key and the family of each field of a struct, or of a pointer to one, that names a family.
func Fields(v any, f func(key, family string)) {
	target, err := structPointer(v)
	if err != nil {
		return
	}
	for _, field := range fieldsOf(target.Type()) {
		if field.rule.family != "" {
			f(field.name, field.rule.family)
		}
	}
}

// Walk calls f for each decoded config of a struct's sections, outer ones first, with the path of the section, the
// family of its field, and the section.
func Walk(v any, f func(path, family string, s *Section)) {
	target, err := structPointer(v)
	if err != nil {
		return
	}
	walk(target, "", "", f)
}

func walk(v reflect.Value, path, family string, f func(path, family string, s *Section)) {
	switch t := v.Type(); {
	case t == sectionType():
		s, ok := v.Addr().Interface().(*Section)
		if !ok || s.kind == "" {
			return
		}
		f(path, family, s)
		if config := reflect.ValueOf(s.Resolved()); config.Kind() == reflect.Pointer {
			walk(config.Elem(), path, "", f)
		}
	case plainStruct(t):
		for _, field := range fieldsOf(t) {
			walk(v.FieldByIndex(field.index), join(path, field.name), field.rule.family, f)
		}
	case t.Kind() == reflect.Pointer && !v.IsNil():
		walk(v.Elem(), path, family, f)
	case t.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), join(path, strconv.Itoa(i)), family, f)
		}
	}
}
