package results_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// A run that no published figure goes with has its row all the same, with others of its name that differ in the seed.
func TestRunsOfOnesOwnHaveTheirPage(t *testing.T) {
	mine := func(seed uint64, value float64) results.Run {
		r := sample()
		r.Name, r.Network, r.About, r.Seed, r.Figures = "mine", "protonet", "an idea", seed, r.Figures[:1]
		r.Figures[0].Value = value
		return results.Run{Path: "runs/mine/seed-" + string(rune('0'+seed)) + "/result.json", Result: r}
	}
	known := results.Run{Path: "runs/x/result.json", Result: sample()}
	pages, err := results.Pages([]results.Run{known, mine(1, 90), mine(2, 92)})
	require.NoError(t, err)
	last := pages[len(pages)-1]
	require.Equal(t, "others", last.Name)
	text := markdown(last)
	assert.Contains(t, text, "| [mine](runs/mine/seed-1/result.json) | **91.00** ± 12.71 (s 1.41) | % | omniglot 5-way 1-shot, accuracy | 2 | an idea | dataset omniglot, ")
	assert.NotContains(t, text, "runs/x/")

	pages, err = results.Pages([]results.Run{known})
	require.NoError(t, err)
	assert.NotEqual(t, "others", pages[len(pages)-1].Name)
}
