package results_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/results"
)

// speedText is as bench writes it, of a machine that never was.
const speedText = `{
	"commit": "0123456789abcdef", "modified": true, "go": "go1.0", "libtorch": "1.13.0", "pytorch": "1.13.0a0",
	"cpu": "abacus", "cores": 2, "threads": 2, "load_before": 0.25, "rounds": 3,
	"ceilings": {"fp32_gflops": 100, "bf16_gflops": 250, "copy_gb_per_second": 18.4},
	"rows": [
		{"name": "add8", "what": "a small operation", "engram": {"seconds": [1e-6, 2e-6, 3e-6], "median": 2e-6, "peak_bytes": 100000000},
		 "plain": {"seconds": [2e-6, 2e-6, 2e-6], "median": 2e-6, "peak_bytes": 90000000, "form": "plain", "times": 1, "times_low": 0.67, "times_high": 2}},
		{"name": "conv4", "what": "a step", "gflop": 5, "engram": {"seconds": [0.1, 0.125, 0.2], "median": 0.125, "peak_bytes": 300000000},
		 "plain": {"seconds": [0.4, 0.4, 0.4], "median": 0.4, "peak_bytes": 400000000, "form": "plain", "floor": 2.5, "times": 3.2, "times_low": 2, "times_high": 4},
		 "best": {"seconds": [0.1, 0.1, 0.1], "median": 0.1, "peak_bytes": 400000000, "form": "best, memory kept", "floor": 1.3, "times": 0.8, "times_low": 0.5, "times_high": 1}},
		{"name": "ntm-1", "what": "another", "engram": {"seconds": [0.01], "median": 0.01}, 
		 "plain": {"seconds": [0.1], "median": 0.1, "form": "plain", "floor": 10, "times": 10, "times_low": 10, "times_high": 10}}
	]
}`

func speed(t *testing.T) *results.Speed {
	all, err := results.ReadSpeeds(fstest.MapFS{"speed-1.13.json": {Data: []byte(speedText)}})
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

func TestSpeedPage(t *testing.T) {
	text := string(results.SpeedPage([]*results.Speed{speed(t)}).Markdown(""))
	for _, want := range []string{
		"Measured with 2 threads in 3 rounds",
		"100 GFLOP/s in float32, 250 in bfloat16, 18 GB/s for a copy",
		"| add8 | **0.002** | 0.002 | 1.00 (0.67–2.00) | | | 100 | 90 | | |  | no: memory | |\n",
		"| conv4 | **125** | 400 | 3.20 (2.00–4.00) | 100 | 0.80 (0.50–1.00) | 300 | 400 | 400 | 40 % | 2.5×, 1.3× | no: best | best, memory kept |\n",
		"| ntm-1 | **10.0** | 100 | 10.00 (10.00–10.00) | | | | | | | 10× | yes | |\n", // of memory nothing is known
		"| conv4 | a step |\n",
		"Commit 0123456789ab, modified; abacus, 2 cores, 2 threads; load before: 0.2; Engram on LibTorch 1.13.0 (go1.0); PyTorch 1.13.0a0.",
	} {
		assert.Contains(t, text, want)
	}
}

// Several LibTorches stand side by side, in the order of their versions, which is not that of their names.
func TestSpeedWithSeveralLibTorches(t *testing.T) {
	files := fstest.MapFS{"speed-1.13.json": {Data: []byte(speedText)}}
	for _, version := range []string{"2.14.1", "2.6.0"} {
		text := strings.Replace(speedText, `"libtorch": "1.13.0"`, `"libtorch": "`+version+`"`, 1)
		text = strings.Replace(text, `"name": "add8"`, `"name": "new in `+version+`"`, 1)
		var s results.Speed
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		files[s.Name()] = &fstest.MapFile{Data: []byte(text)}
	}
	assert.Contains(t, files, "speed-2.14.json")
	all, err := results.ReadSpeeds(files)
	require.NoError(t, err)
	text := string(results.SpeedPage(all).Markdown(""))
	for _, want := range []string{
		"| workload | LibTorch 1.13.0: over plain | over best | floors met | LibTorch 2.6.0: over plain | over best | floors met | LibTorch 2.14.1: over plain | over best | floors met |\n",
		"| add8 | 1.00 | | no: memory | | | | | | |\n",
		"| conv4 | 3.20 | 0.80 | no: best | 3.20 | 0.80 | no: best | 3.20 | 0.80 | no: best |\n",
		"| new in 2.6.0 | | | | 1.00 | | no: memory | | | |\n",
		"## LibTorch 2.14.1\n",
	} {
		assert.Contains(t, text, want)
	}
	names := map[string]int{}
	for _, table := range results.SpeedPage(all).Tables() {
		names[table.Name]++
	}
	assert.Equal(t, 1, names["speed"], "the table of the paper is that of the oldest LibTorch")
}

// What is read is all that was written.
func TestSpeedIsKeptWhole(t *testing.T) {
	again, err := json.Marshal(speed(t))
	require.NoError(t, err)
	assert.JSONEq(t, speedText, string(again))
}

func TestSpeedIsOnlyShownWhereItWasMeasured(t *testing.T) {
	pages := func(speeds []*results.Speed) (found []string) {
		documents, err := results.Documents(nil, speeds)
		require.NoError(t, err)
		for _, d := range documents {
			if d.Path == "results/speed.md" || d.Path == "paper/tables/speed.tex" {
				found = append(found, d.Path)
				assert.Contains(t, string(d.Text), "from results/speed-*.json")
			}
		}
		return found
	}
	none, err := results.ReadSpeeds(fstest.MapFS{})
	require.NoError(t, err)
	assert.Empty(t, none)
	assert.Empty(t, pages(none))
	assert.Equal(t, []string{"paper/tables/speed.tex", "results/speed.md"}, pages([]*results.Speed{speed(t)}))

	_, err = results.ReadSpeeds(fstest.MapFS{"speed-2.6.json": {Data: []byte("{")}})
	assert.ErrorContains(t, err, "speed-2.6.json: unexpected end of JSON input; generate it again with: make bench")
}

// A page is never left over from figures that are gone.
func TestSpeedPageHasItsFigures(t *testing.T) {
	if found, err := filepath.Glob("speed-*.json"); err == nil && found != nil {
		t.Skip("they are there, and TestTablesAreUpToDate compares them")
	}
	for _, page := range []string{"speed.md", filepath.Join("..", "paper", "tables", "speed.tex")} {
		assert.NoFileExists(t, page, "there is no speed-*.json")
	}
}
