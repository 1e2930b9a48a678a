package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// JSON is a JSON Schema (draft 2020-12), or a part of one.
type JSON map[string]any

// JSONSchema describes the structs of an experiment file in JSON Schema.
//
// JSON does not distinguish null from a key without a value: what accepts either accepts null here. Validate methods
// are not represented. Some YAML readers take numbers such as 10_000 for text, which the schema then rejects.
type JSONSchema struct {
	// Partial omits required keys and defaults, which a base or a matrix may provide.
	Partial bool
	// Catalog lists the kinds of the families that fields name.
	Catalog Catalog
	// Definitions collects the descriptions of sections; several schemas may share it.
	Definitions *Definitions

	owners []string // the kinds of the enclosing sections, outer ones first
}

// Struct describes a struct, or a pointer to one, that holds its defaults, at a path of the file.
func (j *JSONSchema) Struct(v any, path string) JSON {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer {
		rv = rv.Elem()
	}
	return j.fields(rv, path)
}

func (j *JSONSchema) fields(v reflect.Value, path string) JSON {
	properties := JSON{}
	var required []string
	for _, f := range fieldsOf(v.Type()) {
		fv, at := v.FieldByIndex(f.index), join(path, f.name)
		var of JSON
		must := f.rule.required
		if s, ok := fv.Interface().(Section); ok {
			of = j.section(f.name, f.rule.family, s)
			if !j.Partial && !must && s.kind != "" {
				of["default"] = s.kind
			}
		} else {
			of = j.value(fv, f.rule, at)
			if !j.Partial && !must && !plainStruct(fv.Type()) {
				if d, ok := jsonDefault(fv); ok {
					of["default"] = d
				}
			}
		}
		if f.doc != "" {
			of["description"] = f.doc
		}
		properties[f.name] = of
		if must && !j.Partial {
			required = append(required, f.name)
		}
	}
	out := JSON{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if required != nil {
		out["type"], out["required"] = "object", required
	}
	return out
}

func (j *JSONSchema) value(v reflect.Value, r rule, path string) JSON {
	t := v.Type()
	switch {
	case t == sectionType():
		return j.section(path[strings.LastIndex(path, ".")+1:], r.family, Section{})
	case t.Kind() == reflect.Pointer:
		e := fresh(t.Elem())
		if !v.IsNil() {
			e = v.Elem()
		}
		return JSON{"anyOf": []JSON{{"type": "null"}, j.value(e, r, path)}}
	case t.Kind() == reflect.String && r.family != "":
		return JSON{"enum": KindNames(j.Catalog, r.family)}
	case readsText(t):
		if r.enum != nil {
			return JSON{"enum": r.enum}
		}
		return JSON{"type": []string{"string", "number", "boolean"}}
	}
	var out JSON
	switch t.Kind() {
	case reflect.Struct:
		if key, ok := shortKey(t); ok {
			short := j.fields(v, path)["properties"].(JSON)[key]
			return JSON{"anyOf": []any{short, j.fields(v, path)}}
		}
		return j.fields(v, path)
	case reflect.Slice:
		out = JSON{"type": "array", "items": j.value(fresh(t.Elem()), r.element(), path+".0")}
		bound(out, "minItems", r.minLen)
		bound(out, "maxItems", r.maxLen)
	case reflect.Map:
		out = JSON{"type": "object", "additionalProperties": j.value(fresh(t.Elem()), r.element(), join(path, "0"))}
		bound(out, "minProperties", r.minLen)
		bound(out, "maxProperties", r.maxLen)
	case reflect.String:
		if r.enum != nil {
			return JSON{"enum": r.enum}
		}
		out = JSON{"type": "string"}
		bound(out, "minLength", r.minLen)
		bound(out, "maxLength", r.maxLen)
	case reflect.Bool:
		out = JSON{"type": "boolean"}
	default:
		out = JSON{"type": "integer"}
		if v.CanFloat() {
			out["type"] = "number"
		} else if lo, hi := limits(v); lo.Sign() == 0 || v.Type().Bits() < 64 {
			out["minimum"], out["maximum"] = json.Number(lo.String()), json.Number(hi.String())
		}
		bound(out, "minimum", r.min)
		bound(out, "maximum", r.max)
		bound(out, "exclusiveMinimum", r.above)
		bound(out, "exclusiveMaximum", r.below)
		if r.enum != nil {
			numbers := make([]json.Number, len(r.enum))
			for i, e := range r.enum {
				numbers[i] = json.Number(e)
			}
			out["enum"] = numbers
		}
	}
	return out
}

func bound(of JSON, key, value string) {
	if value != "" {
		of[key] = json.Number(value)
	}
}

// jsonDefault returns a value in JSON; ok is false for a value that JSON cannot represent.
func jsonDefault(v reflect.Value) (out any, ok bool) {
	n, err := encodeValue(v, "", 1)
	if err != nil || n.Decode(&out) != nil {
		return nil, false
	}
	_, err = json.Marshal(out)
	return out, err == nil
}

// section describes a section of a family as a reference to a definition named after its key or, if that name is
// taken, also after its parent.
func (j *JSONSchema) section(key, family string, def Section) JSON {
	names := []string{key}
	if j.Partial {
		names[0] = "partial-" + key
	}
	if n := len(j.owners); n > 0 {
		names = append(names, names[0]+"-"+j.owners[n-1])
	}
	return j.Definitions.Refer(j.Section(family, def), names...)
}

// Section describes a section of a family with a default: the default kind may be omitted, and a kind without
// required keys may be written as a name.
func (j *JSONSchema) Section(family string, def Section) JSON {
	var kinds []keys
	usual := ""
	for _, k := range j.Catalog.Kinds(family) {
		target, err := structPointer(j.Catalog.Config(family, k.Name))
		if err != nil {
			continue
		}
		s := def
		s.kind = k.Name
		s.applyDefaults(target)
		j.owners = append(j.owners, k.Name)
		kinds = append(kinds, keys{k, j.fields(target, "")})
		j.owners = j.owners[:len(j.owners)-1]
		if k.Name == def.kind {
			usual = k.Name
		}
	}
	return j.ofKinds(kinds, usual)
}

// keys are the keys of a kind.
type keys struct {
	Kind
	of JSON // their description by [JSONSchema.Struct]
}

func (j *JSONSchema) ofKinds(kinds []keys, def string) JSON {
	var all, short []string
	var rules []JSON
	union := map[string][]any{}
	for _, k := range kinds {
		all = append(all, k.Name)
		if k.of["required"] == nil || j.Partial {
			short = append(short, k.Name)
		}
		properties, _ := k.of["properties"].(JSON)
		for key, of := range properties {
			if !slices.ContainsFunc(union[key], func(o any) bool { return Same(o, of) }) {
				union[key] = append(union[key], of)
			}
		}
		then := j.Definitions.Refer(withKind(k.of), k.Name+"-keys")
		rule := JSON{"if": JSON{"type": "object", "required": []string{"kind"}, "properties": JSON{"kind": JSON{"const": k.Name}}}, "then": then}
		rules = append(rules, rule)
		if k.Name == def && !j.Partial {
			rules = append(rules, JSON{"if": JSON{"type": "object", "not": JSON{"required": []string{"kind"}}}, "then": then})
		}
	}
	out := JSON{"type": []string{"object", "string", "null"}, "properties": JSON{"kind": JSON{"enum": all}}}
	switch {
	case j.Partial: // the kind is the base's, which may be any
		open := JSON{}
		for key, of := range union {
			if open[key] = of[0]; len(of) > 1 {
				open[key] = JSON{"anyOf": of}
			}
		}
		rules = append(rules, JSON{
			"if":   JSON{"type": "object", "not": JSON{"required": []string{"kind"}}},
			"then": JSON{"properties": open, "additionalProperties": false},
		})
	case def == "":
		out["required"] = []string{"kind"}
	}
	plain := JSON{"if": JSON{"type": "string"}, "then": false}
	if short != nil {
		plain["then"] = JSON{"enum": short}
	}
	out["allOf"] = append([]JSON{plain}, rules...)
	return out
}

// withKind adds the key kind to the keys of a kind.
func withKind(keys JSON) JSON {
	out := JSON{}
	for key, of := range keys {
		out[key] = of
	}
	properties := JSON{"kind": true}
	if own, ok := keys["properties"].(JSON); ok {
		for key, of := range own {
			properties[key] = of
		}
	}
	out["properties"] = properties
	delete(out, "type")
	return out
}

// Same reports whether parts of a schema are equal.
func Same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// FileKeys describes the keys of the file itself: base and matrix, which cannot vary the fixed keys.
func FileKeys(fixed ...string) JSON {
	for i, key := range fixed {
		fixed[i] = regexp.QuoteMeta(key)
	}
	return JSON{
		keyBase: JSON{
			"type": "string", "minLength": 1,
			"description": "base file, relative to this file's folder: it provides the keys that are not written here",
		},
		keyMatrix: JSON{
			"type":        []string{"object", "null"},
			"description": "keys such as train.way, each with a list of values: every combination is a run",
			"propertyNames": JSON{
				"pattern": `^[^.\s]+(\.[^.\s]+)*$`,
				"not":     JSON{"pattern": fmt.Sprintf(`^(%s)(\.|$)`, strings.Join(append(fixed, keyBase, keyMatrix), "|"))},
			},
			"additionalProperties": JSON{"anyOf": []JSON{
				{"type": "array", "minItems": 1},
				{
					"type": "object", "required": []string{"from", "to"}, "additionalProperties": false,
					"description": "a range that engram sweep --random draws from",
					"properties":  JSON{"from": JSON{"type": "number"}, "to": JSON{"type": "number"}, "scale": JSON{"enum": []string{"linear", "log"}}},
				},
			}},
		},
	}
}

// Definitions are shared parts of a schema that others refer to.
type Definitions struct {
	of    JSON
	names map[string]string // by text
}

// Refer returns a reference to a definition, which is created under the first free name, or a name with a number.
func (d *Definitions) Refer(of JSON, names ...string) JSON {
	text, err := json.Marshal(of)
	if err != nil {
		panic(fmt.Sprintf("schema: a description that is not JSON: %v", err)) // it consists of maps, lists, texts and numbers
	}
	if d.of == nil {
		d.of, d.names = JSON{}, map[string]string{}
	}
	name, ok := d.names[string(text)]
	if !ok {
		taken := func(name string) bool { return d.of[name] != nil }
		if i := slices.IndexFunc(names, func(n string) bool { return !taken(n) }); i >= 0 {
			name = names[i]
		} else {
			last := names[len(names)-1]
			for i := 2; name == "" || taken(name); i++ {
				name = fmt.Sprintf("%s-%d", last, i)
			}
		}
		d.of[name], d.names[string(text)] = of, name
	}
	return JSON{"$ref": "#/$defs/" + name}
}

// JSON returns the definitions by name.
func (d *Definitions) JSON() JSON { return d.of }
