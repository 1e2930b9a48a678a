package experiments_test

import (
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/engram-go/engram/experiments/kinds"
	"github.com/engram-go/engram/experiments/registry"
)

// fieldTags are the tags of fields that experiments/schema reads.
var fieldTags = []string{"yaml", "doc", "min", "max", "above", "below", "minlen", "maxlen", "enum", "required", "finite", "family"}

// tagKey matches the keys of a struct tag, as in yaml:"rate" above:"0".
var tagKey = regexp.MustCompile(`(\w+):"(?:[^"\\]|\\.)*"`)

// unknownTags lists the tags of a type's fields, and of the fields below them, that experiments/schema does not read: it ignores them,
// so that a misspelt bound would bound nothing.
func unknownTags(t reflect.Type, seen map[reflect.Type]bool) (out []string) {
	for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}, t.Kind()) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return nil
	}
	seen[t] = true
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag == "" && !f.Anonymous {
			continue // no key of a file
		}
		for _, m := range tagKey.FindAllStringSubmatch(string(f.Tag), -1) {
			if !slices.Contains(fieldTags, m[1]) {
				out = append(out, t.String()+"."+f.Name+": "+m[1])
			}
		}
		out = append(out, unknownTags(f.Type, seen)...)
	}
	return out
}

// Every tag of a key of an experiment file, and of every part, is one that is read.
func TestTagsAreKnown(t *testing.T) {
	type nested struct {
		Rate float64 `yaml:"rate" abvoe:"0" doc:"a typing error"`
	}
	type own struct {
		Lists map[string][]nested `yaml:"lists" minLen:"1"`
	}
	assert.Equal(t, []string{"experiments_test.own.Lists: minLen", "experiments_test.nested.Rate: abvoe"}, unknownTags(reflect.TypeFor[own](), map[reflect.Type]bool{}))

	parts, seen := registry.Standard(), map[reflect.Type]bool{}
	for _, k := range kinds.All() {
		assert.Empty(t, unknownTags(reflect.TypeOf(k.New(parts)), seen))
	}
	for _, f := range parts.Families() {
		for _, k := range parts.Kinds(f.Name) {
			if config := parts.Config(f.Name, k.Name); config != nil {
				assert.Empty(t, unknownTags(reflect.TypeOf(config), seen), "%s %s", f.Name, k.Name)
			}
		}
	}
	assert.Greater(t, len(seen), 50)
}
