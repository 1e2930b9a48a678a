package schema

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// files reads files from memory.
func files(texts map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		text, ok := texts[name]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

// loadOn decodes a text that may have base files.
func loadOn(t testing.TB, text string, bases map[string]string, sets ...string) (config, error) {
	t.Helper()
	c := defaults()
	var over []Override
	for _, s := range sets {
		o, err := ParseOverride(s)
		require.NoError(t, err)
		over = append(over, o)
	}
	err := Parse("x.yaml", []byte(text), files(bases)).Set(over...).Decode(&c)
	return c, err
}

// A file with a base equals the file with all keys written out.
func TestBaseIsMerged(t *testing.T) {
	const base = "name: b\nseed: 3\ntrain: {way: 7, shot: 2}\ntest: [{way: 6}, {way: 7}]\nweights: {one: 3}\n"
	for _, c := range []struct{ base, own, whole string }{
		{base, "name: n\n", strings.Replace(base, "name: b", "name: n", 1)},
		{base, "", base},
		{base, "train: {shot: 3, rate: 0.5}\n", "name: b\nseed: 3\ntrain: {way: 7, shot: 3, rate: 0.5}\ntest: [{way: 6}, {way: 7}]\nweights: {one: 3}\n"},
		{base, "train:\n", base},
		{base, "test: [{shot: 4}]\nweights: {two: 4}\n", "name: b\nseed: 3\ntrain: {way: 7, shot: 2}\ntest: [{shot: 4}]\nweights: {one: 3, two: 4}\n"},
		{"name: b\nearly_stop: {patience: 3}\n", "early_stop: null\n", "name: b\nearly_stop: null\n"},
		{"name: b\nearly_stop: null\n", "early_stop: {patience: 4}\n", "name: b\nearly_stop: {patience: 4}\n"},
		// Sections.
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory: {sharpness: 2}\n", "name: b\nmemory: {kind: keyvalue, slots: 5, sharpness: 2}\n"},
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory: {kind: keyvalue, sharpness: 2}\n", "name: b\nmemory: {kind: keyvalue, slots: 5, sharpness: 2}\n"},
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory: keyvalue\n", "name: b\nmemory: {kind: keyvalue, slots: 5}\n"},
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory: ntm\n", "name: b\nmemory: ntm\n"},
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory: {kind: ntm, width: 3}\n", "name: b\nmemory: {kind: ntm, width: 3}\n"},
		{"name: b\nmemory: ntm\n", "memory: {width: 3}\n", "name: b\nmemory: {kind: ntm, width: 3}\n"},
		{"name: b\nmemory: ntm\n", "memory: {kind: keyvalue, slots: 3}\n", "name: b\nmemory: {kind: keyvalue, slots: 3}\n"},
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory: null\n", "name: b\nmemory: null\n"},
		{"name: b\nmemory: {kind: keyvalue, slots: 5}\n", "memory:\n", "name: b\nmemory: {kind: keyvalue, slots: 5}\n"},
		{"name: b\nnetwork: {kind: m, memory: {kind: keyvalue, slots: 5}}\n", "network: {memory: {kind: ntm}}\n", "name: b\nnetwork: {kind: m, memory: {kind: ntm}}\n"},
		// Keys of a base without a kind belong to the default kind only. Without a default they wait for a kind.
		{"name: b\nmemory: {slots: 5}\n", "memory: {kind: ntm, width: 3}\n", "name: b\nmemory: {kind: ntm, width: 3}\n"},
		{"name: b\nmemory: {slots: 5}\n", "memory: ntm\n", "name: b\nmemory: ntm\n"},
		{"name: b\nmemory: {slots: 5}\n", "memory: {kind: keyvalue, sharpness: 3}\n", "name: b\nmemory: {slots: 5, sharpness: 3}\n"},
		{"name: b\nmemory: {slots: 5}\n", "memory: keyvalue\n", "name: b\nmemory: {slots: 5}\n"},
		{"name: b\nmemory: {a: {b: 1, c: 2}, d: 5}\n", "memory: {kind: ntm, a: {c: 3}}\n", "name: b\nmemory: {kind: ntm, a: {c: 3}}\n"},
		{"name: b\nnetwork: {width: 5}\n", "network: {kind: m}\n", "name: b\nnetwork: {kind: m, width: 5}\n"},
	} {
		got, err := loadOn(t, "base: b.yaml\n"+c.own, map[string]string{"b.yaml": c.base})
		require.NoError(t, err, c.own)
		want, err := load(t, c.whole)
		require.NoError(t, err, c.whole)
		assert.Equal(t, encoded(t, want), encoded(t, got), "%s over %s", c.own, c.base)
		// An override has the last word.
		got, err = loadOn(t, "base: b.yaml\n"+c.own, map[string]string{"b.yaml": c.base}, "train.way=9", "memory.sharpness=7")
		require.NoError(t, err, c.own)
		want, err = load(t, c.whole, "train.way=9", "memory.sharpness=7")
		require.NoError(t, err, c.whole)
		assert.Equal(t, encoded(t, want), encoded(t, got), "%s over %s, with overrides", c.own, c.base)
	}
}

func encoded(t *testing.T, c config) string {
	t.Helper()
	for _, s := range []*Section{&c.Memory, &c.Network} {
		if s.node != nil { // sorted, because the sections here are not decoded
			sortKeys(s.node)
		}
	}
	text, err := Encode(c)
	require.NoError(t, err)
	return string(text)
}

func TestBaseOfABase(t *testing.T) {
	texts := map[string]string{
		"d/b.yaml":   "base: ../c.yaml\nseed: 2\nmemory: {kind: keyvalue, slots: 8}\n",
		"c.yaml":     "base: /e.yaml\nname: c\nseed: 1\nmemory: {sharpness: 4}\n",
		"/e.yaml":    "note: from afar\nmemory: {slots: 9, sizes: [7]}\n",
		"unasked":    "",
		"other.yaml": "",
	}
	c, err := loadOn(t, "base: d/b.yaml\nname: n\n", texts)
	require.NoError(t, err)
	kv := keyvalue{}
	require.NoError(t, c.Memory.Decode(&kv))
	assert.Equal(t, keyvalue{8, 4, []int{7}}, kv)
	assert.Equal(t, []any{"n", uint64(2), "from afar"}, []any{c.Name, c.Seed, c.Common.Note})
	assert.Equal(t, "keyvalue", Parse("x.yaml", []byte("base: d/b.yaml\n"), files(texts)).Kind("memory"), "the kind is the merged file's")
}

// Every error names the file and the line where the mistake was written.
func TestErrorsWithABase(t *testing.T) {
	const good = "name: b\ntrain:\n  way: 5\n"
	for _, c := range []struct{ own, base, want string }{
		{"base: b.yaml\ntrain: {shot: 1}\n", "name: b\ntrain:\n  way: five\n", `b.yaml:3: train.way: want an integer, got the text "five"`},
		{"base: b.yaml\ntrain: {way: 1}\n", good, `x.yaml:2: train.way: must be at least 2, got 1`},
		{"base: b.yaml\ntrain: {wya: 7}\n", good, `x.yaml:2: train: unknown key "wya"; did you mean "way"? valid keys: way, shot, rate, clip, decay, augment`},
		{"base: b.yaml\nseed: 4\n", good + "tests: []\n", `b.yaml:4: unknown key "tests"; did you mean "test"?`},
		{"base: b.yaml\nseed: 4\n", "train: {way: 5}\n", `x.yaml:1: missing key "name"`},
		{"base: b.yaml\n", "name: b\ntest: [{way: 5}, {way: 1}]\n", `b.yaml:2: test.1.way: must be at least 2, got 1`},
		{"base: b.yaml\ntrain: {shot: 60}\n", "name: b\ntrain: {way: 60}\n", `x.yaml:2: train.shot: too many images with so many classes`},
		{"base: b.yaml\ntrain: {way: 60}\n", "name: b\ntrain: {shot: 60}\n", `b.yaml:2: train.shot: too many images with so many classes`},
		{"base: b.yaml\ntrain: fast\n", good, `x.yaml:2: train: want a mapping of keys to values, got the text "fast"`},
		{"base: b.yaml\nname: {a: 1}\n", good, `x.yaml:2: name: want text, got a mapping`},
		{"base: b.yaml\nseed: 1\nseed: 2\n", good, `x.yaml:3: seed: duplicate key "seed", first given on line 2 (keep one)`},
		{"base: b.yaml\nseed: 1\n", "name: b\nname: c\n", `b.yaml:2: name: duplicate key "name", first given on line 1 (keep one)`},
		{"base: b.yaml\n", "name: [\n", `b.yaml:1: not valid YAML: `},
		{"seed: 1\nbase: c.yaml\n", good, `x.yaml:2: base: open c.yaml: file does not exist`},
		{"base: 5\n", good, `x.yaml:1: base: want the name of a file, got the number 5`},
		{"base:\n", good, `x.yaml:1: base: want the name of a file, got nothing`},
		{"base: [b.yaml]\n", good, `x.yaml:1: base: want the name of a file, got a list`},
		{"base: b.yaml\n", "", `x.yaml:1: base: b.yaml has no keys`},
		{"base: b.yaml\n", "- a\n", `x.yaml:1: base: b.yaml has no keys`},
		{"base: b.yaml\n", "base: ./x.yaml\n", `b.yaml:1: base: the files build on one another in a cycle: x.yaml → b.yaml → x.yaml`},
		{"base: x.yaml\n", "", `x.yaml:1: base: the files build on one another in a cycle: x.yaml → x.yaml`},
	} {
		_, err := loadOn(t, c.own, map[string]string{"b.yaml": c.base})
		if assert.Error(t, err, c.own) {
			assert.Contains(t, err.Error(), c.want)
			assert.NotContains(t, err.Error(), "\n", "one mistake, one problem")
		}
	}
	_, err := loadOn(t, "base: c.yaml\n", nil)
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = load(t, "base: b.yaml\n")
	assert.EqualError(t, err, `x.yaml:1: base: this text cannot build on "b.yaml" (write the keys out)`)
	_, err = loadOn(t, "name: n\n", nil, "base=b.yaml")
	assert.EqualError(t, err, `--set base=b.yaml: base belongs to the file and cannot be set`)

	chain := map[string]string{}
	for i := range 2 * maxBases {
		chain[fmt.Sprintf("%d.yaml", i)] = fmt.Sprintf("base: %d.yaml\n", i+1)
	}
	_, err = loadOn(t, "base: 0.yaml\n", chain)
	assert.ErrorContains(t, err, "8.yaml:1: base: at most 10 files build on one another: x.yaml → 0.yaml → ")

	// The errors of both files, by file.
	_, err = loadOn(t, "base: b.yaml\n\n\n\nname: n\nsed: 1\n", map[string]string{"b.yaml": "sede: 1\ntrain: {way: 1}\n"})
	require.Error(t, err)
	assert.Regexp(t, `(?s)^b.yaml:1.*b.yaml:2.*x.yaml:6`, err.Error())
}

// For any two files, merging ends without a panic, and decoding is deterministic.
func FuzzBase(f *testing.F) {
	for _, seed := range [][2]string{
		{"name: b\ntrain: {way: 5}\nmemory: {kind: keyvalue, slots: 5}\n", "train: {shot: 3}\nmemory: ntm\n"},
		{"memory: {slots: 5, sizes: [1]}\n", "memory: {kind: ntm}\nname: n\n"},
		{"memory: keyvalue\nmatrix: {seed: [1]}\n", "memory: {slots: 4}\nmatrix: {train.way: [5, 6]}\n"},
		{"name: {kind: b}\n", "name: c\ntest: {0: {way: 5}}\n"},
		{"base: x.yaml\n", "? [a]\n: b\n<<: {}\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, base, own string) {
		doc := Parse("x.yaml", []byte("base: b.yaml\n"+own), files(map[string]string{"b.yaml": base}))
		o, err := ParseOverride("memory.slots=3")
		require.NoError(t, err)
		a, b := defaults(), defaults()
		first, second := doc.Set(o).Decode(&a), doc.Set(o).Decode(&b)
		if first != nil {
			require.EqualError(t, second, first.Error())
			return
		}
		require.NoError(t, second)
		for _, axis := range doc.Matrix() {
			for _, v := range axis.Values {
				again, err := ParseOverride(v.String())
				if err == nil {
					assert.Equal(t, v.Label(), again.Label())
				}
				c := defaults()
				_ = doc.Set(v).Decode(&c)
			}
		}
	})
}
