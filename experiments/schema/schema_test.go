package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type train struct {
	Way     int     `yaml:"way" min:"2" max:"100" doc:"classes per episode"`
	Shot    int8    `yaml:"shot" min:"1"`
	Rate    float64 `yaml:"rate" above:"0" below:"1"`
	Clip    float32 `yaml:"clip" finite:"false"`
	Decay   float32 `yaml:"decay" max:"0.1"`
	Augment bool    `yaml:"augment"`
}

func (t *train) Validate() error {
	if t.Shot > 50 && t.Way > 50 {
		return At("shot", errors.New("too many images with so many classes"))
	}
	return nil
}

type test struct {
	Way  int `yaml:"way" min:"2"`
	Shot int `yaml:"shot" min:"1"`
}

func (t *test) SetDefaults() { t.Way, t.Shot = 5, 1 }

type stop struct {
	Patience int `yaml:"patience" min:"1"`
}

// level implements UnmarshalText.
type level struct{ n int }

func (l *level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "low":
		l.n = 1
	case "high":
		l.n = 2
	default:
		return fmt.Errorf("want low or high, got %q", clip(string(b), 40))
	}
	return nil
}

func (l level) MarshalText() ([]byte, error) {
	return []byte([]string{"low", "low", "high"}[l.n]), nil
}

type common struct {
	Note string `yaml:"note" maxlen:"2000"`
}

type config struct {
	Name      string             `yaml:"name" required:"true" doc:"the run's name"`
	Seed      uint64             `yaml:"seed"`
	Optimizer string             `yaml:"optimizer" enum:"adam,sgd,rmsprop"`
	Train     train              `yaml:"train"`
	Test      []test             `yaml:"test" minlen:"1"`
	Steps     []int              `yaml:"milestones" min:"1"`
	Stop      *stop              `yaml:"early_stop"`
	Limit     *int               `yaml:"limit"`
	Weights   map[string]float64 `yaml:"weights" min:"0"`
	Tags      []string           `yaml:"tags" enum:"a,b"`
	Level     level              `yaml:"level"`
	Memory    Section            `yaml:"memory"`
	Network   Section            `yaml:"network"`
	Common    common             `yaml:",inline"`
}

type keyvalue struct {
	Slots int     `yaml:"slots" min:"1"`
	Sharp float64 `yaml:"sharpness"`
	Sizes []int   `yaml:"sizes"`
}

type matching struct {
	Width  int     `yaml:"width" min:"1"`
	Memory Section `yaml:"memory"`
}

func defaults() config {
	return config{
		Optimizer: "adam",
		Train:     train{Way: 5, Shot: 1, Rate: 0.001},
		Test:      []test{{Way: 5, Shot: 1}, {Way: 20, Shot: 5}},
		Weights:   map[string]float64{"one": 1, "two": 2},
		Memory:    NewSection("keyvalue", keyvalue{Slots: 64, Sizes: []int{1, 2}}),
	}
}

func load(t testing.TB, text string, sets ...string) (config, error) {
	t.Helper()
	c := defaults()
	var over []Override
	for _, s := range sets {
		o, err := ParseOverride(s)
		require.NoError(t, err)
		over = append(over, o)
	}
	err := Decode("x.yaml", []byte(text), &c, over...)
	return c, err
}

func TestDecode(t *testing.T) {
	c, err := load(t, `
name: a run
seed: 18446744073709551615
train:
  way: 2e1
  rate: 1_0.5e-3
  augment: true
  clip: .inf
  decay: 0.1
test:
  - way: 7
  - {way: 0x10, shot: 5}
milestones: [10_000, 1e4, 2.0]
early_stop: {patience: 3}
limit: -3
weights: {x: 1}
tags: [a]
level: high
note: "5"
memory: keyvalue
`)
	require.NoError(t, err)
	want := defaults()
	want.Name, want.Seed, want.Level, want.Common.Note = "a run", 18446744073709551615, level{2}, "5"
	want.Train = c.Train
	want.Test = []test{{7, 1}, {16, 5}}
	want.Steps = []int{10000, 10000, 2}
	want.Stop = &stop{3}
	limit := -3
	want.Limit = &limit
	want.Weights = map[string]float64{"x": 1}
	want.Tags = []string{"a"}
	assert.Equal(t, 20, c.Train.Way)
	assert.Equal(t, 0.0105, c.Train.Rate)
	assert.Equal(t, int8(1), c.Train.Shot)
	assert.Equal(t, "keyvalue", c.Memory.Kind())
	want.Memory, want.Network = c.Memory, c.Network
	assert.Equal(t, want, c)
}

func TestNullAndEmpty(t *testing.T) {
	c := defaults()
	c.Stop = &stop{9}
	shared := c.Stop
	require.NoError(t, Decode("x", []byte("name: n\ntrain:\nearly_stop: {patience: 2}\nmemory: null\ntags: []"), &c))
	assert.Equal(t, 5, c.Train.Way)
	assert.Equal(t, 9, shared.Patience, "a shared default is never modified")
	assert.Equal(t, 2, c.Stop.Patience)
	assert.Equal(t, "", c.Memory.Kind())
	require.NoError(t, Decode("x", []byte("name: n\nearly_stop: ~"), &c))
	assert.Nil(t, c.Stop)
}

func TestOverrides(t *testing.T) {
	file := "name: n\ntrain: {way: 5}\nmemory: keyvalue\nmilestones: [1, 2]\nnetwork:\n  kind: matching\n  memory: lrua"
	c, err := load(t, file, "train.way=20", "train.way=30", "test.1.way=9", "milestones.0=7", "weights.two=5",
		"early_stop.patience=4", "memory.slots=128", "memory.sizes.1=8", "network.memory.slots=3", "network.width=6", "name=7", "note=", "tags=[a, b]")
	require.NoError(t, err)
	assert.Equal(t, 30, c.Train.Way)
	assert.Equal(t, []test{{5, 1}, {9, 5}}, c.Test)
	assert.Equal(t, []int{7, 2}, c.Steps)
	assert.Equal(t, map[string]float64{"one": 1, "two": 5}, c.Weights)
	assert.Equal(t, 4, c.Stop.Patience)
	assert.Equal(t, "7", c.Name)
	assert.Equal(t, []string{"a", "b"}, c.Tags)
	var kv keyvalue
	require.NoError(t, c.Memory.Decode(&kv))
	assert.Equal(t, keyvalue{Slots: 128, Sizes: []int{1, 8}}, kv)
	var m matching
	require.NoError(t, c.Network.Decode(&m))
	assert.Equal(t, 6, m.Width)
	assert.Equal(t, "lrua", m.Memory.Kind())
	require.NoError(t, m.Memory.Decode(&kv))
	assert.Equal(t, 3, kv.Slots)
	assert.Equal(t, []test{{5, 1}, {20, 5}}, defaults().Test)
}

func TestSection(t *testing.T) {
	c, err := load(t, "name: n\nmemory:\n  slots: 8\n")
	require.NoError(t, err)
	assert.Equal(t, "keyvalue", c.Memory.Kind(), "the default kind applies")
	kv := keyvalue{Slots: 1, Sharp: 3}
	require.NoError(t, c.Memory.Decode(&kv))
	assert.Equal(t, keyvalue{Slots: 8, Sizes: []int{1, 2}}, kv, "the section's own defaults apply")
	assert.Equal(t, &kv, c.Memory.Resolved())

	c, err = load(t, "name: n\nmemory: {kind: lrua, slots: 8}")
	require.NoError(t, err)
	kv = keyvalue{Sharp: 3}
	require.NoError(t, c.Memory.Decode(&kv))
	assert.Equal(t, keyvalue{Slots: 8, Sharp: 3}, kv, "another kind drops the defaults")

	c, err = load(t, "name: n\nnetwork:\n  kind: matching\n  width: 0\n  memory:\n    kind: lrau\n    slots: 2\n    slot: 3\nmemory:\n  kind: keyvalue\n  sots: 3")
	require.NoError(t, err)
	m := matching{Width: 4}
	assert.EqualError(t, c.Network.Decode(&m), "x.yaml:4: network.width: must be at least 1, got 0")
	kinds := []string{"keyvalue", "lrua", "dnc"}
	assert.EqualError(t, Join(
		c.Memory.Decode(&kv), nil,
		m.Memory.UnknownKind(kinds),
		m.Memory.Decode(&kv),
		m.Memory.Errorf("does not fit")),
		`x.yaml:5: network.memory: does not fit
x.yaml:6: network.memory: unknown kind "lrau"; did you mean "lrua"? valid kinds: keyvalue, lrua, dnc
x.yaml:8: network.memory: unknown key "slot" for kind "lrau"; did you mean "slots"? valid keys: slots, sharpness, sizes
x.yaml:11: memory: unknown key "sots" for kind "keyvalue"; did you mean "slots"? valid keys: slots, sharpness, sizes`)

	c, err = load(t, "name: n", "memory.kind=foo", "network=prot")
	require.NoError(t, err)
	assert.EqualError(t, c.Memory.UnknownKind(kinds), `--set memory.kind=foo: unknown kind "foo"; valid kinds: keyvalue, lrua, dnc`)
	assert.EqualError(t, c.Network.UnknownKind([]string{"protonet"}), `--set network=prot: unknown kind "prot"; did you mean "protonet"? valid kinds: protonet`)
	c, err = load(t, "name: n")
	require.NoError(t, err)
	assert.EqualError(t, c.Network.UnknownKind(kinds), `x.yaml:1: network: no kind is given; valid kinds: keyvalue, lrua, dnc`)
	assert.EqualError(t, c.Network.Decode(&kv), `x.yaml:1: network: no kind is given`)
	var zero Section
	assert.EqualError(t, zero.Decode(&kv), `no kind is given`)
}

func TestErrorValues(t *testing.T) {
	_, err := load(t, "name: n\nbad: 1\nseed: -1", "train.way=0")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Problems, 3)
	assert.Equal(t, "seed", e.Problems[1].Path)
	assert.Equal(t, 3, e.Problems[1].Line)
	assert.Equal(t, "train.way=0", e.Problems[2].Override)
	assert.Equal(t, "train.way", e.Problems[2].Path)

	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "key%d: 1\n", i)
	}
	_, err = load(t, many.String())
	require.ErrorAs(t, err, &e)
	assert.Len(t, e.Problems, 100)
	assert.Equal(t, 901, e.Dropped)
	assert.NoError(t, Join(nil, nil))
}

type badField struct {
	C chan int `yaml:"c"`
}

type selfList []selfList

func TestProgrammerErrors(t *testing.T) {
	for _, tc := range []struct {
		into any
		want string
	}{
		{nil, "schema: want a pointer to a struct to decode into, got <nil>"},
		{config{}, "schema: want a pointer to a struct to decode into, got schema.config"},
		{(*config)(nil), "schema: want a pointer to a struct to decode into, got *schema.config"},
		{new(int), "schema: want a pointer to a struct to decode into, got *int"},
		{new(badField), "schema: badField.c: type chan int is not supported"},
		{&struct{ A selfList }{}, "schema: struct.a: type schema.selfList contains itself"},
		{&struct {
			A int `min:"x"`
		}{}, `schema: struct.a: the bound "x" is not a number`},
		{&struct {
			A int
			B int `yaml:"a"`
		}{}, `schema: struct: two fields are named "a"`},
		{&struct{ A map[int]int }{}, "schema: struct.a: map keys must be strings, not int"},
		{&struct{ A **int }{}, "schema: struct.a: a pointer to a pointer is not supported"},
		{&struct{ A any }{}, "schema: struct.a: type interface {} is not supported"},
	} {
		assert.EqualError(t, Decode("x", []byte("a: 1"), tc.into), tc.want)
	}
	assert.NoError(t, Decode("x.yaml", []byte("a: 1"), &struct{ A int }{}, Override{}))
}

func TestNearest(t *testing.T) {
	valid := []string{"way", "shot", "optimizer", "batch_norm", "lr", "k"}
	for word, want := range map[string]string{
		"wya": "way", "optimzer": "optimizer", "optim": "optimizer", "batchNorm": "batch_norm", "Shot": "shot",
		"n": "", "": "", "queries": "", "shto": "shot", "ls": "lr",
	} {
		assert.Equal(t, want, nearest(word, valid), word)
	}
	assert.Equal(t, 2, distance("kitten", "sittin"))
	assert.Equal(t, 1, distance("ab", "ba"))
}

func TestDescribe(t *testing.T) {
	byPath := map[string]Field{}
	var order []string
	c := defaults()
	for _, f := range Describe(&c) {
		byPath[f.Path] = f
		order = append(order, f.Path)
	}
	assert.Equal(t, "name seed optimizer train train.way train.shot train.rate train.clip train.decay train.augment test test.*.way test.*.shot milestones early_stop early_stop.patience limit weights tags level memory memory.slots memory.sharpness memory.sizes network note",
		strings.Join(order, " "))
	assert.Equal(t, Field{Path: "train.way", Type: "integer", Default: "5", Doc: "classes per episode", Min: "2", Max: "100"}, byPath["train.way"])
	assert.Equal(t, Field{Path: "test", Type: "list of mapping", Default: "[{way: 5, shot: 1}, {way: 20, shot: 5}]", MinLen: "1"}, byPath["test"])
	assert.Equal(t, Field{Path: "memory", Type: "section", Default: "keyvalue", Nullable: true}, byPath["memory"])
	assert.Equal(t, Field{Path: "early_stop", Type: "mapping", Nullable: true}, byPath["early_stop"])
	assert.Equal(t, "map of number", byPath["weights"].Type)
	assert.Equal(t, []string{"adam", "sgd", "rmsprop"}, byPath["optimizer"].Enum)
	assert.Nil(t, Describe(3))
	assert.Nil(t, Describe(nil))
}

func TestKindOfASection(t *testing.T) {
	override := func(text string) Override {
		o, err := ParseOverride(text)
		require.NoError(t, err)
		return o
	}
	assert.Equal(t, "copy", Parse("x", []byte("dataset: copy\n"), nil).Kind("dataset"))
	assert.Equal(t, "copy", Parse("x", []byte("dataset: {kind: copy, bits: 8}\n"), nil).Kind("dataset"))
	assert.Equal(t, "recall", Parse("x", []byte("dataset: copy\n"), nil).Set(override("dataset.kind=recall")).Kind("dataset"))
	assert.Equal(t, "recall", Parse("x", []byte("name: a\n"), nil).Set(override("dataset=recall")).Kind("dataset"))
	for _, none := range []string{"", "name: a\n", "dataset: {bits: 8}\n", "dataset: [copy]\n", "dataset: {kind: 3}\n", "- a\n", "\tbroken: ["} {
		assert.Empty(t, Parse("x", []byte(none), nil).Kind("dataset"), none)
	}
}

// The fields of embedded are promoted although its name is not exported.
type embedded struct {
	Slots int `yaml:"slots" min:"1"`
}

func TestEmbeddedStructIsInlined(t *testing.T) {
	var c struct {
		embedded `yaml:",inline"`
		Gate     float64 `yaml:"gate"`
	}
	require.NoError(t, Decode("x.yaml", []byte("slots: 3\ngate: 0.5\n"), &c))
	assert.Equal(t, 3, c.Slots)
	text, err := Encode(&c)
	require.NoError(t, err)
	assert.Equal(t, "slots: 3\ngate: 0.5\n", string(text))
	assert.ErrorContains(t, Decode("x.yaml", []byte("slots: 0\n"), &c), "x.yaml:1: slots: must be at least 1, got 0")
}
