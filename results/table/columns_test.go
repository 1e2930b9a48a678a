package table

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const listed = "file\tcost\twhat it is\n" +
	"experiments/a.yaml\t3 min\tNeural Turing Machine on the copy task (Graves et al. 2014, section 4.1), ± 3\n" +
	"experiments/mann-omniglot.yaml\t1.8 h\t\n"

func aligned(t *testing.T, text string, width int) string {
	t.Helper()
	var b strings.Builder
	c := NewColumns(&b, width)
	fmt.Fprint(c, text)
	require.NoError(t, c.Flush())
	return b.String()
}

// Without a bound the columns are those of text/tabwriter.
func TestColumnsAreTabwriters(t *testing.T) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, gap, ' ', 0)
	fmt.Fprint(w, listed)
	require.NoError(t, w.Flush())
	assert.Equal(t, b.String(), aligned(t, listed, 0))
	assert.Equal(t, b.String(), aligned(t, listed, 500))
}

func TestColumnsFitAWidth(t *testing.T) {
	for width := 30; width < 120; width += 7 {
		got := aligned(t, listed, width)
		words := func(s string) string { return strings.Join(strings.Fields(s), "") }
		for line := range strings.Lines(got) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), width, got)
		}
		assert.Len(t, words(got), len(words(listed)), "nothing is lost")
	}
	assert.Equal(t, strings.Join([]string{
		"file                            cost      what it is",
		"experiments/a.yaml              3 min     Neural Turing",
		"                                          Machine on the",
		"                                          copy task (Graves",
		"                                          et al. 2014,",
		"                                          section 4.1), ± 3",
		"experiments/mann-omniglot.yaml  1.8 h     ", ""}, "\n"), aligned(t, strings.ReplaceAll(listed, "cost", "cost    "), 59))
}
