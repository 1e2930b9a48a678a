package pickle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

// pixels are those of the arrays in testdata.
func pixels() []byte {
	b := make([]byte, 24)
	for i := range b {
		b[i] = byte(i)
	}
	copy(b, []byte{0, 10, 255})
	return b
}

// The files were written by Python's pickle with NumPy; those of Python 2 as CIFAR-100 and the usual few-shot pickles are.
func TestLoadReadsWhatPythonWrites(t *testing.T) {
	for _, name := range []string{"protocol0", "protocol1", "protocol2", "protocol3", "protocol4", "protocol5", "python2"} {
		v, err := Load(read(t, name+".pickle"))
		require.NoError(t, err, name)
		d := v.(*Dict)
		data, _ := d.Get("data")
		assert.Equal(t, &Array{"|u1", []int{2, 2, 2, 3}, false, pixels()}, data, name)
		labels, _ := d.Get("labels")
		ints, ok := Ints(labels)
		assert.True(t, ok, name)
		assert.Equal(t, []int{3, 70000, -1}, ints, name)
		if name == "python2" {
			continue
		}
		wide, _ := d.Get("wide")
		ints, ok = Ints(wide)
		assert.True(t, ok, name)
		assert.Equal(t, []int{1, -2}, ints, name)
		scalars, _ := d.Get("scalars")
		ints, ok = Ints(scalars)
		assert.True(t, ok, name)
		assert.Equal(t, []int{3, -4}, ints, name)
		classes, _ := d.Get("class_dict")
		got := map[string]any{}
		classes.(*Dict).All(func(key string, value any) { got[key] = value })
		assert.Equal(t, map[string]any{"n01": &List{[]any{int64(0), int64(1)}}, "é": Tuple{int64(1), 2.5, nil, true}}, got, name)
		big, _ := d.Get("big")
		assert.Equal(t, int64(1<<40), big, name)
		raw, _ := d.Get("bytes")
		assert.Equal(t, Bytes{0, 255}, raw, name)
	}
	v, err := Load(read(t, "python2-protocol0.pickle"))
	require.NoError(t, err)
	data, _ := v.(*Dict).Get("data")
	assert.Equal(t, Bytes("\x00\n'\\\xff"), data)
	labels, _ := v.(*Dict).Get("it's")
	ints, _ := Ints(labels)
	assert.Equal(t, []int{3, 70000, -1}, ints)
}

func TestLoadCopiesNoArray(t *testing.T) {
	file := read(t, "python2.pickle")
	v, err := Load(file)
	require.NoError(t, err)
	data, _ := v.(*Dict).Get("data")
	at := bytes.Index(file, pixels())
	assert.Same(t, &file[at], &data.(*Array).Data[0])
}

func TestLoadRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"cos\nsystem\n(S'echo'\ntR.":             "it calls os.system",
		"c__builtin__\neval\n(S'1'\ntR.":         "it calls __builtin__.eval",
		"\x80\x02cnumpy\nndarray\nK\x00\x85R.":   "it calls numpy.ndarray",
		"c_codecs\nencode\n(S'a'\nS'rot13'\ntR.": "it is damaged",
		"\x80\x02]":                              "it is cut off",
		"U\x05abc":                               "it is cut off",
		"T\xff\xff\xff\xff":                      "it is cut off",
		"P1\n.":                                  "it has the operation 0x50",
		"(.":                                     "",
		"a.":                                     "it is damaged",
		"]]u.":                                   "it is damaged",
		"h\x05.":                                 "it is damaged",
		"t.":                                     "it is damaged",
		"NR.":                                    "it is damaged",
		"N)b.":                                   "it is damaged",
		"..":                                     "it is damaged",
		"S'a\n.":                                 "it is damaged",
		"S'\\x0'\n.":                             "it is damaged",
		"V\\u00\n.":                              "it is damaged",
		strings.Repeat("N0", 5<<20):              "more than 8388608 operations",
	} {
		_, err := Load([]byte(text))
		if says != "" {
			assert.ErrorContains(t, err, says, "%.20q", text)
		}
	}
	// An array whose shape does not go with its data.
	file := read(t, "python2.pickle")
	for _, from := range []string{"K\x02K\x02K\x02K\x03t", "T\x18\x00\x00\x00"} {
		at := bytes.Index(file, []byte(from))
		changed := bytes.Clone(file)
		changed[at+1]++
		_, err := Load(changed)
		assert.Error(t, err)
	}
}

// A damaged pickle is an error or another value, and never a panic.
func TestLoadSurvivesDamage(t *testing.T) {
	for _, name := range []string{"protocol0", "protocol2", "protocol4", "protocol5", "python2"} {
		file := read(t, name+".pickle")
		for n := range file {
			_, err := Load(file[:n])
			assert.Error(t, err)
			for _, change := range []byte{1, 0x80, 0xff} {
				changed := bytes.Clone(file)
				changed[n] ^= change
				_, _ = Load(changed)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"protocol0", "protocol2", "protocol5", "python2"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".pickle"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = Load(b) })
}
