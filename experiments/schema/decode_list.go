package schema

import (
	"fmt"
	"reflect"
	"strconv"

	"gopkg.in/yaml.v3"
)

func (d *decoder) slice(c cursor, v reflect.Value, r rule) {
	t := v.Type()
	switch form := formOf(c.node); {
	case form == formMapping && d.doc.notes[c.node].made:
		d.patchSlice(c, v, r)
	case form == formList:
		out := reflect.Zero(t)
		for i, n := range c.node.Content {
			e := fresh(t.Elem())
			d.decode(d.under(c, nil, n, strconv.Itoa(i)), e, r.element())
			out = reflect.Append(out, e)
		}
		v.Set(out)
	case form == formEmpty || form == formNull:
		d.mismatch(c, "a list", "write [] for an empty one, or remove the key for the default")
	case form == formMapping:
		d.mismatch(c, "a list", `start each element with "- "`)
	default:
		d.mismatch(c, "a list", "write ["+clip(c.node.Value, 40)+"]")
	}
}

// patchSlice lets overrides such as test.0.way=5 change an element of a default list that the file does not mention.
func (d *decoder) patchSlice(c cursor, v reflect.Value, r rule) {
	out := reflect.AppendSlice(reflect.Zero(v.Type()), v)
	for i := 0; i+1 < len(c.node.Content); i += 2 {
		key, value := c.node.Content[i], c.node.Content[i+1]
		k, ok := listIndex(key.Value, out.Len())
		if !ok {
			at := c
			at.at = d.doc.place(key, key)
			d.fail(at, "%s", noElement(c.path, key.Value, out.Len()))
			continue
		}
		d.decode(d.under(c, key, value, key.Value), out.Index(k), r.element())
	}
	v.Set(out)
}

func listIndex(s string, n int) (int, bool) {
	i, err := strconv.Atoi(s)
	return i, err == nil && i >= 0 && i < n && s == strconv.Itoa(i)
}

func noElement(path, part string, n int) string {
	count := fmt.Sprintf("%d elements, numbered 0 to %d", n, n-1)
	switch n {
	case 0:
		return path + " is an empty list (set it whole, as in " + path + "=[...])"
	case 1:
		count = "1 element, numbered 0"
	}
	return fmt.Sprintf("no element %s: %s is a list of %s", quote(part), path, count)
}

func (d *decoder) mapping(c cursor, v reflect.Value, r rule) {
	switch formOf(c.node) {
	case formMapping:
	case formEmpty, formNull:
		d.mismatch(c, "a mapping of names to values", "write {} for an empty one, or remove the key for the default")
		return
	default:
		d.mismatch(c, "a mapping of names to values", "")
		return
	}
	t := v.Type()
	out := reflect.MakeMap(t)
	if d.doc.notes[c.node].made { // an override of one entry keeps the others
		for _, k := range v.MapKeys() {
			out.SetMapIndex(k, v.MapIndex(k))
		}
	}
	for i := 0; i+1 < len(c.node.Content); i += 2 {
		key, value := c.node.Content[i], c.node.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.faults++
			continue
		}
		name := reflect.ValueOf(key.Value).Convert(t.Key())
		e := fresh(t.Elem())
		if old := out.MapIndex(name); old.IsValid() && d.doc.notes[c.node].made {
			e.Set(old)
		}
		d.decode(d.under(c, key, value, key.Value), e, r.element())
		out.SetMapIndex(name, e)
	}
	if out.Len() == 0 {
		out = reflect.Zero(t)
	}
	v.Set(out)
}
