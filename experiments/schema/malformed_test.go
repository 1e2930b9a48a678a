package schema

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

type mistake struct{ name, text, want string }

// allKeys replaces ALL in the table.
const allKeys = "name, seed, optimizer, train, test, milestones, early_stop, limit, weights, tags, level, memory, network, note"

// malformed returns every kind of mistake with its whole message.
func malformed() []mistake {
	const n = "name: n\n"
	return []mistake{
		{"integer from text", n + "train: {way: five}", `x.yaml:2: train.way: want an integer, got the text "five"`},
		{"integer from quoted", n + "train: {way: \"5\"}", `x.yaml:2: train.way: want an integer, got the text "5" (remove the quotes)`},
		{"integer from list", n + "train:\n  way: [5]", `x.yaml:3: train.way: want an integer, got a list`},
		{"integer from mapping", n + "train:\n  way: {a: 5}", `x.yaml:3: train.way: want an integer, got a mapping`},
		{"integer from bool", n + "seed: true", `x.yaml:2: seed: want an integer, got true`},
		{"integer from nothing", n + "seed:", `x.yaml:2: seed: want an integer, got nothing (remove the key for the default)`},
		{"integer from null", n + "seed: null", `x.yaml:2: seed: want an integer, got null (remove the key for the default)`},
		{"integer from fraction", n + "train: {way: 2.5}", `x.yaml:2: train.way: want an integer, got the number 2.5`},
		{"integer from infinity", n + "seed: .inf", `x.yaml:2: seed: want an integer, got the number .inf`},
		{"integer from tiny", n + "seed: 1e-999999999", `x.yaml:2: seed: want an integer, got the number 1e-999999999`},
		{"leading zero", n + "seed: 007", `x.yaml:2: seed: a number must not start with 0, got 007 (write 7)`},
		{"too small", n + "train: {way: 1}", `x.yaml:2: train.way: must be at least 2, got 1`},
		{"too large", n + "train: {way: 1_000}", `x.yaml:2: train.way: must be at most 100, got 1000`},
		{"int8 overflow", n + "train: {shot: 300}", `x.yaml:2: train.shot: must be at most 127, got 300`},
		{"uint64 overflow", n + "seed: 18446744073709551616", `x.yaml:2: seed: must be at most 18446744073709551615, got 18446744073709551616`},
		{"huge exponent", n + "seed: 1e999999999", `x.yaml:2: seed: must be at most 18446744073709551615, got 1e999999999`},
		{"long fraction", n + "seed: 0." + strings.Repeat("9", 500), "x.yaml:2: seed: want an integer, got the number 0." + strings.Repeat("9", 57) + "…"},
		{"long integer", n + "seed: -" + strings.Repeat("9", 500), "x.yaml:2: seed: must be at least 0, got -" + strings.Repeat("9", 58) + "…"},
		{"negative seed", n + "seed: -1", `x.yaml:2: seed: must be at least 0, got -1`},
		{"float from text", n + "train: {rate: fast}", `x.yaml:2: train.rate: want a number, got the text "fast"`},
		{"float nan", n + "train: {rate: .nan}", `x.yaml:2: train.rate: must be a finite number, got .nan`},
		{"float inf", n + "train: {rate: -.inf}", `x.yaml:2: train.rate: must be a finite number, got -.inf`},
		{"float not above", n + "train: {rate: 0}", `x.yaml:2: train.rate: must be above 0, got 0`},
		{"float not below", n + "train: {rate: 1.0}", `x.yaml:2: train.rate: must be below 1, got 1`},
		{"float32 max", n + "train: {decay: 0.2}", `x.yaml:2: train.decay: must be at most 0.1, got 0.2`},
		{"float32 overflow", n + "train: {decay: -1e39}", `x.yaml:2: train.decay: -1e39 is too large for a 32-bit number`},
		{"float too large", n + "train: {rate: 1e400}", `x.yaml:2: train.rate: 1e400 is too large for a 64-bit number`},
		{"float too small", n + "train: {rate: 1e-400}", `x.yaml:2: train.rate: 1e-400 is too small for a 64-bit number`},
		{"bool yes", n + "train: {augment: yes}", `x.yaml:2: train.augment: want true or false, got the text "yes" (write true)`},
		{"bool number", n + "train: {augment: 1}", `x.yaml:2: train.augment: want true or false, got the number 1`},
		{"text from number", n + "note: 5", `x.yaml:2: note: want text, got the number 5 (put it in quotes: "5")`},
		{"text from bool", n + "note: true", `x.yaml:2: note: want text, got true (put it in quotes: "true")`},
		{"text from null", n + "note: ~", `x.yaml:2: note: want text, got ~ (remove the key for the default)`},
		{"text from list", n + "note: [a]", `x.yaml:2: note: want text, got a list`},
		{"unknown key", n + "optimzer: sgd", `x.yaml:2: unknown key "optimzer"; did you mean "optimizer"? valid keys: ALL`},
		{"unknown nested key", n + "train:\n  wya: 5", `x.yaml:3: train: unknown key "wya"; did you mean "way"? valid keys: way, shot, rate, clip, decay, augment`},
		{"unknown far key", n + "colour: red", `x.yaml:2: unknown key "colour"; valid keys: ALL`},
		{"key of elsewhere", n + "shot: 5", `x.yaml:2: unknown key "shot"; did you mean "train.shot"? valid keys: ALL`},
		{"key of two places", n + "way: 5", `x.yaml:2: unknown key "way"; did you mean "train.way"? valid keys: ALL`},
		{"enum near", n + "optimizer: Adm", `x.yaml:2: optimizer: unknown value "Adm"; did you mean "adam"? valid values: adam, sgd, rmsprop`},
		{"enum far", n + "optimizer: lion", `x.yaml:2: optimizer: unknown value "lion"; valid values: adam, sgd, rmsprop`},
		{"enum in list", n + "tags: [a, c]", `x.yaml:2: tags.1: unknown value "c"; valid values: a, b`},
		{"duplicate key", n + "seed: 1\nseed: 2", `x.yaml:3: seed: duplicate key "seed", first given on line 2 (keep one)`},
		{"duplicate nested key", n + "train:\n  way: 5\n  shot: 1\n  way: 6", `x.yaml:5: train.way: duplicate key "way", first given on line 3 (keep one)`},
		{"list from scalar", n + "milestones: 5", `x.yaml:2: milestones: want a list, got the number 5 (write [5])`},
		{"list from mapping", n + "milestones: {a: 5}", `x.yaml:2: milestones: want a list, got a mapping (start each element with "- ")`},
		{"list from nothing", n + "milestones:", `x.yaml:2: milestones: want a list, got nothing (write [] for an empty one, or remove the key for the default)`},
		{"list element", n + "milestones:\n  - 1\n  - two\n  - 0", `
x.yaml:4: milestones.1: want an integer, got the text "two"
x.yaml:5: milestones.2: must be at least 1, got 0`},
		{"list too short", n + "test: []", `x.yaml:2: test: must have at least 1 element, got 0`},
		{"struct in list", n + "test:\n  - way: 1\n  - shot: x\n    wya: 3\n  - 5", `
x.yaml:3: test.0.way: must be at least 2, got 1
x.yaml:4: test.1.shot: want an integer, got the text "x"
x.yaml:5: test.1: unknown key "wya"; did you mean "way"? valid keys: way, shot
x.yaml:6: test.2: want a mapping of keys to values, got the number 5 (valid keys: way, shot)`},
		{"struct from scalar", n + "train: 5", `x.yaml:2: train: want a mapping of keys to values, got the number 5 (valid keys: way, shot, rate, clip, decay, augment)`},
		{"struct from list", n + "train: [5]", `x.yaml:2: train: want a mapping of keys to values, got a list (valid keys: way, shot, rate, clip, decay, augment)`},
		{"struct from null", n + "train: null", `x.yaml:2: train: want a mapping of keys to values, got null (valid keys: way, shot, rate, clip, decay, augment)`},
		{"pointer from nothing", n + "early_stop:", `x.yaml:2: early_stop: want a mapping of keys to values, got nothing (write null for none, or {} for the defaults)`},
		{"pointer to int from nothing", n + "limit:", `x.yaml:2: limit: want an integer, got nothing (write null for none, or remove the key for the default)`},
		{"pointer default", n + "early_stop: {}", `x.yaml:2: early_stop.patience: missing, and must be at least 1 (its default is 0)`},
		{"map from list", n + "weights: [1]", `x.yaml:2: weights: want a mapping of names to values, got a list`},
		{"map from nothing", n + "weights:", `x.yaml:2: weights: want a mapping of names to values, got nothing (write {} for an empty one, or remove the key for the default)`},
		{"map element", n + "weights: {a: 1, b: -1, c: x, a.b: .nan}", `
x.yaml:2: weights.b: must be at least 0, got -1
x.yaml:2: weights.c: want a number, got the text "x"
x.yaml:2: weights."a.b": must be a finite number, got .nan`},
		{"text unmarshaler", n + "level: middle", `x.yaml:2: level: want low or high, got "middle"`},
		{"text unmarshaler list", n + "level: [low]", `x.yaml:2: level: want text, got a list`},
		{"validate at field", n + "train:\n  way: 60\n  shot: 60", `x.yaml:4: train.shot: too many images with so many classes`},
		{"section from number", n + "memory: 5", `x.yaml:2: memory: want a kind, or a mapping with the key "kind", got the number 5`},
		{"section from list", n + "memory: [keyvalue]", `x.yaml:2: memory: want a kind, or a mapping with the key "kind", got a list`},
		{"section without kind", n + "network: {slots: 3}", `x.yaml:2: network: missing key "kind"`},
		{"section empty", n + "network:", `x.yaml:2: network: want a kind, or a mapping with the key "kind", got nothing (write null for none)`},
		{"section kind number", n + "network: {kind: 5}", `x.yaml:2: network.kind: want the name of a kind, got the number 5 (put it in quotes: "5")`},
		{"section kind list", n + "network:\n  kind: [a]", `x.yaml:3: network.kind: want the name of a kind, got a list`},
		{"anchor and alias", n + "train: &t {way: 5}\nearly_stop: *t", `
x.yaml:2: train: the anchor &t is not supported (write the value out, or put text that starts with & in quotes)
x.yaml:3: early_stop: the alias *t is not supported (write the value out, or put text that starts with * in quotes)`},
		{"alias bomb", n + "a: &a [x]\nb: &b [*a, *a]", `
x.yaml:2: a: the anchor &a is not supported (write the value out, or put text that starts with & in quotes)
x.yaml:2: unknown key "a"; valid keys: ALL
x.yaml:3: b: the anchor &b is not supported (write the value out, or put text that starts with & in quotes)
x.yaml:3: b.0: the alias *a is not supported (write the value out, or put text that starts with * in quotes)
x.yaml:3: b.1: the alias *a is not supported (write the value out, or put text that starts with * in quotes)
x.yaml:3: unknown key "b"; valid keys: ALL`},
		{"cyclic alias", n + "train: &t {way: *t}", `
x.yaml:2: train: the anchor &t is not supported (write the value out, or put text that starts with & in quotes)
x.yaml:2: train.way: the alias *t is not supported (write the value out, or put text that starts with * in quotes)`},
		{"unknown alias", n + "note: *.png", `x.yaml:2: not valid YAML: a text that starts with & or * needs quotes`},
		{"merge key", n + "train:\n  <<: {way: 5}", `x.yaml:3: train: merge keys (<<) are not supported (write the keys out)`},
		{"tag", n + "seed: !!int 5", `x.yaml:2: seed: tags such as !!int are not supported (write the plain value)`},
		{"list as key", n + "[1, 2]: 3", `x.yaml:2: a key must be a plain word, got a list`},
		{"null key", n + "~: 3", `x.yaml:2: a key must be a plain word, got ~`},
		{"empty key", n + "train:\n  : 3", `x.yaml:3: not valid YAML: the indentation does not fit the lines above, or there is text after a closing quote or bracket`},
		{"several", n + "sed: 1\ntrain:\n  way: 1\n  rate: x\ntest: 3\nseed: -1", `
x.yaml:2: unknown key "sed"; did you mean "seed"? valid keys: ALL
x.yaml:4: train.way: must be at least 2, got 1
x.yaml:5: train.rate: want a number, got the text "x"
x.yaml:6: test: want a list, got the number 3 (write [3])
x.yaml:7: seed: must be at least 0, got -1`},
		{"tab", n + "train:\n\tway: 5", `x.yaml:3: not valid YAML: a tab in the indentation (use spaces)`},
		{"tab in nested", n + "train:\n  way: 5\n\tshot: 1", `x.yaml:4: not valid YAML: a tab in the indentation (use spaces)`},
		{"colon in text", n + "note: a: b", `x.yaml:2: not valid YAML: ":" is not expected here (check the indentation, or put text that contains ": " in quotes)`},
		{"bad indentation", n + "train:\n    way: 5\n  shot: 1", `x.yaml:4: not valid YAML: the indentation does not fit the lines above, or there is text after a closing quote or bracket`},
		{"no colon", n + "seed 5", `x.yaml:2: not valid YAML: "key: value" is expected here, but there is no ": "`},
		{"open list", n + "milestones: [1, 2\nseed: 3\n", `x.yaml:2: not valid YAML: a list "[" is not closed, or a comma is missing`},
		{"open mapping", n + "train: {way: 5\nseed: 3\n", `x.yaml:2: not valid YAML: a mapping "{" is not closed, or a comma is missing`},
		{"open quote", n + "note: \"abc\nseed: 3\n", `x.yaml:2: not valid YAML: a quoted text is not closed`},
		{"after quote", n + "note: \"abc\" def\nseed: 3\n", `x.yaml:2: not valid YAML: the indentation does not fit the lines above, or there is text after a closing quote or bracket`},
		{"list among keys", n + "test:\n  - way: 5\n  shot: 3", `x.yaml:4: not valid YAML: a list item is expected here (start it with "- ", indented like the others)`},
		{"at sign", n + "note: @home", `x.yaml:2: not valid YAML: a value cannot start with this character (put it in quotes)`},
		{"control character", n + "note: a\x01b", `x.yaml:2: not valid YAML: control characters are not allowed`},
		{"second document", n + "---\nname: m", `x.yaml:2: a second document starts here (keep one per file, without "---")`},
		{"empty file", "", `x.yaml:1: the file is empty (valid keys: ALL)`},
		{"only comments", "# nothing\n\n", `x.yaml:1: the file is empty (valid keys: ALL)`},
		{"only a marker", "---\n", `x.yaml:2: the file is empty (valid keys: ALL)`},
		{"null file", "null", `x.yaml:1: the file is empty (valid keys: ALL)`},
		{"list file", "- 1\n- 2", `x.yaml:1: want a mapping of keys to values, got a list (valid keys: ALL)`},
		{"text file", "hello", `x.yaml:1: want a mapping of keys to values, got the text "hello" (valid keys: ALL)`},
		{"missing required", "seed: 5", `x.yaml:1: missing key "name" (the run's name)`},
		{"latin-1", "name: n\nnote: caf\xe9", `x.yaml:2: not valid UTF-8 (save the file as UTF-8)`},
		{"utf-16", "\xff\xfen\x00", `x.yaml:1: not valid UTF-8 (save the file as UTF-8)`},
		{"too big", strings.Repeat("# x\n", 1<<18) + n, `x.yaml:1: the file has 1048584 bytes (at most 1048576 are read)`},
		{"too deep", n + "note: " + strings.Repeat("[", 80) + strings.Repeat("]", 80), `x.yaml:2: nested more than 64 levels deep`},
		{"hopelessly deep", n + "note: " + strings.Repeat("[", 20000), `x.yaml:2: not valid YAML: exceeded max depth of 10000`},
		{"very long key", n + strings.Repeat("k", 1000) + ": 1", `x.yaml:2: unknown key "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk…"; valid keys: ALL`},
	}
}

func TestMalformed(t *testing.T) {
	for _, m := range malformed() {
		t.Run(m.name, func(t *testing.T) {
			_, err := load(t, m.text)
			assert.EqualError(t, err, strings.ReplaceAll(strings.TrimPrefix(m.want, "\n"), "ALL", allKeys))
		})
	}
}

// Nothing grows faster than the text.
func TestHostileSize(t *testing.T) {
	for _, text := range []string{
		"note: " + strings.Repeat("[", 1<<19),
		strings.Repeat("{a: ", 9000),
		"seed: " + strings.Repeat("9", 1<<19),
		"train: {rate: 0." + strings.Repeat("9", 1<<19) + "e}",
		"a: &a 1\nb: [" + strings.Repeat("*a,", 1<<15) + "]",
		strings.Repeat("a:\n", 1<<15),
		"tags: [" + strings.Repeat("x,\n", 1<<15) + "}",
		"note: \"" + strings.Repeat("x\n", 1<<15),
	} {
		_, err := load(t, text)
		assert.Error(t, err)
		assert.Less(t, len(err.Error()), 100_000)
	}
}

func TestMalformedOverrides(t *testing.T) {
	const file = "name: n\ntest: [{way: 3}]\nmilestones: []\nmemory: keyvalue\nlimit: 3"
	for set, want := range map[string]string{
		"train.wya=20":          `--set train.wya=20: unknown key "wya"; did you mean "way"? valid keys: way, shot, rate, clip, decay, augment`,
		"trian.way=20":          `--set trian.way=20: unknown key "trian"; did you mean "train"? valid keys: ALL`,
		"train.way=five":        `--set train.way=five: want an integer, got the text "five"`,
		"train.way=":            `--set train.way=: want an integer, got nothing (remove the key for the default)`,
		"train.way=1":           `--set train.way=1: must be at least 2, got 1`,
		"train.way.x=1":         `--set train.way.x=1: want an integer, got a mapping`,
		"limit.x=1":             `--set limit.x=1: want an integer, got a mapping`,
		"train={wya: 3}":        `--set train={wya: 3}: unknown key "wya"; did you mean "way"? valid keys: way, shot, rate, clip, decay, augment`,
		"train={way: x}":        `--set train={way: x}: train.way: want an integer, got the text "x"`,
		"test.0.wya=1":          `--set test.0.wya=1: unknown key "wya"; did you mean "way"? valid keys: way, shot`,
		"test.1.way=1":          `--set test.1.way=1: no element "1": test is a list of 1 element, numbered 0`,
		"test.way=1":            `--set test.way=1: no element "way": test is a list of 1 element, numbered 0`,
		"milestones.0=1":        `--set milestones.0=1: milestones is an empty list (set it whole, as in milestones=[...])`,
		"tags.0=a":              `--set tags.0=a: tags is an empty list (set it whole, as in tags=[...])`,
		"optimizer=adm":         `--set optimizer=adm: unknown value "adm"; did you mean "adam"? valid values: adam, sgd, rmsprop`,
		"memory=[1]":            `--set memory=[1]: want a kind, or a mapping with the key "kind", got a list`,
		"network.slots=1":       `--set network.slots=1: missing key "kind"`,
		"early_stop.patience=0": `--set early_stop.patience=0: must be at least 1, got 0`,
	} {
		_, err := load(t, file, set)
		assert.EqualError(t, err, strings.ReplaceAll(want, "ALL", allKeys))
	}
	for set, want := range map[string]string{
		"train.way":      `--set train.way: want PATH=VALUE, as in train.way=20`,
		"":               `want PATH=VALUE, as in train.way=20`,
		"=3":             `--set =3: "" is not a path (want key.key, as in train.way=20)`,
		"a..b=3":         `--set a..b=3: "a..b" is not a path (want key.key, as in train.way=20)`,
		"a=[1":           `--set a=[1: not valid YAML: a list "[" is not closed, or a comma is missing`,
		"a=#3":           `--set a=#3: a # starts a comment (put the value in quotes)`,
		"a=3 # b":        `--set a=3 # b: a # starts a comment (put the value in quotes)`,
		"a=*b":           `--set a=*b: not valid YAML: the alias *b is not supported (write the value out, or put text that starts with * in quotes)`,
		"a={b: 1, b: 2}": `--set a={b: 1, b: 2}: duplicate key "b", first given on line 1 (keep one)`,
		"a=\xff":         "--set a=\uFFFD: not valid UTF-8",
	} {
		_, err := ParseOverride(set)
		assert.EqualError(t, err, want)
	}
}
