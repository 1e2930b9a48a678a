package schema

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Decode reads one YAML document into a struct that holds the defaults, after applying the overrides in order. The
// file's name is only for messages. All problems are returned together as an [*Error]; the struct is then partly
// filled and must not be used. A file with a base or a matrix is an error; see [Parse].
func Decode(file string, text []byte, into any, overrides ...Override) error {
	d := Parse(file, text, nil)
	if len(d.axes) > 0 {
		d.report.fail(d.axes[0].at, "matrix", "makes several runs, but one is wanted here (leave it out)")
	}
	return d.Set(overrides...).Decode(into)
}

// Decode reads the document into a struct like the function [Decode]. It ignores the matrix.
func (d *Document) Decode(into any) error {
	target, err := structPointer(into)
	if err != nil {
		return err
	}
	dec := decoder{doc: d, report: d.report.clone(), root: target.Type()}
	if d.root == nil {
		return dec.report.err()
	}
	here := cursor{node: d.root, at: place{file: d.file, line: d.root.Line}}
	switch formOf(d.root) {
	case formEmpty, formNull:
		dec.fail(here, "the file is empty (%s)", validList("keys", names(fieldsOf(target.Type()))))
	case formMapping:
		dec.decode(here, target, rule{})
	default:
		dec.fail(here, "want a mapping of keys to values, got %s (%s)", describe(d.root), validList("keys", names(fieldsOf(target.Type()))))
	}
	return dec.report.err()
}

// structPointer checks that into is a pointer to a struct.
func structPointer(into any) (reflect.Value, error) {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || !plainStruct(v.Type().Elem()) {
		return reflect.Value{}, fmt.Errorf("schema: want a pointer to a struct to decode into, got %T", into)
	}
	name := v.Type().Elem().Name()
	if name == "" {
		name = "struct"
	}
	return v.Elem(), checkType(v.Type().Elem(), name, map[reflect.Type]bool{})
}

// decoder fills values from nodes.
type decoder struct {
	doc    *Document
	report report
	root   reflect.Type
	prefix string // the path of the root: a section's, or ""
	kind   string // of the section being decoded
	faults int    // number of problems, including those from parse
}

// cursor is a node and its place.
type cursor struct {
	node *yaml.Node
	path string
	at   place
}

func (d *decoder) under(c cursor, key, value *yaml.Node, part string) cursor {
	return cursor{node: value, path: join(c.path, part), at: d.doc.place(key, value)}
}

func (d *decoder) fail(c cursor, format string, args ...any) {
	d.failErr(c, nil, format, args...)
}

func (d *decoder) failErr(c cursor, err error, format string, args ...any) {
	d.faults++
	d.report.add(c.at.problem(c.path, fmt.Sprintf(format, args...), err))
}

func (d *decoder) mismatch(c cursor, want, mend string) {
	if mend != "" {
		mend = " (" + mend + ")"
	}
	d.fail(c, "want %s, got %s%s", want, describe(c.node), mend)
}

// decode decodes the node at c into v, which holds the default.
func (d *decoder) decode(c cursor, v reflect.Value, r rule) {
	if c.node.Kind == yaml.AliasNode {
		d.faults++
		return
	}
	if short := d.doc.notes[c.node].short; short != nil && v.Type() != sectionType() && !d.atSection(c) {
		c.node = short
	}
	before := d.faults
	switch t := v.Type(); {
	case t == sectionType():
		d.section(c, v, r.family)
	case t.Kind() == reflect.Pointer:
		d.pointer(c, v, r)
		return // the element has been checked
	case readsText(t):
		d.textUnmarshaler(c, v)
	case t.Kind() == reflect.Struct:
		switch formOf(c.node) {
		case formMapping:
			d.fields(c, v)
		case formEmpty:
			d.fields(cursor{node: &yaml.Node{Kind: yaml.MappingNode}, path: c.path, at: c.at}, v)
		default:
			if key, ok := shortKey(t); ok && c.node.Kind == yaml.ScalarNode && formOf(c.node) != formNull {
				name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: c.node.Line}
				c.node = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{name, c.node}, Line: c.node.Line}
				d.fields(c, v)
				break
			}
			d.mismatch(c, "a mapping of keys to values", validList("keys", names(fieldsOf(t))))
		}
	case t.Kind() == reflect.Slice:
		d.slice(c, v, r)
	case t.Kind() == reflect.Map:
		d.mapping(c, v, r)
	default:
		d.scalar(c, v, r)
	}
	if d.faults > before {
		return
	}
	if want, got, known := d.complete(r).breach(v); want != "" && known {
		d.fail(c, "%s, got %s", want, got)
		return
	} else if want != "" {
		d.fail(c, "%s", want)
		return
	}
	d.validate(c, v)
}

// atSection reports whether c is the section that is being decoded, not a value in it.
func (d *decoder) atSection(c cursor) bool { return d.kind != "" && c.path == d.prefix }

func (d *decoder) fields(c cursor, v reflect.Value) {
	fields := fieldsOf(v.Type())
	byName := make(map[string]*field, len(fields))
	for i := range fields {
		byName[fields[i].name] = &fields[i]
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(c.node.Content); i += 2 {
		key, value := c.node.Content[i], c.node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.faults++
			continue
		}
		f := byName[key.Value]
		switch {
		case f != nil:
			seen[f.name] = true
			d.decode(d.under(c, key, value, f.name), v.FieldByIndex(f.index), f.rule)
		case d.atSection(c) && key.Value == "kind":
		case key.Tag == "!!merge" || formOf(key) == formEmpty || formOf(key) == formNull:
			d.faults++ // reported by parse
		default:
			if d.report.full() { // the message costs more than the count
				d.fail(c, "")
				continue
			}
			at := c
			at.at = d.doc.place(key, key)
			d.fail(at, "%s", d.unknownKey(key.Value, c.path, names(fields)))
		}
	}
	for i := range fields {
		if !seen[fields[i].name] {
			d.absent(c, &fields[i], v.FieldByIndex(fields[i].index))
		}
	}
}

// unknownKey suggests a similar key, or the path where this key is valid.
func (d *decoder) unknownKey(key, path string, valid []string) string {
	start := "unknown key " + quote(key)
	if d.kind != "" && path == d.prefix {
		start += " for kind " + quote(d.kind)
	}
	list := validList("keys", valid)
	if near := nearest(key, valid); near != "" {
		return start + "; did you mean " + strconv.Quote(near) + "? " + list
	}
	var elsewhere []string
	for _, f := range describeType(d.root) {
		if at := strings.Split(f.Path, "."); at[len(at)-1] == key && !contains(at, "*") {
			full := f.Path
			if d.prefix != "" {
				full = d.prefix + "." + full
			}
			elsewhere = append(elsewhere, strconv.Quote(full))
		}
	}
	if len(elsewhere) == 0 || len(elsewhere) > 3 {
		return start + "; " + list
	}
	return start + "; did you mean " + strings.Join(elsewhere, " or ") + "? " + list
}

// find returns the index of a key's node in a mapping, or -1.
func find(n *yaml.Node, key string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key {
			return i
		}
	}
	return -1
}

// fresh returns a new settable value with the type's defaults.
func fresh(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if t.Kind() == reflect.Pointer {
		return v.Elem()
	}
	if def, ok := v.Interface().(Defaulter); ok {
		def.SetDefaults()
	}
	return v.Elem()
}

func (d *decoder) pointer(c cursor, v reflect.Value, r rule) {
	switch formOf(c.node) {
	case formNull:
		v.SetZero()
		return
	case formEmpty:
		// A key without a value, perhaps because its keys are commented out, is ambiguous here.
		if readsText(v.Type().Elem()) || v.Type().Elem().Kind() != reflect.Struct {
			d.mismatch(c, wanted(v.Type().Elem()), "write null for none, or remove the key for the default")
		} else {
			d.mismatch(c, "a mapping of keys to values", "write null for none, or {} for the defaults")
		}
		return
	}
	// The default may be shared between decodings, so decode into a copy.
	e := fresh(v.Type().Elem())
	if !v.IsNil() {
		e.Set(v.Elem())
	}
	d.decode(c, e, r)
	v.Set(e.Addr())
}
