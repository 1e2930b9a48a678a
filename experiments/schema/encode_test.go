package schema

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEncode(t *testing.T) {
	c, err := load(t, "name: 'on'\nmemory: {sharpness: 1e-5}\nnetwork: {kind: foo, a: [1, 'x: y'], b: {c: 010, d: }} # unread\ntrain: {clip: -.inf}\nnote: \"a\\nb\"")
	require.NoError(t, err)
	out, err := Encode(c)
	require.NoError(t, err)
	want := `name: "on"
seed: 0
optimizer: adam
train:
  way: 5
  shot: 1
  rate: 0.001
  clip: -.inf
  decay: 0
  augment: false
test:
  - way: 5
    shot: 1
  - way: 20
    shot: 5
milestones: []
early_stop: null
limit: null
weights:
  one: 1
  two: 2
tags: []
level: low
memory:
  kind: keyvalue
  slots: 64
  sharpness: 1.0e-05
  sizes: [1, 2]
network:
  kind: foo
  a: [1, "x: y"]
  b:
    c: 010
    d:
note: "a\nb"
`
	assert.Equal(t, want, string(out))
	var again config
	require.NoError(t, Decode("y", out, &again))
	out, err = Encode(&again)
	require.NoError(t, err)
	assert.Equal(t, want, string(out))
}

func TestEncodeErrors(t *testing.T) {
	type text struct{ A string }
	_, err := Encode(3)
	assert.EqualError(t, err, "schema: want a struct to encode, got int")
	_, err = Encode(nil)
	assert.EqualError(t, err, "schema: want a struct to encode, got <nil>")
	_, err = Encode(text{"\xff"})
	assert.EqualError(t, err, "schema: a: the text is not valid UTF-8")
	_, err = Encode(struct{ S Section }{NewSection("k", 3)})
	assert.EqualError(t, err, "schema: s: a section's values must be a struct, not int")
	type ring struct{ Next *ring }
	r := &ring{}
	r.Next = r
	_, err = Encode(r)
	assert.ErrorContains(t, err, "nested more than 64 levels deep")
}

func randomText(r *rand.Rand) string {
	pool := []rune("abn0169._-:#'\"\\ \t\n\r\u0085\u2028\ufeffé界\x00\x7f~*&!%@`{}[],|>?=<")
	words := []string{"null", "true", "yes", "1e5", "0x1f", "010", ".nan", "2024-01-01", "<<", "=", "~", "1:30", "---", "...", "- a", "? b", "a: b", " x", "x ", "_1", "1_000"}
	if r.IntN(3) == 0 {
		return words[r.IntN(len(words))]
	}
	s := make([]rune, r.IntN(12))
	for i := range s {
		s[i] = pool[r.IntN(len(pool))]
	}
	return string(s)
}

func randomFloat(r *rand.Rand) float64 {
	for {
		if f := math.Float64frombits(r.Uint64()); isFinite(f) {
			return f
		}
	}
}

func randomConfig(r *rand.Rand) config {
	c := config{
		Name: randomText(r), Seed: r.Uint64() >> r.IntN(64), Optimizer: []string{"adam", "sgd"}[r.IntN(2)],
		Train:  train{Way: 2 + r.IntN(49), Shot: int8(1 + r.IntN(127)), Rate: 1e-9 + r.Float64()*0.9, Clip: float32(r.NormFloat64() * 1e20), Decay: -r.Float32(), Augment: r.IntN(2) == 0},
		Test:   []test{{Way: 2 + r.IntN(9), Shot: 1}},
		Level:  level{1 + r.IntN(2)},
		Common: common{Note: randomText(r)},
	}
	for range r.IntN(3) {
		c.Test = append(c.Test, test{Way: 2 + r.IntN(1<<40), Shot: 1 + r.IntN(3)})
		c.Steps = append(c.Steps, 1+r.IntN(math.MaxInt))
		c.Tags = append(c.Tags, []string{"a", "b"}[r.IntN(2)])
	}
	if r.IntN(2) == 0 {
		c.Stop = &stop{1 + r.IntN(9)}
		n := int(r.Uint64())
		c.Limit = &n
		c.Weights = map[string]float64{randomText(r): math.Abs(randomFloat(r)), randomText(r): 0}
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		c := randomConfig(r)
		m := matching{Width: 1 + r.IntN(9), Memory: NewSection("keyvalue", &keyvalue{Slots: 1 + r.IntN(9), Sharp: randomFloat(r)})}
		c.Network = NewSection("matching", nil)
		c.Network.Resolve(&m)
		out, err := Encode(c)
		require.NoError(t, err)
		into := defaults()
		require.NoError(t, Decode("x", out, &into), "%s", out)

		var m2 matching
		require.NoError(t, into.Network.Decode(&m2))
		var kv keyvalue
		require.NoError(t, m2.Memory.Decode(&kv))
		want, _ := m.Memory.value.(*keyvalue)
		assert.Equal(t, *want, kv)
		again, err := Encode(into)
		require.NoError(t, err)
		assert.Equal(t, string(out), string(again))
		m2.Memory, m.Memory = Section{}, Section{}
		assert.Equal(t, m, m2)
		into.Network, into.Memory, c.Network, c.Memory = Section{}, Section{}, Section{}, Section{}
		require.Equal(t, c, into, "%s", out)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range malformed() {
		if len(m.text) < 1000 { // large seeds starve the others
			f.Add(m.text, "train.way=3")
		}
	}
	f.Add("name: n\nmemory: keyvalue\nnetwork: {kind: matching, memory: {kind: keyvalue, slots: 3}}", "network.memory.slots=4")
	f.Add("name: n\ntest: [{way: 3}]\nweights: {a: 1}", "test.0.way=9")
	f.Fuzz(func(t *testing.T, text, set string) {
		c := defaults()
		var over []Override
		if o, err := ParseOverride(set); err == nil {
			over = append(over, o)
		} else if err.Error() == "" {
			t.Fatal("an error without a text")
		}
		if err := Decode("x", []byte(text), &c, over...); err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a text")
			}
			return
		}
		if err := c.Memory.Decode(new(keyvalue)); err != nil && c.Memory.Kind() == "keyvalue" {
			return
		}
		m := matching{Width: 1}
		if c.Network.Decode(&m) == nil {
			_ = m.Memory.Decode(new(keyvalue))
		}
		out, err := Encode(c)
		if err != nil {
			t.Fatalf("%v\n%q", err, text)
		}
		again := defaults()
		if err := Decode("y", out, &again); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out2, err := Encode(again)
		if err != nil || string(out) != string(out2) {
			t.Fatalf("%v\n%s\n%s", err, out, out2)
		}
	})
}
