package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestColoursOnlyWhereTheyBelong(t *testing.T) {
	env := func(vars map[string]string) func(string) string { return func(k string) string { return vars[k] } }
	assert.Equal(t, "\x1b[31mx\x1b[0m", newStyle(true, env(nil)).bad("x"))
	assert.Equal(t, "\x1b[32mx\x1b[0m", newStyle(true, env(map[string]string{"NO_COLOR": "", "TERM": "xterm"})).good("x"))
	assert.Equal(t, "x", newStyle(false, env(nil)).bad("x"))
	assert.Equal(t, "x", newStyle(true, env(map[string]string{"NO_COLOR": "1"})).bad("x"))
	assert.Equal(t, "x", newStyle(true, env(map[string]string{"TERM": "dumb"})).bad("x"))
}
