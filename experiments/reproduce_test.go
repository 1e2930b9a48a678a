package experiments_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"

	"github.com/engram-go/engram/experiments"
	"github.com/engram-go/engram/internal/small"
	"github.com/engram-go/engram/results"
	"github.com/engram-go/engram/tensor"
)

// recorded is the outcome of an experiment's small version on the platform of testdata/recorded.json.
type recorded struct {
	Platform string    `json:"platform,omitempty"` // where it was recorded, if elsewhere than the others
	Losses   []float64 `json:"losses"`             // of the steps
	Figures  []float64 `json:"figures"`            // the result's, in order
}

// records are the outcomes of all experiments, and the platform where they are equal to the bit.
type records struct {
	Platform    string              `json:"platform"`
	Experiments map[string]recorded `json:"experiments"`
}

const recordsFile = "testdata/recorded.json"

// platform identifies what determines rounding: the processor with its features, LibTorch, and the processor that OpenBLAS is told
// to compute for.
func platform() string {
	return fmt.Sprintf("%s, %s, avx2 %t, avx512 %t, bf16 %t, amx %t, LibTorch %s, OPENBLAS_CORETYPE=%s", tensor.Processor(), runtime.GOARCH,
		cpu.X86.HasAVX2, cpu.X86.HasAVX512F, cpu.X86.HasAVX512BF16, cpu.X86.HasAMXBF16, tensor.Version(), os.Getenv("OPENBLAS_CORETYPE"))
}

// Tolerances on other platforms: of a loss, relative, and of a figure in its unit.
const (
	lossBound   = 0.02
	figureBound = 25
)

// outcome runs the small version of an experiment and returns its outcome.
func outcome(t *testing.T, file string, sets []string) recorded {
	t.Helper()
	c, err := tool.Load(file, overrides(t, sets...)...)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "run")
	r, err := tool.Run(t.Context(), c, experiments.Options{Out: dir})
	require.NoError(t, err)
	return outcomeOf(t, dir, r)
}

// outcomeOf returns the outcome of a finished run.
func outcomeOf(t *testing.T, dir string, r *results.Result) (out recorded) {
	t.Helper()
	for _, f := range r.Figures {
		out.Figures = append(out.Figures, f.Value)
	}
	text, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var m struct{ Loss *float64 }
		require.NoError(t, json.Unmarshal([]byte(line), &m))
		if m.Loss != nil {
			out.Losses = append(out.Losses, *m.Loss)
		}
	}
	return out
}

// Small versions of all experiment files repeat to the bit, and match the recorded outcomes: to the bit on the
// recorded platform, within tolerances elsewhere. go test ./experiments -run Repeatable -update records them again.
func TestEveryExperimentIsRepeatable(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	text, err := os.ReadFile(recordsFile)
	require.NoError(t, err)
	var want records
	require.NoError(t, json.Unmarshal(text, &want))
	got := records{platform(), map[string]recorded{}}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(name, func(t *testing.T) {
			m, err := tool.Matrix(file)
			require.NoError(t, err)
			c := m.Runs[0].Config
			if c.Network == "matchingnet" && strings.Contains(name, "hausdorff") {
				t.Skip("trains nothing; TestLakesRuns holds its figure to be exact")
			}
			sets, err := small.Overrides(c)
			require.NoError(t, err)
			for _, o := range m.Runs[0].Overrides { // of a matrix the first run
				sets = append([]string{o.String()}, sets...)
			}
			first, second := outcome(t, file, sets), outcome(t, file, sets)
			assert.Equal(t, first, second, "the second run differs from the first")
			got.Experiments[name] = first
			if *update {
				return
			}
			record, ok := want.Experiments[name]
			require.True(t, ok, "has no record: go test ./experiments -run Repeatable -update")
			if got.Platform == cmp.Or(record.Platform, want.Platform) {
				record.Platform = ""
				assert.Equal(t, record, first)
				return
			}
			config, err := c.Encode()
			require.NoError(t, err)
			if strings.Contains(string(config), "precision: bf16") && len(record.Losses) > 1 {
				t.Skip("what bfloat16 products are summed in differs between processors, after a step by more than the bounds may be")
			}
			near(t, "loss", record.Losses, first.Losses, func(v float64) float64 { return lossBound * math.Abs(v) })
			near(t, "figure", record.Figures, first.Figures, func(float64) float64 { return figureBound })
		})
	}
	if *update {
		text, err := json.MarshalIndent(got, "", "\t")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(recordsFile, append(text, '\n'), 0o644))
	}
}

func near(t *testing.T, what string, want, got []float64, bound func(float64) float64) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		assert.InDelta(t, want[i], got[i], bound(want[i]), "%s %d", what, i)
	}
}
