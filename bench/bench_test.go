package main

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/engram-go/engram/tensor"
)

func TestUnequalWorkIsRefused(t *testing.T) {
	assert.NoError(t, agree([]float64{1, 200}, []float64{1.00009, 201}, workload{drift: .01}))
	assert.ErrorContains(t, agree([]float64{1}, []float64{1.0002}, workload{drift: .01}), "result 0 is 1 in Engram, 1.0002", "the drift is for later results")
	assert.ErrorContains(t, agree([]float64{1, 1}, []float64{1, 1.02}, workload{drift: .01}), "result 1")
	assert.NoError(t, agree([]float64{1}, []float64{1.02}, workload{bf16: true}), "the tolerance of bfloat16")
	assert.ErrorContains(t, agree([]float64{1}, []float64{math.NaN()}, workload{drift: 1}), "result 0")
	assert.ErrorContains(t, agree([]float64{1}, nil, workload{}), "1 results in Engram, 0 in PyTorch")
}

// Every workload has a script and a line in the README, and can be chosen by its name.
func TestWorkloadsAreComplete(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var names []string
	for _, w := range workloads {
		assert.FileExists(t, filepath.Join("torch", w.torch))
		assert.Contains(t, string(readme), "`"+w.name+"`")
		assert.Positive(t, w.steps, w.name)
		assert.Equal(t, w.best > 0, w.plain > 0, "%s: the floors are set together", w.name)
		assert.False(t, w.best > 0 && w.forms == nil, "%s has a floor but no forms", w.name)
		names = append(names, w.name)
		got, err := choose(w.name)
		require.NoError(t, err)
		require.Len(t, got, 1)
		assert.Equal(t, w.name, got[0].name)
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), len(names), "names differ")
	_, err = choose("add8,nonsense")
	assert.ErrorContains(t, err, `no workload "nonsense"`)
}

// By hand for one image: 28·28·9·64 multiplications and as many additions in the first layer, and so on.
func TestOperationsAreCounted(t *testing.T) {
	o := conv4(1)
	assert.InDelta(t, 2*28*28*9*64, o.first, 0)
	assert.InDelta(t, 2*(14*14+7*7+3*3)*9*64*64, o.others, 0)
	assert.InDelta(t, 2*o.first+3*o.others, trained(o), 0)
	assert.InDelta(t, o.first+o.others, evaluated(o), 0)

	inner := sided(5, 14, 7, 4, 2)
	assert.InDelta(t, 4*inner.first+6*inner.others, metaOperations(true, 1), 0)
	assert.InDelta(t, 6*inner.first+12*inner.others, metaOperations(false, 1), 0)
	assert.InDelta(t, 2*metaOperations(false, 1), metaOperations(false, 2), 0)
}

func TestSettingsOfAProcess(t *testing.T) {
	assert.Empty(t, setting{form: "plain"}.env())
	assert.Equal(t, "plain", setting{form: "plain"}.String())
	s := setting{form: "best", keep: true, oneBLAS: true}
	assert.Equal(t, "best, memory kept, OpenBLAS on one thread", s.String())
	assert.Contains(t, s.env(), "OPENBLAS_NUM_THREADS=1")
	assert.Contains(t, strings.Join(s.env(), " "), "MALLOC_MMAP_MAX_=0")
}

// A failing workload costs its own row only, and the error names it.
func TestAFailureCostsItsRowOnly(t *testing.T) {
	var chosen []workload
	for _, name := range []string{"add8", "reptile", "chain10", "maml"} {
		chosen = append(chosen, must(choose(name))...)
	}
	rows, err := each(chosen, func(w workload) (string, error) {
		if w.name == "reptile" || w.name == "maml" {
			return "", errors.New("the script failed")
		}
		return w.name, nil
	})
	assert.Equal(t, []string{"add8", "chain10"}, rows)
	assert.ErrorContains(t, err, "reptile: the script failed")
	assert.ErrorContains(t, err, "maml: the script failed")
}

// A script that ends early is an error of its workload.
func TestAScriptThatFailsIsAnError(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	scripts := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(scripts, "add8.py"), []byte("raise SystemExit(3)\n"), 0o600))
	m := meter{options: options{rounds: 1, threads: 1, scripts: scripts}, python: python, on: tensor.CPU}
	assert.ErrorContains(t, m.check(must(choose("add8"))[0]), "the PyTorch script ended early")
}

// Both sides of some workloads agree, if PyTorch is installed.
func TestBothSidesAgree(t *testing.T) {
	python, err := findPython()
	if err != nil {
		t.Skip(err)
	}
	m := meter{options: options{rounds: 1, threads: 1, scripts: "torch"}, python: python, on: tensor.CPU}
	for _, name := range []string{"add8", "chain10", "ntm-1", "memnet"} {
		w, err := choose(name)
		require.NoError(t, err)
		assert.NoError(t, m.check(w[0]), name)
	}
	w := must(choose("chain10"))[0]
	w.args, w.torch = nil, "add8.py"
	assert.ErrorContains(t, m.check(w), "the work differs")
}
