package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the container image copies is there, its commands are commands, and its Go is new enough.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	copied := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "COPY" || strings.HasPrefix(words[1], "--from") {
			continue
		}
		for _, source := range words[1 : len(words)-1] {
			found, err := filepath.Glob(filepath.Join("..", source))
			assert.NoError(t, err)
			assert.NotEmpty(t, found, source)
			copied++
		}
	}
	assert.Greater(t, copied, 5)
	names := map[string]bool{}
	for _, c := range newRoot(nil, "engram", nil, nil, nil).Commands() {
		names[c.Name()] = true
	}
	for _, m := range regexp.MustCompile(` engram ([a-z]+) `).FindAllStringSubmatch(string(text), -1) {
		assert.True(t, names[m[1]], m[1])
	}
	module, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	wants := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(module)
	assert.Contains(t, string(text), "golang:"+string(wants[1])+"-bookworm")
}
