package schema

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// The schema of a struct and the decoder agree on everything that JSON can say.
func TestJSONSchemaOfAStruct(t *testing.T) {
	j := &JSONSchema{}
	j.Section = func(path string, s Section) (JSON, bool) {
		kinds := []Kind{{"keyvalue", j.Struct(keyvalue{Slots: 64}, path)}, {"ntm", j.Struct(&struct {
			Width int `yaml:"width" required:"true"`
		}{}, path)}}
		return j.OfKinds(kinds, s.Kind()), false
	}
	c := defaults()
	whole := j.Struct(&c, "")
	compiled := func(of JSON) *jsonschema.Schema {
		text, err := json.Marshal(of)
		require.NoError(t, err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		c := jsonschema.NewCompiler()
		require.NoError(t, c.AddResource("x.json", doc))
		s, err := c.Compile("x.json")
		require.NoError(t, err)
		return s
	}
	validate := func(s *jsonschema.Schema, text string) error {
		var v any
		require.NoError(t, yaml.Unmarshal([]byte(text), &v))
		return s.Validate(v)
	}
	s := compiled(whole)
	for text, fits := range map[string]bool{
		"{}":                                            false,
		"name: n":                                       true,
		"name: n\nseed: 18446744073709551615":           true,
		"name: n\ntrain: {shot: 128}":                   false,
		"name: n\ntrain: {shot: 127}":                   true,
		"name: n\ntrain: {shot: 0}":                     false,
		"name: n\ntrain: {rate: 1}":                     false,
		"name: n\ntrain: {rate: 0.5}":                   true,
		"name: n\ntrain: {decay: 0.2}":                  false,
		"name: n\ntrain: {augment: 1}":                  false,
		"name: n\ntrain:":                               true,
		"name: n\ntrain: []":                            false,
		"name: n\ntest: [{way: 5}]":                     true,
		"name: n\ntest: [{way: 1}]":                     false,
		"name: n\ntest: []":                             false,
		"name: n\nmilestones: [0]":                      false,
		"name: n\nmilestones: []":                       true,
		"name: n\nearly_stop: null":                     true,
		"name: n\nearly_stop: {patience: 1}":            true,
		"name: n\nearly_stop: {patience: 0}":            false,
		"name: n\nlimit: null":                          true,
		"name: n\nlimit: x":                             false,
		"name: n\nweights: {a: 1}":                      true,
		"name: n\nweights: {a: -1}":                     false,
		"name: n\ntags: [a, b]":                         true,
		"name: n\ntags: [a, c]":                         false,
		"name: n\nlevel: low":                           true,
		"name: n\nlevel: []":                            false,
		"name: n\noptimizer: adma":                      false,
		"name: n\nnote: 5":                              false,
		"name: n\nother: 5":                             false,
		"name: n\nmemory: keyvalue":                     true,
		"name: n\nmemory: {slots: 5}":                   true,
		"name: n\nmemory: {slots: 0}":                   false,
		"name: n\nmemory: {kind: keyvalue, sizes: [1]}": true,
		"name: n\nmemory: {kind: keyvalue, width: 1}":   false,
		"name: n\nmemory: ntm":                          false,
		"name: n\nmemory: {kind: ntm}":                  false,
		"name: n\nmemory: {kind: ntm, width: 1}":        true,
		"name: n\nmemory: lrua":                         false,
		"name: n\nmemory: {kind: lrua}":                 false,
		"name: n\nnetwork: {slots: 5}":                  false,
	} {
		assert.Equal(t, fits, validate(s, text) == nil, "%s: %v", text, validate(s, text))
	}
	properties := whole["properties"].(JSON)
	name, train := properties["name"].(JSON), properties["train"].(JSON)["properties"].(JSON)
	assert.Equal(t, "the run's name", name["description"])
	assert.Equal(t, 5, train["way"].(JSON)["default"])
	assert.Equal(t, "keyvalue", properties["memory"].(JSON)["default"])
	assert.NotContains(t, name, "default", "a key that is required has none")

	// What a base may give is not asked for, but what is there has to fit.
	j.Partial = true
	s = compiled(j.Struct(&c, ""))
	for text, fits := range map[string]bool{
		"{}": true, "memory: {width: 1}": true, "memory: {slots: 1, width: 1}": true, "memory: {slots: 0}": false,
		"memory: {other: 0}": false, "memory: ntm": true, "memory: {kind: ntm, slots: 1}": false, "test: []": false,
	} {
		assert.Equal(t, fits, validate(s, text) == nil, "%s: %v", text, validate(s, text))
	}
}

func TestDefinitionsAreMadeOnce(t *testing.T) {
	var d Definitions
	refer := func(of JSON, names ...string) string {
		ref, err := d.Refer(of, names...)
		require.NoError(t, err)
		return ref["$ref"].(string)
	}
	assert.Equal(t, "#/$defs/a", refer(JSON{"type": "null"}, "a", "a-b"))
	assert.Equal(t, "#/$defs/a", refer(JSON{"type": "null"}, "c"))
	assert.Equal(t, "#/$defs/a-b", refer(JSON{"type": "array"}, "a", "a-b"))
	assert.Equal(t, "#/$defs/a-b-2", refer(JSON{"type": "string"}, "a", "a-b"))
	assert.Equal(t, "#/$defs/a-b-3", refer(JSON{"type": "object"}, "a", "a-b"))
	assert.Len(t, d.JSON(), 4)
}

// A survey hears of every kind and of the struct with its defaults, and goes on where a key is missing.
func TestSurvey(t *testing.T) {
	doc, found := Parse("x.yaml", []byte("memory: {kind: keyvalue}\nnetwork: \"-\"\n"), nil).Survey()
	c := defaults()
	assert.Error(t, doc.Decode(&c))
	kv := keyvalue{Slots: 0, Sharp: 3}
	assert.NoError(t, c.Memory.Decode(&kv))
	got, ok := found.Decoded("memory", "keyvalue")
	assert.True(t, ok)
	assert.Equal(t, keyvalue{Slots: 64, Sizes: []int{1, 2}}, got, "the defaults that the section had")
	_, ok = found.Decoded("memory", "ntm")
	assert.False(t, ok)
	assert.Error(t, c.Network.UnknownKind([]string{"a", "b"}))
	assert.Equal(t, []string{"a", "b"}, found.Kinds("network"))
	assert.Empty(t, found.Kinds("memory"))

	doc, found = Parse("x.yaml", []byte("memory: ntm\n"), nil).Survey()
	c = defaults()
	assert.Error(t, doc.Decode(&c))
	assert.NoError(t, c.Memory.Decode(&struct {
		Width int `yaml:"width" required:"true"`
	}{}))
	_, ok = found.Decoded("memory", "ntm")
	assert.True(t, ok)
}
