package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCounts(t *testing.T) {
	assert.Equal(t, "1 run", countOf(1, "run"))
	assert.Equal(t, "0 runs", countOf(0, "run"))
	assert.Equal(t, "1 query", countOf(1, "query"))
	assert.Equal(t, "15 queries", countOf(15, "query"))
	assert.Equal(t, "2 classes", countOf(int64(2), "class"))
}

func TestColoursOnlyWhereTheyBelong(t *testing.T) {
	env := func(vars map[string]string) func(string) string { return func(k string) string { return vars[k] } }
	assert.Equal(t, "\x1b[31mx\x1b[0m", newStyle(true, env(nil)).bad("x"))
	assert.Equal(t, "\x1b[32mx\x1b[0m", newStyle(true, env(map[string]string{"NO_COLOR": "", "TERM": "xterm"})).good("x"))
	assert.Equal(t, "x", newStyle(false, env(nil)).bad("x"))
	assert.Equal(t, "x", newStyle(true, env(map[string]string{"NO_COLOR": "1"})).bad("x"))
	assert.Equal(t, "x", newStyle(true, env(map[string]string{"TERM": "dumb"})).bad("x"))
}
