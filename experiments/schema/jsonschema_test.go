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

// The schema of a struct and the decoder agree wherever JSON can express the rule.
func TestJSONSchemaOfAStruct(t *testing.T) {
	j := &JSONSchema{Catalog: twoKinds{}, Definitions: &Definitions{}}
	c := defaults()
	whole := j.Struct(&c, "")
	compiled := func(of JSON) *jsonschema.Schema {
		of["$defs"] = j.Definitions.JSON()
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
	assert.NotContains(t, name, "default", "a required key has no default")

	// Keys that a base may provide are not required, but existing keys are checked.
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
		return d.Refer(of, names...)["$ref"].(string)
	}
	assert.Equal(t, "#/$defs/a", refer(JSON{"type": "null"}, "a", "a-b"))
	assert.Equal(t, "#/$defs/a", refer(JSON{"type": "null"}, "c"))
	assert.Equal(t, "#/$defs/a-b", refer(JSON{"type": "array"}, "a", "a-b"))
	assert.Equal(t, "#/$defs/a-b-2", refer(JSON{"type": "string"}, "a", "a-b"))
	assert.Equal(t, "#/$defs/a-b-3", refer(JSON{"type": "object"}, "a", "a-b"))
	assert.Len(t, d.JSON(), 4)
}

// twoKinds has the same two kinds for every family.
type twoKinds struct{}

func (twoKinds) Kinds(string) []Kind { return []Kind{{Name: "keyvalue"}, {Name: "ntm"}} }

func (twoKinds) Config(_, kind string) any {
	switch kind {
	case "keyvalue":
		return &keyvalue{Slots: 64}
	case "ntm":
		return &struct {
			Width int `yaml:"width" required:"true"`
		}{}
	}
	return nil
}

// Sections whose fields name a family are decoded with the file: the kind's defaults, the owner's defaults over
// those, and the file's keys over both. An unknown kind is an error that lists the valid ones.
func TestSectionsOfFamilies(t *testing.T) {
	type file struct {
		Memory Section   `yaml:"memory" family:"memory"`
		Names  []string  `yaml:"names" family:"memory"`
		Others []Section `yaml:"others"`
	}
	read := func(text string) (*file, error) {
		f := &file{Memory: NewSection("keyvalue", nil).WithDefaults(struct {
			Slots int    `yaml:"slots"`
			Other string `yaml:"other"`
		}{Slots: 7})}
		return f, Parse("x.yaml", []byte(text), nil).With(twoKinds{}).Decode(f)
	}
	f, err := read("{}")
	require.NoError(t, err)
	assert.Equal(t, &keyvalue{Slots: 7}, f.Memory.Resolved(), "the owner's default")
	f, err = read("memory: {slots: 9}")
	require.NoError(t, err)
	assert.Equal(t, 9, f.Memory.Resolved().(*keyvalue).Slots)
	_, err = read("memory: ntm")
	assert.ErrorContains(t, err, `x.yaml:1: memory: missing key "width"`)
	_, err = read("memory: {kind: keyvaleu}\nnames: [ntm, lrua]")
	assert.ErrorContains(t, err, `x.yaml:1: memory: unknown kind "keyvaleu"; did you mean "keyvalue"? valid kinds: keyvalue, ntm`)
	assert.ErrorContains(t, err, `x.yaml:2: names.1: unknown value "lrua"; valid values: keyvalue, ntm`)
	assert.Equal(t, err.Error(), Join(ErrUnread, err).Error())
	assert.NoError(t, Join(ErrUnread))

	text, err := Encode(f)
	require.NoError(t, err)
	again, err := read(string(text))
	require.NoError(t, err)
	assert.Equal(t, f.Memory.Resolved(), again.Memory.Resolved())
	var paths []string
	Walk(f, func(path, family string, s *Section) { paths = append(paths, path+" "+family+" "+s.Kind()) })
	assert.Equal(t, []string{"memory memory keyvalue"}, paths)
}
