package schema

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Encode writes a struct as YAML that [Decode] reads back to the same value: every field, in the struct's order,
// sections with their kind and resolved values. Text that some YAML reader may take for another type is quoted.
func Encode(v any) (out []byte, err error) {
	rv := reflect.ValueOf(v)
	if rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct || !plainStruct(rv.Type()) {
		return nil, fmt.Errorf("schema: want a struct to encode, got %T", v)
	}
	if err := checkType(rv.Type(), rv.Type().String(), map[reflect.Type]bool{}); err != nil {
		return nil, err
	}
	n, err := encodeValue(rv, "", 1)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return b.Bytes(), nil
}

func encodeValue(v reflect.Value, path string, depth int) (*yaml.Node, error) {
	t := v.Type()
	if leaf := v.Kind() != reflect.Struct && v.Kind() != reflect.Pointer && v.Kind() != reflect.Map && v.Kind() != reflect.Slice; depth > maxDepth && !leaf && !v.IsZero() {
		return nil, fmt.Errorf("schema: %s: nested more than %d levels deep", clip(path, 80), maxDepth)
	}
	if t == sectionType() {
		s, _ := v.Interface().(Section)
		return encodeSection(s, path, depth)
	}
	if t.Kind() == reflect.Pointer {
		if v.IsNil() {
			return plain("null"), nil
		}
		return encodeValue(v.Elem(), path, depth)
	}
	if readsText(t) {
		return encodeText(v, path)
	}
	switch t.Kind() {
	case reflect.Struct:
		m := &yaml.Node{Kind: yaml.MappingNode}
		return m, encodeFields(m, v, path, depth)
	case reflect.Slice:
		l := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n, err := encodeValue(v.Index(i), join(path, strconv.Itoa(i)), depth+1)
			if err != nil {
				return nil, err
			}
			if n.Kind != yaml.ScalarNode {
				l.Style = 0
			}
			l.Content = append(l.Content, n)
		}
		return l, nil
	case reflect.Map:
		m := &yaml.Node{Kind: yaml.MappingNode}
		for _, k := range sortedKeys(v) {
			n, err := encodeValue(v.MapIndex(k), join(path, k.String()), depth+1)
			if err != nil {
				return nil, err
			}
			if !utf8.ValidString(k.String()) {
				return nil, fmt.Errorf("schema: %s: a key is not valid UTF-8", path)
			}
			m.Content = append(m.Content, text(k.String()), n)
		}
		return m, nil
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return nil, fmt.Errorf("schema: %s: the text is not valid UTF-8", path)
		}
		return text(v.String()), nil
	case reflect.Bool:
		return plain(strconv.FormatBool(v.Bool())), nil
	}
	return plain(formatNumber(v)), nil
}

func encodeFields(m *yaml.Node, v reflect.Value, path string, depth int) error {
	for _, f := range fieldsOf(v.Type()) {
		if f.name == "kind" && find(m, "kind") >= 0 {
			continue // a section's struct may contain its kind
		}
		n, err := encodeValue(v.FieldByIndex(f.index), join(path, f.name), depth+1)
		if err != nil {
			return err
		}
		m.Content = append(m.Content, text(f.name), n)
	}
	return nil
}

func encodeText(v reflect.Value, path string) (*yaml.Node, error) {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	m, ok := p.Interface().(encoding.TextMarshaler)
	if !ok {
		return nil, fmt.Errorf("schema: %s: %s reads text but has no MarshalText", path, v.Type())
	}
	b, err := m.MarshalText()
	switch {
	case err != nil:
		return nil, fmt.Errorf("schema: %s: %w", path, err)
	case !utf8.Valid(b):
		return nil, fmt.Errorf("schema: %s: the text is not valid UTF-8", path)
	}
	return text(string(b)), nil
}

func encodeSection(s Section, path string, depth int) (*yaml.Node, error) {
	if s.kind == "" {
		return plain("null"), nil
	}
	m := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text("kind"), text(s.kind)}}
	v, ok := s.structValue()
	if ok && !s.done && s.node != nil { // defaults, and keys in the file that have not been decoded
		p := reflect.New(v.Type())
		if err := s.Decode(p.Interface()); err != nil {
			return nil, err
		}
		v = p.Elem()
	}
	if ok {
		if err := checkType(v.Type(), v.Type().String(), map[reflect.Type]bool{}); err != nil {
			return nil, err
		}
		return m, encodeFields(m, v, path, depth)
	}
	if s.value != nil {
		return nil, fmt.Errorf("schema: %s: a section's values must be a struct, not %T", path, s.value)
	}
	if s.node == nil {
		return m, nil
	}
	for i := 0; i+1 < len(s.node.Content); i += 2 {
		if k := s.node.Content[i]; k.Kind == yaml.ScalarNode && k.Value != "kind" {
			n, err := raw(s.node.Content[i+1])
			if err != nil {
				return nil, err
			}
			m.Content = append(m.Content, text(k.Value), n)
		}
	}
	return m, nil
}

// raw copies an undecoded node without comments.
func raw(n *yaml.Node) (*yaml.Node, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		switch formOf(n) {
		case formText:
			return text(n.Value), nil
		case formEmpty:
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
		}
		return plain(n.Value), nil
	case yaml.MappingNode, yaml.SequenceNode:
		c := &yaml.Node{Kind: n.Kind}
		if !holdsEmpty(n) { // which only block style can represent
			c.Style = n.Style & yaml.FlowStyle
		}
		for i, child := range n.Content {
			copied, err := raw(child)
			if err != nil {
				return nil, err
			}
			if n.Kind == yaml.MappingNode && i%2 == 0 && child.Kind == yaml.ScalarNode {
				copied = text(child.Value)
			}
			c.Content = append(c.Content, copied)
		}
		return c, nil
	}
	return nil, errors.New("schema: an alias cannot be encoded")
}

func holdsEmpty(n *yaml.Node) bool {
	for _, c := range n.Content {
		if formOf(c) == formEmpty || holdsEmpty(c) {
			return true
		}
	}
	return false
}

func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// text writes a string without quotes only if every YAML reader reads a string.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if !bare(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func bare(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		inside := c >= '0' && c <= '9' || c == '-' || c == '.' || c == '/' || c == ' '
		if !letter && (i == 0 || !inside) {
			return false
		}
	}
	if s == "" || len(s) > 100 || strings.HasSuffix(s, " ") || strings.HasPrefix(s, "_") {
		return false
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return plainForm(s) == formText
}

// formatNumber formats a number so that it reads back to the same bits.
func formatNumber(v reflect.Value) string {
	switch {
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case !v.CanFloat():
		return v.String()
	}
	f := v.Float()
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	s := strconv.FormatFloat(f, 'g', -1, v.Type().Bits())
	// YAML 1.1 readers, such as Python's, take 1e-05 for a text.
	if mantissa, exponent, ok := strings.Cut(s, "e"); ok && !strings.Contains(mantissa, ".") {
		s = mantissa + ".0e" + exponent
	}
	return s
}
