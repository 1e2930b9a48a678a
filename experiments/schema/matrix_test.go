package schema

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// sortKeys sorts the keys of a mapping and of all mappings below it.
func sortKeys(n *yaml.Node) {
	for _, c := range n.Content {
		sortKeys(c)
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for range len(n.Content) {
		for i := 0; i+3 < len(n.Content); i += 2 {
			if n.Content[i].Value > n.Content[i+2].Value {
				n.Content[i], n.Content[i+1], n.Content[i+2], n.Content[i+3] = n.Content[i+2], n.Content[i+3], n.Content[i], n.Content[i+1]
			}
		}
	}
}

func TestMatrix(t *testing.T) {
	doc := Parse("x.yaml", []byte(`
name: n
matrix:
  train.way: [5, 2e1, "7"]
  memory:
    - keyvalue
    - {kind: ntm, width: 3, 'in': {a: "x: y"}}
  memory.kind: [a/b c, 'it''s']
  test: [[{way: 5}, {way: 6}], null]
`), nil)
	require.NoError(t, doc.Decode(&config{Train: train{Way: 5, Shot: 1, Rate: .5}, Test: []test{{5, 1}}, Optimizer: "adam"}), "the matrix is not decoded")
	var paths, texts, labels []string
	for _, a := range doc.Matrix() {
		paths = append(paths, a.Path)
		for _, v := range a.Values {
			texts, labels = append(texts, v.String()), append(labels, v.Label())
			assert.Equal(t, a.Path, v.Path())
			again, err := ParseOverride(v.String())
			require.NoError(t, err)
			assert.Equal(t, v.Label(), again.Label(), "its text is an override that means the same")
		}
	}
	assert.Equal(t, []string{"train.way", "memory", "memory.kind", "test"}, paths)
	assert.Equal(t, []string{
		"train.way=5", "train.way=2e1", `train.way="7"`, "memory=keyvalue", `memory={kind: ntm, width: 3, in: {a: "x: y"}}`,
		"memory.kind=a/b c", `memory.kind="it's"`, "test=[{way: 5}, {way: 6}]", "test=null",
	}, texts)
	assert.Equal(t, []string{
		"5", "20", "7", "keyvalue", "ntm+width=3+in+a=x__y", "a_b_c", "it_s", "way=5+way=6", "null",
	}, labels)
	long := Override{value: &yaml.Node{Kind: yaml.ScalarNode, Value: strings.Repeat("long", 50)}}
	assert.Len(t, long.Label(), 60)
}

// A matrix is merged with the base's like any mapping.
func TestMatrixOfABase(t *testing.T) {
	const base = "matrix: {train.way: [5, 6], seed: [1, 2]}\n"
	axes := func(own string) (out []string) {
		for _, a := range Parse("x.yaml", []byte("base: b.yaml\n"+own), files(map[string]string{"b.yaml": base})).Matrix() {
			for _, v := range a.Values {
				out = append(out, v.String())
			}
		}
		return out
	}
	assert.Equal(t, []string{"train.way=5", "train.way=6", "seed=3", "train.shot=1"}, axes("matrix: {seed: [3], train.shot: [1]}\n"))
	assert.Len(t, axes("name: n\n"), 4)
	assert.Empty(t, axes("matrix: null\n"))
}

func TestErrorsInAMatrix(t *testing.T) {
	const n = "name: n\n"
	for text, want := range map[string]string{
		n + "matrix: 5\n":                         `x.yaml:2: matrix: want a mapping of keys to lists of values, as in {train.way: [5, 20]}, got the number 5`,
		n + "matrix:\n":                           `x.yaml:2: matrix: want a mapping of keys to lists of values, as in {train.way: [5, 20]}, got nothing`,
		n + "matrix: [train.way]\n":               `x.yaml:2: matrix: want a mapping of keys to lists of values, as in {train.way: [5, 20]}, got a list`,
		n + "matrix:\n  seed: []\n":               `x.yaml:3: matrix: seed: has no values (give some, or leave the key out)`,
		n + "matrix:\n  seed:\n":                  `x.yaml:3: matrix: seed: has no values (give some, or leave the key out)`,
		n + "matrix:\n  seed: 5\n":                `x.yaml:3: matrix: seed: want a list of values, got the number 5 (write [5])`,
		n + "matrix:\n  train:\n    way: [5]\n":   `x.yaml:3: matrix: train: want a list of values, got a mapping (a nested key is written with a dot, as in train.way: [5, 20])`,
		n + "matrix:\n  seed:\n    - 1\n    -\n":  `x.yaml:5: matrix: seed: a value is missing (write null for none)`,
		n + "matrix:\n  train..way: [5]\n":        `x.yaml:3: matrix: train..way: is not a path (want key.key, as in train.way)`,
		n + "matrix:\n  base: [b.yaml]\n":         `x.yaml:3: matrix: base: belongs to the file and cannot vary`,
		n + "matrix:\n  seed: [1]\n  seed: [2]\n": `x.yaml:4: matrix.seed: duplicate key "seed", first given on line 3 (keep one)`,
		n + "matrix:\n  seed: [&a 1]\n":           `x.yaml:3: matrix.seed.0: the anchor &a is not supported (write the value out, or put text that starts with & in quotes)`,
	} {
		c := defaults()
		assert.EqualError(t, Parse("x.yaml", []byte(text), nil).Decode(&c), want, text)
	}
	_, err := load(t, n+"matrix:\n  seed: [1]\n")
	assert.EqualError(t, err, `x.yaml:3: matrix: makes several runs, but one is wanted here (leave it out)`)
	_, err = load(t, n, "matrix.seed=[1]")
	assert.EqualError(t, err, `--set matrix.seed=[1]: matrix belongs to the file and cannot be set`)

	// Errors of a value, and of an axis's key, name the line where it is written.
	doc := Parse("x.yaml", []byte(n+"matrix:\n  train.way:\n    - 5\n    - 1\n  trian.way: [5]\n  train.way.x: [1]\n"), nil)
	axes := doc.Matrix()
	for i, want := range []string{
		`x.yaml:5: train.way: must be at least 2, got 1`,
		`x.yaml:6: unknown key "trian"; did you mean "train"? valid keys: ` + allKeys,
		`x.yaml:7: train.way: want an integer, got a mapping`,
	} {
		c := defaults()
		values := axes[i].Values
		assert.EqualError(t, doc.Set(values[len(values)-1]).Decode(&c), want)
	}
	assert.EqualError(t, axes[0].Errorf("is %d", 5), "x.yaml:3: matrix: train.way: is 5")
	assert.EqualError(t, axes[0].Values[1].Errorf("is %d", 5), "x.yaml:5: train.way: is 5")
}
