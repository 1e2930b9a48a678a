package schema

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersionDirectives(t *testing.T) {
	for _, head := range []string{"%YAML 1.2\n---\n", "%YAML 1.1\n---\n", "# mine\n\n%YAML  1.2 # new\r\n---\n", "\xef\xbb\xbf%YAML 1.2\n---\n"} {
		var s struct {
			Note string `yaml:"note"`
		}
		require.NoError(t, Decode("x.yaml", []byte(head+"note: |\n  %YAML 1.3\n"), &s), head)
		assert.Equal(t, "%YAML 1.3\n", s.Note, "only what stands before the document is a directive")
		err := Decode("x.yaml", []byte("%YAML 1.2\n---\nnote: a\nnope: b\n"), &s)
		assert.ErrorContains(t, err, "x.yaml:4: unknown key", "lines stay what they are")
	}
	var s struct{}
	assert.EqualError(t, Decode("x.yaml", []byte("%YAML 2.0\n---\n{}\n"), &s), "x.yaml:1: not valid YAML: this version of YAML is not read (leave the line out, or write %YAML 1.2)")
}
