package schema

import (
	"encoding"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
)

// Defaulter is implemented by types whose new elements in lists and maps, and newly allocated pointers, do not start
// from the zero value.
type Defaulter interface{ SetDefaults() }

// Validator is implemented by types with rules that tags cannot express. Validate is called after the value has been
// read without a problem. Use [At] to name one of the value's fields, and errors.Join for several problems.
type Validator interface{ Validate() error }

// Shorthand is implemented by structs of which a single value may stand for one key, as from: RUN for from: {run: RUN}.
type Shorthand interface{ Short() string }

// shortKey returns the key that a single value stands for, and whether there is one.
func shortKey(t reflect.Type) (key string, ok bool) {
	s, ok := reflect.New(t).Interface().(Shorthand)
	if !ok {
		return "", false
	}
	return s.Short(), true
}

// field is one key of a struct.
type field struct {
	name  string
	index []int
	typ   reflect.Type
	doc   string
	rule  rule
}

// rule is the constraints in a field's tags.
type rule struct {
	min, max, above, below string
	minLen, maxLen         string
	enum                   []string
	family                 string // of the kinds that a section, or a text, may name
	required, anyFloat     bool
}

// element returns the rule for the elements of a list or map.
func (r rule) element() rule {
	r.minLen, r.maxLen, r.required = "", "", false
	return r
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		inline := options == "inline" && sf.Type.Kind() == reflect.Struct
		if name == "-" || !sf.IsExported() && !(inline && sf.Anonymous) { // the fields of an embedded struct may be exported
			continue
		}
		if inline {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(sf.Name)
		}
		f := field{name: name, index: []int{i}, typ: sf.Type, doc: sf.Tag.Get("doc")}
		f.rule = rule{
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
			above: sf.Tag.Get("above"), below: sf.Tag.Get("below"),
			minLen: sf.Tag.Get("minlen"), maxLen: sf.Tag.Get("maxlen"),
			required: sf.Tag.Get("required") == "true", anyFloat: sf.Tag.Get("finite") == "false", family: sf.Tag.Get("family"),
		}
		if enum, ok := sf.Tag.Lookup("enum"); ok {
			f.rule.enum = strings.Split(enum, ",")
		}
		out = append(out, f)
	}
	return out
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

func sectionType() reflect.Type { return reflect.TypeFor[Section]() }

// readsText reports whether a type implements UnmarshalText.
func readsText(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// plainStruct reports whether a type is a struct that is read key by key.
func plainStruct(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != sectionType() && !readsText(t)
}

// checkType returns an error for types that no file can fill: a mistake in the program, not in the file.
func checkType(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if t == sectionType() || readsText(t) || seen[t] {
		return nil
	}
	seen[t] = true
	bad := func(format string, args ...any) error {
		return fmt.Errorf("schema: %s: %s", path, fmt.Sprintf(format, args...))
	}
	if t.PkgPath() == "time" && t.Name() == "Duration" {
		return bad("time.Duration would be read as nanoseconds; use a type with UnmarshalText")
	}
	if _, ok := innermost(t); !ok {
		return bad("type %s contains itself", t)
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Slice:
		return checkType(t.Elem(), path+"[]", seen)
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Pointer {
			return bad("a pointer to a pointer is not supported")
		}
		return checkType(t.Elem(), path, seen)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return bad("map keys must be strings, not %s", t.Key())
		}
		return checkType(t.Elem(), path+"[]", seen)
	case reflect.Struct:
		taken := map[string]bool{}
		for _, f := range fieldsOf(t) {
			if taken[f.name] {
				return bad("two fields are named %q", f.name)
			}
			taken[f.name] = true
			at := path + "." + f.name
			for _, bound := range []string{f.rule.min, f.rule.max, f.rule.above, f.rule.below, f.rule.minLen, f.rule.maxLen} {
				if _, ok := new(big.Rat).SetString(bound); bound != "" && !ok {
					return fmt.Errorf("schema: %s: the bound %q is not a number", at, bound)
				}
			}
			if err := checkType(f.typ, at, seen); err != nil {
				return err
			}
		}
		return nil
	}
	return bad("type %s is not supported", t)
}

// innermost returns the element type of lists, maps and pointers; ok is false for a type such as []T that is its own
// element.
func innermost(t reflect.Type) (inner reflect.Type, ok bool) {
	for range 16 {
		if k := t.Kind(); k != reflect.Slice && k != reflect.Map && k != reflect.Pointer {
			return t, true
		}
		t = t.Elem()
	}
	return t, false
}

// breach describes how the value breaks the rule: what is wanted, and the value as the user writes it. For an unknown
// enum value known is false.
func (r rule) breach(v reflect.Value) (want, got string, known bool) {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return r.breachLen(v.Len(), listNoun(v.Kind()))
	case reflect.String:
		if want, got, known = r.breachLen(len([]rune(v.String())), "character"); want != "" {
			return want, got, known
		}
		if r.enum != nil && !contains(r.enum, v.String()) {
			return unknown("value", v.String(), r.enum), quote(v.String()), false
		}
		return "", "", true
	case reflect.Bool, reflect.Struct, reflect.Pointer:
		return "", "", true
	}
	got = formatNumber(v)
	if !r.anyFloat && v.CanFloat() && !isFinite(v.Float()) {
		return "must be a finite number", got, true
	}
	for _, b := range []struct {
		bound, words string
		broken       func(cmp int) bool
	}{
		{r.min, "at least", func(c int) bool { return c < 0 }},
		{r.max, "at most", func(c int) bool { return c > 0 }},
		{r.above, "above", func(c int) bool { return c <= 0 }},
		{r.below, "below", func(c int) bool { return c >= 0 }},
	} {
		if b.bound == "" {
			continue
		}
		if c, ok := compare(v, b.bound); !ok || b.broken(c) {
			return "must be " + b.words + " " + b.bound, got, true
		}
	}
	if r.enum != nil && !contains(r.enum, got) {
		return unknown("value", got, r.enum), got, false
	}
	return "", "", true
}

func (r rule) breachLen(n int, noun string) (want, got string, known bool) {
	got = strconv.Itoa(n)
	count := func(s string) string {
		if s == "1" {
			return s + " " + noun
		}
		return s + " " + strings.TrimSuffix(noun, "y") + map[bool]string{true: "ies", false: "s"}[strings.HasSuffix(noun, "y")]
	}
	if lo, ok := new(big.Rat).SetString(r.minLen); ok && new(big.Rat).SetInt64(int64(n)).Cmp(lo) < 0 {
		return "must have at least " + count(r.minLen), got, true
	}
	if hi, ok := new(big.Rat).SetString(r.maxLen); ok && new(big.Rat).SetInt64(int64(n)).Cmp(hi) > 0 {
		return "must have at most " + count(r.maxLen), got, true
	}
	return "", "", true
}

func listNoun(k reflect.Kind) string {
	if k == reflect.Map {
		return "entry"
	}
	return "element"
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// compare compares a number with a bound: floats in their own precision, so that 0.1 is not above max:"0.1", integers
// exactly. ok is false for NaN.
func compare(v reflect.Value, bound string) (int, bool) {
	if v.CanFloat() {
		b, err := strconv.ParseFloat(bound, v.Type().Bits())
		f := v.Float()
		switch {
		case err != nil || f != f:
			return 0, false
		case f < b:
			return -1, true
		case f > b:
			return 1, true
		}
		return 0, true
	}
	b, ok := new(big.Rat).SetString(bound)
	if !ok {
		return 0, false
	}
	n := new(big.Int)
	if v.CanInt() {
		n.SetInt64(v.Int())
	} else {
		n.SetUint64(v.Uint())
	}
	return new(big.Rat).SetInt(n).Cmp(b), true
}
