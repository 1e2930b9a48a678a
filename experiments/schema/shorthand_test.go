package schema

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// origin is a struct that a text may stand for.
type origin struct {
	Run   string   `yaml:"run" required:"true" minlen:"1"`
	Parts []string `yaml:"parts"`
}

func (*origin) Short() string { return "run" }

type started struct {
	From *origin `yaml:"from"`
}

func TestASingleValueStandsForAKey(t *testing.T) {
	for text, want := range map[string]*origin{
		"from: runs/x\n":                        {Run: "runs/x"},
		"from: {run: runs/x}\n":                 {Run: "runs/x"},
		"from: {run: runs/x, parts: [encoder]}": {Run: "runs/x", Parts: []string{"encoder"}},
		"from: null\n":                          nil,
	} {
		var s started
		require.NoError(t, Decode("x.yaml", []byte(text), &s), text)
		assert.Equal(t, want, s.From, text)
		encoded, err := Encode(&s)
		require.NoError(t, err)
		var again started
		require.NoError(t, Decode("x.yaml", encoded, &again))
		assert.Equal(t, s, again)
	}
	for text, want := range map[string]string{
		"from: 3\n":         "x.yaml:1: from.run: want text",
		"from: [a]\n":       "x.yaml:1: from: want a mapping of keys to values, got a list",
		"from: ''\n":        "x.yaml:1: from.run: must",
		"from: {parts: []}": `x.yaml:1: from: missing key "run"`,
	} {
		var s started
		assert.ErrorContains(t, Decode("x.yaml", []byte(text), &s), want, text)
	}
}
