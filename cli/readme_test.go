package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/experiments"
)

// code is what README.md and the other guides have between back quotes or indented.
var code = regexp.MustCompile("(?m)^    .*$|`[^`\n]+`")

// The commands, flags, targets and files that the guides speak of exist.
func TestTheGuidesSpeakOfWhatThereIs(t *testing.T) {
	t.Chdir("..")
	makefile, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	checked := 0
	for _, guide := range []string{"README.md", "bench/README.md", "docs/sweeps.md", "docs/results.md", "docs/weights.md", "models/README.md", "python/README.md"} {
		text, err := os.ReadFile(guide)
		require.NoError(t, err)
		for _, span := range code.FindAllString(string(text), -1) {
			span, _, _ = strings.Cut(strings.Trim(span, "` "), "#")
			if strings.Contains(span, "→") { // a drawing
				continue
			}
			words := strings.Fields(span)
			for i, w := range words {
				switch {
				case (w == "engram" || w == "bin/engram") && i+1 < len(words) && regexp.MustCompile(`^[a-z]+$`).MatchString(words[i+1]):
					cmd, _, err := newRoot(experiments.Standard(), "engram", nil, nil, nil).Find(words[i+1:])
					require.NoError(t, err, "%s: %s", guide, span)
					for _, flag := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(span, -1) {
						assert.NotNil(t, cmd.Flags().Lookup(flag[1]), "%s: %s: there is no --%s", guide, span, flag[1])
					}
					checked++
				case w == "make" && i+1 < len(words):
					assert.True(t, targets[words[i+1]], "%s: %s", guide, span)
					checked++
				case strings.HasPrefix(w, "experiments/") || strings.HasPrefix(w, "examples/") || strings.HasPrefix(w, "./"):
					found, err := filepath.Glob(strings.TrimSuffix(w, "/..."))
					require.NoError(t, err)
					assert.NotEmpty(t, found, "%s: %s: there is no %s", guide, span, w)
					checked++
				}
			}
		}
	}
	assert.Greater(t, checked, 40)
}
